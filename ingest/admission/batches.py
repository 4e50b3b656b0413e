"""
Admission: what a request may say, checked before anything is written. Pure.

Decoding is typed (msgspec); what types cannot say is checked by column (`columns.py`), and the columns are
what goes on. Every fault is named by its path in the request (`forms.py`; spec.md I-3, I-4).
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.admission.columns import (
    check_payloads,
    check_results,
    count_violations,
    latest_times,
    severity_column,
    time_column,
    type_column,
)
from ingest.admission.forms import BATCH, Fault, Form
from ingest.stream.protocol import BATCH_VERSION, Batch
from kernel.commands import COMMANDS_MAX
from kernel.detections import RESULT_OF
from kernel.events import SCHEMAS, SEQUENCE_MAX, GivenSeverity, GivenType
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
AttemptId = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$(?!\n)",
        description="The attempt's UUID.",
    ),
]
BeaconToken = Annotated[
    str,
    Meta(
        description="Instead of an Authorization header, which `navigator.sendBeacon` cannot send: the "
        "session's `beaconToken`, as its start and every heartbeat give it. Up to 64 KiB of plain JSON then."
    ),
]
MetadataJson = Annotated[str, Meta(description="A JSON document as text: at most 16 KiB, 32 levels.")]
EventMetadataJson = Annotated[
    MetadataJson,
    Meta(
        description="A JSON document as text: at most 16 KiB, 32 levels. Of `FaceAnalysis` it is a "
        "`FaceDetectionResult`, of `ScreenAnalysis` a `ScreenAnalysisResult`. What names a `modelVersion` "
        "is a `FaceDetectionResult` also with `FaceNotDetected`, `MultipleFacesDetected` and "
        "`FaceOutOfFrame`.",
        extra_json_schema={
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [{"$ref": SCHEMAS + kind.__name__} for kind in RESULT_OF.values()]},
        },
    ),
]


NUMBERED_TWICE: Final = "Stands on the batch or on its events, not on both"


class EventIn(Struct, frozen=True, rename="camel", gc=False, kw_only=True):
    """One event as proctor-module.txt has it; type and severity by number or by name."""

    event_type: GivenType
    severity: GivenSeverity = 0
    metadata_json: EventMetadataJson | None = None
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
    beacon_token: BeaconToken | UnsetType = UNSET


ConfirmedCommands = Annotated[
    list[Annotated[int, Meta(ge=1, le=2**53)]],
    Meta(max_length=COMMANDS_MAX, description="Ids of commands that the client has shown, or done."),
]


class HeartbeatIn(Struct, frozen=True, rename="camel", kw_only=True):
    """`POST /proctor/heartbeat`."""

    proctor_session_id: SessionId
    client_timestamp: ClientTime | None = None
    metadata_json: MetadataJson | None = None
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None
    buffered: Buffered = False
    confirmed_commands: ConfirmedCommands = []


class MonitorIn(Struct, frozen=True, kw_only=True):
    """One event of `POST /monitor/events`, as veritas-architecture.txt has it."""

    attempt_id: AttemptId
    event_type: GivenType
    severity: GivenSeverity = 0
    data: msgspec.Raw | UnsetType = UNSET
    client_timestamp: ClientTime | None = None
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None
    buffered: Buffered = False


def event_of(posted: MonitorIn) -> EventIn:
    """Return what a monitoring module has posted as an event of ours."""
    return EventIn(
        event_type=posted.event_type,
        severity=posted.severity,
        metadata_json=None if posted.data is UNSET else bytes(posted.data).decode(),
        client_timestamp=posted.client_timestamp,
        client_sequence=posted.client_sequence,
        buffered=posted.buffered,
    )


class Admitted(Struct, frozen=True):
    """
    A batch that passed every check, and what the append needs to know of it.

    `ranges` are the clientSequence ranges, settled ones too, sorted, touching ones joined; empty without a
    client. `heartbeat_us` and `latest_us` are as `latest_times` gives them. `severity_max` decides who is
    shed last. `places` are where the events stand in a request of this `form`.
    """

    batch: Batch
    events: int
    ranges: list[list[int]]
    violations: int
    severity_max: int
    heartbeat_us: int | None
    latest_us: int | None
    places: Sequence[int]
    form: Form


class Columns(Struct, frozen=True):
    """The columns of a batch, as `Batch` has them, before its clientSequences."""

    types: bytes
    severities: bytes
    client_us: bytes
    payloads: list[str | None]
    names: list[str | None] | None


def columns_of(events: Sequence[EventIn], settings: Settings, faults: list[Fault]) -> Columns:
    """Return the events by column; what is wrong with one of them is added to the faults, with its index."""
    types, names = type_column([event.event_type for event in events], faults)
    severities = severity_column([event.severity for event in events], faults)
    client_us = time_column([event.client_timestamp for event in events], faults)
    payloads = [event.metadata_json for event in events]
    check_payloads(payloads, settings, faults)
    check_results(types, severities, payloads, faults)
    return Columns(types, severities, client_us, payloads, names)


def admit(
    events: Sequence[EventIn],
    *,
    client: int | None,
    settings: Settings,
    form: Form = BATCH,
    first_sequence: int | None = None,
    places: Sequence[int] | None = None,
    faults: Sequence[Fault] = (),
) -> Admitted:
    """
    Check a batch and return it by column.

    Args:
        events: those that could be read, in the client's order.
        client: key of the client instance, or None.
        settings: the limits.
        form: how the request was written.
        first_sequence: clientSequence of the first event, when the batch carries one for all.
        places: where each event stands in the request, when these are not all of them.
        faults: of those that could not be read, which refuse the others as well.

    Raises:
        InvalidInputError: a value is not allowed; every fault is named by its path.
        TooLargeError: there are no other faults than events over their bound.
    """
    where: Sequence[int] = range(len(events)) if places is None else places
    found: list[Fault] = []
    columns = columns_of(events, settings, found)
    found = [each.at(where[each.place or 0]) for each in found]
    if not events and not faults:
        found.append(Fault(None, "events", "Expected at least one event"))
    sequences, ranges = _sequences(events, where, client, first_sequence, form, found)
    if found or faults:
        raise form.refusal([*faults, *found])
    buffered = bytes([event.buffered for event in events])
    batch = Batch(
        version=BATCH_VERSION,
        client=client,
        sequences=sequences,
        types=columns.types,
        severities=columns.severities,
        client_us=columns.client_us,
        payloads=columns.payloads,
        names=columns.names,
        buffered=buffered if 1 in buffered else None,
    )
    return admitted(batch, ranges, where, form)


def admitted(batch: Batch, ranges: list[list[int]], places: Sequence[int], form: Form) -> Admitted:
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
        places=places,
        form=form,
    )


def _sequences(
    events: Sequence[EventIn],
    places: Sequence[int],
    client: int | None,
    first: int | None,
    form: Form,
    faults: list[Fault],
) -> tuple[int | list[int] | None, list[list[int]]]:
    """Return the batch's clientSequence column and its ranges."""
    own = [event.client_sequence for event in events]
    is_numbered = own.count(None) < len(own)
    if first is not None and is_numbered:
        faults.append(Fault(None, "client_sequence", NUMBERED_TWICE))
    if first is None and not is_numbered:
        return None, []
    if client is None:
        message = f"Needs a {form.spell('client_instance')} beside it"
        at = None if first is not None else next(compress(places, (each is not None for each in own)))
        faults.append(Fault(at, "client_sequence", message))
        return None, []
    if first is not None:
        return first, [[first, first + len(events) - 1]]
    numbers: list[int] = []
    ranges: list[list[int]] = []
    for place, number in zip(places, own, strict=True):
        if number is None:
            message = f"Expected a {form.spell('client_sequence')} with every event, or with none"
            faults.append(Fault(place, "", message))
        elif numbers and number <= numbers[-1]:
            faults.append(Fault(place, "client_sequence", "Expected to rise within a batch"))
        else:
            numbers.append(number)
            if ranges and number == ranges[-1][1] + 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
    if len(ranges) == 1:
        return numbers[0], ranges
    return numbers, ranges
