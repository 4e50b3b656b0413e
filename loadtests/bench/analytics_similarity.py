"""
How many pairs of candidates a second are compared: a whole exam of 10,000, from its responses to the rows
that are kept.
"""

import statistics
from time import perf_counter
from typing import Final

from pipeline.features.similarity import answer_similarity
from pipeline.features.simulated import Plan, cohort

SEED: Final = 13


def similarity_pairs_per_s(*, candidates: int = 10_000, items: int = 60, rounds: int = 3) -> float:
    """
    Return the median of the rounds.

    Args:
        candidates: of the one exam; 20 of them copied from others.
        items: of its form, with four options each.
        rounds: how often all of it is done.
    """
    exam = cohort(SEED, Plan(candidates=candidates, items=items, copiers=20, copied=0.9))
    seconds = []
    for _ in range(rounds):
        began = perf_counter()
        found = answer_similarity(exam.submissions, exam.responses)
        seconds.append(perf_counter() - began)
        assert found["is_similar"].any(), "those who copied are found"
    return candidates * (candidates - 1) / 2 / statistics.median(seconds)
