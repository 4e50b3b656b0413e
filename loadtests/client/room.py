"""
An exam room of simulated candidates: seated by launch links, writing and acting until time is up, handing
in.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

import aiohttp

from kernel.events import EventType, Role
from loadtests.client.behaviour import Act, Part, conduct, temper_of
from loadtests.client.client import Client, Pace
from loadtests.client.log import Log
from loadtests.client.paper import ESSAY_PLACE, ITEMS
from loadtests.client.sheet import AUTOSAVE_S, Sheet
from loadtests.client.stack import (
    Stack,
    StackError,
    call,
    launch_links,
    make_candidates,
    open_exam,
    organisation_of,
    sign_in,
    take_seat,
    write_paper,
)
from loadtests.client.tab import skewed

CALLS_AT_ONCE: Final = 16
STORED_WITHIN_S: Final = 60.0
# Some clients' clocks are wrong: the server's time is the truth (spec.md I-6).
CLOCK_ERRORS: Final = (*[timedelta()] * 8, timedelta(seconds=-37), timedelta(minutes=4))
HAND_INS_REPEATED: Final = 0.1
GRADED_AT_ONCE: Final = 200
POINTS_MAX: Final = 3  # that a text is given, in whole points
WRITING: Final = (EventType.Keystroke, EventType.AnswerSaved)
REPLIES_LOST: Final = 0.5  # share of disconnects that come between a request and its reply
PACE: Final = Pace(linger_s=0.5, heartbeat_s=15.0, backoff_s=0.2)


class Room:
    """An exam, its teacher's token, and its candidates' clients with the one log they share."""

    def __init__(self, http: aiohttp.ClientSession, stack: Stack, seed: int) -> None:
        self.clients: list[Client] = []
        self.sheets: list[Sheet] = []  # in the order of the clients
        self.retried = 0  # hand-ins sent twice
        self.retried_same = 0  # of these, those that got the first receipt again
        self.log = Log()
        self.exam_id = UUID(int=0)
        self.token = ""
        self.disconnects = 0
        self._acting: list[asyncio.Task[None]] = []
        self._http = http
        self._stack = stack
        self._dice = random.Random(seed)

    async def open(self, title: str, candidates: int) -> dict[str, str]:
        """Make the exam, its questions and the candidates; return a launch link by e-mail."""
        stack = self._stack
        self.token = await sign_in(self._http, stack.url, stack.account(Role.teacher))
        paper = await write_paper(self._http, stack.url, self.token, title, ITEMS)
        self.exam_id = await open_exam(self._http, stack.url, self.token, title, paper=paper.version_id)
        emails = [f"candidate-{number:04}@demo.example" for number in range(1, candidates + 1)]
        organisation = await organisation_of(self._http, stack.url, self.token)
        await make_candidates(stack.database_url, organisation, emails)
        return await launch_links(self._http, stack.url, self.token, self.exam_id, emails)

    async def seat(self, links: dict[str, str]) -> None:
        """Have everybody spend their link and begin, a few at a time."""
        gate = asyncio.Semaphore(CALLS_AT_ONCE)

        async def one(link: str) -> None:
            async with gate:
                seat = await take_seat(self._http, self._stack, link)
                assert seat.attempt_id is not None, "a launch link opens an attempt"
                dice = random.Random(seat.session_id)
                sheet = Sheet(self._http, self._stack.url, seat.attempt_id, seat.token, dice)
                await sheet.open()
            clock = skewed(self._dice.choice(CLOCK_ERRORS))
            client = Client(self._http, seat, self.log, pace=PACE, seed=seat.session_id, clock=clock)
            self.clients.append(client)
            self.sheets.append(sheet)

        await asyncio.gather(*map(one, links.values()))

    async def sit(self, seconds: float, cast: Mapping[int, Part] | None = None) -> None:
        """Let everybody act until the time is up; `cast` says what some do, by their place in `clients`."""
        for client in self.clients:
            client.start()
        for place, (client, sheet) in enumerate(zip(self.clients, self.sheets, strict=True)):
            dice = random.Random(self._dice.randrange(2**32))
            part = (cast or {}).get(place)
            acts = conduct(dice, temper_of(dice)) if part is None else part(dice)
            self._acting.append(asyncio.create_task(self._act(client, sheet, acts)))
            self._acting.append(asyncio.create_task(self._autosave(client, sheet)))
        done, _ = await asyncio.wait(self._acting, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        await self._stop_acting()
        for task in done:
            task.result()  # acts have no end: who stopped has failed

    async def _stop_acting(self) -> None:
        for task in self._acting:
            task.cancel()
        await asyncio.gather(*self._acting, return_exceptions=True)

    async def close(self) -> None:
        """Stop everybody where they are; nothing happens to those who have handed in."""
        await self._stop_acting()
        for client in self.clients:
            await client.close()

    async def _autosave(self, client: Client, sheet: Sheet) -> None:
        """Save drafts while there is a network, as the page does every few seconds."""
        while True:
            await asyncio.sleep(AUTOSAVE_S * self._dice.uniform(0.5, 1.5))
            if client.is_online:
                with contextlib.suppress(StackError, TimeoutError):
                    await sheet.save()

    async def _act(self, client: Client, sheet: Sheet, acts: Iterator[Act]) -> None:
        back = asyncio.get_running_loop().call_later
        for act in acts:
            await asyncio.sleep(act.after_s)
            for event_type, severity, metadata in act.events:
                client.record(event_type, severity, metadata)
                if event_type in WRITING:
                    sheet.write(metadata["question"], metadata.get("keys", 0))
            if act.offline_s and client.is_online:
                self.disconnects += 1
                if self._dice.random() < REPLIES_LOST:
                    client.lose_next_reply()
                    await asyncio.sleep(PACE.linger_s * 2)
                await client.go_offline()
                back(act.offline_s, _reconnect, client, act.offline_s)

    async def hand_in(self) -> bool:
        """
        Wait until everybody's events are stored, and hand in; tell whether all are.

        Some send their hand-in twice, as after a lost reply. A hand-in ends the proctor session.
        """
        stored = await asyncio.gather(*(client.drain(STORED_WITHIN_S) for client in self.clients))
        gate = asyncio.Semaphore(CALLS_AT_ONCE)

        async def end(client: Client, sheet: Sheet) -> None:
            await client.close()
            async with gate:
                sheet.finish()
                await sheet.hand_in()
                if sheet is self.sheets[0] or self._dice.random() < HAND_INS_REPEATED:
                    self.retried += 1
                    same = await sheet.hand_in_again()  # first: others count meanwhile
                    self.retried_same += same

        await asyncio.gather(*map(end, self.clients, self.sheets))
        return all(stored)

    async def grade(self) -> int:
        """Give points for every text that waits for them, as the exam's teacher; return for how many."""
        url = f"{self._stack.url}/api/teacher"
        listed = f"{url}/exams/{self.exam_id}/submissions?awaiting=true&limit={GRADED_AT_ONCE}"
        gate, count = asyncio.Semaphore(CALLS_AT_ONCE), 0

        async def one(submission_id: str) -> None:
            async with gate:
                points = self._dice.randint(0, POINTS_MAX)
                body = {"grades": [{"position": ESSAY_PLACE, "points": points}]}
                path = f"{url}/submissions/{submission_id}/grades"
                await call(self._http, "POST", path, token=self.token, body=body)

        while found := (await call(self._http, "GET", listed, token=self.token))["submissions"]:
            await asyncio.gather(*(one(each["submission_id"]) for each in found))
            count += len(found)
        return count

    @property
    def offline(self) -> int:
        """Return how many have no network now."""
        return sum(not client.is_online for client in self.clients)


def _reconnect(client: Client, offline_s: float) -> None:
    if client.stopped_by is None and not client.is_online:
        client.record(EventType.NetworkReconnected, 0, {"offlineMs": round(offline_s * 1000)})
        client.go_online()
