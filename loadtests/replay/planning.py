"""
How a file of foreign rows becomes events. Pure but for the reading.

A row becomes an event, or is refused: where nobody can say whose it is, when it happened or what it is. What
only describes it (a number, an end) is sent as it stands; where it cannot be right the row is doubtful, and
the event's metadata says so under `impossible`. Nothing is guessed: no time is taken from a neighbour, no
local time without a zone, none of two moments that a clock showed alike.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from kernel.values import wrong_text
from loadtests.replay import mapping as mappings
from loadtests.replay.findings import Finding, Kind, RowError, shown
from loadtests.replay.mapping import Rule
from loadtests.replay.reading import (
    DELIMITERS,
    Line,
    Lines,
    UnreadableError,
    csv_rows,
    json_rows,
    names_in,
    opened,
)
from loadtests.replay.values import Fold, Row, Wide, moment, plain, spelt, whole_in

ROWS_MAX: Final = 2_000_000  # all of a file's events are held in memory
EXAM_CHARS_MAX: Final = 200  # of an exam's title
# An event's marker is this, the line where its row begins, and the part where a row makes several.
LINE_MARK: Final = "line-"

_NAMED_MAX: Final = 10


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a file beside its mapping, and goes before it."""

    encoding: str | None = None
    delimiter: str | None = None
    zone: str | None = None
    fold: Fold | None = None
    limit: int | None = None


class Planned(msgspec.Struct, frozen=True, gc=False):
    """One event to send: where it came from, when it happened, what it is; `metadata` is JSON."""

    marker: str
    at: datetime
    event_type: int
    severity: int
    metadata: bytes


Key = tuple[str, str]  # exam, candidate


class Plan(msgspec.Struct):
    """
    A file as events by exam and candidate, in the file's order.

    `findings`: what is wrong, by line; `unread`: columns that the mapping does not read; `absent`: members
    that it reads and no row has.
    """

    rows: int
    sessions: dict[Key, list[Planned]]
    findings: list[Finding]
    unread: list[str] = []
    absent: list[str] = []

    @property
    def events(self) -> int:
        """Return how many events will be sent."""
        return sum(map(len, self.sessions.values()))


def line_of(marker: str) -> int:
    """Return the line where the row of an event's marker begins."""
    return int(marker.removeprefix(LINE_MARK).partition(".")[0])


def plan(path: Path, mapping: mappings.Mapping | None = None, options: Options | None = None) -> Plan:
    """
    Read a file into events by exam and candidate.

    Args:
        path: the file; `-` is standard input.
        mapping: what its columns are; the first shipped one whose columns it has when absent.
        options: what is known of it besides.

    Raises:
        MappingError: an option is not possible.
        OSError: the file cannot be opened or read.
        UnreadableError: it is no text, has no such columns, too many rows, or no shipped mapping fits.
    """
    options = options or Options()
    encoding = options.encoding or (mapping.encoding if mapping else None)
    with opened(path, encoding) as lines:
        if lines.first() is None:
            return Plan(0, {}, _damage(lines))
        chosen = _with(mapping or _fitting(lines, options), options)
        reader = _Reader(chosen)
        reader.read(_rows(lines, chosen, reader.plan), options.limit)
        reader.plan.findings += _damage(lines)
        reader.plan.absent = sorted(chosen.columns - reader.seen) if chosen.format == "ndjson" else []
    reader.plan.findings.sort(key=lambda finding: finding.line)
    return reader.plan


def _damage(lines: Lines) -> list[Finding]:
    return [lines.damage] if lines.damage else []


def _with(mapping: mappings.Mapping, options: Options) -> mappings.Mapping:
    """Return the mapping with what the options say in its place."""
    time = msgspec.structs.replace(
        mapping.time, zone=options.zone or mapping.time.zone, fold=options.fold or mapping.time.fold
    )
    chosen = msgspec.structs.replace(mapping, time=time, delimiter=options.delimiter or mapping.delimiter)
    mappings.check(chosen)
    return chosen


def _fitting(lines: Lines, options: Options) -> mappings.Mapping:
    """Return the first shipped mapping whose columns the first line names; raises UnreadableError."""
    first = lines.first()
    assert first is not None, "a file without a line fits nothing"
    for mapping in mappings.shipped():
        if _names(first, _with(mapping, options).separator) >= mapping.columns:
            return mapping
        for other in DELIMITERS:
            if _names(first, other) >= mapping.columns:
                raise UnreadableError(f"its delimiter seems to be {other!r}: say so with --delimiter")
    raise UnreadableError(
        "no shipped mapping fits the columns of its first line; say what they are with --mapping"
    )


