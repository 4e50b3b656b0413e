"""
What is wrong with rows of a file: each is named by its line, and why it was refused or is doubtful.

A finding says nothing of what the row holds: who reads it has the file.
"""

from collections.abc import Iterable
from enum import StrEnum, auto
from typing import Any, Final

import msgspec

SHOWN: Final = 20  # of each kind, in a report
_NAME_MAX: Final = 60


class Kind(StrEnum):
    """What can be wrong; the names stand in reports."""

    # refused: no event can be made of the row
    undecodable = auto()
    too_long = auto()
    unclosed_quote = auto()
    field_count = auto()
    not_json = auto()
    cut_off = auto()
    absent = auto()
    unusable_text = auto()
    unreadable_time = auto()
    zoneless_time = auto()
    ambiguous_time = auto()
    skipped_time = auto()
    unreadable_number = auto()
    out_of_bounds = auto()
    twice = auto()
    # refused where it was sent to
    refused_by_server = auto()
    dead_letter = auto()
    not_stored = auto()
    # doubtful: sent as it stands
    unreadable_value = auto()
    impossible_value = auto()
    wide_number = auto()
    runs_backwards = auto()
    ends_early = auto()
    repeated = auto()
    # of the file itself, of no row
    damaged = auto()

    @property
    def words(self) -> str:
        """Return the kind in words."""
        return _TITLES[self]


_TITLES: Final = {
    Kind.undecodable: "bytes that are not of the file's encoding",
    Kind.too_long: "line too long",
    Kind.unclosed_quote: "quote not closed, or closed inside a field",
    Kind.field_count: "another number of fields than the header",
    Kind.not_json: "not a JSON object",
    Kind.cut_off: "cut off by the end of the file",
    Kind.absent: "nothing where the mapping needs a value",
    Kind.unusable_text: "text that cannot be used",
    Kind.unreadable_time: "time that cannot be read",
    Kind.zoneless_time: "local time without a zone",
    Kind.ambiguous_time: "local time that a clock showed twice",
    Kind.skipped_time: "local time that no clock showed",
    Kind.unreadable_number: "number that cannot be read and decides what the event is",
    Kind.out_of_bounds: "beyond what it can be",
    Kind.twice: "said twice, or in two ways",
    Kind.refused_by_server: "refused by the server",
    Kind.dead_letter: "kept as a dead letter",
    Kind.not_stored: "not stored",
    Kind.unreadable_value: "number or end that cannot be read",
    Kind.impossible_value: "value beyond what its column can be",
    Kind.wide_number: "number that needs more than 64 bits, sent as text",
    Kind.runs_backwards: "earlier than the row before it of the same session",
    Kind.ends_early: "ends before it starts",
    Kind.repeated: "the same as a line before it",
    Kind.damaged: "damaged file",
}
OURS: Final = frozenset({Kind.not_stored})  # not the row's fault
DOUBTFUL: Final = frozenset(
    {
        Kind.unreadable_value,
        Kind.impossible_value,
        Kind.wide_number,
        Kind.runs_backwards,
        Kind.ends_early,
        Kind.repeated,
    }
)


class Finding(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing that is wrong with the row that begins at `line` (from 1), of its column or member."""

    line: int
    kind: Kind
    why: str
    column: str | None = None

    @property
    def refuses(self) -> bool:
        """Tell whether nothing, or not all, of the row is stored."""
        return self.kind not in DOUBTFUL and self.kind is not Kind.damaged

    def __str__(self) -> str:
        """Return the finding as a line for a person."""
        where = f"line {self.line}" + (f", {shown(self.column)}" if self.column is not None else "")
        return f"{where}: {self.why}"


class RowError(Exception):
    """A row of which no event can be made; the message says why."""

    def __init__(self, kind: Kind, why: str, column: str | None = None) -> None:
        """Say what is wrong, and of which column or member."""
        super().__init__(why)
        self.kind, self.why, self.column = kind, why, column

    def at(self, line: int) -> Finding:
        """Return it as the finding of a line."""
        return Finding(line, self.kind, self.why, self.column)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one kind, as a report shows them: how many, and the first of them."""

    refused: bool
    count: int
    first: list[Finding]


def by_kind(findings: Iterable[Finding]) -> dict[str, Group]:
    """Return findings by kind, in the order of their lines, cut after `SHOWN` of each."""
    groups: dict[Kind, list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.line):
        groups.setdefault(finding.kind, []).append(finding)
    return {
        str(kind): Group(refused=some[0].refuses, count=len(some), first=some[:SHOWN])
        for kind, some in sorted(groups.items(), key=lambda item: list(Kind).index(item[0]))
    }


def shown(name: Any) -> str:  # noqa: ANN401  whatever a file calls something
    """Return a name out of a file so that no terminal acts on it, and not too much of it."""
    text = repr(str(name)[:_NAME_MAX])
    return text if len(str(name)) <= _NAME_MAX else f"{text}…"
