"""
Like answers by chance: how likely they are for two people, given what each has scored.

Nothing is assumed of the items but that the chance of each option changes smoothly with the total score.
Per item and total score: the chance to be right, smoothed over neighbouring scores (residuals from the
item's overall difficulty, Gaussian weights, Ramsay's bandwidth) and shifted so that the chances of a
score add up to that score; and the chance of each wrong option, smoothed alike. From them comes the
distribution of the number of identical answers of two people who worked independently, *given both
totals*: its tail by Skovgaard's double saddlepoint, which stays right to a few percent where p is 1e-12.
Given only two abilities, the tail would be that of a Poisson binomial (the generalised binomial test, and
ω as its normal form); it expects the same number of matches but ignores that the totals are fixed, and so
its spread is too wide, most of all in easy tests, where it finds too little.

Two people with 14 of 20 right, at items that are equally hard and have three wrong options each: how many
answers they share on average, with which spread, and the chance of 17 or more.

>>> chosen = np.tile([14, 2, 2, 2], (1, 20, 1))
>>> known = chances(np.array([14]), np.array([20]), chosen, np.tile([True, False, False, False], (20, 1)))
>>> place = np.array([0])
>>> expected = cells(known, place, place)
>>> p = rescaled(tail(known, expected, place, place, np.array([17])), 1.0)[1]
>>> float(expected.mean[0].round(2)), float(expected.spread[0].round(2)), float(p[0].round(5))
(10.4, 1.4, 0.00011)

Source: Wollack 1997 (Applied Psychological Measurement 21, 307); van der Linden & Sotaridona 2006
(Journal of Educational and Behavioral Statistics 31, 283); Ramsay 1991 (Psychometrika 56, 611); Skovgaard
1987 (Journal of Applied Probability 24, 875).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from scipy.special import expit, logit, ndtr

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BANDWIDTH: Final = 1.1  # Ramsay's, in standard deviations of the score times n to the power of -1/5
PRIOR: Final = 10.0  # candidates that the item's overall chances count for, at each score
EDGE: Final = 0.25  # of a point, that nobody's total counts as nearer to none or to all
NORMAL_BELOW: Final = 1.0  # standard deviations over the mean, up to which a normal tail is as good
STEPS: Final = 60
P_MIN: Final = 1e-300  # what every format can write
SETTLED: Final = 1e-9
ELEMENTS: Final = 1 << 19  # of one array that is worked on at a time


class Chances(Struct, frozen=True):
    """
    Chances per total score and item. Shapes: (scores), (scores, items), (scores, items, options).

    `total` is the number right, kept EDGE away from none and all; `right` the chance of any right answer;
    `options` that of each option given that the answer is right, or wrong, as `is_right` has it for each;
    those of right options add up to 1 or less, so do those of wrong ones: the rest of each cannot match.
    `step` is what matches go up by: 2 where no item has more than two options (who differs at one item
    differs at another, or the totals would), else 1.
    """

    total: Floats
    right: Floats
    options: Floats
    is_right: npt.NDArray[np.bool_]
    step: float


class Cells(Struct, frozen=True):
    """
    What is expected of pairs with these two totals: one place for each cell.

    `mean` of identical answers and `spread`, their standard deviation given both totals; `wrong` the mean
    number of identical wrong answers.
    """

    mean: Floats
    spread: Floats
    wrong: Floats


def chances(scores: Ints, people: Ints, chosen: Ints, is_right: npt.NDArray[np.bool_]) -> Chances:
    """
    Return the smoothed chances.

    Args:
        scores: distinct numbers right, ascending.
        people: how many candidates have each.
        chosen: how many of those chose each option: (scores, items, options). What is not among the options
            (omitted, or an answer that nobody shares) can match nothing and is wrong.
        is_right: whether an option is right: (items, options).
    """
    n, items = int(people.sum()), chosen.shape[1]
    mean = float((people * scores).sum()) / n
    spread = (float((people * scores**2).sum()) / n - mean**2) ** 0.5
    width = max(BANDWIDTH * spread * n**-0.2, 0.5)
    near = np.exp(-0.5 * ((scores[:, None] - scores) / width) ** 2)  # (score, of score)
    total = np.clip(scores.astype(np.float64), EDGE, items - EDGE)
    right_by = (chosen * is_right).sum(axis=2)
    overall = logit((right_by.sum(axis=0) + 0.5) / (n + 1))
    prior = _shifted(np.broadcast_to(overall, right_by.shape), total)
    over = _summed(near, right_by - people[:, None] * prior)
    weight = _summed(near, people[:, None].astype(np.float64))
    least = 0.5 / (n + 1)
    right = _shifted(logit(np.clip(prior + over / (weight + PRIOR), least, 1 - least)), total)
    options = np.zeros(chosen.shape)
    for kind, by in ((is_right, right_by), (~is_right, people[:, None] - right_by)):
        counts = (chosen * kind).astype(np.float64)
        usual = counts.sum(axis=0) / np.maximum(by.sum(axis=0), 1)[:, None]
        smooth = _summed(near, counts) + PRIOR * usual
        options += smooth / (_summed(near, by.astype(np.float64)) + PRIOR)[:, :, None]
    step = 2.0 if (chosen.sum(axis=0) > 0).sum(axis=1).max() <= 2 else 1.0
    return Chances(total, right, options, is_right, step)


def _summed(near: Floats, values: Floats) -> Floats:
    """Return values summed over scores by nearness, in one order whatever the machine."""
    return np.array([(row.reshape(-1, *[1] * (values.ndim - 1)) * values).sum(axis=0) for row in near])


def _shifted(odds: Floats, total: Floats) -> Floats:
    """Return chances of these log odds, each score's shifted alike so that they add up to that score."""
    low, high = np.full(len(total), -40.0), np.full(len(total), 40.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        is_low = expit(odds + middle[:, None]).sum(axis=1) < total
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    shifted: Floats = expit(odds + ((low + high) / 2)[:, None])
    return shifted


class _Items(Struct, frozen=True):
    """The five things that can happen at an item, as chances: (cells, items) each."""

    both: Floats  # right, and identical
    apart: Floats  # both right, by another answer
    first: Floats  # only the first
    second: Floats  # only the second
    same: Floats  # both wrong, and identical
    none: Floats  # both wrong, and not


def _items(known: Chances, first: Ints, second: Ints) -> _Items:
    p, q = known.right[first], known.right[second]
    product = known.options[first] * known.options[second]
    alike = (product * known.is_right).sum(axis=2)
    agreed = (product * ~known.is_right).sum(axis=2)
    return _Items(
        p * q * alike,
        p * q * (1 - alike),
        p * (1 - q),
        (1 - p) * q,
        (1 - p) * (1 - q) * agreed,
        (1 - p) * (1 - q) * (1 - agreed),
    )


def cells(known: Chances, first: Ints, second: Ints) -> Cells:
    """Return what is expected of pairs, given the places of their two totals: (cells) each."""
    return Cells(*_in_parts(lambda one, other: _cells(_items(known, one, other)), known, first, second))


def _in_parts(work: Callable[..., tuple[Floats, ...]], known: Chances, *columns: Ints) -> list[Floats]:
    """Return the work's columns over all places, some at a time so that memory stays bounded."""
    step = max(1, ELEMENTS // known.options[0].size)
    parts = [work(*(each[at : at + step] for each in columns)) for at in range(0, len(columns[0]), step)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _cells(items: _Items) -> tuple[Floats, Floats, Floats]:
    _, mean, curve = _moments(items, np.zeros((3, len(items.both))))
    return mean[0], np.sqrt(_determinant(curve) / _determinant_of_totals(curve)), items.same.sum(axis=1)


def tail(known: Chances, expected: Cells, first: Ints, second: Ints, matches: Ints) -> Floats:
    """
    Return z of P(identical answers ≥ matches | both totals): that probability is Φ(-z), so that it can be
    compared and rescaled where it is too small to be written.

    Args:
        known: the chances.
        expected: of each pair, from `cells`.
        first: place of one's total.
        second: of the other's.
        matches: identical answers.
    """
    z: Floats = (matches - known.step / 2 - expected.mean) / expected.spread
    far = np.flatnonzero(z > NORMAL_BELOW)
    if len(far):

        def work(one: Ints, other: Ints, least: Ints) -> tuple[Floats, ...]:
            wanted = np.array([least - known.step / 2, known.total[one], known.total[other]])
            return (_saddlepoint(_items(known, one, other), wanted, known.step),)

        [z[far]] = _in_parts(work, known, first[far], second[far], matches[far])
    return z


def _saddlepoint(items: _Items, wanted: Floats, step: float) -> Floats:
    """Return z of the tail from `wanted` (3, cells): matches less half a step, and both totals."""
    turns = np.zeros_like(wanted)
    _, mean, unturned = _moments(items, turns)
    curve = unturned
    for _ in range(STEPS):
        steps = np.linalg.solve(curve.transpose(2, 0, 1), (wanted - mean).T[:, :, None])[:, :, 0].T
        size = np.sqrt(3 * (steps**2).sum(axis=0))
        turns += steps * np.log1p(size) / np.maximum(size, np.finfo(np.float64).tiny)  # never too far
        logs, mean, curve = _moments(items, turns)
        if size.max() < SETTLED:
            break
    r = np.sqrt(2 * ((turns * wanted).sum(axis=0) - logs))
    u = (
        np.sqrt(_determinant(curve) / _determinant_of_totals(unturned))
        * np.sinh(step * turns[0] / 2)
        * 2
        / step
    )
    z: Floats = r + np.log(u / r) / r
    return z


def _moments(items: _Items, turns: Floats) -> tuple[Floats, Floats, Floats]:
    """
    Return log of the moment generating function of (matches, right of the first, right of the second) at
    `turns`, its gradient (3, cells) and its second derivatives (3, 3, cells).
    """
    match, first, second = (np.exp(each)[:, None] for each in turns)
    both, same = items.both * (match * first * second), items.same * match
    right, one, other = both + items.apart * (first * second), items.first * first, items.second * second
    whole = right + one + other + same + items.none
    m, a, b = (both + same) / whole, (right + one) / whole, (right + other) / whole
    both, right = both / whole, right / whole
    mean = np.array([m.sum(axis=1), a.sum(axis=1), b.sum(axis=1)])
    mm, aa, bb = ((each - each * each).sum(axis=1) for each in (m, a, b))
    ma, mb, ab = (both - m * a).sum(axis=1), (both - m * b).sum(axis=1), (right - a * b).sum(axis=1)
    return np.log(whole).sum(axis=1), mean, np.array([[mm, ma, mb], [ma, aa, ab], [mb, ab, bb]])


def _determinant(m: Floats) -> Floats:
    whole: Floats = (
        m[0, 0] * _determinant_of_totals(m)
        - m[0, 1] * (m[0, 1] * m[2, 2] - m[1, 2] * m[0, 2])
        + m[0, 2] * (m[0, 1] * m[1, 2] - m[1, 1] * m[0, 2])
    )
    return whole


def _determinant_of_totals(m: Floats) -> Floats:
    minor: Floats = m[1, 1] * m[2, 2] - m[1, 2] ** 2
    return minor


def rescaled(z: Floats, factor: float) -> tuple[Floats, Floats]:
    """Return z over the root of the factor, and its upper tail probability, P_MIN at least."""
    scaled = z / factor**0.5
    return scaled, np.maximum(ndtr(-scaled), P_MIN)