def _names(first: Line, delimiter: str) -> set[str]:
    try:
        return set(names_in(first, delimiter))
    except RowError:
        return set()


def _rows(lines: Lines, mapping: mappings.Mapping, result: Plan) -> Iterator[tuple[int, Row | RowError]]:
    """Yield the rows of a file, or what is wrong with one, by the line where each begins."""
    if mapping.format == "ndjson":
        yield from json_rows(lines)
        return
    rows = csv_rows(lines, mapping.separator)
    number, header = next(rows)
    if isinstance(header, RowError):
        raise UnreadableError(f"line {number}, the header: {header.why}")
    _check_header(number, header, mapping)
    result.unread = [name for name in dict.fromkeys(header) if name not in mapping.columns]
    for number, fields in rows:
        yield number, fields if isinstance(fields, RowError) else dict(zip(header, fields, strict=True))


def _check_header(number: int, header: list[str], mapping: mappings.Mapping) -> None:
    """
    Hold a header against the mapping.

    Raises:
        UnreadableError: a column that the mapping reads is missing, or stands there twice.
    """
    missing = sorted(mapping.columns.difference(header))
    if missing:
        there = ", ".join(map(shown, header[:_NAMED_MAX])) + (", …" if len(header) > _NAMED_MAX else "")
        why = f"line {number}, the header, has no column {', '.join(map(shown, missing))}; it has {there}"
        counts = {each: header[0].count(each) for each in DELIMITERS if each != mapping.separator}
        likely = max(counts, key=counts.__getitem__)
        if len(header) == 1 and counts[likely]:
            why += (
                f". Its delimiter seems to be {likely!r}, not {mapping.separator!r}: say so with --delimiter"
            )
        raise UnreadableError(why)
    twice = [name for name in sorted(mapping.columns) if header.count(name) > 1]
    if twice:
        names = ", ".join(map(shown, twice))
        raise UnreadableError(f"line {number}, the header, names {names} twice: nobody knows which is meant")


