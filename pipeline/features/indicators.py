"""
What an indicator is: a code, its value against a threshold, of how many, how likely by chance, in words.

>>> indicator("LARGE_PASTE", 240, 200, 1, "240 characters were pasted at once.")["p"] is None
True

Source: analytics.md, "originality_indicators", and "integrity_score" for the strengths.
"""

from collections.abc import Sequence
from math import exp, fsum, lgamma, log
from statistics import NormalDist
from typing import Any, Final

from pipeline.features.frames import reason

NORMAL: Final = NormalDist()

# Of each indicator, how strong it is alone (0 to 1) where they are put together: 1 - the product of (1 -
# strength).
STRENGTHS: Final = {
    "NEAR_DUPLICATE": 0.6,
    "LARGE_PASTE": 0.3,
    "PASTE_SHARE": 0.3,
    "BURST_SPEED": 0.3,
    "SUDDEN_JUMP": 0.3,
    "SPEED_JUMP": 0.3,
    "REPLACED_TEXT": 0.2,
    "FEW_PAUSES": 0.2,
    "LOW_REVISION": 0.1,
    "IDENTICAL_DRAFT": 0.1,
}


def indicator(
    code: str, value: float, threshold: float, n: int, text: str, p: float | None = None
) -> dict[str, Any]:
    """Return an indicator; `p` is how likely such a value is in honest work, None where that is not known."""
    assert code in STRENGTHS, code
    return {**reason(code, value, threshold, n, text), "p": p}


def originality(codes: Sequence[str]) -> float:
    """
    Return what indicators say together, 0 (nothing) to 1; each code counts once, in any order.

    >>> round(originality(["LARGE_PASTE", "PASTE_SHARE", "LARGE_PASTE"]), 2)
    0.51
    """
    left = 1.0
    for code in sorted(set(codes)):
        left *= 1 - STRENGTHS[code]
    return 1 - left


def poisson_at_most(k: int, mean: float) -> float:
    """
    Return P(K <= k) of a Poisson variable.

    >>> round(poisson_at_most(1, 6.0), 4)
    0.0174
    """
    return min(1.0, fsum(exp(i * log(mean) - mean - lgamma(i + 1)) for i in range(k + 1)))
