"""
Decoding of batches: fast when everything fits, thorough when something does not.

The whole body is decoded at once into types. Only when that fails, or when single events might be too large,
are the events taken one by one, so that every fault is named.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from ingest.admission.batches import (
    NUMBERED_TWICE,
    BulkIn,
    ClientSequence,
    EventIn,
    Instance,
    SessionId,
    admit,
)
from ingest.admission.columns import fault
from kernel.errors import InvalidInputError, TooLargeError
from kernel.http.web import decode
from kernel.settings import Settings


class LooseBulk(Struct, frozen=True, rename="camel", kw_only=True):
    """A batch whose events are still bytes."""

    proctor_session_id: SessionId
    events: list[msgspec.Raw]
    client_instance: Instance | None = None
    client_sequence: ClientSequence | None = None


class NumberedIn(Struct, frozen=True, rename="camel"):
    """An event of which nothing but its number is of interest."""

    client_sequence: ClientSequence | None = None


_BULK: Final = msgspec.json.Decoder(BulkIn)
_LOOSE: Final = msgspec.json.Decoder(LooseBulk)
_EVENT: Final = msgspec.json.Decoder(EventIn)
_NUMBERED: Final = msgspec.json.Decoder(NumberedIn)
Faults = dict[int, list[dict[str, str]]]


def refuse_large_events(body: bytes, settings: Settings) -> None:
    """Refuse a body that is one event over its bound; for lists the bound of the body holds."""
    if len(body) > settings.event_bytes_max and not body.lstrip().startswith(b"["):
        message = f"An event is at most {settings.event_bytes_max} bytes."
        raise TooLargeError(message)


def read_bulk(body: bytes, settings: Settings) -> BulkIn:
    """
    Decode a batch.

    Raises:
        MalformedError: not JSON.
        TooLargeError: an event over its bound.
        InvalidInputError: with every fault of every event.
    """
    try:
        batch = decode(body, _BULK)
    except InvalidInputError:
        faults = read_each(body, settings)[2]
        if not faults:  # the fault is not in an event
            raise
        raise InvalidInputError(
            "Some events are not allowed; nothing was stored.",
            errors=[fault for some in faults.values() for fault in some],
        ) from None
    if len(body) > settings.event_bytes_max:
        _refuse_large(decode(body, _LOOSE).events, settings)
    return batch


def read_each(
    body: bytes, settings: Settings
) -> tuple[LooseBulk, list[tuple[int, EventIn]], Faults, list[int]]:
    """
    Decode and check a batch event by event.

    Returns:
        The batch's own members, the valid events with their index, the faults by index, and the
        clientSequences of the refused events that have one. Where the batch carries the first clientSequence,
        every event gets its own from its index.
    """
    loose = decode(body, _LOOSE)
    if len(loose.events) > settings.batch_events_max:
        message = f"A request holds at most {settings.batch_events_max} events, this one {len(loose.events)}."
        raise TooLargeError(message)
    _refuse_large(loose.events, settings)
    good: list[tuple[int, EventIn]] = []
    faults: Faults = {}
    refused: list[int] = []
    for index, raw in enumerate(loose.events):
        event, wrong = _read_one(raw, settings)
        if event is None:
            faults[index] = [
                {"path": f"events[{index}]{_below(fault['path'])}", "message": fault["message"]}
                for fault in wrong
            ]
            refused += _number_of(raw, index, loose.client_sequence)
        elif loose.client_sequence is None:
            good.append((index, event))
        elif event.client_sequence is None:
            good.append(
                (index, msgspec.structs.replace(event, client_sequence=loose.client_sequence + index))
            )
        else:  # which of the two is its number nobody knows: neither is settled
            faults[index] = [fault(index, "clientSequence", NUMBERED_TWICE)]
    return loose, good, faults, refused


def _number_of(raw: msgspec.Raw, index: int, first: int | None) -> list[int]:
    """Return the clientSequence of an event that is refused for something else; nothing where it has none."""
    if first is not None:
        return [first + index]
    try:
        number = _NUMBERED.decode(raw).client_sequence
    except msgspec.DecodeError:
        return []
    return [] if number is None else [number]


def _read_one(raw: msgspec.Raw, settings: Settings) -> tuple[EventIn | None, list[dict[str, str]]]:
    try:
        event = decode(bytes(raw), _EVENT)
        alone = msgspec.structs.replace(event, client_sequence=None)
        admit([alone], client=None, settings=settings)
    except InvalidInputError as error:
        return None, error.errors or []
    return event, []


def _below(path: str) -> str:
    field = path.removeprefix("events[0].").removeprefix("body")
    return f".{field}" if field else ""


def _refuse_large(events: list[Any], settings: Settings) -> None:
    if any(len(bytes(event)) > settings.event_bytes_max for event in events):
        message = f"An event is at most {settings.event_bytes_max} bytes."
        raise TooLargeError(message)
