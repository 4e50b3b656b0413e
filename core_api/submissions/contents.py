"""
What is kept of a submission, handed in or observed: its exact bytes, and the columns of its items and score.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import orjson

from core_api.authoring.items import KeyedItem, kind_of
from core_api.authoring.published import Key
from core_api.submissions.scoring import SCORING_VERSION, Totals
from core_api.wire import as_json


def content_of(
    head: Mapping[str, object], items: Sequence[KeyedItem], member: str, given: Mapping[UUID, object]
) -> bytes:
    """
    Return the bytes that stand for a submission: JSON with sorted names and no spaces.

    Args:
        head: what it says beside its items.
        items: every one that was asked.
        member: of an item, under which it has what was given.
        given: by question; null where nothing was.
    """
    told = [
        {
            "position": each.position,
            "question_id": each.question_id,
            "question_version_id": each.question_version_id,
            member: msgspec.to_builtins(given.get(each.question_id)),
        }
        for each in items
    ]
    # The driver's UUIDs are a subclass.
    return orjson.dumps({**head, "items": told}, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def item_columns(key: Key, totals: Totals) -> dict[str, list[Any]]:
    """Return the items' columns of `insert_parts`; their answers are copied where they lie."""
    points = [totals.item_points[each.position] for each in key.items]
    return {
        "positions": [each.position for each in key.items],
        "question_ids": [each.question_id for each in key.items],
        "question_version_ids": [each.question_version_id for each in key.items],
        "kinds": [kind_of(each.item) for each in key.items],
        "item_points": [None if each is None else str(each) for each in points],
        "item_max_points": [str(each.points) for each in key.items],
    }


def score_columns(totals: Totals) -> dict[str, Any]:
    """Return a score's columns as the statements name them."""
    return {
        "scoring_version": SCORING_VERSION,
        "points_by_item": as_json({str(position): each for position, each in totals.item_points.items()}),
        "points": str(totals.points),
        "max_points": str(totals.max_points),
        "ungraded": totals.ungraded,
        **outcome_of(totals),
    }


def outcome_of(totals: Totals) -> dict[str, str | bool | None]:
    """Return score, percentage and passed as the statements take them."""
    score, percentage = totals.score, totals.percentage
    return {
        "score": None if score is None else str(score),
        "percentage": None if percentage is None else str(percentage),
        "passed": totals.passed,
    }
