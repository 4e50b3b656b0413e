"""The demo's questions are sound, and its candidates' answers fit them."""

import random
from pathlib import Path

import msgspec
import pytest

from core_api.authoring.items import Item, ItemKind, Response, fault_of_item, fault_of_response
from deploy.commands.demo_receipts import Kept
from loadtests.client.paper import ITEMS, respond


def test_every_question_is_one_that_the_api_takes() -> None:
    assert [fault_of_item(msgspec.convert(item, Item)) for item in ITEMS] == [None] * len(ITEMS)
    assert {item["kind"] for item in ITEMS} == set(ItemKind) - {ItemKind.finding}


@pytest.mark.parametrize("seed", range(20))
def test_every_answer_fits_its_question_and_an_essay_only_grows(seed: int) -> None:
    dice = random.Random(seed)
    for item in ITEMS:
        response = respond(dice, item["kind"], item["content"], {})
        more = respond(dice, item["kind"], item["content"], response)

        for each in (response, more):
            assert fault_of_response(msgspec.convert(item, Item), msgspec.convert(each, Response)) is None
        if item["kind"] == "essay":
            assert more["text"].startswith(response["text"])
            assert len(more["text"]) > len(response["text"])


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
