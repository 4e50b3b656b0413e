"""
The files of the event archive without the texts of erased people: parts that have some are written anew.

What is left of an event's metadata is what `erased_metadata` of the migrations leaves in the row, so that a
row and its copy in the archive stay one; a property test holds the two equal.
"""

import re
from collections.abc import Collection
from typing import Any, Final

import orjson
import polars as pl

from kernel.events import EventType, SystemEvent
from pipeline.extract import as_table
from warehouse.builds import Part, scan
from warehouse.datasets.events import EVENTS
from warehouse.publish import Draft, add, previous_parts

# The numbers of metadata that numbers are made of, and how a question is named there.
NUMBERS: Final = frozenset(
    {
        "awayMs",
        "blocked",
        "characters",
        "deleted",
        "durationMs",
        "duration_ms",
        "inserted",
        "offset",
        "pauses",
    }
)
QUESTIONS: Final = frozenset({"question", "questionId", "question_id"})
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def erased_metadata(payload: str | None) -> str | None:
    """
    Return what stays of metadata, JSON text: numbers that numbers are made of, and which question it was
    about; of a pasted text its length. None where that is nothing.

    >>> erased_metadata('{"text": "a name", "durationMs": 7, "note": "a name"}')
    '{"durationMs":7,"characters":6}'
    """
    given = None if payload is None else orjson.loads(payload)
    if not isinstance(given, dict):
        return None
    kept = {name: value for name, value in given.items() if _is_kept(name, value)}
    text, said = given.get("text"), given.get("characters")
    if isinstance(text, str) and (isinstance(said, bool) or not isinstance(said, int | float)):
        kept["characters"] = len(text)
    return orjson.dumps(kept).decode() if kept else None


def _is_kept(name: str, value: Any) -> bool:  # noqa: ANN401  JSON
    if name in NUMBERS:
        return isinstance(value, int | float)
    if name not in QUESTIONS or isinstance(value, bool):
        return False
    return isinstance(value, int | float) or (isinstance(value, str) and _UUID.fullmatch(value) is not None)


def rewrite(draft: Draft, sessions: Collection[int], days: Collection[str]) -> set[Part]:
    """
    Add parts of the draft in the place of those that have texts of these sessions; return what they replace.

    Args:
        draft: of the events, which follows the build in force.
        sessions: whose texts go.
        days: of which their events may be.
    """
    replaced = set()
    for part, key in previous_parts(draft, set(days)):
        rows = scan(draft.root, [f"{draft.root.location}/{key}"]).collect()
        erased = without_texts(rows, sessions)
        if not erased.equals(rows):
            add(draft, part.partition, as_table(erased, EVENTS))
            replaced.add(part)
    return replaced


def without_texts(rows: pl.DataFrame, sessions: Collection[int]) -> pl.DataFrame:
    """Return rows of the archive, those of these sessions without what their clients had said in words."""
    own = pl.col("session_id").is_in(list(sessions))
    given = (
        own & (pl.col("event_type") == EventType.Other) & pl.col("event_name").is_in(list(SystemEvent)).not_()
    )
    return rows.with_columns(
        event_type_name=pl.when(given).then(pl.lit(EventType.Other.name)).otherwise("event_type_name"),
        event_name=pl.when(given).then(None).otherwise("event_name"),
        payload=pl.when(own & pl.col("payload").is_not_null())
        .then(pl.col("payload").map_elements(_as_stored, return_dtype=pl.String))
        .otherwise("payload"),
    )


def _as_stored(payload: str) -> str | None:
    """Return what stays, and metadata that all of stays as it is written: nothing has to be written anew."""
    kept = erased_metadata(payload)
    return payload if kept is not None and orjson.loads(kept) == orjson.loads(payload) else kept
