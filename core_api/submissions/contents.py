"""
What is kept of a submission, handed in or observed: its exact bytes, and the columns of its items and score.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import orjson

from core_api.authoring.items import KeyedItem, Response, kind_of
from core_api.authoring.published import Current, Key
from core_api.submissions.scoring import SCORING_VERSION, Given, Totals, totals
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


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """
    A submission's points: `as_published` for its items, which stand as they were handed in, and `totals` by
    the key that counts. `given` are the points that came with it.
    """

    as_published: Totals
    totals: Totals
    current: Current
    given: Mapping[int, Given]

    @property
    def columns(self) -> dict[str, Any]:
        """Return the score's columns as the statements name them."""
        return score_columns(self.totals, self.current, self.given)


def scored(
    key: Key,
    current: Current,
    responses: Mapping[UUID, Response],
    *,
    max_score: Decimal,
    passing_score: Decimal,
    given: Mapping[int, Given] | None = None,
) -> Scored:
    """Score what is handed in, as `scoring.totals` does, by the key that counts and by the published one."""

    def by(items: Sequence[KeyedItem]) -> Totals:
        return totals(items, responses, max_score=max_score, passing_score=passing_score, given=given)

    counting = by(current.items)
    published = counting if current.remediation_id is None else by(key.items)
    return Scored(as_published=published, totals=counting, current=current, given=given or {})


def item_columns(key: Key, as_published: Totals) -> dict[str, list[Any]]:
    """Return the items' columns of `insert_parts`; their answers are copied where they lie."""
    points = [as_published.item_points[each.position] for each in key.items]
    return {
        "positions": [each.position for each in key.items],
        "question_ids": [each.question_id for each in key.items],
        "question_version_ids": [each.question_version_id for each in key.items],
        "kinds": [kind_of(each.item) for each in key.items],
        "item_points": [None if each is None else str(each) for each in points],
        "item_max_points": [str(each.points) for each in key.items],
    }


def score_columns(counting: Totals, current: Current, given: Mapping[int, Given]) -> dict[str, Any]:
    """Return a score's columns as the statements name them; by which key it was made, too."""
    return {
        "remediation_id": current.remediation_id,
        "given_points": as_json({str(position): each for position, each in given.items()}),
        "reweighted": as_json({str(position): each for position, each in current.reweighted.items()})
        if current.reweighted
        else None,
        "scoring_version": SCORING_VERSION,
        "points_by_item": as_json({str(position): each for position, each in counting.item_points.items()}),
        "points": str(counting.points),
        "max_points": str(counting.max_points),
        "ungraded": counting.ungraded,
        **outcome_of(counting),
    }


def outcome_of(counting: Totals) -> dict[str, str | bool | None]:
    """Return score, percentage and passed as the statements take them."""
    score, percentage = counting.score, counting.percentage
    return {
        "score": None if score is None else str(score),
        "percentage": None if percentage is None else str(percentage),
        "passed": counting.passed,
    }
