"""
One client instance (a browser tab) without its network: what it has made, is offering, was told. Pure but for
the clock.

The asyncio client and the locust user are the two shells around it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
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


class Fault(msgspec.Struct):
    """What is wrong with a member of a request."""

    path: str = ""
    message: str = ""


class Result(msgspec.Struct):
    """What became of one event of a batch that was taken in part."""

    index: int
    errors: list[Fault] = []


class Reply(msgspec.Struct):
    """What a client needs of any event reply; `results` where the batch was taken in part."""

    ack: Ack
    results: list[Result] = []


class Problem(msgspec.Struct):
    """What a client needs of a refusal."""

    code: str = ""
    detail: str = ""
    errors: list[Fault] | None = None


_REPLY: Final = msgspec.json.Decoder(Reply)
_PROBLEM: Final = msgspec.json.Decoder(Problem)
_MEMBER: Final = r"\2"
_PLACE: Final = re.compile(r"events\[([0-9]+)\]\.?(.*)", re.DOTALL)


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
            path = "/api/proctor/events/bulk" + ("?partial=true" if any(each.wrong for each in batch) else "")
            return path, orjson.dumps({**envelope, "events": bodies})
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
        Take a 202 in; what the server has lost is on offer again, what it has refused is given up.

        Raises:
            msgspec.ValidationError: the reply is not what the contract says.
            ValueError: it speaks of another number of events, or of members that the server does not know.
        """
        told = _REPLY.decode(reply)
        if told.ack.ignored:
            message = f"the server knows nothing of {', '.join(told.ack.ignored)}"
            raise ValueError(message)
        whys = {batch[each.index].seq: _in_words(each.errors) for each in told.results if each.errors}
        self._give_up(batch, whys, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input")
        taken = [held for held in batch if held.seq not in whys]
        if not taken:
            return
        numbers, duplicates = told.ack.numbers(len(taken)), told.ack.duplicates
        for run in _runs(taken):
            some, numbers = tuple(numbers[: len(run)]), numbers[len(run) :]
            self._log.add(Acked(*self._where(run), numbers=some, duplicates=duplicates))
            duplicates = 0
        for seq in self.outbox.acknowledge(taken, told.ack):
            self._log.add(Reoffered(self.session_id, self.instance, seq, seq, now()))

    def refused(self, batch: list[Held], status: int, reply: bytes) -> bool:
        """
        Take a refusal in; tell whether the client may go on at once.

        A refusal that no retry mends is that of the events that the server names: its neighbours are sent
        again without waiting. Where it names none, the batch is halved until the event that is wrong stands
        alone.
        """
        problem = _problem_of(reply)
        code, named = problem.code, _named(batch, problem.errors or [])
        if status in _RETRIED:
            self._log.add(Refused(*self._where(batch), status=status, code=code))
            return False
        if status in _ENDING:
            self.stopped_by = code or str(status)
        elif len(batch) > 1 and len(named) < len(batch):
            self._log.add(Refused(*self._where(batch), status=status, code=code))
            self._set_aside(batch, named, status, code)
            return True
        whole = _in_words(problem.errors or []) or problem.detail or code or str(status)
        self._give_up(batch, {held.seq: named.get(held.seq, whole) for held in batch}, status, code)
        return True

    def _set_aside(self, batch: list[Held], named: Mapping[int, str], status: int, code: str) -> None:
        """Have the rest of a refused batch sent, with those named marked as wrong, or half of it."""
        if not named:
            self.outbox.halve(batch)
        elif any(held.wrong for held in batch):  # they went along as such, and the server takes it in no part
            self._give_up(batch, named, status, code)
        else:
            for held in batch:
                held.wrong = held.seq in named

    def _give_up(self, batch: list[Held], whys: Mapping[int, str], status: int, code: str) -> None:
        """Give up the events of a batch that have a reason."""
        given_up = [held for held in batch if held.seq in whys]
        for held in given_up:
            self._log.add(
                Refused(*self._where([held]), status=status, code=code, final=True, why=whys[held.seq])
            )
        if given_up:
            self.outbox.refuse(given_up)

    def _where(self, batch: list[Held]) -> tuple[int, str, int, int, float]:
        return (self.session_id, self.instance, batch[0].seq, batch[-1].seq, now())


def _problem_of(reply: bytes) -> Problem:
    try:
        return _PROBLEM.decode(reply)
    except msgspec.MsgspecError:
        return Problem()


def _named(batch: list[Held], faults: Iterable[Fault]) -> dict[int, str]:
    """Return what the faults say of the batch's events, by client sequence."""
    found: dict[int, list[Fault]] = {}
    for fault in faults:
        place = _PLACE.match(fault.path)
        if place and int(place[1]) < len(batch):
            found.setdefault(batch[int(place[1])].seq, []).append(fault)
    return {seq: _in_words(some) for seq, some in found.items()}


def _in_words(faults: Iterable[Fault]) -> str:
    """Return faults as one sentence, each with the member of the event that it is about."""
    return "; ".join(f"{_PLACE.sub(_MEMBER, fault.path)}: {fault.message}" for fault in faults)


def _runs(batch: list[Held]) -> list[list[Held]]:
    """Return a batch in pieces whose client sequences follow one by one."""
    runs: list[list[Held]] = []
    for held in batch:
        if runs and held.seq == runs[-1][-1].seq + 1:
            runs[-1].append(held)
        else:
            runs.append([held])
    return runs
