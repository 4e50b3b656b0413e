"""
A good proctoring client: batches, numbers, resends until acknowledged, keeps its copy until stored.

One candidate, one proctor session, one client instance. Requests leave one at a time and in order, so that
what is sent later is sequenced later. Offline it buffers; back online it sends the buffer first.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec

from kernel.events import VIOLATION_SEVERITY_MIN, EventType
from kernel.running.tasks import cancel
from loadtests.client.log import Log
from loadtests.client.outbox import BATCH_EVENTS_MAX, Held, Outbox
from loadtests.client.tab import Clock, Tab, right_time

REPLY_DEADLINE_S: Final = 10.0
BACKOFF_S_MAX: Final = 5.0
PROBE_S: Final = 0.5
# From this X-Ingest-Load on, a good client gathers longer before it sends.
LOAD_SLOWS_FROM: Final = 5
LOAD_HEADER: Final = "X-Ingest-Load"
Headers = Mapping[str, str]


class Seat(msgspec.Struct, frozen=True):
    """
    Where a candidate sits: the proctor session, the token that may post for it, ingest's address, and the
    attempt where the deployment gave one.
    """

    session_id: int
    token: str
    url: str
    attempt_id: UUID | None = None


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a client spaces its requests; all in seconds but `batch_events`."""

    linger_s: float = 0.2  # gather so long before a batch leaves
    heartbeat_s: float = 15.0  # spec.md P-3; 0 sends none
    backoff_s: float = 0.1  # doubled with every try
    batch_events: int = BATCH_EVENTS_MAX
    deadline_s: float = REPLY_DEADLINE_S


class Client:
    """A client instance of one session, from `start()` to `close()`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        seat: Seat,
        log: Log,
        *,
        pace: Pace | None = None,
        seed: int = 0,
        clock: Clock = right_time,
    ) -> None:
        """
        Prepare; nothing is sent before `start()`.

        Args:
            http: shared by many clients.
            seat: whose session.
            log: where every step is written down.
            pace: the spacing of requests.
            seed: of the jitter.
            clock: what this client believes the time is.
        """
        self.seat = seat
        self.tab = Tab(seat.session_id, log, clock)
        self._http = http
        self._pace = pace or Pace()
        self._random = random.Random(seed)
        self._online = asyncio.Event()
        self._online.set()
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._answered = asyncio.Event()
        self._lose_reply = False
        self._load = 0
        self._failures = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def outbox(self) -> Outbox:
        """The events that are not known to be stored."""
        return self.tab.outbox

    @property
    def stopped_by(self) -> str | None:
        """The code of the refusal that ended this client, if one did."""
        return self.tab.stopped_by

    # -- what the page does --------------------------------------------------------------------------------

    def record(
        self,
        event_type: EventType,
        severity: int = 0,
        metadata: Mapping[str, Any] | None = None,
        *,
        client_at: datetime | None = None,
        marker: str | None = None,
    ) -> int:
        """
        Take down one event and return its client sequence; arguments and errors as of `Tab.record`.

        Heartbeats and what is severe leave at once, everything else lingers for company.
        """
        seq = self.tab.record(event_type, severity, metadata, client_at=client_at, marker=marker)
        self._work.set()
        if event_type == EventType.Heartbeat or severity >= VIOLATION_SEVERITY_MIN:
            self._urgent.set()
        return seq

    def start(self) -> None:
        """Begin to send, and to beat."""
        self._tasks.append(asyncio.create_task(self._deliver()))
        if self._pace.heartbeat_s:
            self._tasks.append(asyncio.create_task(self._beat()))

    async def go_offline(self) -> None:
        """Lose the network: whatever is on its way loses its reply."""
        self._online.clear()
        cut_off, self._tasks[0] = self._tasks[0], asyncio.create_task(self._deliver())
        await cancel([cut_off])

    def lose_next_reply(self) -> None:
        """Have the network fail between the next request's arrival and its reply."""
        self._lose_reply = True

    @property
    def is_online(self) -> bool:
        """False between `go_offline` and `go_online`."""
        return self._online.is_set()

    def go_online(self) -> None:
        """Have the network back; the buffer leaves first, in order."""
        self._online.set()

    async def progress(self) -> None:
        """Wait for the next 202, or for a refusal that ends something."""
        await self._answered.wait()

    async def drain(self, within_s: float) -> bool:
        """
        Stop the heartbeats and wait until every event is stored.

        Returns:
            False when some event was still unacknowledged or unstored after `within_s`.
        """
        self.go_online()
        await cancel(self._tasks[1:])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self.outbox) and self.stopped_by is None:
                    if not self.outbox.offered:
                        await self._send(self.outbox.probe(), probe=True)
                    await asyncio.sleep(self._random.uniform(0.5, 1.0) * min(PROBE_S, within_s / 10))
        return not len(self.outbox)

    async def close(self) -> None:
        """Stop at once; what is unsent stays unsent."""
        await cancel(self._tasks)

    # -- delivery ------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        await asyncio.sleep(self._random.uniform(0, self._pace.heartbeat_s))
        while True:
            await self._online.wait()  # a page without network does not buffer heartbeats: the gap is a fact
            self.record(EventType.Heartbeat)
            await asyncio.sleep(self._pace.heartbeat_s)

    async def _deliver(self) -> None:
        while self.stopped_by is None:
            await self._work.wait()
            await self._online.wait()
            if self.outbox.offered < self._pace.batch_events:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._linger()):
                        await self._urgent.wait()
            if batch := self.outbox.next_batch(self._pace.batch_events):
                await self._send(batch)
            if not self.outbox.offered:
                self._work.clear()
                self._urgent.clear()

    def _linger(self) -> float:
        slower = 1 + max(0, self._load - LOAD_SLOWS_FROM)
        return self._pace.linger_s * slower * self._random.uniform(0.5, 1.0)

    async def _send(self, batch: list[Held], *, probe: bool = False) -> None:
        """Send a batch once, take its reply in, and wait as long as that asks."""
        path, body = self.tab.request_of(batch)
        self.tab.sent(batch, probe=probe)
        try:
            status, headers, reply = await self._post(path, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.tab.unanswered(batch, type(error).__name__)
            await self._back_off()
            return
        except asyncio.CancelledError:
            self.tab.unanswered(batch, "offline")
            raise
        self._load = int(headers.get(LOAD_HEADER, self._load))
        if status == HTTPStatus.ACCEPTED:
            self._failures = 0
            self.tab.accepted(batch, reply)
            if self.outbox.offered:
                self._work.set()
        elif not self.tab.refused(batch, status, reply):
            await self._back_off(float(headers.get("Retry-After", 0)))
            return
        self._answered.set()
        self._answered.clear()  # who waited goes on, who waits next waits for the next one

    async def _post(self, path: str, body: bytes) -> tuple[int, Headers, bytes]:
        headers = {"Authorization": f"Bearer {self.seat.token}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=self._pace.deadline_s)
        url = self.seat.url + path
        async with self._http.post(url, data=body, headers=headers, timeout=timeout) as response:
            reply = await response.read()
            if self._lose_reply:
                self._lose_reply = False
                raise aiohttp.ClientConnectionError("the reply was lost on the way")
            return response.status, response.headers, reply

    async def _back_off(self, at_least_s: float = 0.0) -> None:
        """Wait what the server asks, and a random share of an exponential on top, so that clients spread."""
        window = min(BACKOFF_S_MAX, self._pace.backoff_s * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(at_least_s + self._random.uniform(0, window))
