"""
Trends: whether results, integrity or momentum of a person improve, decline or stand.

Grain: one row per person and kind. Takes values with when they were made, in any order: they are put in the
order (occurred_at, sequence, id) here, never that of rows. With n values and δ, what counts as a change at
all:

- n < 2: null, "too few";
- n = 2 or 3: the last minus the one before, improving above δ, declining below -δ;
- n >= 4: the Theil-Sen slope, the median of the slopes of all pairs over their places (Theil 1950, Sen 1968),
  times n - 1, beyond δ, and a two-sided Mann-Kendall p < 0.10 (Mann 1945, Kendall 1975; normal approximation
  with ties and continuity corrected). Either alone is no trend.

δ is 0.05 for integrity (0 to 1), 5 for LMI (0 to 100), and for results in percent max(5, 1.645 √2 SEM), so
that what two sittings differ by without anybody's having changed is no trend. What stands is `stagnant` for
results and `stable` for the others. At most the last 100 values count. Source: analytics.md,
"improvement_trend".

>>> trend([50.0, 52.0, 60.0], 5.0)
Trend(direction='improving', n=3, change=8.0, p=None)
>>> found = trend([40.0, 48.0, 55.0, 61.0], 5.0)
>>> found.direction, found.change, round(found.p, 4)
('improving', 21.0, 0.0894)
>>> trend([61.0, 40.0, 55.0, 48.0], 5.0).direction
'standing'
>>> trend([50.0], 5.0) is None
True
>>> round(score_delta(4.0), 3), score_delta(None)
(9.306, 5.0)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import erfc, sqrt
from statistics import median
from typing import Any, Final

import polars as pl
from msgspec import Struct

from pipeline.features.frames import POINTS, as_json, checked, reason

METRIC_VERSION: Final = "trends-1"
VALUES_MAX: Final = 100
SLOPES_MIN: Final = 4
CHANCE: Final = 0.10
INTEGRITY_DELTA: Final = 0.05
LMI_DELTA: Final = 5.0
SCORE_DELTA_MIN: Final = 5.0
SEM_FACTOR: Final = 1.645 * sqrt(2)

_COLUMNS: Final[dict[str, Any]] = {
    "student_id": pl.String,
    "trend": pl.String,
    "n": pl.Int32,
    "change": pl.Float64,
    "p": pl.Float64,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
}
SCHEMA: Final = pl.Schema(_COLUMNS)
TOO_FEW: Final = "A trend needs two values; there {}."


class Trend(Struct, frozen=True):
    """
    Which way values go.

    Attributes:
        direction: `improving`, `declining` or `standing`.
        n: how many values.
        change: in the values' unit, from the first to the last as the slope has it; under 4 the last step.
        p: of Mann and Kendall; None under 4 values.
    """

    direction: str
    n: int
    change: float
    p: float | None


def trend(values: Sequence[float], delta: float) -> Trend | None:
    """Return which way values in their order go, against what counts as a change; None under two of them."""
    last = values[-VALUES_MAX:]
    n = len(last)
    if n < 2:
        return None
    if n < SLOPES_MIN:
        return Trend(_direction(last[-1] - last[-2], delta), n, last[-1] - last[-2], None)
    change, p = theil_sen(last) * (n - 1), mann_kendall(last)
    return Trend(_direction(change, delta) if p < CHANCE else "standing", n, change, p)


def theil_sen(values: Sequence[float]) -> float:
    """Return the median slope per place of all pairs of at least two values."""
    return median((b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(values), 2))


def mann_kendall(values: Sequence[float]) -> float:
    """
    Return the two-sided p of no trend, of at least two values.

    >>> round(mann_kendall([1.0, 2.0, 2.0, 3.0, 5.0]), 4)
    0.0433
    """
    n = len(values)
    s = sum((b > a) - (b < a) for a, b in combinations(values, 2))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    if s == 0 or variance == 0:
        return 1.0
    return erfc((abs(s) - 1) / sqrt(variance) / sqrt(2))


def label_of(found: Trend | None, standing: str) -> str | None:
    """Return a trend's label, where `standing` is what its kind calls that; None without a trend."""
    return None if found is None else standing if found.direction == "standing" else found.direction


def score_delta(sem: float | None) -> float:
    """Return δ of results in percent, from the exam's standard error of measurement in percent."""
    return SCORE_DELTA_MIN if sem is None else max(SCORE_DELTA_MIN, SEM_FACTOR * sem)


def improvement_trend(points: pl.DataFrame, *, sems: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Return the trend of results in percent: SCHEMA; `sems` is the SEM of each student's latest exam."""
    known = sems or {}
    deltas = {each: score_delta(known.get(each)) for each in points["student_id"].unique()}
    return _trends(points, deltas, "stagnant", "percentage points")


def integrity_trend(points: pl.DataFrame) -> pl.DataFrame:
    """Return the trend of integrity scores: SCHEMA."""
    return _trends(
        points, dict.fromkeys(points["student_id"].unique(), INTEGRITY_DELTA), "stable", "of integrity"
    )


def lmi_trend(points: pl.DataFrame) -> pl.DataFrame:
    """Return the trend of LMI: SCHEMA."""
    return _trends(points, dict.fromkeys(points["student_id"].unique(), LMI_DELTA), "stable", "points of LMI")


def _trends(points: pl.DataFrame, deltas: Mapping[str, float], standing: str, unit: str) -> pl.DataFrame:
    ordered = checked(points, POINTS).sort("student_id", "occurred_at", "sequence", "id")
    rows = []
    for (student_id,), own in ordered.group_by("student_id", maintain_order=True):
        values, delta = own["value"].drop_nulls().to_list(), deltas[str(student_id)]
        found = trend(values, delta)
        label = label_of(found, standing)
        rows.append(
            {
                "student_id": student_id,
                "trend": label,
                "n": len(values),
                "change": found and found.change,
                "p": found and found.p,
                "metric_version": METRIC_VERSION,
                "coverage": len(values) / own.height,
                "reasons": as_json([_reason(found, label, len(values), delta, unit)]),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _reason(found: Trend | None, label: str | None, n: int, delta: float, unit: str) -> dict[str, Any]:
    if found is None or label is None:
        return reason("TOO_FEW", n, 2, n, TOO_FEW.format("is one" if n else "is none"))
    by = f"changed by {found.change:+.3g} {unit}, where {delta:.3g} counts"
    chance = "" if found.p is None else f"; by chance alone as clear an order comes with p = {found.p:.2f}"
    return reason(label.upper(), found.change, delta, n, f"{n} values {by}{chance}: {label}.")


def _direction(change: float, delta: float) -> str:
    return "improving" if change > delta else "declining" if change < -delta else "standing"
