"""
How far two reviewers agree beyond chance: Cohen's kappa. Pure.

Definitions, over n pairs of which n_ij have status i in the first review and j in the second:

    observed  p_o = sum_i n_ii / n                     the share of pairs that agree
    expected  p_e = sum_i n_i. n_.i / n^2              the share that would by chance, with the same totals
    kappa     (p_o - p_e) / (1 - p_e)                  1: always, 0: as by chance, below: less than that

It is undefined without pairs, and where both reviews have one and the same status throughout (p_e = 1). The
interval is that of the large-sample standard error; with fewer than PAIRS_MIN pairs it would say too much.

Source: Cohen 1960 (kappa); Fleiss, Cohen & Everitt 1969, formula 13 (its standard error).
"""

from collections.abc import Sequence
from math import sqrt
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

PAIRS_MIN: Final = 30
LEVEL: Final = 0.95
Z: Final = 1.959963984540054  # of the normal distribution, LEVEL between -Z and Z
Reason = Literal["no_pairs", "one_status", "few_pairs"]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that hold the true value with a probability of `level`."""

    level: float
    low: float
    high: float


class Kappa(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    How far the pairs agree. `reason` says why something is null: `no_pairs`, `one_status` (both reviews have
    the same status throughout, which chance explains as well), `few_pairs` (no interval under 30).
    """

    pairs: Annotated[int, Meta(ge=0)]
    observed_agreement: float | None
    expected_agreement: float | None
    kappa: Annotated[float, Meta(ge=-1, le=1)] | None
    confidence_interval: Interval | None
    reason: Reason | None


def kappa_of(counts: Sequence[Sequence[int]]) -> Kappa:
    """
    Return how far pairs of reviews agree.

    Args:
        counts: square; `counts[i][j]` pairs have category i in the first review and j in the second.
    """
    totals = list(zip(map(sum, counts), map(sum, zip(*counts, strict=True)), strict=True))
    pairs = sum(map(sum, counts))
    if pairs == 0:
        return _without(0, None, "no_pairs")
    agreed = sum(row[i] for i, row in enumerate(counts))
    by_chance = sum(first * second for first, second in totals)  # of pairs squared
    if by_chance == pairs**2:
        return _without(pairs, 1.0, "one_status")
    value = (agreed * pairs - by_chance) / (pairs**2 - by_chance)
    few = pairs < PAIRS_MIN
    return Kappa(
        pairs=pairs,
        observed_agreement=agreed / pairs,
        expected_agreement=by_chance / pairs**2,
        kappa=value,
        confidence_interval=None if few else _interval(value, standard_error(counts)),
        reason="few_pairs" if few else None,
    )


def standard_error(counts: Sequence[Sequence[int]]) -> float:
    """Return kappa's large-sample standard error, of counts for which it is defined."""
    pairs = sum(map(sum, counts))
    first = [sum(row) / pairs for row in counts]
    second = [sum(column) / pairs for column in zip(*counts, strict=True)]
    shares = [[each / pairs for each in row] for row in counts]
    observed = sum(row[i] for i, row in enumerate(shares))
    expected = sum(a * b for a, b in zip(first, second, strict=True))
    missed = (1 - observed) / (1 - expected)  # 1 - kappa
    agreeing = sum(row[i] * (1 - (first[i] + second[i]) * missed) ** 2 for i, row in enumerate(shares))
    differing = sum(
        share * (second[i] + first[j]) ** 2
        for i, row in enumerate(shares)
        for j, share in enumerate(row)
        if i != j
    )
    spread = agreeing + missed**2 * differing - (1 - missed - expected * missed) ** 2
    error: float = sqrt(max(spread, 0.0) / pairs) / (1 - expected)
    return error


def _interval(value: float, error: float) -> Interval:
    return Interval(level=LEVEL, low=max(value - Z * error, -1.0), high=min(value + Z * error, 1.0))


def _without(pairs: int, share: float | None, reason: Reason) -> Kappa:
    return Kappa(
        pairs=pairs,
        observed_agreement=share,
        expected_agreement=share,
        kappa=None,
        confidence_interval=None,
        reason=reason,
    )
