"""
Reading of bodies: fast when everything fits, thorough when something does not.

A whole body is decoded at once into types that know no other members than theirs. Only when that fails, or
when single events might be too large, is it read member by member, so that every fault and every unknown
member is named. Of a member that stands twice in an object, the last one counts in both ways.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ingest.admission.batches import (
    BeaconToken,
    BulkIn,
    ClientSequence,
    EventIn,
    HeartbeatIn,
    Instance,
    MonitorIn,
    SessionId,
    SingleIn,
    columns_of,
)
from ingest.admission.forms import (
    ALONE,
    BATCH,
    MONITOR_ALONE,
    MONITOR_LIST,
    NOTHING_IGNORED,
    Fault,
    Form,
    Gathering,
    Ignored,
)
from ingest.admission.members import Found, Reader
from kernel.errors import InvalidInputError, MalformedError, TooLargeError
from kernel.events import SEQUENCE_MAX
from kernel.http.web import decode
from kernel.settings import Settings

T = TypeVar("T", bound=Struct)
SPACE: Final = b" \t\r\n"  # JSON's white space: around an event it is no part of it


# -- the types that know their own members only --------------------------------------------------------------


class _OnlyEvent(EventIn, frozen=True, rename="camel", gc=False, kw_only=True, forbid_unknown_fields=True):
    pass


class _OnlySingle(SingleIn, frozen=True, rename="camel", gc=False, kw_only=True, forbid_unknown_fields=True):
    pass


class _OnlyHeartbeat(HeartbeatIn, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    pass


class _OnlyMonitor(MonitorIn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _OnlyBulk(BulkIn, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    events: list[_OnlyEvent]  # type: ignore[assignment]  # narrower, and nobody adds to it


_SINGLE: Final = msgspec.json.Decoder(_OnlySingle)
_HEARTBEAT: Final = msgspec.json.Decoder(_OnlyHeartbeat)
_BULK: Final = msgspec.json.Decoder(_OnlyBulk)
_MONITOR: Final = msgspec.json.Decoder(_OnlyMonitor | list[_OnlyMonitor])


class _Head(Struct, frozen=True, rename="camel", kw_only=True):
    """What stands beside the events of a batch, and the events as they came."""

    proctor_session_id: SessionId
    events: list[Raw]
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None
    beacon_token: BeaconToken | UnsetType = UNSET


_LOOSE: Final = msgspec.json.Decoder(_Head)
_LIST: Final = msgspec.json.Decoder(list[Raw])
_READ_SINGLE: Final = Reader(SingleIn)
_READ_HEARTBEAT: Final = Reader(HeartbeatIn)
_READ_HEAD: Final = Reader(_Head)
_READ_EVENT: Final = Reader(EventIn)
_READ_MONITOR: Final = Reader(MonitorIn)
_VALUES: Final = frozenset(EventIn.__struct_fields__)


def _require_text(body: bytes) -> None:
    """Raises MalformedError: the body is not UTF-8, be it where nobody looks."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("The body is not UTF-8.") from error


def _too_large(place: int | None, settings: Settings) -> Fault:
    return Fault(place, "", f"An event is at most {settings.event_bytes_max} bytes", is_size=True)


def _is_large(event: bytes | Raw, settings: Settings) -> bool:
    """Tell whether an event is over its bound: from its first brace to its last, as it was sent."""
    return memoryview(event).nbytes > settings.event_bytes_max


def _refuse_many(count: int, form: Form, settings: Settings) -> None:
    most = settings.batch_events_max
    if count > most:
        message = f"A request holds at most {most} events, this one {count}."
        path = form.path(None, "" if form is MONITOR_LIST else "events")
        raise TooLargeError(message, errors=[{"path": path, "message": f"Expected at most {most} events"}])


def _refuse_numbers(first: int | None, count: int) -> None:
    """Hold the numbers that follow a batch's clientSequence to the bound that each has by itself."""
    if first is not None and first + count - 1 > SEQUENCE_MAX:
        message = f"Expected at most {SEQUENCE_MAX} for the last event, this one has {first + count - 1}"
        raise BATCH.refusal([Fault(None, "client_sequence", message)])


# -- the bodies of the routes --------------------------------------------------------------------------------


class Posted(Struct, Generic[T], frozen=True):
    """
    The events of a request as they were read.

    `places` are where the `events` stand in it. Of the others there are the `faults`, and in `refused`, by
    place, the members that could be read. `head` is what stands beside the events, in the batches of one
    session.
    """

    head: Any
    events: list[T]
    places: Sequence[int]
    faults: list[Fault]
    refused: dict[int, dict[str, Any]]
    ignored: Ignored
    form: Form


def read_single(body: bytes, settings: Settings) -> tuple[SingleIn, Ignored]:
    """Return the event of a body; errors as of `_read_alone`."""
    return _read_alone(body, _SINGLE, _READ_SINGLE, settings)


def read_heartbeat(body: bytes, settings: Settings) -> tuple[HeartbeatIn, Ignored]:
    """Return the heartbeat of a body; errors as of `_read_alone`."""
    return _read_alone(body, _HEARTBEAT, _READ_HEARTBEAT, settings)


def _read_alone(
    body: bytes, decoder: "msgspec.json.Decoder[Any]", reader: Reader[Any], settings: Settings
) -> tuple[Any, Ignored]:
    """
    Return what the body is, and what of it nobody knows.

    Raises:
        MalformedError: it is not JSON.
        TooLargeError: it is over the bound of an event.
        InvalidInputError: with every fault.
    """
    _refuse_large_body(body, settings)
    try:
        return decode(body, decoder), NOTHING_IGNORED
    except (InvalidInputError, MalformedError):
        _require_text(body)
        found = _read_thoroughly([body], reader, settings, ALONE)
    if found.faults:
        raise ALONE.refusal(found.faults)
    return found.events[0], found.ignored


