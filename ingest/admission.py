"""
Admission: what a request may say, checked before anything is written. Pure.

Decoding is typed (msgspec); what types cannot say is checked in one pass that leaves the events as columns.
Every fault of a batch is named with its index (spec.md I-3, I-4).
"""

import re
from array import array
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.stream import BATCH_VERSION, NO_TIME, Batch
from kernel.errors import InvalidInputError, TooLargeError
from kernel.events import SEVERITY_BY_NAME, TYPE_BY_NAME, EventType, Severity
from kernel.settings import Settings

SessionId = Annotated[int, Meta(ge=1, le=2**31 - 1, description="The proctor session.")]
Instance = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9._-]{1,64}$",
        description="Names one running client (a tab, a device); its clientSequence starts at 1.",
    ),
]
ClientSequence = Annotated[
    int, Meta(ge=1, le=2**52, description="Dense number of the event within its client instance, from 1.")
]
ClientTime = Annotated[datetime, Meta(tz=True, description="The client's clock, with its offset.")]
MetadataJson = Annotated[str, Meta(description="A JSON document as text: at most 16 KiB, 32 levels.")]


class EventIn(Struct, frozen=True, rename="camel", gc=False, kw_only=True):
    """One event as proctor-module.txt has it; type and severity by number or by name."""

    event_type: int | str
    severity: int | str = 0
    metadata_json: MetadataJson | None = None
    client_timestamp: ClientTime | None = None
    client_sequence: ClientSequence | None = None


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


class MonitorIn(Struct, frozen=True, kw_only=True):
    """One event of `POST /monitor/events`, as veritas-architecture.txt has it."""

    attempt_id: Annotated[str, Meta(pattern="^[0-9a-fA-F-]{32,36}$", description="The attempt's UUID.")]
    event_type: int | str
    severity: int | str = 0
    data: msgspec.Raw | UnsetType = UNSET
    client_timestamp: ClientTime | None = None
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None


class Admitted(Struct, frozen=True):
    """
    A batch that passed every check, and what the append needs to know of it.

    `ranges` are the clientSequence ranges, sorted, touching ones joined; empty without a client. `latest_us`
    is the latest client time, None when an event carries none. `severity_max` decides who is shed last.
    """

    batch: Batch
    events: int
    ranges: list[list[int]]
    violations: int
    severity_max: int
    latest_us: int | None


_TYPES: Final[dict[int | str, int]] = {
    **{member.value: member.value for member in EventType},
    **{name: member.value for name, member in TYPE_BY_NAME.items()},
}
_SEVERITIES: Final[dict[int | str, int]] = {
    **{member.value: member.value for member in Severity},
    **{member.name: member.value for member in Severity},
    **{name: member.value for name, member in SEVERITY_BY_NAME.items()},
}
_PLACES_MAX: Final = 16_383  # of PostgreSQL's numeric
_STRING_OR_TINY: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(?:\.(?P<places>\d+))?[eE]-(?P<exponent>\d+)')
_TIME_MAX_US: Final = 253_402_214_400_000_000  # 9999-12-31: every library can show what is stored
_OTHER_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What proctors and sweeps record is not a client's to send.
_STAFF_TYPES: Final = frozenset(
    {
        EventType.ProctorWarning,
        EventType.ProctorFlagged,
        EventType.ProctorUnflagged,
        EventType.ProctorTerminated,
    }
)
_VIOLATION: Final = frozenset(
    {
        EventType.TabSwitched.value,
        EventType.FullscreenExited.value,
        EventType.DevToolsOpened.value,
        EventType.MultipleFacesDetected.value,
    }
)
_parse: Final = msgspec.json.Decoder().decode
Fault = dict[str, str]