class _Reader:
    """Takes rows into a plan, one by one."""

    def __init__(self, mapping: mappings.Mapping) -> None:
        self.plan = Plan(0, {}, [])
        self.seen: set[str] = set()  # columns and members of rows
        self._mapping = mapping
        self._zone = mappings.zone_of(mapping.time.zone) if mapping.time.zone else None
        self._exam = mappings.parts_of(mapping.exam)
        self._candidate = mappings.parts_of(mapping.candidate)
        self._deciding = {column for rule in mapping.events for column in rule.above_zero}
        self._lines: dict[tuple[Key, int], int] = {}  # by session and content

    def read(self, rows: Iterator[tuple[int, Row | RowError]], limit: int | None) -> None:
        """Take the rows, at most `limit` of them."""
        for line, row in islice(rows, limit):
            if self.plan.rows == ROWS_MAX:
                raise UnreadableError(f"it has more than {ROWS_MAX:,} rows: split it, or name a --limit")
            self.plan.rows += 1
            try:
                if isinstance(row, RowError):
                    raise row
                self._take(line, row)
            except RowError as error:
                self.plan.findings.append(error.at(line))

    def _take(self, line: int, row: Row) -> None:
        """Take a row as events; raises RowError where none can be made of it."""
        self.seen.update(row)
        mapping = self._mapping
        key = (_exam(_filled(self._exam, row)), _filled(self._candidate, row))
        at = moment(row, mapping.time.column, mapping.time, self._zone)
        doubts: list[tuple[str, Finding]] = []
        values = self._numbers(line, row, doubts)
        metadata: dict[str, Any] = {"line": line}
        for name, column in mapping.metadata.items():
            if column in row:
                metadata[name] = values.get(column, _sendable(row[column], column))
        events = self.plan.sessions.get(key, [])
        if events and at < events[-1].at:
            doubts.append(("runs_backwards", Finding(line, Kind.runs_backwards, Kind.runs_backwards.words)))
        if mapping.time.end_column is not None:
            self._end(line, row, at, metadata, doubts)
        if doubts:
            metadata["impossible"] = [code for code, _ in doubts]
        findings = [finding for _, finding in doubts]
        if any(isinstance(value, Wide) for value in metadata.values()):
            findings += [
                Finding(line, Kind.wide_number, Kind.wide_number.words, name)
                for name, value in metadata.items()
                if isinstance(value, Wide)
            ]
        encoded = _encoded(metadata)
        before = self._lines.setdefault((key, hash(tuple(map(str, row.values())))), line)
        if before != line:
            findings.append(Finding(line, Kind.repeated, f"the same as line {before}"))
        self.plan.findings += findings
        events = self.plan.sessions.setdefault(key, [])
        for part, rule in enumerate(applying(row, values, mapping)):
            marker = f"{LINE_MARK}{line}.{part}" if part else f"{LINE_MARK}{line}"
            events.append(Planned(marker, at, mappings.type_of(rule), mappings.severity_of(rule), encoded))

    def _numbers(self, line: int, row: Row, doubts: list[tuple[str, Finding]]) -> dict[str, int | Wide]:
        """Return the columns of numbers that can be read; the others are doubtful, or raise RowError."""
        values: dict[str, int | Wide] = {}
        for column in self._mapping.numbers:
            if column not in row:  # a member that this row does not have
                continue
            value = whole_in(row[column])
            if value is not None:
                values[column] = value
            elif column in self._deciding:
                raise RowError(
                    Kind.unreadable_number, "it is no whole number, and decides what the event is", column
                )
            else:
                finding = Finding(line, Kind.unreadable_value, "it is no whole number", column)
                doubts.append((f"unreadable_{column}", finding))
        for bound in self._mapping.bounds:
            value = values.get(bound.column)
            if value is not None and (isinstance(value, Wide) or not bound.min <= value <= bound.max):
                why = f"it is not within {bound.min:g} and {bound.max:g}"
                finding = Finding(line, Kind.impossible_value, why, bound.column)
                doubts.append((f"impossible_{bound.column}", finding))
        return values

    def _end(
        self,
        line: int,
        row: Row,
        at: datetime,
        metadata: dict[str, Any],
        doubts: list[tuple[str, Finding]],
    ) -> None:
        """Add how long the row's stretch of time is, where its end can be read."""
        column = self._mapping.time.end_column
        assert column is not None, "asked for where there is one"
        try:
            end = moment(row, column, self._mapping.time, self._zone)
        except RowError as error:
            doubts.append((f"unreadable_{column}", Finding(line, Kind.unreadable_value, error.why, column)))
            return
        metadata["duration_ms"] = (end - at) // timedelta(milliseconds=1)
        if end < at:
            doubts.append(
                ("ends_before_it_starts", Finding(line, Kind.ends_early, Kind.ends_early.words, column))
            )


def _filled(parts: list[tuple[str, str | None]], row: Row) -> str:
    """Return the text with the row's values in it."""
    texts: list[str] = []
    for before, column in parts:
        texts.append(before)
        if column is not None:
            texts.append(_name(row, column))
    return "".join(texts)


def _name(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError(Kind.absent, "nothing stands there, and it says whose the row is", column)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RowError(Kind.unusable_text, "it is neither a text nor a whole number", column)
    return str(_sendable(str(value), column))


def _exam(title: str) -> str:
    if len(title) > EXAM_CHARS_MAX:
        raise RowError(
            Kind.unusable_text, f"the exam's title would be longer than {EXAM_CHARS_MAX} characters"
        )
    return title


def _sendable(value: object, column: str) -> object:
    """Return a value; raises RowError for a text that cannot be stored."""
    if isinstance(value, str) and (wrong := wrong_text(value)) is not None:
        raise RowError(Kind.unusable_text, wrong, column)
    return value


def _encoded(metadata: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(metadata, option=orjson.OPT_PASSTHROUGH_SUBCLASS, default=plain)
    except (TypeError, ValueError) as error:  # half a character inside, or more levels than orjson writes
        raise RowError(Kind.unusable_text, f"it cannot be sent as JSON: {error}") from error


def applying(row: Row, values: Mapping[str, int | Wide], mapping: mappings.Mapping) -> list[Rule]:
    """Return the rules that make events of this row; at least one."""
    rules = [rule for rule in mapping.events if _applies(rule, row, values)]
    return rules[:1] if mapping.emit == "first" else rules


def _applies(rule: Rule, row: Row, values: Mapping[str, int | Wide]) -> bool:
    if rule.above_zero and not any(map(_is_above_zero, map(values.get, rule.above_zero))):
        return False
    return all(column in row and spelt(row[column]) in some for column, some in rule.equals.items())


def _is_above_zero(value: int | Wide | None) -> bool:
    if isinstance(value, Wide):
        return not value.startswith("-")
    return value is not None and value > 0
