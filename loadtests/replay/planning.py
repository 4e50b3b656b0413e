"""
How a file of foreign rows becomes events. Pure but for the reading.

A row becomes an event, or is refused: where nobody can say whose it is, when it happened or what it is. What
only describes it (a number, an end) is sent as it stands; where it cannot be right the row is doubtful, and
the event's metadata says so under `impossible`. Nothing is guessed: no time is taken from a neighbour, no
local time without a zone, none of two moments that a clock showed alike.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from kernel.files.findings import Finding, Kind, RowError
from kernel.files.mapping import parts_of, zone_of
from kernel.files.rows import Options, open_records
from kernel.files.values import Row, Wide, moment, plain, spelt, whole_in
from kernel.values import wrong_text
from loadtests.replay import mapping as mappings
from loadtests.replay.mapping import Rule

EXAM_CHARS_MAX: Final = 200  # of an exam's title
# An event's marker is this, the line where its row begins, and the part where a row makes several.
LINE_MARK: Final = "line-"


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
    with open_records(path, mapping, [] if mapping else mappings.shipped(), options) as records:
        if records.layout is None:
            return Plan(0, {}, records.damage)
        reader = _Reader(records.layout)
        reader.plan.unread = records.unread
        reader.read(records.read(options.limit))
        reader.plan.findings += records.damage
        if records.layout.format == "ndjson":
            reader.plan.absent = sorted(records.layout.columns - records.seen)
    reader.plan.findings.sort(key=lambda finding: finding.line)
    return reader.plan


class _Reader:
    """Takes rows into a plan, one by one."""

    def __init__(self, mapping: mappings.Mapping) -> None:
        self.plan = Plan(0, {}, [])
        self._mapping = mapping
        self._zone = zone_of(mapping.time.zone) if mapping.time.zone else None
        self._exam = parts_of(mapping.exam)
        self._candidate = parts_of(mapping.candidate)
        self._deciding = {column for rule in mapping.events for column in rule.above_zero}
        self._lines: dict[tuple[Key, int], int] = {}  # by session and content

    def read(self, rows: Iterator[tuple[int, Row | RowError]]) -> None:
        """Take the rows."""
        for line, row in rows:
            self.plan.rows += 1
            try:
                if isinstance(row, RowError):
                    raise row
                self._take(line, row)
            except RowError as error:
                self.plan.findings.append(error.at(line))

    def _take(self, line: int, row: Row) -> None:
        """Take a row as events; raises RowError where none can be made of it."""
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
