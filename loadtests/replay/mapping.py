"""
The mapping (TOML) that says which columns or members of foreign rows are what.
"""

import re
import tomllib
from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from kernel.events import SEVERITY_BY_NAME, TYPE_BY_NAME, EventType, Severity

# What replay itself writes into an event's metadata.
RESERVED: Final = frozenset({"line", "marker", "impossible", "duration_ms"})
_EPOCHS: Final = frozenset({"epoch_s", "epoch_ms"})


class MappingError(Exception):
    """The mapping, or an option in its place, cannot be used; the message says why."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the mapping file: a name it does not know is refused."""


class TimeColumn(Strict, frozen=True, kw_only=True):
    """
    Where an event's moment stands.

    `format` is a strptime format, or `iso`, `epoch_s`, `epoch_ms`; `zone` (an IANA name) is that of local
    times, and `fold` says which one is meant of two moments at which a clock showed the same: without them, a
    time without an offset, or one that a clock showed twice, is refused. `end_column`, in the same format,
    gives `duration_ms` in the metadata.
    """

    column: str
    format: str = "iso"
    zone: str | None = None
    fold: Literal["earlier", "later"] | None = None
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
    `metadata`: names in the event's metadata by column. `numbers`: columns that are whole numbers. `encoding`
    is by the file's mark, else UTF-8, when absent.
    """

    format: Literal["csv", "tsv", "ndjson"] = "csv"
    delimiter: str | None = None
    encoding: str | None = None
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
        texts = {name for text in (self.exam, self.candidate) for _, name in parts_of(text) if name}
        rules = {column for rule in self.events for column in (*rule.above_zero, *rule.equals)}
        ends = {self.time.end_column} if self.time.end_column else set()
        bounds = {bound.column for bound in self.bounds}
        return texts | rules | ends | bounds | {self.time.column, *self.metadata.values(), *self.numbers}

    @property
    def separator(self) -> str:
        """Return what stands between two fields."""
        return self.delimiter or ("\t" if self.format == "tsv" else ",")


def parts_of(text: str) -> list[tuple[str, str | None]]:
    """
    Return a text with `{column}` in it as pairs of what stands before a column, and the column.

    Raises:
        MappingError: the braces hold anything but a column's name.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise MappingError(f"{text!r}: {error}") from error
    for _, name, form, conversion in parts:
        if name == "" or form or conversion:
            raise MappingError(f"{text!r}: between braces stands a column's name, and nothing else")
    return [(before, name) for before, name, _, _ in parts]


def read_mapping(path: Path) -> Mapping:
    """
    Return the mapping of a TOML file.

    Raises:
        MappingError: a name or value that is not allowed, an unknown event type, severity or zone.
    """
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Mapping)
        check(mapping)
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MappingError(f"{path}: it is not UTF-8") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, MappingError) as error:
        raise MappingError(f"{path}: {error}") from error
    return mapping


def check(mapping: Mapping) -> None:
    """
    Check what types cannot say of a mapping.

    Raises:
        MappingError: something in it can be meant for no file, or no event type or severity is called so.
    """
    for rule in mapping.events:
        type_of(rule)
        severity_of(rule)
    if not mapping.events or mapping.events[-1].above_zero or mapping.events[-1].equals:
        raise MappingError("the last of [[events]] must apply to every row")
    if taken := RESERVED.intersection(mapping.metadata):
        raise MappingError(f"{', '.join(sorted(taken))} in [metadata] is replay's own name")
    if "" in mapping.columns:
        raise MappingError("a column's name is empty")
    if mapping.delimiter is not None and not re.fullmatch(r"[^\r\n\"\ud800-\udfff]", mapping.delimiter):
        raise MappingError("the delimiter is one character, no quote and no line end")
    if mapping.time.zone is not None:
        zone_of(mapping.time.zone)
    if mapping.time.format not in {"iso", *_EPOCHS}:
        _check_format(mapping.time.format)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises MappingError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise MappingError(f"there is no time zone {name!r}") from error


def _check_format(form: str) -> None:
    """Raise MappingError for a format that strptime reads no text by."""
    if "%" not in form:
        raise MappingError(f"the time's format {form!r} is neither iso, epoch_s, epoch_ms nor strptime's")
    try:
        datetime.strptime("", form)  # noqa: DTZ007  nothing is read
    except re.error as error:
        raise MappingError(f"the time's format {form!r} names a part twice") from error
    except ValueError as error:
        if "bad directive" in str(error) or "stray %" in str(error):
            raise MappingError(f"the time's format {form!r}: {error}") from error


def type_of(rule: Rule) -> EventType:
    """Return the rule's event type; raises MappingError where none is called so."""
    if rule.type not in TYPE_BY_NAME:
        raise MappingError(f"there is no event type {rule.type!r}{_meant(rule.type, TYPE_BY_NAME)}")
    return TYPE_BY_NAME[rule.type]


def severity_of(rule: Rule) -> Severity:
    """Return the rule's severity, given as number, label or VERITAS word; raises MappingError."""
    known: dict[int | str, Severity] = {int(each): each for each in Severity}
    known.update((*Severity.__members__.items(), *SEVERITY_BY_NAME.items()))
    if rule.severity not in known:
        words = ", ".join(map(str, known))
        raise MappingError(f"there is no severity {rule.severity!r}: it is one of {words}")
    return known[rule.severity]


def _meant(name: str, known: Iterable[str]) -> str:
    """Return what to add to the refusal of a name: the known one that is closest, if any is close."""
    close = get_close_matches(name, known, 1)
    return f": is {close[0]} meant?" if close else ""


def shipped() -> list[Mapping]:
    """Return the mappings that come with replay, by name."""
    folder = files("loadtests.replay") / "mappings"
    return [
        read_mapping(Path(str(entry))) for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
    ]
