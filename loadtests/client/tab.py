"""
One client instance (a browser tab) without its network: what it has made, is offering, was told. Pure but for
the clock.

The asyncio client and the locust user are the two shells around it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import msgspec
import orjson

from kernel.events import EventType
from loadtests.client.log import Acked, Created, Log, Refused, Reoffered, Sent, Unanswered, now
from loadtests.client.outbox import Ack, Held, Outbox

# Refusals after which the same request may succeed; every other one is final.
_RETRIED: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, *(each for each in HTTPStatus if each >= 500)}
)
# Final refusals that are about the session or the token, not about the events: nothing more can be sent.
_ENDING: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
)
Clock = Callable[[], datetime]


class Reply(msgspec.Struct):
    """What a client needs of any event reply."""

    ack: Ack


class Problem(msgspec.Struct):
    """What a client needs of a refusal."""

    code: str = ""


_REPLY: Final = msgspec.json.Decoder(Reply)
_PROBLEM: Final = msgspec.json.Decoder(Problem)


def right_time() -> datetime:
    """Return the time, as a client whose clock is right believes it to be."""
    return datetime.now(UTC)


def skewed(by: timedelta) -> Clock:
    """Return a clock that is wrong by so much."""
    return lambda: right_time() + by


class Tab:
    """The events of one client instance of a session, and its page of the log."""

    def __init__(self, session_id: int, log: Log, clock: Clock = right_time) -> None:
        """Begin with nothing made; `clock` is what this client believes the time is."""
        self.session_id = session_id
        self.instance = uuid4().hex
        self.outbox = Outbox()
        self.stopped_by: str | None = None  # the code of the refusal that ended it
        self._log = log
        self._clock = clock

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
        Take down one event and return its client sequence.

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
                self.session_id, self.instance, seq, seq, now(), marker=marker, event_type=int(event_type)
            )
        )
        return seq

    def request_of(self, batch: list[Held]) -> tuple[str, bytes]:
        """Return path and body for the batch; heartbeats and single events have routes of their own."""
        envelope = {
            "proctorSessionId": self.session_id,
            "clientInstance": self.instance,
            "clientSequence": batch[0].seq,
        }
        if len(batch) > 1:
            bodies = [orjson.Fragment(held.body) for held in batch]
            return "/api/proctor/events/bulk", orjson.dumps({**envelope, "events": bodies})
        event = orjson.loads(batch[0].body)
        if batch[0].event_type == EventType.Heartbeat:
            said = {name: event[name] for name in ("clientTimestamp", "metadataJson")}
            return "/api/proctor/heartbeat", orjson.dumps({**envelope, **said})
        return "/api/proctor/event", orjson.dumps({**envelope, **event})

    # -- what happens to a batch ---------------------------------------------------------------------------

    def sent(self, batch: list[Held], *, probe: bool = False) -> None:
        """Note that a request is about to leave."""
        self._log.add(Sent(*self._where(batch), probe=probe))

    def unanswered(self, batch: list[Held], why: str) -> None:
        """Note that no reply came."""
        self._log.add(Unanswered(*self._where(batch), why=why))

    def accepted(self, batch: list[Held], reply: bytes) -> None:
        """
        Take a 202 in; what the server has lost is on offer again.

        Raises:
            msgspec.ValidationError: the reply is not what the contract says.
            ValueError: it speaks of another number of events.
        """
        ack = _REPLY.decode(reply).ack
        numbers = tuple(ack.numbers(len(batch)))
        self._log.add(Acked(*self._where(batch), numbers=numbers, duplicates=ack.duplicates))
        for seq in self.outbox.acknowledge(batch, ack):
            self._log.add(Reoffered(self.session_id, self.instance, seq, seq, now()))

    def refused(self, batch: list[Held], status: int, reply: bytes) -> bool:
        """Take a refusal in; tell whether it is final, and the events given up."""
        final = status not in _RETRIED
        code = _code_of(reply)
        self._log.add(Refused(*self._where(batch), status=status, code=code, final=final))
        if final:
            self.outbox.refuse(batch)
        if status in _ENDING:
            self.stopped_by = code or str(status)
        return final

    def _where(self, batch: list[Held]) -> tuple[int, str, int, int, float]:
        return (self.session_id, self.instance, batch[0].seq, batch[-1].seq, now())


def _code_of(reply: bytes) -> str:
    try:
        return _PROBLEM.decode(reply).code
    except msgspec.MsgspecError:
        return ""
