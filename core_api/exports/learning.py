"""
Results as learning records: what the two standards have in common (`xapi`, `caliper`). Pure.

Whom a record is about is a pseudonym, the account's id at `export_home_page`; no name, no address, and
nothing of what was thought of anybody. What a record is called follows from all that it says: the same result
exported again has the same ids, which a store of records takes once, and what has changed, a new score say,
has others. A void result has no score and no points.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg
import msgspec
import orjson

Said = dict[str, Any]  # of JSON

NDJSON_TYPE: Final = "text/x-ndjson"  # which generated clients take for a text
RESULTS: Final = 20  # that a fetch has: each comes with all its items


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """
    An item that was answered. `response` are the options that were chosen, or one number or text; null where
    there is nothing to show.
    """

    position: int
    question_id: UUID
    kind: str
    response: list[str] | None
    points: float | None
    max_points: float
    seconds: float | None
    saved_at: datetime

    @property
    def said(self) -> list[str]:
        """What was answered; nothing where there is nothing to show, or it is blank."""
        return [each for each in self.response or () if each]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that was handed in, its newest score, and its items as they were saved one after another."""

    attempt_id: UUID
    attempt_number: int
    exam_id: UUID
    exam_title: str
    student_id: UUID
    started_at: datetime
    finalised_at: datetime
    scored_at: datetime
    score: float | None
    max_score: float
    percentage: float | None
    passed: bool | None
    is_void: bool
    items: list[Item]

    @property
    def lasted(self) -> Said:
        """From its beginning to the hand-in, as a member; none where an import does not say when it began."""
        seconds = (self.finalised_at - self.started_at).total_seconds()
        return {"duration": duration(seconds)} if seconds > 0 else {}


class Names(msgspec.Struct, frozen=True):
    """What things are called, at a home page without a slash at its end."""

    home: str

    def exam(self, result: Result) -> str:
        """Return the IRI of a result's exam."""
        return f"{self.home}/exams/{result.exam_id}"

    def question(self, item: Item) -> str:
        """Return the IRI of an item's question."""
        return f"{self.home}/questions/{item.question_id}"

    def person(self, result: Result) -> str:
        """Return the IRI of whoever a result is of."""
        return f"{self.home}/users/{result.student_id}"

    def of(self, said: object) -> str:
        """Return the UUID of what is said: the same for the same."""
        told = orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()
        return str(uuid5(uuid5(NAMESPACE_URL, self.home), told))


class Lines:
    """Lines of JSON: of each result those that `told` gives."""

    def __init__(self, told: Callable[[Result], Iterator[Said]]) -> None:
        """Tell in this way."""
        self._told = told

    def piece(self, rows: Sequence[asyncpg.Record]) -> bytes:
        """Return the lines of some results: rows with the columns of `Result`, their items as JSON."""
        results = (Result(**{**row, "items": _items(row["items"])}) for row in rows)
        said = (each for result in results for each in self._told(result))
        return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in said)

    def end(self) -> bytes:
        """Return nothing: every line stands for itself."""
        return b""


def _items(text: bytes) -> list[Item]:
    return sorted(msgspec.json.decode(text, type=list[Item]), key=lambda item: (item.saved_at, item.position))


def moment(at: datetime) -> str:
    """Return a moment in ISO 8601, in UTC, to the millisecond, as both standards ask for."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """
    Return a duration in ISO 8601, to the hundredth of a second.

    >>> duration(630), duration(61.25), duration(0)
    ('PT630S', 'PT61.25S', 'PT0S')
    """
    return f"PT{seconds:.2f}".rstrip("0").rstrip(".") + "S"