def read_bulk(body: bytes, settings: Settings) -> Posted[EventIn]:
    """
    Return a batch of one session.

    Raises:
        MalformedError: it is not JSON. TooLargeError: more events than a batch may hold. InvalidInputError:
        what stands beside the events is not allowed; all faults are named, the events' too.
    """
    try:
        batch = decode(body, _BULK)
    except (InvalidInputError, MalformedError):
        return _bulk_by_event(body, settings)
    _refuse_many(len(batch.events), BATCH, settings)
    _refuse_numbers(batch.client_sequence, len(batch.events))
    if len(body) > settings.event_bytes_max and any(
        _is_large(each, settings) for each in decode(body, _LOOSE).events
    ):
        return _bulk_by_event(body, settings)
    return Posted(batch, list(batch.events), range(len(batch.events)), [], {}, NOTHING_IGNORED, BATCH)


def _bulk_by_event(body: bytes, settings: Settings) -> Posted[EventIn]:
    _require_text(body)
    head = _READ_HEAD.read(body, None, room=settings.unknown_members_max)
    events: list[Raw] = head.right.get("events", [])
    _refuse_many(len(events), BATCH, settings)
    beside = len(body) - sum(memoryview(each).nbytes for each in events)
    if beside > settings.event_bytes_max:
        message = f"Expected at most {settings.event_bytes_max} bytes beside the events"
        raise BATCH.refusal([*head.faults, Fault(None, "", message, is_size=True)])
    found = _read_thoroughly(events, _READ_EVENT, settings, BATCH, beside=head)
    if head.whole is None:
        raise BATCH.refusal([*head.faults, *found.faults])
    _refuse_numbers(head.whole.client_sequence, len(events))
    return msgspec.structs.replace(found, head=head.whole)


def read_monitor(body: bytes, settings: Settings) -> Posted[MonitorIn]:
    """
    Return what a monitoring module has posted: one event, or a list.

    Raises:
        MalformedError: it is not JSON. TooLargeError: more events than a request may hold, or a single one
        over its bound. InvalidInputError: the list is empty, or of an event nobody can tell whose it is; or
        a single one has faults.
    """
    is_list = body.lstrip(SPACE)[:1] == b"["
    if not is_list:
        _refuse_large_body(body, settings)
    _require_text(body)  # for what is carried as it came
    try:
        posted = decode(body, _MONITOR)
    except (InvalidInputError, MalformedError):
        return _monitor_by_event(body, settings, is_list=is_list)
    if isinstance(posted, MonitorIn):
        return Posted(None, [posted], range(1), [], {}, NOTHING_IGNORED, MONITOR_ALONE)
    _refuse_many(len(posted), MONITOR_LIST, settings)
    if not posted:
        raise MONITOR_LIST.refusal([Fault(None, "", "Expected at least one event")])
    if len(body) > settings.event_bytes_max and any(
        _is_large(each, settings) for each in decode(body, _LIST)
    ):
        return _monitor_by_event(body, settings, is_list=True)
    return Posted(None, list(posted), range(len(posted)), [], {}, NOTHING_IGNORED, MONITOR_LIST)


def _monitor_by_event(body: bytes, settings: Settings, *, is_list: bool) -> Posted[MonitorIn]:
    form = MONITOR_LIST if is_list else MONITOR_ALONE
    events: list[Raw] | list[bytes] = decode(body, _LIST) if is_list else [body]
    _refuse_many(len(events), form, settings)
    found = _read_thoroughly(events, _READ_MONITOR, settings, form)
    if any("attempt_id" not in right for right in found.refused.values()) or (found.faults and not is_list):
        raise form.refusal(found.faults)
    return found


def _refuse_large_body(body: bytes, settings: Settings) -> None:
    if len(body) > settings.event_bytes_max and _is_large(body.strip(SPACE), settings):
        raise ALONE.refusal([_too_large(None, settings)])


def _read_thoroughly(
    raws: Iterable[bytes | Raw],
    reader: Reader[T],
    settings: Settings,
    form: Form,
    beside: Found[Any] | None = None,
) -> Posted[T]:
    """
    Read events one by one; `beside` is what stands outside of them. Raises MalformedError: not JSON.
    TooLargeError: there are more members that nobody knows than are looked at.
    """
    events: list[T] = []
    places: list[int] = []
    faults: list[Fault] = []
    refused: dict[int, dict[str, Any]] = {}
    unknown = Gathering(form, settings)
    if beside is not None:
        unknown.add(None, beside.unknown, beside.others)
    for place, raw in enumerate(raws):
        is_large = bool(form.event) and _is_large(raw, settings)
        found = reader.read(raw, place, room=unknown.room)
        if not is_large or found.others <= unknown.room:
            unknown.add(place, found.unknown, found.others)
        wrong = [_too_large(place, settings)] if is_large else []
        wrong += found.faults and [*found.faults, *_wrong_values(found.right, place, settings)]
        if found.whole is None or wrong:
            faults += wrong
            refused[place] = found.right
        else:
            events.append(found.whole)
            places.append(place)
    return Posted(None, events, places, faults, refused, unknown.told(), form)


def _wrong_values(right: dict[str, Any], place: int, settings: Settings) -> list[Fault]:
    """Return what is wrong with the values of those members of an event that could be read."""
    members = {name: value for name, value in right.items() if name in _VALUES}
    if "data" in right:
        members["metadata_json"] = bytes(right["data"]).decode()
    faults: list[Fault] = []
    columns_of([EventIn(**{"event_type": 0} | members)], settings, faults)
    return [each.at(place) for each in faults]