def admit(
    events: list[EventIn], *, client: int | None, first_sequence: int | None, settings: Settings
) -> Admitted:
    """
    Check a batch and return it by column.

    Args:
        events: one or more, in the client's order.
        client: key of the client instance, or None.
        first_sequence: clientSequence of the first event, when the batch carries one for all.
        settings: the limits.

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
    columns = _columns(events, settings, faults)
    sequences, ranges = _sequences(events, client, first_sequence, faults)
    if faults:
        raise InvalidInputError("Some events are not allowed; nothing was stored.", errors=faults)
    types, severities, client_us, payloads, names, unstorable, violations = columns
    batch = Batch(
        version=BATCH_VERSION,
        client=client,
        sequences=sequences,
        types=bytes(types),
        severities=bytes(severities),
        client_us=client_us.tobytes(),
        payloads=payloads,
        names=names,
        unstorable=unstorable or None,
    )
    latest = max(client_us) if NO_TIME not in client_us else None
    return Admitted(batch, len(events), ranges, violations, max(severities), latest)


def _columns(events: list[EventIn], settings: Settings, faults: list[Fault]) -> tuple[Any, ...]:
    """One pass over the events: the hot loop of ingest."""
    types, severities, client_us = bytearray(), bytearray(), array("q")
    payloads: list[str | None] = []
    names: list[str | None] | None = None
    unstorable: list[int] = []
    violations = 0
    known_type, known_severity, violating = _TYPES.get, _SEVERITIES.get, _VIOLATION
    bytes_max = settings.metadata_bytes_max
    for index, event in enumerate(events):
        number = known_type(event.event_type)
        if number is None or number in _STAFF_TYPES:
            number = _other(event.event_type, index, faults)
            names = names if names is not None else [None] * len(events)
            names[index] = str(event.event_type)
        severity = known_severity(event.severity)
        if severity is None:
            faults.append(_fault(index, "severity", "Expected 0 to 5, normal, warning or critical"))
            severity = 0
        if (severity >= 3 and number != 1) or number in violating:
            violations += 1
        text = event.metadata_json
        if text is not None:
            try:
                _parse(text)
            except (msgspec.DecodeError, RecursionError):
                faults.append(_fault(index, "metadataJson", "Expected valid JSON text"))
            if len(text) > bytes_max // 4 and len(text.encode()) > bytes_max:
                faults.append(_fault(index, "metadataJson", f"Expected at most {bytes_max} bytes"))
            if text.count("[") + text.count("{") > settings.metadata_depth_max and too_deep(
                text, settings.metadata_depth_max
            ):
                faults.append(
                    _fault(index, "metadataJson", f"Expected at most {settings.metadata_depth_max} levels")
                )
            if ("\\u0000" in text and holds_nul(text)) or (
                ("e-" in text or "E-" in text) and holds_tiny(text)
            ):
                unstorable.append(index)
        types.append(number)
        severities.append(severity)
        client_us.append(_client_us(event.client_timestamp, index, faults))
        payloads.append(text)
    return types, severities, client_us, payloads, names, unstorable, violations


def _client_us(when: datetime | None, index: int, faults: list[Fault]) -> int:
    if when is None:
        return NO_TIME
    us = round(when.timestamp() * 1_000_000)
    if not 0 <= us <= _TIME_MAX_US:
        faults.append(_fault(index, "clientTimestamp", "Expected a time from 1970 to 9999"))
    return us


def _fault(index: int, field: str, message: str) -> Fault:
    return {"path": f"events[{index}].{field}", "message": message}


def _other(name: int | str, index: int, faults: list[Fault]) -> int:
    known = name in _STAFF_TYPES or name in TYPE_BY_NAME
    if known or not (isinstance(name, str) and _OTHER_NAME.fullmatch(name)):
        message = "This type is recorded by the system only" if known else "Unknown event type"
        faults.append(_fault(index, "eventType", message))
    return EventType.Other


def too_deep(text: str, depth_max: int) -> bool:
    """Tell whether valid JSON text nests deeper than `depth_max`; brackets inside strings do not count."""
    depth, inside, escaped = 0, False, False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            if depth > depth_max:
                return True
        elif character in "]}":
            depth -= 1
    return False


def holds_nul(text: str) -> bool:
    r"""Tell whether valid JSON text escapes a NUL: an odd number of backslashes before `u0000`."""
    return any(len(match.group(1)) % 2 for match in re.finditer(r"(\\+)u0000", text))


def holds_tiny(text: str) -> bool:
    """
    Tell whether valid JSON text holds a number of more decimal places than PostgreSQL's numeric has.

    Decoding refuses too large numbers; a tiny one is rounded there, and would be an error in the table.
    """
    return any(
        match["exponent"] is not None
        and len(match["places"] or "") + _bounded(match["exponent"]) > _PLACES_MAX
        for match in _STRING_OR_TINY.finditer(text)
    )


def _bounded(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= 6 else _PLACES_MAX + 1


def _sequences(
    events: list[EventIn], client: int | None, first: int | None, faults: list[Fault]
) -> tuple[int | list[int] | None, list[list[int]]]:
    """Return the batch's clientSequence column and its ranges."""
    own = [event.client_sequence for event in events]
    if first is not None and any(number is not None for number in own):
        faults.append(
            {"path": "clientSequence", "message": "Stands on the batch or on its events, not on both"}
        )
    if first is None and own.count(None) == len(own):
        return None, []
    if client is None:
        faults.append({"path": "clientInstance", "message": "clientSequence needs a clientInstance"})
        return None, []
    if first is not None:
        return first, [[first, first + len(events) - 1]]
    numbers: list[int] = []
    ranges: list[list[int]] = []
    for index, number in enumerate(own):
        if number is None:
            faults.append(_fault(index, "clientSequence", "Every event of the batch needs one, or none"))
        elif numbers and number <= numbers[-1]:
            faults.append(_fault(index, "clientSequence", "Expected to rise within a batch"))
        else:
            numbers.append(number)
            if ranges and number == ranges[-1][1] + 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
    if len(ranges) == 1:
        return numbers[0], ranges
    return numbers, ranges


def select(admitted: Admitted, wanted: list[list[int]]) -> Admitted:
    """
    Return the part of a batch whose clientSequence lies in `wanted` (what the stream does not hold yet).
    """
    batch = admitted.batch
    numbers = sequence_column(batch, admitted.events)
    keep = [i for i, number in enumerate(numbers) if any(low <= number <= high for low, high in wanted)]
    times = array("q")
    times.frombytes(batch.client_us)
    chosen = [times[i] for i in keep]
    unstorable = [new for new, old in enumerate(keep) if old in (batch.unstorable or ())]
    part = Batch(
        version=batch.version,
        client=batch.client,
        sequences=[numbers[i] for i in keep],
        types=bytes(batch.types[i] for i in keep),
        severities=bytes(batch.severities[i] for i in keep),
        client_us=array("q", chosen).tobytes(),
        payloads=[batch.payloads[i] for i in keep],
        names=None if batch.names is None else [batch.names[i] for i in keep],
        unstorable=unstorable or None,
    )
    violations = sum(
        (batch.severities[i] >= 3 and batch.types[i] != 1) or batch.types[i] in _VIOLATION for i in keep
    )
    latest = max(chosen) if NO_TIME not in chosen else None
    return Admitted(part, len(keep), wanted, violations, max(part.severities), latest)


def sequence_column(batch: Batch, events: int) -> list[int]:
    """Return the clientSequence of every event of a batch that has them."""
    match batch.sequences:
        case int(first):
            return list(range(first, first + events))
        case list(numbers):
            return numbers
        case _:
            return []
