"""
Values of foreign rows: times, whole numbers, and how anything is spelt. Pure; nothing is guessed.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import orjson

from kernel.files.findings import Kind, RowError
from kernel.files.mapping import TimeColumn

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_INT64: Final = range(-(2**63), 2**64)
_DIGITS: Final = re.compile(r"\s*[+-]?[0-9]+\s*")
_DECIMAL: Final = re.compile(r"\s*[+-]?[0-9]{1,30}(\.[0-9]{1,30})?\s*")

Row = Mapping[str, Any]
Fold = Literal["earlier", "later"]


class Wide(str):
    """A whole number that needs more than 64 bits, as it is written."""

    __slots__ = ()


def whole(text: str) -> int | Wide:
    """Return a whole number as it is written in digits; one of more than 64 bits stays as it is."""
    if len(text) > len(str(2**64)):
        return Wide(text)
    number = int(text)
    return number if number in _INT64 else Wide(text)


def whole_in(value: object) -> int | Wide | None:
    """Return a whole number, given as one or in digits; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Wide):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return whole(value.strip())
    return None


def moment(row: Row, column: str, time: TimeColumn, zone: ZoneInfo | None) -> datetime:
    """
    Return the time that stands in a row, in UTC.

    Raises:
        RowError: there is none, it cannot be read, or it stands for no moment or for two.
    """
    raw = row.get(column)
    if raw is None or raw == "":
        raise RowError(Kind.absent, "no time stands there", column)
    try:
        found = _read_time(raw, time.format)
        if found.tzinfo is None:
            found = _placed(found, zone, time.fold, column)
        return found.astimezone(UTC)
    except OverflowError as error:
        raise RowError(Kind.unreadable_time, "it is beyond the years 1 to 9999", column) from error
    except (ValueError, TypeError) as error:
        raise RowError(Kind.unreadable_time, f"it is no time of the format {time.format}", column) from error


def _read_time(raw: object, form: str) -> datetime:
    """Return a time as it is written, with a zone or without; raises ValueError, TypeError, OverflowError."""
    if isinstance(raw, datetime):  # of a format that has times
        return raw
    if form in {"epoch_s", "epoch_ms"}:
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            raise TypeError
        if isinstance(raw, str) and not _DECIMAL.fullmatch(raw):
            raise ValueError
        since = float(raw)
        return EPOCH + (timedelta(seconds=since) if form == "epoch_s" else timedelta(milliseconds=since))
    if not isinstance(raw, str):
        raise TypeError
    text = raw.strip()
    if form != "iso":
        return datetime.strptime(text, form)  # noqa: DTZ007  the zone is put on by the caller
    if _is_date(text):
        raise ValueError
    return datetime.fromisoformat(text)


def _is_date(text: str) -> bool:
    """Tell whether a text is a day without a time of day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _placed(local: datetime, zone: ZoneInfo | None, fold: Fold | None, column: str) -> datetime:
    """Return a local time in its zone; raises RowError where that is no moment, or two."""
    if zone is None:
        raise RowError(
            Kind.zoneless_time, "it has no offset: say which zone it is of with --timezone", column
        )
    earlier, later = (local.replace(tzinfo=zone, fold=each) for each in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return earlier
    if earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise RowError(Kind.skipped_time, f"no clock of {zone.key} showed it: it was put forward", column)
    if fold is None:
        why = f"clocks of {zone.key} showed it twice: say which one is meant with --fold earlier or later"
        raise RowError(Kind.ambiguous_time, why, column)
    return earlier if fold == "earlier" else later


def plain(value: object) -> str:
    """Return what orjson cannot write as a value that it can."""
    if isinstance(value, Wide):
        return str.__str__(value)
    raise TypeError


def spelt(value: object) -> str:
    """Return a value as the mapping spells it: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, default=plain).decode()
    except (TypeError, ValueError):
        return ""
