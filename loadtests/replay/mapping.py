"""
How a file of foreign records becomes events: the mapping (TOML) and the pure functions that apply it.

No row is dropped: a value that cannot be is sent as it stands, named in the event's metadata, and counted.
"""

import csv
import gzip
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from string import Formatter
from typing import Any, Final, Literal, TextIO
from zoneinfo import ZoneInfo

import msgspec
import orjson

from kernel.events import SEVERITY_BY_NAME, TYPE_BY_NAME, EventType, Severity


class MappingError(Exception):
    """The mapping, or the file under it, cannot be used; the message says why."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the mapping file: a name it does not know is refused."""


class TimeColumn(Strict, frozen=True, kw_only=True):
    """
    Where an event's moment stands.

    `format` is a strptime format, or `iso`, `epoch_s`, `epoch_ms`; `zone` (an IANA name) is that of local
    times. `end_column`, in the same format, gives `duration_ms` in the metadata.
    """

    column: str
    format: str = "iso"
    zone: str = "UTC"
    end_column: str | None = None


class Rule(Strict, frozen=True, kw_only=True):
    """
    One kind of event that a row can make.

    It applies where any column of `above_zero` is, and every column of `equals` has one of its values;
    without both, always.
    """

    type: str
    severity: int | str = 0
    above_zero: list[str] = []
    equals: dict[str, list[str]] = {}


class Bound(Strict, frozen=True, kw_only=True):
    """What a numeric column can be; beyond it the value is counted as impossible."""

    column: str
    min: float
    max: float


class Mapping(Strict, frozen=True, kw_only=True):
    """
    The whole mapping.

    `exam` and `candidate` are texts with `{column}` in them: rows with the same texts make one proctor
    session. `events`: rules in order; with `emit = "first"` the first that applies makes the row's one event,
    with `"all"` each that applies makes one (every row makes at least one: the last rule must always apply).
    `metadata`: names in the event's metadata by column. `numbers`: columns that are whole numbers.
    """

    format: Literal["csv", "tsv", "ndjson"] = "csv"
    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    time: TimeColumn
    exam: str
    candidate: str
    events: list[Rule]
    emit: Literal["first", "all"] = "first"
    metadata: dict[str, str] = {}
    numbers: list[str] = []
    bounds: list[Bound] = []

    @property
    def columns(self) -> set[str]:
        """Return every column that the mapping reads."""
        texts = {
            name for text in (self.exam, self.candidate) for _, name, _, _ in Formatter().parse(text) if name
        }
        rules = {column for rule in self.events for column in (*rule.above_zero, *rule.equals)}
        ends = {self.time.end_column} if self.time.end_column else set()
        bounds = {bound.column for bound in self.bounds}
        return texts | rules | ends | bounds | {self.time.column, *self.metadata.values(), *self.numbers}


class Planned(msgspec.Struct, frozen=True, gc=False):
    """One event to send: where it came from, when it happened, what it is; `metadata` is JSON."""

    marker: str
    at: datetime
    event_type: int
    severity: int
    metadata: bytes


Key = tuple[str, str]  # exam, candidate


class Plan(msgspec.Struct):
    """A file as events by exam and candidate, in the file's order; `dirt` counts the impossible, by kind."""

    rows: int
    sessions: dict[Key, list[Planned]]
    dirt: Counter[str]

    @property
    def events(self) -> int:
        """Return how many events will be sent."""
        return sum(map(len, self.sessions.values()))


# An event's marker is this, the row's number, and the part where a row makes several.
ROW_MARK: Final = "row-"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_mapping(path: Path) -> Mapping:
    """
    Return the mapping of a TOML file.

    Raises:
        MappingError: a name or value that is not allowed, an unknown event type, severity or zone.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Mapping)
        ZoneInfo(mapping.time.zone)
        for rule in mapping.events:
            type_of(rule)
            severity_of(rule)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError, KeyError, OSError) as error:
        raise MappingError(f"{path}: {error}") from error
    if not mapping.events or mapping.events[-1].above_zero or mapping.events[-1].equals:
        raise MappingError(f"{path}: the last of [[events]] must apply to every row")
    return mapping


def type_of(rule: Rule) -> EventType:
    """Return the rule's event type."""
    return TYPE_BY_NAME[rule.type]


def severity_of(rule: Rule) -> Severity:
    """Return the rule's severity, given as number, label or VERITAS word."""
    if isinstance(rule.severity, int):
        return Severity(rule.severity)
    return SEVERITY_BY_NAME[rule.severity] if rule.severity in SEVERITY_BY_NAME else Severity[rule.severity]


