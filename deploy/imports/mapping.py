"""
The mapping (TOML) of a file of results, or of texts with their versions.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from kernel.files.mapping import (
    Layout,
    MappingError,
    Strict,
    TimeColumn,
    check_layout,
    parts_of,
    read_toml,
)

VALUE: Final = "value"  # what a column of a wide file holds, as the other fields name it
# Fields that are columns, by the names that a file may have for them without a mapping.
COLUMNS: Final = (
    "attempt", "option", "response", "score", "seconds", "max_score", "key", "topics", "text", "version",
)  # fmt: skip


class Wide(Strict, frozen=True, kw_only=True):
    """
    A file with a column an item. `columns`: a regular expression of their names; each named group of it is
    a field of the row that the column makes, beside `value`, what stands there.
    """

    columns: str


class Compare(Strict, frozen=True, kw_only=True):
    """Two values of the column `group`: whether items are harder for `focal` than for `reference`."""

    reference: str
    focal: str


class Mapping(Layout, frozen=True, kw_only=True):
    """
    The whole mapping.

    `exam`, `candidate` and `item` are texts with `{column}` in them: rows with the same exam, candidate and
    `attempt` are one result. The others are columns. `option` is what was chosen of several, `response` what
    was written, `score` the item's points, `max_score` what they could have been (`points` where no column
    says it). `key` and `topics` are of the item; several are separated by bars. `text` is one `version` of a
    text. The time is when the row was handed in; with `end_column` when it began and ended. `at` says
    it by exam where no column does. `seconds_scale`: what one of the column `seconds` is, in seconds.
    `group` says which group a candidate belongs to, and `compare` which two of these the exam compares.
    """

    exam: str
    candidate: str = "{candidate}"
    item: str = "{item}"
    attempt: str | None = None
    option: str | None = None
    response: str | None = None
    score: str | None = None
    seconds: str | None = None
    seconds_scale: float = 1.0
    max_score: str | None = None
    points: float = 1.0
    key: str | None = None
    topics: str | None = None
    text: str | None = None
    version: str | None = None
    group: str | None = None
    compare: Compare | None = None
    wide: Wide | None = None
    at: dict[str, datetime] = msgspec.field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """Return every column that a file must have."""
        texts = {
            name for text in (self.exam, self.candidate, self.item) for _, name in parts_of(text) if name
        }
        named = {name for field in (*COLUMNS, "group") if (name := getattr(self, field)) is not None}
        made = set() if self.wide is None else {VALUE, *re.compile(self.wide.columns).groupindex}
        return (super().columns | texts | named) - made


def read_mapping(path: Path) -> Mapping:
    """Return the mapping of a TOML file; raises MappingError for a name or value that is not allowed."""
    return read_toml(path, Mapping, check)


def check(mapping: Mapping) -> None:
    """Check what types cannot say of a mapping; raises MappingError."""
    if mapping.wide is not None:
        try:
            re.compile(mapping.wide.columns)
        except re.error as error:
            raise MappingError(f"[wide] columns is no regular expression: {error}") from error
    check_layout(mapping)
    if mapping.option is not None and mapping.response is not None:
        raise MappingError("an answer is an option or a response, not both")
    if mapping.text is not None and (mapping.option is not None or mapping.response is not None):
        raise MappingError("a row is a version of a text or an answer, not both")
    if mapping.compare is not None and (
        mapping.group is None or mapping.compare.reference.lower() == mapping.compare.focal.lower()
    ):
        raise MappingError("[compare] names two groups of the column that `group` names")
    if any(each.tzinfo is None for each in mapping.at.values()):
        raise MappingError("a time of [at] needs its offset: 2015-01-20T10:00:00+01:00")
    if not mapping.points > 0 or not mapping.seconds_scale > 0:
        raise MappingError("points and seconds_scale are greater than 0")


def with_known(mapping: Mapping, there: Iterable[str]) -> Mapping:
    """Return the mapping with the columns that are called as its fields are."""
    names = set(there)
    of_other = {"text", "version"} if mapping.text is None else {"option", "response"}
    known: dict[str, object] = {
        field: field for field in COLUMNS if getattr(mapping, field) is None and field in names - of_other
    }
    if mapping.time is None and "time" in names:
        known["time"] = TimeColumn(column="time")
    return msgspec.structs.replace(mapping, **known)
