"""Scoring, case by case (spec.md S-3, E-1). Pure."""

from decimal import Decimal
from uuid import UUID

import pytest

from core_api.authoring.items import (
    ChoiceContent,
    Essay,
    EssayKey,
    Item,
    KeyedItem,
    MultipleChoice,
    MultipleKey,
    Numeric,
    NumericKey,
    Option,
    Response,
    ShortKey,
    ShortText,
    TextContent,
)
from core_api.submissions.scoring import item_points, totals

TEXT = TextContent(stem="?")
OPTIONS = ChoiceContent(stem="?", options=[Option(id=each, text=each) for each in "abcd"])


def keyed(item: Item, points: str = "3", position: int = 1) -> KeyedItem:
    return KeyedItem(
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
    item = Numeric(content=TEXT, key=NumericKey(number=0.3, tolerance=0.01))

    assert item_points(keyed(item), Response(number=number)) == points


@pytest.mark.parametrize(
    ("choices", "points"),
    [("ab", "3"), ("a", "1.5"), ("ac", "0"), ("abc", "1.5"), ("abcd", "0"), ("cd", "0")],
)
def test_partial_credit_takes_wrong_choices_off_the_right_ones(choices: str, points: str) -> None:
    item = MultipleChoice(content=OPTIONS, key=MultipleKey(choices=["a", "b"], partial=True))

    assert item_points(keyed(item), Response(choices=list(choices))) == Decimal(points)


@pytest.mark.parametrize(
    ("text", "points"), [("straße", 3), ("STRASSE", 3), ("  Strasse\n", 3), ("\ufb01n", 3), ("street", 0)]
)
def test_short_texts_are_compared_after_folding(text: str, points: int) -> None:
    item = ShortText(content=TEXT, key=ShortKey(accepted=["Straße", "fin"]))

    assert item_points(keyed(item), Response(text=text)) == points


def test_case_counts_where_the_key_says_so() -> None:
    item = ShortText(content=TEXT, key=ShortKey(accepted=["pH"], case_sensitive=True))

    assert item_points(keyed(item), Response(text=" pH")) == 3
    assert item_points(keyed(item), Response(text="PH")) == 0


def test_points_are_rounded_to_hundredths_half_up() -> None:
    item = MultipleChoice(content=OPTIONS, key=MultipleKey(choices=["a", "b"], partial=True))

    assert item_points(keyed(item, "0.25"), Response(choices=["a"])) == Decimal("0.13")


def test_a_score_is_on_the_exams_scale_and_waits_for_the_last_grader() -> None:
    paper = [
        keyed(Numeric(content=TEXT, key=NumericKey(number=1)), "1", 1),
        keyed(Essay(content=TEXT, key=EssayKey()), "2", 2),
    ]
    given = {UUID(int=1): Response(number=1), UUID(int=2): Response(text="It depends.")}
    waiting = totals(paper, given, max_score=Decimal(40), passing_score=Decimal(20))
    graded = totals(
        paper, given, max_score=Decimal(40), passing_score=Decimal(20), graded={2: Decimal("0.5")}
    )

    assert waiting.points == waiting.ungraded == 1
    assert (waiting.score, waiting.percentage, waiting.passed) == (None, None, None)
    assert (graded.score, graded.percentage, graded.passed) == (Decimal(20), Decimal(50), True)
