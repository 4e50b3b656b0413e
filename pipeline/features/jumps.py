"""
Sudden jumps: a result, or a speed, far above all that the same person did before.

Grain: one value against the earlier ones of one person, in their order. Results are normal scores
(`momentum`), the scale on which exams of different difficulty compare; speeds are logarithms. Gives the
indicators of `originality`:

- SUDDEN_JUMP, reliable change > 3: (x - m) / (SEM sqrt(1 + 1/n)), with m the mean of the n earlier results
  and SEM the standard error of measurement on the same scale, sqrt(1 - alpha) for normal scores. For n = 1 it
  is the reliable change index of Jacobson and Truax (1991). People also really change, and by how much only
  their own history tells; so the value is the smaller of this and of z below.
- SPEED_JUMP, z > 2.33: t = (x - m) / (s sqrt(1 + 1/n)) with s the standard deviation of the earlier values,
  which has Student's distribution with n - 1 degrees of freedom; z is the normal value that is exceeded as
  rarely.

Null, no indicator: under 3 earlier values, or without spread among them. Of a person whose values go on as
they were, at most 1 % of attempts have SPEED_JUMP and 0.14 % SUDDEN_JUMP, whatever their own level and
spread.

>>> round(excess([0.1, -0.2, 0.0, 0.3, -0.1], 2.2), 2)
3.48
>>> excess([0.1, 0.2], 2.2) is None
True
>>> [each["code"] for each in jumps([0.1, -0.2, 0.0, 0.3, -0.1], 2.2, sem=0.4)]
['SUDDEN_JUMP']
>>> jumps([0.1, -0.2, 0.0, 0.3, -0.1], 0.4, sem=0.4)
[]

Source: analytics.md, "originality_indicators": SUDDEN_JUMP, SPEED_JUMP.
"""

from collections.abc import Sequence
from math import fsum, sqrt
from typing import Any, Final

from scipy.special import ndtr, ndtri, stdtr

from pipeline.features.indicators import indicator

HISTORY_MIN: Final = 3
SUDDEN_MIN: Final = 3.0
SPEED_MIN: Final = 2.33
SAME: Final = 1e-9  # a spread no larger than this is rounding


def jumps(
    results: Sequence[float],
    result: float | None,
    *,
    sem: float | None = None,
    speeds: Sequence[float] = (),
    speed: float | None = None,
) -> list[dict[str, Any]]:
    """
    Return an attempt's indicators against its candidate's earlier attempts.

    Args:
        results: normal scores of the earlier attempts, in any order.
        result: the attempt's own; None while it is not known.
        sem: standard error of measurement of a result, on the same scale; None while the exam has none.
        speeds: logarithms of the earlier speeds, in any order.
        speed: the attempt's own.
    """
    found = []
    own = None if result is None else excess(results, result)
    if result is not None and own is not None and sem:
        change = (result - _mean(results)) / (sem * sqrt(1 + 1 / len(results)))
        value = min(change, own)
        if value > SUDDEN_MIN:
            says = f"The result is {value:.1f} standard errors above the mean of {len(results)} earlier ones."
            found.append(indicator("SUDDEN_JUMP", value, SUDDEN_MIN, len(results), says, float(ndtr(-value))))
    faster = None if speed is None else excess(speeds, speed)
    if faster is not None and faster > SPEED_MIN:
        says = (
            f"The work was done faster than {len(speeds)} earlier ones, by {faster:.1f} standard deviations."
        )
        found.append(indicator("SPEED_JUMP", faster, SPEED_MIN, len(speeds), says, float(ndtr(-faster))))
    return found


def excess(earlier: Sequence[float], value: float) -> float | None:
    """Return how far a value is above the earlier ones, as a normal value; None: too few, or alike."""
    n = len(earlier)
    if n < HISTORY_MIN:
        return None
    mean = _mean(earlier)
    spread = sqrt(fsum((each - mean) ** 2 for each in earlier) / (n - 1))
    if spread <= SAME:
        return None
    t = (value - mean) / (spread * sqrt(1 + 1 / n))
    return float(-ndtri(stdtr(n - 1, -t)))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
