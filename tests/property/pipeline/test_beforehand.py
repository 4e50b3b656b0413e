"""A score on items that may have been known, against everything that can happen (spec.md W-1)."""

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.beforehand import _counts, _given, known_beforehand
from pipeline.features.simulated import Plan, cohort

CHANCES = st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4)


@settings(max_examples=20)
@given(CHANCES, CHANCES, st.data())
def test_the_chance_of_a_part_given_the_whole_is_that_of_all_outcomes(
    listed: list[float], rest: list[float], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, len(listed) + len(rest)))
    ways = np.zeros(len(listed) + 1)
    for outcome in product((0, 1), repeat=len(listed) + len(rest)):
        if sum(outcome) == total:
            chance = prod(
                p if is_right else 1 - p for p, is_right in zip(listed + rest, outcome, strict=True)
            )
            ways[sum(outcome[: len(listed)])] += chance

    given = _given(_counts(np.array(listed)), _counts(np.array(rest)), total)

    assert given == pytest.approx(ways / ways.sum(), abs=1e-12)


def test_order_changes_nothing_and_too_few_items_say_nothing() -> None:
    exam = cohort(3, Plan(candidates=60, items=20, insiders=3, leaked=0.5, difficulty=0.5))

    found = known_beforehand(exam.responses, exam.leaked)

    shuffled = exam.responses.sample(fraction=1, shuffle=True, seed=1)
    assert known_beforehand(shuffled, exam.leaked[::-1]).equals(found)
    assert len(found) == 60
    assert known_beforehand(exam.responses, exam.leaked[:4]).rows() == []
