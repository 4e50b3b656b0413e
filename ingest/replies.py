"""
Replies in the shapes of proctor-module.txt and veritas-architecture.txt, with the acknowledgement beside
them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.admission import forms
from ingest.admission.batches import EventIn
from ingest.admission.forms import BATCH, Ignored
from ingest.appending.append import Ack, Appended
from ingest.stream.protocol import Batch
from kernel.commands import Command, read_commands
from kernel.errors import (
    AllRefusedError,
    DomainError,
    InvalidInputError,
    OutcomeUnknownError,
    TooLargeError,
)
from kernel.events import SCHEMAS, EventOut, Severity, event_id, is_violation, type_name, warning_text

Code = Annotated[str, Meta(extra_json_schema={"$ref": SCHEMAS + "ErrorCode"})]
Fault = Annotated[dict[str, str], Meta(extra_json_schema={"$ref": SCHEMAS + "Fault"})]


Commands = Annotated[
    list[Command] | UnsetType,
    Meta(
        description="What the proctor has told the client and it has not confirmed yet, oldest first; it "
        "comes with each reply until then. Left out where there is nothing."
    ),
]


class SingleReply(Struct, frozen=True):
    """Reply of `POST /proctor/event`."""

    success: bool
    data: EventOut
    ack: Ack
    commands: Commands = UNSET


class EventResult(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """
    What became of one event of a batch: `accepted`, with its sequence number, or `refused` for good, with
    the code and the faults. `index` is where it stands in `events`.
    """

    index: int
    status: Literal["accepted", "refused"]
    sequence_number: int | None = None
    code: Code | None = None
    errors: list[Fault] | None = None


class BulkReply(Struct, frozen=True):
    """Reply of `POST /proctor/events/bulk`; `data` is how many events of the request are stored."""

    success: bool
    data: int
    message: str
    ack: Ack
    results: list[EventResult] | UnsetType = UNSET
    commands: Commands = UNSET


class Numbers(Struct, frozen=True):
    """What a candidate is told of risk, where the deployment shows it; else nothing (spec.md, decision 6)."""

    risk_score: float | None = None
    violations: int | None = None


NONE: Final = Numbers()


class HeartbeatOut(Struct, frozen=True, rename="camel"):
    """What a heartbeat tells the candidate; the numbers stay null unless the deployment shows them."""

    success: bool
    server_time: datetime
    current_risk_score: float | None
    total_violations: int | None
    has_warning: bool
    warning_message: str | None


class HeartbeatReply(Struct, frozen=True):
    """
    Reply of `POST /proctor/heartbeat`. `beaconToken` is for a candidate's page to post by when it is left; it
    lives for half an hour at most, so the newest one is kept.
    """

    success: bool
    data: HeartbeatOut
    ack: Ack
    beacon_token: str | UnsetType = msgspec.field(default=UNSET, name="beaconToken")
    commands: Commands = UNSET


class MonitorOut(Struct, frozen=True, omit_defaults=True):
    """
    One attempt's result of `POST /monitor/events`: `recorded`, with its ids, or `refused`, with the reason.
    What was refused may be sent again as it is, after so many seconds, where `retry_after` says so.
    `commands` are for the candidate's own client, never for a service.
    """

    attempt_id: str
    status: Literal["recorded", "refused"]
    id: str | None = None
    ids: list[str] = []
    ack: Ack | None = None
    code: Code | None = None
    detail: str | None = None
    errors: list[Fault] | None = None
    retry_after: int | None = None
    commands: Commands = UNSET


class MonitorReply(Struct, frozen=True):
    """Reply to a list: a result per attempt, in the order of their first event."""

    results: list[MonitorOut]
    recorded: int


def moment(us: int) -> datetime:
    """Return microseconds since 1970 as a UTC datetime."""
    return datetime.fromtimestamp(us / 1e6, UTC)


def ignoring(ack: Ack, ignored: Ignored, places: Iterable[int] = ()) -> Ack:
    """
    Return the acknowledgement with the members that nobody knows: those of the events at these places; of the
    whole request without any.
    """
    if not ignored.counts:
        return ack
    paths, more = ignored.at(places or ignored.counts)
    return msgspec.structs.replace(ack, ignored=paths or UNSET, ignored_more=more or UNSET)


def told(commands: bytes, language: str, *, confirmed: Collection[int] = ()) -> list[Command] | UnsetType:
    """Return what waits for a client, of JSON from the stream's server, without what it has confirmed now."""
    if not commands:
        return UNSET
    return [each.shown(language) for each in read_commands(commands) if each.id not in confirmed] or UNSET