def opened(path: Path, encoding: str) -> TextIO:
    """Open a text file, gzip or not; the caller closes it."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def records(text: TextIO, mapping: Mapping) -> Iterator[dict[str, Any]]:
    """Yield the file's rows as dictionaries."""
    if mapping.format == "ndjson":
        return (orjson.loads(line) for line in text if line.strip())
    delimiter = mapping.delimiter or ("\t" if mapping.format == "tsv" else ",")
    return iter(csv.DictReader(text, delimiter=delimiter))


def header_of(path: Path, mapping: Mapping) -> set[str]:
    """Return the columns of the file's first row; none where it cannot be read as the mapping says."""
    try:
        with opened(path, mapping.encoding) as text:
            return set(next(iter(records(text, mapping)), {}))
    except (UnicodeDecodeError, orjson.JSONDecodeError, csv.Error):
        return set()


def plan(path: Path, mapping: Mapping, limit: int | None = None) -> Plan:
    """
    Read a file, at most `limit` rows of it, into events by exam and candidate.

    Raises:
        MappingError: a column of the mapping is not in the file.
    """
    result = Plan(0, {}, Counter())
    with opened(path, mapping.encoding) as text:
        for number, row in enumerate(islice(records(text, mapping), limit), start=1):
            try:
                _take(row, number, mapping, result)
            except KeyError as error:
                raise MappingError(f"{path}, row {number}: there is no column {error}") from error
            result.rows = number
    for events in result.sessions.values():
        _date_the_first(events)
    return result


def _date_the_first(events: list[Planned]) -> None:
    """Give events that no readable time precedes the time of the first that has one."""
    known = next((number for number, event in enumerate(events) if event.at != EPOCH), 0)
    for number in range(known):
        events[number] = msgspec.structs.replace(events[number], at=events[known].at)


def _take(row: dict[str, Any], number: int, mapping: Mapping, result: Plan) -> None:
    key = (mapping.exam.format_map(row), mapping.candidate.format_map(row))
    events = result.sessions.setdefault(key, [])
    faults: list[str] = []
    at = _moment(row, mapping.time.column, mapping.time, faults)
    if at is None:  # the row before says when, as well as anything can; before the first, the row after
        at = events[-1].at if events else EPOCH
    elif events and at < events[-1].at:
        faults.append("runs_backwards")
    metadata: dict[str, Any] = {name: row[column] for name, column in mapping.metadata.items()}
    values = _numbers(row, mapping, faults)
    metadata |= {name: values[column] for name, column in mapping.metadata.items() if column in values}
    if mapping.time.end_column is not None:
        end = _moment(row, mapping.time.end_column, mapping.time, faults)
        if end is not None:
            metadata["duration_ms"] = (end - at) // timedelta(milliseconds=1)
            if end < at:
                faults.append("ends_before_it_starts")
    if faults:
        result.dirt.update(faults)
        result.dirt["rows"] += 1
        metadata["impossible"] = faults
    encoded = orjson.dumps({"row": number, **metadata})
    for part, rule in enumerate(applying(row, values, mapping)):
        marker = f"{ROW_MARK}{number}.{part}" if part else f"{ROW_MARK}{number}"
        events.append(Planned(marker, at, type_of(rule), severity_of(rule), encoded))


def _moment(row: dict[str, Any], column: str, time: TimeColumn, faults: list[str]) -> datetime | None:
    raw = row[column]
    try:
        match time.format:
            case "epoch_s":
                return EPOCH + timedelta(seconds=float(raw))
            case "epoch_ms":
                return EPOCH + timedelta(milliseconds=float(raw))
            case "iso":
                moment = datetime.fromisoformat(raw)
            case form:
                moment = datetime.strptime(raw.strip(), form)  # noqa: DTZ007  the zone is put on below
    except (ValueError, TypeError, AttributeError, OverflowError):
        faults.append(f"unreadable_{column}")
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(time.zone))).astimezone(UTC)


def _numbers(row: dict[str, Any], mapping: Mapping, faults: list[str]) -> dict[str, int]:
    """Return the numeric columns that can be read, naming the unreadable and the impossible."""
    values: dict[str, int] = {}
    for column in mapping.numbers:
        try:
            values[column] = int(row[column])
        except (ValueError, TypeError):
            faults.append(f"unreadable_{column}")
    faults += [
        f"impossible_{bound.column}"
        for bound in mapping.bounds
        if bound.column in values and not bound.min <= values[bound.column] <= bound.max
    ]
    return values


def applying(row: dict[str, Any], values: dict[str, int], mapping: Mapping) -> list[Rule]:
    """Return the rules that make events of this row; at least one."""
    rules = [rule for rule in mapping.events if _applies(rule, row, values)]
    return rules[:1] if mapping.emit == "first" else rules


def _applies(rule: Rule, row: dict[str, Any], values: dict[str, int]) -> bool:
    if rule.above_zero and not any(values.get(column, 0) > 0 for column in rule.above_zero):
        return False
    return all(str(row[column]) in allowed for column, allowed in rule.equals.items())
