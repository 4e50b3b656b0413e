"""
Admission: what a request may say, checked before anything is written. Pure.

Decoding is typed (msgspec); what types cannot say is checked by column (`columns.py`), and the columns are
what goes on. Every fault of a batch is named with its index (spec.md I-3, I-4).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.admission.columns import (
    Fault,
    check_payloads,
    count_violations,
    fault,
    latest_times,
    severity_column,
    time_column,
    type_column,
)
from ingest.stream.protocol import BATCH_VERSION, Batch
from kernel.errors import InvalidInputError, TooLargeError
from kernel.events import SEQUENCE_MAX, GivenSeverity, GivenType
from kernel.settings import Settings

SessionId = Annotated[int, Meta(ge=1, le=2**31 - 1, description="The proctor session.")]
Instance = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{1,64}$(?!\n)",
        description="Names one running client (a tab, a device); its clientSequence starts at 1.",
    ),
]
ClientSequence = Annotated[
    int,
    Meta(
        ge=1,
        le=SEQUENCE_MAX,  # as many events as a session holds: no client can number more
        description="Dense number of the event within its client instance, from 1.",
    ),
]
Buffered = Annotated[
    bool,
    Meta(
        description="The client kept the event back while it could not send it (its offline buffer): it "
        "happened at its clientTimestamp, not on arrival. Source of `effectiveAt`; a buffered heartbeat says "
        "nothing about the clock."
    ),
]
ClientTime = Annotated[datetime, Meta(tz=True, description="The client's clock, with its offset.")]
MetadataJson = Annotated[str, Meta(description="A JSON document as text: at most 16 KiB, 32 levels.")]


NUMBERED_TWICE: Final = "Stands on the batch or on its events, not on both"


class EventIn(Struct, frozen=True, rename="camel", gc=False, kw_only=True):
    """One event as proctor-module.txt has it; type and severity by number or by name."""

    event_type: GivenType
    severity: GivenSeverity = 0
    metadata_json: MetadataJson | None = None
    client_timestamp: ClientTime | None = None
    client_sequence: ClientSequence | None = None
    buffered: Buffered = False


class SingleIn(EventIn, frozen=True, rename="camel", gc=False, kw_only=True):
    """`POST /proctor/event`."""

    proctor_session_id: SessionId
    client_instance: Instance | None = None


class BulkIn(Struct, frozen=True, rename="camel", kw_only=True):
    """`POST /proctor/events/bulk`. `clientSequence` is the first event's; the others follow one by one."""

    proctor_session_id: SessionId
    events: list[EventIn]
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None


class HeartbeatIn(Struct, frozen=True, rename="camel", kw_only=True):
    """`POST /proctor/heartbeat`."""

    proctor_session_id: SessionId
    client_timestamp: ClientTime | None = None
    metadata_json: MetadataJson | None = None
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None
    buffered: Buffered = False


class MonitorIn(Struct, frozen=True, kw_only=True):
    """One event of `POST /monitor/events`, as veritas-architecture.txt has it."""

    attempt_id: Annotated[
        str, Meta(pattern=r"^[0-9a-fA-F-]{32,36}$(?!\n)", description="The attempt's UUID.")
    ]
    event_type: GivenType
    severity: GivenSeverity = 0
    data: msgspec.Raw | UnsetType = UNSET
    client_timestamp: ClientTime | None = None
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None
    buffered: Buffered = False


class Admitted(Struct, frozen=True):
    """
    A batch that passed every check, and what the append needs to know of it.

    `ranges` are the clientSequence ranges, settled ones too, sorted, touching ones joined; empty without a
    client. `heartbeat_us` and `latest_us` are as `latest_times` gives them. `severity_max` decides who is
    shed last.
    """

    batch: Batch
    events: int
    ranges: list[list[int]]
    violations: int
    severity_max: int
    heartbeat_us: int | None
    latest_us: int | None


def admit(
    events: list[EventIn],
    *,
    client: int | None,
    settings: Settings,
    first_sequence: int | None = None,
    places: Sequence[int] | None = None,
) -> Admitted:
    """
    Check a batch and return it by column.

    Args:
        events: one or more, in the client's order.
        client: key of the client instance, or None.
        settings: the limits.
        first_sequence: clientSequence of the first event, when the batch carries one for all.
        places: where each event stands in the request, when some that were checked one by one are left out.

    Raises:
        TooLargeError: more events than a batch may hold.
        InvalidInputError: a value is not allowed; every fault is named with its index.
    """
    if len(events) > settings.batch_events_max:
        message = f"A request holds at most {settings.batch_events_max} events, this one {len(events)}."
        raise TooLargeError(message)
    faults: list[Fault] = []
    if not events:
        faults.append({"path": "events", "message": "Expected at least one event"})
    types, names = type_column([event.event_type for event in events], faults)
    severities = severity_column([event.severity for event in events], faults)
    client_us = time_column([event.client_timestamp for event in events], faults)
    payloads = [event.metadata_json for event in events]
    check_payloads(payloads, settings, faults)
    sequences, ranges = _sequences(events, places or range(len(events)), client, first_sequence, faults)
    if faults:
        raise InvalidInputError("Some events are not allowed; nothing was stored.", errors=faults)
    buffered = bytes([event.buffered for event in events])
    batch = Batch(
        version=BATCH_VERSION,
        client=client,
        sequences=sequences,
        types=types,
        severities=severities,
        client_us=client_us,
        payloads=payloads,
        names=names,
        buffered=buffered if 1 in buffered else None,
    )
    return admitted(batch, ranges)


def admitted(batch: Batch, ranges: list[list[int]]) -> Admitted:
    """Return what the append needs to know of a checked batch, or of a part of one."""
    heartbeat_us, latest_us = latest_times(batch.types, batch.client_us, batch.buffered)
    return Admitted(
        batch=batch,
        events=len(batch.types),
        ranges=ranges,
        violations=count_violations(batch.types, batch.severities),
        severity_max=max(batch.severities, default=0),
        heartbeat_us=heartbeat_us,
        latest_us=latest_us,
    )


def _sequences(
    events: list[EventIn], places: Sequence[int], client: int | None, first: int | None, faults: list[Fault]
) -> tuple[int | list[int] | None, list[list[int]]]:
    """Return the batch's clientSequence column and its ranges."""
    own = [event.client_sequence for event in events]
    if first is not None and any(number is not None for number in own):
        faults.append({"path": "clientSequence", "message": NUMBERED_TWICE})
    if first is None and own.count(None) == len(own):
        return None, []
    if client is None:
        faults.append({"path": "clientInstance", "message": "clientSequence needs a clientInstance"})
        return None, []
    if first is not None:
        return first, [[first, first + len(events) - 1]]
    numbers: list[int] = []
    ranges: list[list[int]] = []
    for index, number in zip(places, own, strict=True):
        if number is None:
            faults.append(fault(index, "clientSequence", "Every event of the batch needs one, or none"))
        elif numbers and number <= numbers[-1]:
            faults.append(fault(index, "clientSequence", "Expected to rise within a batch"))
        else:
            numbers.append(number)
            if ranges and number == ranges[-1][1] + 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
    if len(ranges) == 1:
        return numbers[0], ranges
    return numbers, ranges
