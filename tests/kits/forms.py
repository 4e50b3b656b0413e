"""Submissions to one form as the frames that features take, from candidates' choices."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.random import Generator

from pipeline.features.tallying import sheet_of_choices

OPTIONS = "abcd"


def answered(
    choices: Sequence[str],
    key: str,
    *,
    worth: Sequence[float] = (),
    seconds: Sequence[Sequence[float | None]] = (),
    ungraded: frozenset[tuple[int, int]] = frozenset(),
    void: frozenset[int] = frozenset(),
    passed: Sequence[bool | None] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """
    Return submissions and responses, as `sheet_of_choices` does.

    Args:
        choices: of each candidate, a letter for each item, a space where it was omitted.
        key: the right ones.
        worth: points of each item, 1 where it is not said.
        seconds: of each candidate on each item.
        ungraded: (candidate, item) whose points wait.
        void: candidates whose result does not count.
        passed: of each candidate.
    """
    submissions, responses = sheet_of_choices(choices, key=key)
    cells = [(person, item) for person in range(len(choices)) for item in range(len(key))]
    points = pl.Series([worth[item] if worth else 1.0 for _, item in cells], dtype=pl.Float64)
    waits = pl.Series([cell in ungraded for cell in cells], dtype=pl.Boolean)
    told = [seconds[person][item] if seconds else None for person, item in cells]
    return (
        submissions.with_columns(
            is_void=pl.Series([n in void for n in range(len(choices))], dtype=pl.Boolean),
            passed=pl.Series(list(passed) or [None] * len(choices), dtype=pl.Boolean),
        ),
        responses.with_columns(
            max_points=points,
            points=pl.when(~waits).then(pl.col("points") * points),
            seconds=pl.Series(told, dtype=pl.Float64),
        ),
    )


def cohort(rng: Generator, people: int, items: int) -> tuple[list[str], str]:
    """Return choices of candidates of normal ability on items of normal difficulty, and the key (Rasch)."""
    key = "".join(rng.choice(list(OPTIONS), items))
    ability, difficulty = rng.normal(size=people), rng.normal(size=items)
    knows = rng.random((people, items)) < 1 / (1 + np.exp(difficulty - ability[:, None]))
    wrong = [[each for each in OPTIONS if each != right] for right in key]
    rows = [[key[n] if known else str(rng.choice(wrong[n])) for n, known in enumerate(row)] for row in knows]
    return ["".join(row) for row in rows], key
