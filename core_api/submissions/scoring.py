"""
Scoring: items, answers and a key's version in, points out. Pure (spec.md S-3).

Arithmetic is decimal, so that 0.1 + 0.2 is 0.3 for a candidate too. A change of any rule here is a new
`SCORING_VERSION`; scores say which one they were made by, and rescoring appends.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from core_api.authoring.items import (
    EffectiveItem,
    Essay,
    Finding,
    Item,
    KeyedItem,
    MultipleChoice,
    MultipleKey,
    Numeric,
    NumericKey,
    Response,
    ShortKey,
    ShortText,
    SingleChoice,
    is_blank,
)
from kernel import spelling

SCORING_VERSION: Final = "points-2"  # 1: what nobody sees counted in short texts
_CENT: Final = Decimal("0.01")
_MILLI: Final = Decimal("0.001")


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """
    A submission's points by position, and what they come to.

    `score` is on the exam's scale and, like `percentage` (0 to 100) and `passed`, None while anything waits
    for a grader.
    """

    item_points: dict[int, Decimal | None]
    points: Decimal
    max_points: Decimal
    ungraded: int
    score: Decimal | None
    percentage: Decimal | None
    passed: bool | None


class Given(msgspec.Struct, frozen=True, array_like=True):
    """Points that a person gave, and how many the item had then."""

    points: Decimal
    of: Decimal


def item_points(keyed: KeyedItem, response: Response | None, given: Given | None = None) -> Decimal | None:
    """
    Return an answer's points, 0 to the item's own, in hundredths; None for an essay that awaits its grader.

    What was not answered is 0, essays included. What a person gave wins over the machine, as the same share
    of the points that the item has now; a full item and a dropped one are the same for everybody.
    """
    if isinstance(keyed, EffectiveItem) and (keyed.is_full or keyed.is_dropped):
        return Decimal(0) if keyed.is_dropped else keyed.points.quantize(_CENT, ROUND_HALF_UP)
    if given is not None:
        return _graded(keyed, given)
    if is_blank(response):
        return Decimal(0)
    assert response is not None, "an absent answer is blank"
    share = _share(keyed.item, response)
    if isinstance(keyed, EffectiveItem) and any(_is_same(keyed.item, each, response) for each in keyed.also):
        share = Decimal(1)
    return None if share is None else (keyed.points * share).quantize(_CENT, ROUND_HALF_UP)


def totals(
    items: Iterable[KeyedItem],
    responses: Mapping[UUID, Response],
    *,
    max_score: Decimal,
    passing_score: Decimal,
    given: Mapping[int, Given] | None = None,
) -> Totals:
    """
    Score a whole submission.

    Args:
        items: of the evaluation, any order.
        responses: by question; those to questions that are no items of it count nothing.
        max_score: the exam's scale: full points are this score. Greater than 0.
        passing_score: the least score that passes.
        given: points that people gave, by position; they win over the machine's, within the item's points.

    Source: spec.md S-3, E-1.
    """
    by_person = given or {}
    keyed = sorted(items, key=lambda each: each.position)
    by_position = {
        each.position: item_points(each, responses.get(each.question_id), by_person.get(each.position))
        for each in keyed
    }
    return summed(keyed, by_position, max_score=max_score, passing_score=passing_score)


def summed(
    items: Iterable[KeyedItem],
    by_position: dict[int, Decimal | None],
    *,
    max_score: Decimal,
    passing_score: Decimal,
) -> Totals:
    """Return what points come to: those of every item, by position; None waits for a grader."""
    points = sum((each for each in by_position.values() if each is not None), Decimal(0))
    max_points = sum((each.points for each in items), Decimal(0))
    ungraded = sum(each is None for each in by_position.values())
    share = points / max_points if max_points and not ungraded else None
    score = None if share is None else (share * max_score).quantize(_CENT, ROUND_HALF_UP)
    return Totals(
        item_points=by_position,
        points=points,
        max_points=max_points,
        ungraded=ungraded,
        score=score,
        percentage=None if share is None else (share * 100).quantize(_MILLI, ROUND_HALF_UP),
        passed=None if score is None else score >= passing_score,
    )


def _graded(keyed: KeyedItem, given: Given) -> Decimal:
    points = given.points
    if given.of != keyed.points:
        points = points * keyed.points / given.of if given.of else Decimal(0)
    return min(max(points, Decimal(0)), keyed.points).quantize(_CENT, ROUND_HALF_UP)


def _share(item: Item, response: Response) -> Decimal | None:
    """Return the share of the points, 0 to 1, that an answer earns; None where a person decides."""
    match item:
        case SingleChoice(key=key):
            return Decimal(response.choice == key.choice)
        case MultipleChoice(key=key):
            return _share_of_choices(key, set(response.choices or ()))
        case Numeric(key=key):
            return Decimal(_is_near(key, response.number))
        case ShortText(key=key):
            return Decimal(_is_accepted(key, response.text or ""))
        case Finding(key=key):
            return _decimal(key.shares.get(response.choice or "", 0.0))
        case Essay():
            return None


def _is_same(item: Item, accepted: Response, response: Response) -> bool:
    """Tell whether an answer is one that was accepted beside the key; near enough, as the key has it."""
    match item:
        case MultipleChoice():
            return set(response.choices or ()) == set(accepted.choices or ())
        case Numeric(key=key):
            assert accepted.number is not None, "it fits its item"
            return _is_near(NumericKey(accepted.number, key.tolerance), response.number)
        case ShortText(key=key):
            accepted_key = ShortKey([accepted.text or ""], key.case_sensitive)
            return _is_accepted(accepted_key, response.text or "")
        case _:
            return response.choice == accepted.choice


def _share_of_choices(key: MultipleKey, chosen: set[str]) -> Decimal:
    right = set(key.choices)
    if not key.partial:
        return Decimal(chosen == right)
    return max(Decimal(0), Decimal(len(chosen & right) - len(chosen - right)) / len(right))


def _is_near(key: NumericKey, number: float | None) -> bool:
    return number is not None and abs(_decimal(number) - _decimal(key.number)) <= _decimal(key.tolerance)


def _is_accepted(key: ShortKey, text: str) -> bool:
    fold = partial(spelling.answer, case_sensitive=key.case_sensitive)
    return fold(text) in set(map(fold, key.accepted))


def _decimal(number: float) -> Decimal:
    """Return the number as it is written, not as binary stores it."""
    return Decimal(repr(number))
