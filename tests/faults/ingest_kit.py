"""
What the deterministic fault tests share: careful clients that post without pause, and a proxy that cuts
replies.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from tests.kits.ingest.api import keystroke
from tests.kits.ingest.world import Seat, World

TIMEOUT = aiohttp.ClientTimeout(total=5)
SETTLE_S = 40.0
CROWDED = {  # small pools, and sessions that may send as much as they can
    "writer_lock_s": "0.1",
    "redis_connections": "2",
    "pool_connections_max": "4",
    "session_events_per_s": "1000",
    "session_burst_events": "10000",
}


class Poster:
    """A tab that posts numbered keystrokes and keeps each until it is stored and among what was received."""

    def __init__(self, http: aiohttp.ClientSession, url: str, seat: Seat, tab: str) -> None:
        self.seat = seat
        self.acked: dict[int, int] = {}  # clientSequence: sequence
        self.changed: dict[int, tuple[int, int]] = {}  # given out twice: allowed after a named loss only
        self.refusals = 0
        self._http = http
        self._url = url
        self._tab = tab
        self._kept: set[int] = set()
        self._last = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Post one batch after the other until told to stop."""
        while not stop.is_set():
            numbers = list(range(self._last + 1, self._last + 4))
            self._last = numbers[-1]
            await self.send(numbers)
            await asyncio.sleep(0.05)

    async def send(self, numbers: list[int]) -> None:
        """Post a batch until it is acknowledged."""
        self._kept.update(numbers)
        body = {
            "proctorSessionId": self.seat.session_id,
            "clientInstance": self._tab,
            "events": [keystroke(n) for n in numbers],
        }
        headers = {"Authorization": f"Bearer {self.seat.token}"}
        while True:
            try:
                async with self._http.post(
                    self._url + "/api/proctor/events/bulk", json=body, headers=headers, timeout=TIMEOUT
                ) as answer:
                    if answer.status == 202:
                        return self._note(numbers, (await answer.json())["ack"])
                    text = await answer.text()
                    assert answer.status in {429, 503}, f"{answer.status}: {text}"
                    assert "Retry-After" in answer.headers
            except (aiohttp.ClientError, TimeoutError):
                pass  # the outcome is unknown: the numbers make the retry safe
            self.refusals += 1
            await asyncio.sleep(0.05)

    def _note(self, numbers: list[int], ack: dict[str, Any]) -> None:
        sequences = ack.get("sequences") or list(range(ack["sequenceFrom"], ack["sequenceThrough"] + 1))
        for number, sequence in zip(numbers, sequences, strict=True):
            before = self.acked.setdefault(number, sequence)
            if before != sequence:
                self.changed[number] = (before, sequence)
                self.acked[number] = sequence
        lacking = {n for low, high in ack["missing"] for n in range(low, high + 1)}
        through = max(numbers)
        self._kept = {
            n
            for n in self._kept
            if n in lacking or n > through or self.acked.get(n, 1 << 40) > ack["storedThrough"]
        }

    async def settle(self) -> None:
        """Resend what is not known to be stored, until nothing is left."""
        async with asyncio.timeout(SETTLE_S):
            while self._kept:
                kept = sorted(self._kept)
                for at in range(0, len(kept), 100):
                    await self.send(kept[at : at + 100])
                if self._kept:
                    await self.send([max(self.acked)])  # learn what is missing and how much is stored
                    await asyncio.sleep(0.02)


class Crowd:
    """Two tabs for each of some sessions."""

    def __init__(self, world: World, posters: list[Poster]) -> None:
        self.world = world
        self.posters = posters
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(poster.run(self._stop)) for poster in posters]

    @property
    def acknowledged(self) -> int:
        return sum(len(poster.acked) for poster in self.posters)

    async def more(self, events: int, within_s: float = 30.0) -> None:
        """Wait until so many more events are acknowledged."""
        wanted = self.acknowledged + events
        async with asyncio.timeout(within_s):
            while self.acknowledged < wanted:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def rest(self) -> None:
        """Post nothing more."""
        self._stop.set()
        async with asyncio.timeout(SETTLE_S):
            await asyncio.gather(*self._tasks)

    async def settled(self) -> None:
        """Post nothing more, and wait until everything is stored."""
        await self.rest()
        await asyncio.gather(*(poster.settle() for poster in self.posters))

    def check(self, *, lossless: bool = True) -> None:
        """
        Compare with PostgreSQL: each event once, under the sequence that was acknowledged, dense and in
        order.
        """
        for session in {poster.seat.session_id for poster in self.posters}:
            rows = self.world.stored(session)
            assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1)), "sequences are dense"
            assert [row["occurred_at"] for row in rows] == sorted(row["occurred_at"] for row in rows)
            tabs = [poster for poster in self.posters if poster.seat.session_id == session]
            assert len(rows) == sum(len(poster.acked) for poster in tabs), "each event is stored once"
            stored = sorted((row["client_seq"], row["seq"]) for row in rows)
            assert stored == sorted(pair for poster in tabs for pair in poster.acked.items())
            for row in rows:
                assert row["payload"] == {"n": row["client_seq"]}
        if lossless:
            assert [poster.changed for poster in self.posters if poster.changed] == []
            assert self.world.losses() == []

    async def close(self) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def crowd(world: World, url: str, *, sessions: int = 4) -> AsyncIterator[Crowd]:
    """Have two tabs of each of so many new sessions post while the block runs."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        seats = [world.seat() for _ in range(sessions)]
        posters = [Poster(http, url, seat, tab) for seat in seats for tab in ("left", "right")]
        crowd_ = Crowd(world, posters)
        try:
            yield crowd_
        finally:
            await crowd_.close()


class Proxy:
    """
    A TCP proxy of one target; `cut_after` makes it swallow the reply to the next request that holds these
    bytes.
    """

    def __init__(self, port: int) -> None:
        self.cut_after: bytes | None = None
        self.cuts = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open |= {near, far}
            doomed = threading.Event()
            for source, sink, up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, sink, up, doomed), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool, doomed: threading.Event) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                if up and self.cut_after is not None and self.cut_after in part:
                    self.cut_after = None
                    doomed.set()
                if not up and doomed.is_set():
                    self.cuts += 1  # the other side has done its work; nobody will hear of it
                    break
                sink.sendall(part)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
            end.close()


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """Proxy a port of this machine."""
    between = Proxy(port)
    try:
        yield between
    finally:
        between.close()
