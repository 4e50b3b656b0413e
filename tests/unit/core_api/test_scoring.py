"""Scoring, case by case (spec.md S-3, E-1). Pure."""

from decimal import Decimal
from uuid import UUID

import pytest

from core_api.authoring import items
from core_api.submissions.scoring import Given, item_points, totals

TEXT = items.TextContent(stem="?")
OPTIONS = items.ChoiceContent(stem="?", options=[items.Option(id=each, text=each) for each in "abcd"])


def keyed(item: items.Item, points: str = "3", position: int = 1) -> items.KeyedItem:
    return items.KeyedItem(
        position=position,
        question_id=UUID(int=position),
        question_version_id=UUID(int=100 + position),
        points=Decimal(points),
        item=item,
    )


@pytest.mark.parametrize(
    ("number", "points"), [(0.31, 3), (0.29, 3), (0.3, 3), (0.311, 0), (0.28, 0), (-0.3, 0), (None, 0)]
)
def test_a_tolerance_is_met_in_decimals_as_written(number: float | None, points: int) -> None:
    item = items.Numeric(content=TEXT, key=items.NumericKey(number=0.3, tolerance=0.01))

    assert item_points(keyed(item), items.Response(number=number)) == points


@pytest.mark.parametrize(
    ("choices", "points"),
    [("ab", "3"), ("a", "1.5"), ("ac", "0"), ("abc", "1.5"), ("abcd", "0"), ("cd", "0")],
)
def test_partial_credit_takes_wrong_choices_off_the_right_ones(choices: str, points: str) -> None:
    item = items.MultipleChoice(content=OPTIONS, key=items.MultipleKey(choices=["a", "b"], partial=True))

    assert item_points(keyed(item), items.Response(choices=list(choices))) == Decimal(points)


@pytest.mark.parametrize(
    ("text", "points"), [("straße", 3), ("STRASSE", 3), ("  Strasse\n", 3), ("\ufb01n", 3), ("street", 0)]
)
def test_short_texts_are_compared_after_folding(text: str, points: int) -> None:
    item = items.ShortText(content=TEXT, key=items.ShortKey(accepted=["Straße", "fin"]))

    assert item_points(keyed(item), items.Response(text=text)) == points


def test_case_counts_where_the_key_says_so() -> None:
    item = items.ShortText(content=TEXT, key=items.ShortKey(accepted=["pH"], case_sensitive=True))

    assert item_points(keyed(item), items.Response(text=" pH")) == 3
    assert item_points(keyed(item), items.Response(text="PH")) == 0


def test_points_are_rounded_to_hundredths_half_up() -> None:
    item = items.MultipleChoice(content=OPTIONS, key=items.MultipleKey(choices=["a", "b"], partial=True))

    assert item_points(keyed(item, "0.25"), items.Response(choices=["a"])) == Decimal("0.13")


def test_a_score_is_on_the_exams_scale_and_waits_for_the_last_grader() -> None:
    paper = [
        keyed(items.Numeric(content=TEXT, key=items.NumericKey(number=1)), "1", 1),
        keyed(items.Essay(content=TEXT, key=items.EssayKey()), "2", 2),
    ]
    given = {UUID(int=1): items.Response(number=1), UUID(int=2): items.Response(text="It depends.")}
    waiting = totals(paper, given, max_score=Decimal(40), passing_score=Decimal(20))
    by_hand = {2: Given(Decimal("0.5"), Decimal(2))}
    graded = totals(paper, given, max_score=Decimal(40), passing_score=Decimal(20), given=by_hand)

    assert waiting.points == waiting.ungraded == 1
    assert (waiting.score, waiting.percentage, waiting.passed) == (None, None, None)
    assert (graded.score, graded.percentage, graded.passed) == (Decimal(20), Decimal(50), True)
