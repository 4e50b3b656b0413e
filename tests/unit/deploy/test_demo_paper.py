"""The demo's questions are sound, and its candidates' answers fit them."""

import random
from pathlib import Path

import msgspec
import pytest

from core_api.authoring.items import Item, ItemKind, Response, fault_of_item, fault_of_response
from deploy.commands.demo_analytics import COLLUDING, SKILL
from deploy.commands.demo_receipts import Kept
from loadtests.client.paper import ITEMS, Hand, guess, hand_of, right
from pipeline.features.similarity import answer_similarity
from pipeline.features.tallying import sheet_of_choices


def test_every_question_is_one_that_the_api_takes() -> None:
    assert [fault_of_item(msgspec.convert(item, Item)) for item in ITEMS] == [None] * len(ITEMS)
    assert {item["kind"] for item in ITEMS} == set(ItemKind) - {ItemKind.finding}


@pytest.mark.parametrize("seed", range(20))
def test_every_answer_fits_its_question_and_one_hand_answers_it_the_same_each_time(seed: int) -> None:
    dice = random.Random(seed)
    hand = hand_of(dice)
    for item in ITEMS:
        final = hand.final(item["kind"], item["content"])
        first = final if item["kind"] == "essay" else guess(dice, item["kind"], item["content"])

        for each in (final, first):
            assert fault_of_response(msgspec.convert(item, Item), msgspec.convert(each, Response)) is None
        assert hand.final(item["kind"], item["content"]) == final


def test_who_has_another_s_answers_is_found_and_nobody_else() -> None:
    """As the demo plants it: 200 candidates, one of whom has the answers of another."""
    dice = random.Random(7)
    hands = [hand_of(dice) for _ in range(200)]
    hands[COLLUDING[0]] = hands[COLLUDING[1]] = Hand(seed=1, skill=SKILL)
    items = [(each["kind"], each["content"], each["key"]) for each in ITEMS if each["kind"] != "essay"]
    key = [right(kind, of_item) for kind, _, of_item in items]
    given = [[hand.final(kind, content) for kind, content, _ in items] for hand in hands]
    letters = [
        {str(each): chr(0x4E00 + n) for n, each in enumerate([row[place] for row in [key, *given]])}
        for place in range(len(items))
    ]
    key_row, *rows = (
        "".join(codes[str(each)] for codes, each in zip(letters, row, strict=True)) for row in [key, *given]
    )
    pairs = answer_similarity(*sheet_of_choices(rows, key=key_row))

    assert pairs.filter("is_similar").select("attempt_a", "attempt_b").rows() == [("a3", "a4")]


KEPT = Kept(
    candidates=3,
    submissions=3,
    drafts=7,
    retried=1,
    retried_same=1,
    receipts=3,
    verified=3,
    altered="WRONG: the content does not hash to the receipt's content_sha256",
    folder=Path(),
)


def test_the_demo_succeeds_when_every_receipt_verifies_and_the_altered_one_does_not() -> None:
    assert KEPT.ok


@pytest.mark.parametrize(
    "change",
    [
        {"submissions": 2},
        {"submissions": 4},
        {"receipts": 2},
        {"verified": 2},
        {"retried_same": 0},
        {"altered": "submission 1 stands at position 1 of the 2 signed events"},
    ],
    ids=str,
)
def test_the_demo_fails_when_a_submission_or_a_receipt_is_missing(change: dict[str, object]) -> None:
    assert not msgspec.structs.replace(KEPT, **change).ok
