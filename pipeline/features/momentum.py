"""
Learning momentum (LMI): whether somebody's results, and their work on their texts, go up or down.

Grain: one row per attempt of a person, from the steps up to it. LMI = 100 Φ(m n / (n + 2)), 0 to 100, where m
is the mean of the last n steps' z, at most 10, weighted 2^(-age / 3) with age 0 for the latest; n / (n + 2)
draws few steps towards 50. A step is one of these:

- from one result to the next: the difference of two normal scores over its spread √2. A normal score is
  Φ^-1((those below + half of those equal) / cohort), one's own result among the equal: results of easy and
  hard exams compare. Without a cohort of 10 an attempt has none;
- a text that was revised: z = (TQ - median) / MAD of thinking quality (`drafts`) in its cohort; an attempt's
  texts give their mean. No z under a cohort of 10, or where MAD is 0. Both are the exam's norms
  (`norms`).

|z| is cut at 3. 50 is no momentum: a constant series gives 50, the mirrored series 100 - LMI. Null: no step,
as of a first attempt without a revised text; it is never taken for a low value. Bands: from 70 healthy, from
40 watch, below falling. `cumulative_lmi` is the mean of the last 10 LMIs that are not null, weighted by their
n. No characters are counted anywhere: a text padded with its own sentences has the same thinking quality,
thus the same LMI.

The weights are those of an exponentially weighted moving average with a half-life of three steps (Roberts,
"Control Chart Tests Based on Geometric Moving Averages", 1959); normal scores are van der Waerden's. Source:
analytics.md, "LMI".

>>> round(lmi([1.0, 1.0, 1.0]), 2)
72.57
>>> lmi([0.0, 0.0]), lmi([]) is None
(50.0, True)
>>> round(lmi([2.0, -1.0]) + lmi([-2.0, 1.0]), 9)
100.0
>>> band(72.57), band(50.0), band(39.9)
('healthy', 'watch', 'falling')
>>> round(normal_score(below=12, equal=2, cohort=20), 4)
0.3853
"""

from collections.abc import Sequence
from math import erf, fsum, sqrt
from statistics import NormalDist
from typing import Any, Final

import polars as pl

from pipeline.features.frames import PROGRESS, UTC, as_json, checked, reason

METRIC_VERSION: Final = "momentum-1"
STEPS_MAX: Final = 10
HALF_LIFE: Final = 3
SHRINKING: Final = 2
Z_MAX: Final = 3.0
COHORT_MIN: Final = 10
CUMULATED_MAX: Final = 10
HEALTHY_MIN: Final = 70.0
WATCH_MIN: Final = 40.0
SPREAD: Final = sqrt(2)  # of the difference of two independent normal scores
NORMAL: Final = NormalDist()

_COLUMNS: Final[dict[str, Any]] = {
    "student_id": pl.String,
    "attempt_id": pl.String,
    "finalised_at": UTC,
    "lmi": pl.Float64,
    "lmi_band": pl.String,
    "lmi_steps": pl.Int32,
    "cumulative_lmi": pl.Float64,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
}
SCHEMA: Final = pl.Schema(_COLUMNS)

NO_STEP: Final = "There is no earlier result and no revised text to compare with."


def normal_score(*, below: int, equal: int, cohort: int) -> float | None:
    """Return a result's normal score, its own result among the equal ones; None under a cohort of 10."""
    if cohort < COHORT_MIN:
        return None
    assert equal > 0, "the result is one of its cohort's"
    return NORMAL.inv_cdf((below + equal / 2) / cohort)


def draft_z(quality: float, *, middle: float, deviation: float) -> float | None:
    """Return z of a text's thinking quality, by its cohort's median and MAD; None where most is alike."""
    return _cut((quality - middle) / deviation) if deviation else None


def score_step(before: float, after: float) -> float:
    """Return z of the step from one normal score to the next."""
    return _cut((after - before) / SPREAD)


def lmi(steps: Sequence[float]) -> float | None:
    """Return LMI, 0 to 100, of steps' z in their order; None without any."""
    last = steps[-STEPS_MAX:]
    if not last:
        return None
    n = len(last)
    weights = [2 ** (-(n - 1 - at) / HALF_LIFE) for at in range(n)]
    mean = fsum(weight * _cut(z) for weight, z in zip(weights, last, strict=True)) / fsum(weights)
    return 50 * (1 + erf(mean * n / (n + SHRINKING) / sqrt(2)))


def band(value: float) -> str:
    """Return an LMI's band: `healthy`, `watch` or `falling`."""
    return "healthy" if value >= HEALTHY_MIN else "watch" if value >= WATCH_MIN else "falling"


def cumulative(values: Sequence[tuple[float | None, int]]) -> float | None:
    """
    Return the mean of the last 10 LMIs that are not null, weighted by n; values are (LMI, n) in their order.

    >>> cumulative([(None, 0), (60.0, 1), (40.0, 3)])
    45.0
    """
    last = [(value, n) for value, n in values if value is not None and n > 0][-CUMULATED_MAX:]
    if not last:
        return None
    return fsum(value * n for value, n in last) / sum(n for _, n in last)


def learning_momentum(progress: pl.DataFrame) -> pl.DataFrame:
    """
    Return LMI after each attempt: SCHEMA, by student and in their order.

    Args:
        progress: the frame PROGRESS, all attempts of each student, in any order.
    """
    ordered = checked(progress, PROGRESS).sort("student_id", "finalised_at", "attempt_id")
    rows = []
    for (student_id,), own in ordered.group_by("student_id", maintain_order=True):
        steps: list[tuple[int, float]] = []  # of which attempt
        values: list[tuple[float | None, int]] = []
        before: float | None = None
        for at, row in enumerate(own.iter_rows(named=True)):
            if row["normal_score"] is not None:
                steps += [] if before is None else [(at, score_step(before, row["normal_score"]))]
                before = row["normal_score"]
            if row["draft_z"] is not None:
                steps.append((at, _cut(row["draft_z"])))
            last = steps[-STEPS_MAX:]
            value = lmi([z for _, z in last])
            values.append((value, len(last)))
            looked = min(at + 1, STEPS_MAX)
            rows.append(
                {
                    "student_id": student_id,
                    "attempt_id": row["attempt_id"],
                    "finalised_at": row["finalised_at"],
                    "lmi": value,
                    "lmi_band": None if value is None else band(value),
                    "lmi_steps": len(last),
                    "cumulative_lmi": cumulative(values),
                    "metric_version": METRIC_VERSION,
                    "coverage": len({each for each, _ in last if each > at - looked}) / looked,
                    "reasons": as_json([_reason(value, [z for _, z in last])]),
                }
            )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _reason(value: float | None, steps: Sequence[float]) -> dict[str, Any]:
    if value is None:
        return reason("NO_STEP", 0, 1, 0, NO_STEP)
    up, down = sum(z > 0 for z in steps), sum(z < 0 for z in steps)
    went = f"Of the last {len(steps)} steps {up} went up and {down} went down"
    bar = WATCH_MIN if value < HEALTHY_MIN else HEALTHY_MIN
    return reason("MOMENTUM", value, bar, len(steps), f"{went}: {value:.0f} of 100, where 50 is none.")


def _cut(z: float) -> float:
    return max(-Z_MAX, min(Z_MAX, z))
