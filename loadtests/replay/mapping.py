"""
The mapping (TOML) that says which columns or members of foreign rows are what.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from msgspec import field

from kernel.events import SEVERITY_BY_NAME, TYPE_BY_NAME, EventType, Severity
from kernel.files.mapping import Layout, MappingError, Strict, TimeColumn, check_layout, parts_of, read_toml

# What replay itself writes into an event's metadata.
RESERVED: Final = frozenset({"line", "marker", "impossible", "duration_ms"})


class Rule(Strict, frozen=True, kw_only=True):
    """
    One kind of event that a row can make.

    It applies where any column of `above_zero` is, and every column of `equals` has one of its values;
    without both, always.
    """

    type: str
    severity: int | str = 0
    above_zero: list[str] = field(default_factory=list)
    equals: dict[str, list[str]] = field(default_factory=dict)


class Bound(Strict, frozen=True, kw_only=True):
    """What a numeric column can be; beyond it the value is counted as impossible."""

    column: str
    min: float
    max: float


class Mapping(Layout, frozen=True, kw_only=True):
    """
    The whole mapping.

    `exam` and `candidate` are texts with `{column}` in them: rows with the same texts make one proctor
    session. `events`: rules in order; with `emit = "first"` the first that applies makes the row's one event,
    with `"all"` each that applies makes one (every row makes at least one: the last rule must always apply).
    `metadata`: names in the event's metadata by column. `numbers`: columns that are whole numbers. The time's
    `end_column` gives `duration_ms` in the metadata.
    """

    time: TimeColumn
    exam: str
    candidate: str
    events: list[Rule]
    emit: Literal["first", "all"] = "first"
    metadata: dict[str, str] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)

    @property
    def columns(self) -> set[str]:
        """Return every column that the mapping reads."""
        texts = {name for text in (self.exam, self.candidate) for _, name in parts_of(text) if name}
        rules = {column for rule in self.events for column in (*rule.above_zero, *rule.equals)}
        bounds = {bound.column for bound in self.bounds}
        return super().columns | texts | rules | bounds | {*self.metadata.values(), *self.numbers}


def read_mapping(path: Path) -> Mapping:
    """
    Return the mapping of a TOML file.

    Raises:
        MappingError: a name or value that is not allowed, an unknown event type, severity or zone.
    """
    return read_toml(path, Mapping, check)


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
    check_layout(mapping)


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