def single(
    session_id: int,
    event: EventIn,
    batch: Batch,
    appended: Appended,
    ack: Ack,
    commands: list[Command] | UnsetType,
) -> SingleReply:
    """Return the reply to one event."""
    seq, at_us = appended.positions[0]
    number, severity = batch.types[0], batch.severities[0]
    name = batch.names[0] if batch.names else None
    out = EventOut(
        id=event_id(session_id, seq),
        proctor_session_id=session_id,
        event_type=number,
        event_type_name=type_name(number, name),
        severity=severity,
        severity_label=Severity(severity).name,
        is_violation=is_violation(number, severity),
        metadata_json=event.metadata_json,
        occurred_at=moment(at_us),
        sequence_number=seq,
    )
    return SingleReply(success=True, data=out, ack=ack, commands=commands)


def bulk(
    count: int,
    ack: Ack,
    commands: list[Command] | UnsetType,
    results: list[EventResult] | UnsetType = UNSET,
) -> BulkReply:
    """Return the reply to a batch of `count` stored events."""
    message = "1 event logged" if count == 1 else f"{count} events logged"
    return BulkReply(success=True, data=count, message=message, ack=ack, results=results, commands=commands)


def event_results(accepted: Mapping[int, int], faults: Mapping[int, list[forms.Fault]]) -> list[EventResult]:
    """Return what became of each event, by its place: a sequence, or its faults."""
    results = [EventResult(index, "accepted", sequence_number=seq) for index, seq in accepted.items()]
    for index, some in faults.items():
        error = BATCH.refusal(some)
        results.append(EventResult(index, "refused", code=error.code, errors=error.errors))
    return sorted(results, key=lambda result: result.index)


def nothing_allowed(
    faults: Mapping[int, list[forms.Fault]],
    ack: Ack | None = None,
    commands: list[Command] | UnsetType = UNSET,
) -> InvalidInputError | TooLargeError:
    """
    Return the refusal of a batch of which no event is allowed; `ack` tells of numbers that were settled.
    """
    error = BATCH.refusal([each for some in faults.values() for each in some])
    error.beside = {"results": event_results({}, faults)} | ({} if ack is None else {"ack": ack})
    if commands is not UNSET:
        error.beside["commands"] = commands
    return error


def refused(attempt_id: str, error: DomainError, commands: list[Command] | UnsetType = UNSET) -> MonitorOut:
    """Return the result of an attempt whose events were refused."""
    return MonitorOut(
        attempt_id=attempt_id,
        status="refused",
        code=error.code,
        detail=error.detail,
        errors=error.errors,
        retry_after=error.retry_after_s,
        commands=commands,
    )


def all_refused(refusals: Sequence[DomainError], results: list[MonitorOut]) -> DomainError:
    """
    Return the one refusal of a request of which every part was refused.

    Where a part may be sent again, so may the whole: whatever else there is would be refused again. The
    longest wait counts, and that an outcome is not known. Otherwise it is what all refusals have in common,
    be it the status alone, else `AllRefusedError`.
    """
    waiting = [each for each in refusals if each.retry_after_s is not None]
    if waiting:
        kind = type(max(waiting, key=lambda each: (isinstance(each, OutcomeUnknownError), each.status)))
    else:
        shared = (
            kind for kind in type(refusals[0]).__mro__ if all(isinstance(each, kind) for each in refusals)
        )
        kind = next(shared)
        if kind is DomainError:
            kind = AllRefusedError
    same = {each.detail for each in refusals}
    error = kind(
        same.pop() if len(same) == 1 else "Every attempt was refused; `results` says why.",
        errors=[fault for each in refusals for fault in each.errors or []] or None,
        retry_after_s=max((each.retry_after_s or 0 for each in waiting), default=None),
    )
    error.beside = {"results": results}
    return error


def heartbeat(
    appended: Appended,
    ack: Ack,
    language: str,
    beacon: str | UnsetType,
    commands: list[Command] | UnsetType,
    numbers: Numbers,
) -> HeartbeatReply:
    """Return the reply to a heartbeat; see spec.md, decision 6 and P-3."""
    text = warning_text(appended.violations, language)
    out = HeartbeatOut(
        success=True,
        server_time=moment(appended.positions[0][1]),
        current_risk_score=numbers.risk_score,
        total_violations=numbers.violations,
        has_warning=text is not None,
        warning_message=text,
    )
    return HeartbeatReply(success=True, data=out, ack=ack, beacon_token=beacon, commands=commands)


encode = msgspec.json.Encoder(uuid_format="canonical").encode
