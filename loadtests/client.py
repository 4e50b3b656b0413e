"""
A good proctoring client: batches, numbers, resends until acknowledged, keeps its copy until stored.

One candidate, one proctor session, one client instance. Requests leave one at a time and in order, so that
what is sent later is sequenced later. Offline it buffers; back online it sends the buffer first.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import aiohttp
import msgspec
import orjson

from kernel.events import VIOLATION_SEVERITY_MIN, EventType
from loadtests.log import Acked, Created, Log, Refused, Reoffered, Sent, Unanswered, now
from loadtests.outbox import BATCH_EVENTS_MAX, Ack, Held, Outbox

REPLY_DEADLINE_S: Final = 10.0
BACKOFF_S_MAX: Final = 5.0
# From this X-Ingest-Load on, a good client gathers longer before it sends.
LOAD_SLOWS_FROM: Final = 5
Headers = Mapping[str, str]
_LOAD: Final = "X-Ingest-Load"
_RETRIED: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        *(status for status in HTTPStatus if status >= 500),
    }
)


class Seat(msgspec.Struct, frozen=True):
    """Where a candidate sits: the proctor session, the token that may post for it, ingest's address."""

    session_id: int
    token: str
    url: str


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a client spaces its requests; all in seconds but `batch_events`."""

    linger_s: float = 0.2  # gather so long before a batch leaves
    heartbeat_s: float = 15.0  # spec.md P-3; 0 sends none
    backoff_s: float = 0.1  # doubled with every try
    batch_events: int = BATCH_EVENTS_MAX
    deadline_s: float = REPLY_DEADLINE_S


class EventReply(msgspec.Struct):
    """What a client needs of any event reply."""

    ack: Ack


class Problem(msgspec.Struct):
    """What a client needs of a refusal."""

    code: str = ""


_REPLY: Final = msgspec.json.Decoder(EventReply)
_PROBLEM: Final = msgspec.json.Decoder(Problem)


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
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
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
        self.instance = uuid4().hex
        self.outbox = Outbox()
        self.stopped_by: str | None = None  # the code of the refusal that ended it
        self._http = http
        self._log = log
        self._pace = pace or Pace()
        self._random = random.Random(seed)  # jitter, not a secret
        self._clock = clock
        self._online = asyncio.Event()
        self._online.set()
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._answered = asyncio.Event()
        self._lose_reply = False
        self._load = 0
        self._failures = 0
        self._tasks: list[asyncio.Task[None]] = []

    # -- what the page does --------------------------------------------------------------------------------

    def record(
        self,
        event_type: EventType,
        severity: int = 0,
        metadata: dict[str, Any] | None = None,
        *,
        client_at: datetime | None = None,
        marker: str | None = None,
    ) -> int:
        """
        Take down one event and return its client sequence. Heartbeats and severity 3 or more do not linger.

        Args:
            event_type: its type.
            severity: 0 to 5.
            metadata: anything JSON; the marker is added.
            client_at: the client's time of it; now when absent.
            marker: what tells it from every other event; made up when absent.

        Raises:
            OutboxFullError: too many events wait to be stored.
        """
        seq = self.outbox.created + 1
        marker = marker or f"{self.instance}-{seq}"
        event = {
            "eventType": int(event_type),
            "severity": severity,
            "metadataJson": orjson.dumps({**(metadata or {}), "marker": marker}).decode(),
            "clientTimestamp": client_at or self._clock(),
        }
        assert self.outbox.add(event_type, orjson.dumps(event)) == seq, "sequences are dense"
        self._log.add(
            Created(
                self.seat.session_id,
                self.instance,
                seq,
                seq,
                now(),
                marker=marker,
                event_type=int(event_type),
            )
        )
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
        await self._cancel(self._tasks[:1])
        self._tasks[0] = asyncio.create_task(self._deliver())

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
        """Return after the next 202, or after a refusal that ends something."""
        await self._answered.wait()

    async def drain(self, within_s: float) -> bool:
        """
        Stop the heartbeats and wait until every event is stored.

        Returns:
            False when some event was still unacknowledged or unstored after `within_s`.
        """
        self.go_online()
        await self._cancel(self._tasks[1:])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self.outbox) and self.stopped_by is None:
                    if not self.outbox.offered and await self._send(self.outbox.probe(), probe=True):
                        self._work.set()
                    await asyncio.sleep(self._random.uniform(0.5, 1.0) * min(0.5, within_s / 10))
        return not len(self.outbox)

    async def close(self) -> None:
        """Stop at once; what is unsent stays unsent."""
        await self._cancel(self._tasks)

    @staticmethod
    async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

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

    async def _send(self, batch: list[Held], *, probe: bool = False) -> bool:
        """Send a batch once, take its reply in, wait as long as that asks; tell whether it was a 202."""
        first, last = batch[0].seq, batch[-1].seq
        where = (self.seat.session_id, self.instance, first, last)
        path, body = request_of(self.seat.session_id, self.instance, batch)
        self._log.add(Sent(*where, now(), probe=probe))
        try:
            status, headers, reply = await self._post(path, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._log.add(Unanswered(*where, now(), why=type(error).__name__))
            await self._back_off()
            return False
        except asyncio.CancelledError:
            self._log.add(Unanswered(*where, now(), why="offline"))
            raise
        self._load = int(headers.get(_LOAD, self._load))
        if status == HTTPStatus.ACCEPTED:
            self._accepted(batch, _REPLY.decode(reply).ack)
            return True
        await self._refused(batch, status, headers, reply)
        return False

    async def _post(self, path: str, body: bytes) -> tuple[int, Headers, bytes]:
        headers = {"Authorization": f"Bearer {self.seat.token}", "Content-Type": "application/json"}
        async with self._http.post(
            self.seat.url + path,
            data=body,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self._pace.deadline_s),
        ) as response:
            reply = await response.read()
            if self._lose_reply:
                self._lose_reply = False
                raise aiohttp.ClientConnectionError("the reply was lost on the way")
            return response.status, response.headers, reply

    def _accepted(self, batch: list[Held], ack: Ack) -> None:
        self._failures = 0
        where = (self.seat.session_id, self.instance)
        numbers = tuple(ack.numbers(len(batch)))
        self._log.add(
            Acked(*where, batch[0].seq, batch[-1].seq, now(), numbers=numbers, duplicate=ack.duplicate)
        )
        for seq in self.outbox.acknowledge(batch, ack):
            self._log.add(Reoffered(*where, seq, seq, now()))
            self._work.set()
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        self._answered.set()
        self._answered.clear()

    async def _refused(self, batch: list[Held], status: int, headers: Headers, reply: bytes) -> None:
        final = status not in _RETRIED
        code = _code_of(reply)
        first, last = batch[0].seq, batch[-1].seq
        self._log.add(
            Refused(
                self.seat.session_id, self.instance, first, last, now(), status=status, code=code, final=final
            )
        )
        if not final:
            await self._back_off(float(headers.get("Retry-After", 0)))
            return
        self.outbox.refuse(batch)
        if status in {
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
        }:
            self.stopped_by = code or str(status)
        self._wake_waiting()

    async def _back_off(self, at_least_s: float = 0.0) -> None:
        """Wait what the server asks, and a random share of an exponential on top, so that clients spread."""
        window = min(BACKOFF_S_MAX, self._pace.backoff_s * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(at_least_s + self._random.uniform(0, window))


def request_of(session_id: int, instance: str, batch: list[Held]) -> tuple[str, bytes]:
    """Return path and body that carry the batch: a heartbeat and a single event have routes of their own."""
    envelope = {"proctorSessionId": session_id, "clientInstance": instance, "clientSequence": batch[0].seq}
    if len(batch) > 1:
        events = [orjson.Fragment(held.body) for held in batch]
        return "/api/proctor/events/bulk", orjson.dumps({**envelope, "events": events})
    event = orjson.loads(batch[0].body)
    if batch[0].event_type == EventType.Heartbeat:
        return "/api/proctor/heartbeat", orjson.dumps(
            {**envelope, "clientTimestamp": event["clientTimestamp"], "metadataJson": event["metadataJson"]}
        )
    return "/api/proctor/event", orjson.dumps({**envelope, **event})


def _code_of(reply: bytes) -> str:
    try:
        return _PROBLEM.decode(reply).code
    except msgspec.MsgspecError:
        return ""


def skewed(by: timedelta) -> Callable[[], datetime]:
    """Return a clock that is wrong by so much."""
    return lambda: datetime.now(UTC) + by
