"""
The columns of a batch, each checked on its own. Pure.

Every column has two ways: an ordinary one, whole lists at a time, and a thorough one that takes the events
one by one and names every fault, by its index in the column. The ordinary way accepts nothing that the
thorough one would refuse.
"""

import re
from array import array
from datetime import datetime
from typing import Final, cast

import numpy as np

from ingest.admission.forms import Fault
from ingest.stream.protocol import NO_TIME
from kernel.detections import JUDGED, judge
from kernel.events import (
    OTHER_NAME_FORM,
    SEVERITY_BY_NAME,
    TYPE_BY_NAME,
    VIOLATION_SEVERITY_MIN,
    VIOLATION_TYPES,
    EventType,
    Severity,
    SystemEvent,
)
from kernel.settings import Settings
from kernel.values import are_plain, wrong_document

# What proctors and sweeps record is not a client's to send.
STAFF_TYPES: Final = frozenset(
    {
        EventType.ProctorWarning,
        EventType.ProctorFlagged,
        EventType.ProctorUnflagged,
        EventType.ProctorTerminated,
    }
)
SYSTEM_NAMES: Final = frozenset(map(str, SystemEvent))
_TYPES: Final[dict[int | str, int]] = {
    **{member.value: member.value for member in EventType if member not in STAFF_TYPES},
    **{name: member.value for name, member in TYPE_BY_NAME.items() if member not in STAFF_TYPES},
}
_SEVERITIES: Final[dict[int | str, int]] = {
    **{member.value: member.value for member in Severity},
    **{member.name: member.value for member in Severity},
    **{name: member.value for name, member in SEVERITY_BY_NAME.items()},
}
_UNKNOWN: Final = (
    "Unknown event type: EventType in /api/openapi.json lists the numbers, EventTypeName their names; "
    "any other name is in snake_case"
)
_OTHER_NAME: Final = re.compile(OTHER_NAME_FORM)
_TIME_MAX_US: Final = 253_402_214_400_000_000  # 9999-12-31: every library can show what is stored
_VIOLATING: Final = bytes(number in VIOLATION_TYPES for number in range(256))
_JUDGED: Final = bytes(number in JUDGED for number in range(256))


def type_column(given: list[int | str], faults: list[Fault]) -> tuple[bytes, list[str | None] | None]:
    """Return wire numbers, one byte an event, and the names of those that are `Other`, if any."""
    numbers = list(map(_TYPES.get, given))
    if None not in numbers:
        return bytes(cast("list[int]", numbers)), None
    names: list[str | None] = [None] * len(given)
    for index, (number, name) in enumerate(zip(numbers, given, strict=True)):
        if number is not None:
            continue
        known = name in STAFF_TYPES or name in TYPE_BY_NAME or name in SYSTEM_NAMES
        if known or not (isinstance(name, str) and _OTHER_NAME.fullmatch(name)):
            message = "This type is recorded by the system only" if known else _UNKNOWN
            faults.append(Fault(index, "event_type", message))
        names[index] = str(name)
    return bytes(number or EventType.Other for number in numbers), names


def severity_column(given: list[int | str], faults: list[Fault]) -> bytes:
    """Return severities, one byte an event."""
    numbers = list(map(_SEVERITIES.get, given))
    if None not in numbers:
        return bytes(cast("list[int]", numbers))
    faults += [
        Fault(index, "severity", "Expected 0 to 5, normal, warning or critical")
        for index, number in enumerate(numbers)
        if number is None
    ]
    return bytes(number or 0 for number in numbers)


def count_violations(types: bytes, severities: bytes) -> int:
    """Return how many events are violations. The columnar twin of `kernel.events.is_violation`."""
    if max(severities, default=0) < VIOLATION_SEVERITY_MIN:
        return types.translate(_VIOLATING).count(1)
    return sum(
        number != EventType.Heartbeat and (severity >= VIOLATION_SEVERITY_MIN or _VIOLATING[number] == 1)
        for number, severity in zip(types, severities, strict=True)
    )


def time_column(given: list[datetime | None], faults: list[Fault]) -> bytes:
    """Return client times as packed int64 microseconds, NO_TIME where absent."""
    if given and None not in given:
        seconds = list(map(datetime.timestamp, cast("list[datetime]", given)))
        latest = max(seconds)
        if min(seconds) >= 0 and latest * 1e6 <= _TIME_MAX_US:
            return np.rint(np.array(seconds) * 1e6).astype("<i8").tobytes()
    packed = array("q")
    for index, when in enumerate(given):
        value = NO_TIME if when is None else round(when.timestamp() * 1_000_000)
        if when is not None and not 0 <= value <= _TIME_MAX_US:
            faults.append(Fault(index, "client_timestamp", "Expected a time from 1970 to 9999"))
        packed.append(value)
    return packed.tobytes()


def latest_times(types: bytes, client_us: bytes, buffered: bytes | None) -> tuple[int | None, int | None]:
    """
    Return what the append needs of a batch's client times, in microseconds.

    Returns:
        The latest time of the live heartbeats, None without one; and the latest time of all live events: None
        where one has none, 0 where there is no live event. An event is live unless it is declared as
        buffered.
    """
    times = array("q")
    times.frombytes(client_us)
    declared = bytes(len(types)) if buffered is None else buffered
    heartbeat = None
    at = types.find(EventType.Heartbeat)
    while at >= 0:
        if not declared[at] and times[at] != NO_TIME:
            heartbeat = times[at] if heartbeat is None else max(times[at], heartbeat)
        at = types.find(EventType.Heartbeat, at + 1)
    live = times if buffered is None else [us for us, late in zip(times, buffered, strict=True) if not late]
    if not live:
        return heartbeat, 0
    return heartbeat, None if min(live) == NO_TIME else max(live)  # NO_TIME is below all others


def check_payloads(given: list[str | None], settings: Settings, faults: list[Fault]) -> None:
    """Check metadata: JSON text that can be stored and shown, within its bounds (`kernel/values.py`)."""
    texts = [text for text in given if text is not None]
    bounds = {"bytes_max": settings.metadata_bytes_max, "depth_max": settings.metadata_depth_max}
    if not texts or are_plain(texts, **bounds):
        return
    for index, text in enumerate(given):
        if text is not None and (wrong := wrong_document(text, **bounds)) is not None:
            faults.append(Fault(index, "metadata_json", wrong))


def check_results(types: bytes, severities: bytes, given: list[str | None], faults: list[Fault]) -> None:
    """Check the metadata of what detectors report (`kernel/detections.py`), where it may be stored at all."""
    index = types.translate(_JUDGED).find(1)
    if index < 0:
        return
    unfit = {each.place for each in faults if each.member == "metadata_json"}
    for place in range(index, len(types)):
        if types[place] in JUDGED and place not in unfit:
            found = judge(types[place], severities[place], given[place])
            faults += [Fault(place, "metadata_json", message, inside=inside) for inside, message in found]
