"""
The items of an import: of what kind each is, its key, options and topics, from a file of items or the rows.

A key is never guessed: an item without one is kept as an essay, with its responses and the points that came
with them.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from core_api.authoring.items import Response
from core_api.submissions.imported_forms import FormItem
from kernel.files.findings import Finding, Kind, RowError
from kernel.files.mapping import Layout
from kernel.files.rows import Options, open_records
from kernel.files.values import Row

BAR: Final = "|"
KINDS: Final = ("single_choice", "multiple_choice", "numeric", "short_text", "essay")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_FIELDS: Final = ("kind", "text", "options", "key", "tolerance", "points", "topics")
NO_OTHER: Final = {"id": "none", "text": "(no other option is known)"}


class About(msgspec.Struct, kw_only=True):
    """What is known of an item; `chosen`: options that rows have for it."""

    line: int = 0
    kind: str = ""
    text: str = ""
    options: list[str] = []
    key: list[str] = []
    tolerance: float = 0.0
    points: float | None = None
    topics: list[str] = []
    chosen: set[str] = msgspec.field(default_factory=set)


class _Items(Layout, frozen=True, kw_only=True):
    """A file of items: a column `item`, and those of `_FIELDS` that it has."""

    @property
    def columns(self) -> set[str]:
        """Return the one column that it must have."""
        return {"item"}


def listed(value: object) -> list[str]:
    """Return what a cell lists, by bars, each once."""
    return list(_listed(str(value)))


@lru_cache(maxsize=4096)
def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in text.split(BAR) if each.strip()))


def read_items(path: Path, options: Options, findings: list[Finding]) -> dict[str, About]:
    """
    Return what a file says of items, by name; what is wrong with a row of it is one finding more.

    Raises:
        OSError, UnreadableError: it cannot be read.
    """
    items: dict[str, About] = {}
    with open_records(path, _Items(), [], options) as records:
        for line, row in records.read(None):
            try:
                if isinstance(row, RowError):
                    raise row
                items[_named(row, items)] = _about(line, row)
            except RowError as error:
                findings.append(error.at(line))
        findings += records.damage
    return items


def _named(row: Row, items: Mapping[str, About]) -> str:
    name = str(row.get("item", "")).strip()
    if not name:
        raise RowError(Kind.absent, "the item has no name", "item")
    if name in items:
        raise RowError(Kind.twice, f"the same item as in line {items[name].line}", "item")
    return name


def _about(line: int, row: Row) -> About:
    given = {field: row[field] for field in _FIELDS if row.get(field) not in (None, "")}
    kind = str(given.get("kind", "")).strip()
    if kind and kind not in KINDS:
        raise RowError(Kind.unusable_text, f"it is none of {', '.join(KINDS)}", "kind")
    return About(
        line=line,
        kind=kind,
        text=str(given.get("text", "")).strip(),
        options=listed(given.get("options", "")),
        key=listed(given.get("key", "")),
        tolerance=number_in(given.get("tolerance", 0), "tolerance"),
        points=number_in(given["points"], "points") if "points" in given else None,
        topics=listed(given.get("topics", "")),
    )


def number_in(value: object, column: str) -> float:
    """Return a number that is 0 or more, as it stands in a row; raises RowError."""
    try:
        number = float(value.strip() if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RowError(Kind.unreadable_number, "it is no number", column) from error
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise RowError(Kind.out_of_bounds, "it is no number of 0 or more", column)
    return number


def option_id(value: str) -> str:
    """Return the id of an option that a file calls so, always the same."""
    return value if _ID.fullmatch(value) else hashlib.sha256(value.encode()).hexdigest()[:16]


def kind_of(about: About, *, is_choice: bool) -> str:
    """Return of what kind an item is: as its file says, else as what its rows hold."""
    if about.kind:
        return about.kind
    if not about.key:
        return "essay"
    if is_choice:
        return "multiple_choice" if len(about.key) > 1 else "single_choice"
    return "short_text"


def form_item(name: str, about: About, points: float, *, is_choice: bool) -> FormItem:
    """
    Return an item of the form.

    Raises:
        RowError: what is said of it makes none.
    """
    kind = kind_of(about, is_choice=is_choice)
    content: dict[str, Any] = {"stem": name + (f"\n{about.text}" if about.text else "")}
    key: dict[str, Any] = {}
    if kind in {"single_choice", "multiple_choice"}:
        content["options"] = options_of(about)
        # Only a file of items writes `id=text`; in the rows' own words a sign is a sign.
        names = [each.partition("=")[0].strip() for each in about.key] if about.options else about.key
        right = [option_id(each) for each in names]
        key = {"choice": right[0]} if kind == "single_choice" and right else {"choices": right}
    elif kind == "numeric":
        key = {"number": number_of(about), "tolerance": about.tolerance}
    elif kind == "short_text":
        key = {"accepted": about.key}
    raw = {"item": {"kind": kind, "content": content, "key": key}, "points": points, "topics": about.topics}
    try:
        return msgspec.convert(raw, FormItem)
    except msgspec.ValidationError as error:
        raise RowError(Kind.unusable_text, f"the item {name!r} cannot be one: {error}", "item") from error


def number_of(about: About) -> float:
    """Return the key of a numeric item; raises RowError."""
    try:
        (text,) = about.key
        return float(text)
    except ValueError as error:
        raise RowError(Kind.unreadable_number, "the key of a numeric item is one number", "key") from error


def options_of(about: About) -> list[dict[str, str]]:
    """Return the options of an item: those that its file lists, else those that rows and key have."""
    if about.options:
        pairs = [each.partition("=") for each in about.options]
        return [{"id": option_id(name.strip()), "text": (text or name).strip()} for name, _, text in pairs]
    found = [{"id": option_id(each), "text": each} for each in sorted(about.chosen | set(about.key))]
    return found if len(found) > 1 else [*found, NO_OTHER]


def response_of(value: object, kind: str, column: str) -> Response | None:
    """Return a response as an item of that kind takes it; None for nothing. Raises RowError."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = str(value)
    raw: Mapping[str, object]
    if kind == "single_choice":
        raw = {"choice": option_id(text.strip())}
    elif kind == "multiple_choice":
        raw = {"choices": [option_id(each) for each in listed(text)]}
    elif kind == "numeric":
        try:
            raw = {"number": float(text)}
        except ValueError as error:
            raise RowError(Kind.unreadable_number, "it is no number", column) from error
    else:
        raw = {"text": text}
    try:
        return msgspec.convert(raw, Response)
    except msgspec.ValidationError as error:
        raise RowError(Kind.unusable_text, f"no item takes it as an answer: {error}", column) from error


def choose(about: About, values: Iterable[object]) -> None:
    """Note which options rows have for an item, where it lists none itself."""
    if not about.options:
        about.chosen.update(each for value in values for each in listed(value))
