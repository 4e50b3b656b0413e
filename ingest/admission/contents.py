"""
What an event says, and whether a resent one says the same (spec.md I-2). Pure.

A client may write an event anew before it sends it again: other order of members, other white space, another
spelling of the same number. The content of an event is its type (and name), its severity, its client time and
its metadata as a JSON value; nothing else of it is compared.
"""

from array import array
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any, Final

import msgspec

from ingest.stream.protocol import NO_TIME, Batch
from kernel.events import EventType

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_parse: Final = msgspec.json.Decoder().decode


class Content(msgspec.Struct, frozen=True, gc=False):
    """One event as its client sent it; `client_us` is NO_TIME and `payload` None where it sent none."""

    event_type: int
    event_name: str | None
    severity: int
    client_us: int
    payload: str | None


class Letter(msgspec.Struct, frozen=True, rename="camel"):
    """An event as the dead-letter table keeps it; `ingest.writer.encoding.event_json` writes it."""

    client: str | None
    client_sequence: int | None
    event_type: int
    event_name: str | None
    severity: int
    client_timestamp: datetime | None
    metadata_json: str | None


_letter: Final = msgspec.json.Decoder(Letter).decode


def contents_of(batch: Batch) -> list[Content]:
    """Return every event of a batch."""
    times = array("q")
    times.frombytes(batch.client_us)
    names = repeat(None) if batch.names is None else batch.names
    columns = zip(batch.types, names, batch.severities, times, batch.payloads, strict=False)
    return [Content(*columns_of_one) for columns_of_one in columns]


def content_of_letter(event: bytes) -> Content:
    """Return the event of a dead letter."""
    letter = _letter(event)
    return Content(
        letter.event_type,
        letter.event_name,
        letter.severity,
        microseconds(letter.client_timestamp),
        letter.metadata_json,
    )


def microseconds(when: datetime | None) -> int:
    """Return a time as microseconds since 1970, exactly; NO_TIME for None."""
    return NO_TIME if when is None else (when - EPOCH) // timedelta(microseconds=1)


def same(one: Content, other: Content) -> bool:
    """Tell whether two events say the same."""
    return (
        (one.event_type, one.severity, one.client_us) == (other.event_type, other.severity, other.client_us)
        and (one.event_type != EventType.Other or one.event_name == other.event_name)
        and (one.payload == other.payload or _same_json(one.payload, other.payload))
    )


def _same_json(one: str | None, other: str | None) -> bool:
    """Tell whether two texts are one JSON value; where either is none (past the door) they are not."""
    if one is None or other is None:
        return False
    try:
        return _same_value(_parse(one), _parse(other))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False


def _same_value(one: Any, other: Any) -> bool:  # noqa: ANN401  JSON is anything
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_same_value(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(_same_value, one, other))
        case (bool(), _) | (_, bool()):
            return one is other
        case (float(), int()) | (int(), float()):
            return float(one) == float(other)
        case _:
            return type(one) is type(other) and bool(one == other)
