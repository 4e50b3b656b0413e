"""
How each item of a form measured: its difficulty, its discrimination, what was chosen in place of the key.

Grain: one row per exam, form and item. Takes a form's `Tally` (`moments`), or submissions and responses
(`frames.SUBMISSIONS`, `frames.RESPONSES`), and gives the columns of the dataset `item_analysis`. Counted are
submissions that are not void and have all their points. With x an item's points, T the total, R = T - x the
rest, r Pearson's correlation:

- `difficulty` p = mean of x / full points, 0 to 1; the higher, the easier. Null without submissions.
- `omitted`: how many gave no response and got no points; what an import knew the points of was answered.
- `point_biserial` = r(x, R), corrected: the item does not correlate with itself. Null where x or R is the
  same for all, or the form has one item.
- `biserial` = point_biserial · √(p(1-p)) / φ(Φ⁻¹(p)): what r would be of the normal trait behind right and
  wrong; may exceed 1. Null also where some got part of the points.
- `d27` = mean share of the points in the upper 27 % by total less that in the lower 27 %, -1 to 1. Of a band
  of totals (half a percent of the full points) that the bound cuts, the mean counts for the share needed.
- `alpha_if_deleted`: Cronbach's alpha of the other items, as `reliability` defines it.
- `distractors`: of each option of a choice by how many it was chosen, their share, and `r`, the correlation
  of choosing it with R.
- `median_seconds` and `nt10_share`: of times that are known (`timed`), rounded down: to 0.1 s below 10 s, 1 s
  below 2 min, 5 s below 10 min, 30 s up to an hour, the longest. Rapid is t < min(10 s, 10 % of the item's
  mean), in whole tenths of a second: nobody reads the item in that time.
- `dif_delta`, `dif_class`: as `fairness` defines them, `A` negligible to `C` large; null unless the exam
  names the groups that are compared, and where a reason (`DIF_…`) says why not.

`flags`, from 30 submissions on; under that there is none, and the reason TOO_FEW. MISKEY: a distractor that
5 % or more chose correlates better with the rest than the key. EASY p > 0.90, HARD p < 0.20, WEAK
point_biserial < 0.10, RAPID nt10_share ≥ 0.10, DIF class C. `coverage` is the share of valid submissions that
are counted: the others wait for a grader.

The third item's key is wrong:

>>> from pipeline.features.tallying import sheet_of_choices
>>> sheet = sheet_of_choices(["aaaaaa"] * 12 + ["aaaaab"] * 8 + ["abbabb"] * 6 + ["bbbbbb"] * 4, key="aabaaa")
>>> rows = item_analysis(*sheet, as_of=None)
>>> rows.select("position", pl.col("difficulty", "point_biserial").round(3), "flags").rows()[1:3]
[(2, 0.667, 0.69, []), (3, 0.333, -0.918, ['MISKEY', 'WEAK'])]
>>> [(each["option"], each["chosen"], round(each["r"], 3)) for each in orjson.loads(rows["distractors"][2])]
[('a', 20, 0.918), ('b', 10, -0.918)]

Source: analytics.md, "Exam analytics"; Henrysson (1963), Psychometrika 28, 211-218 (corrected correlation);
Kelley (1939), Journal of Educational Psychology 30, 17-24 (27 %); Haladyna and Downing (1993), Educational
and Psychological Measurement 53, 999-1010 (5 % make a distractor); Wise and Ma (2012), Setting response time
thresholds for a CAT item pool: the normative threshold method (NT10).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from math import exp, pi, sqrt
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from msgspec import Struct, structs
from scipy.special import ndtri

from pipeline.features.fairness import Dif, difs, why_not
from pipeline.features.frames import UTC, as_json, reason
from pipeline.features.moments import BANDS, STEPS, Ints, Item, Tally
from pipeline.features.reliability import (
    FEW,
    Named,
    Whole,
    alpha_of,
    correlation,
    coverage_of,
    reasons_of,
    whole_of,
)
from pipeline.features.tallying import CHOICES, tallied

METRIC_VERSION: Final = "items-3"  # 2: no groups; 1: what has points and no response counted as omitted
TAIL: Final = Fraction(27, 100)
TENTHS_MAX: Final = 100  # of a rapid answer: 10 s
EASY: Final = 0.90
HARD: Final = 0.20
WEAK: Final = 0.10
RAPID: Final = 0.10
FUNCTIONING: Final = 0.05  # chosen by fewer, a distractor says nothing of the key
LARGE_DIF: Final = 1.5
MISKEY_TEXT: Final = "Those who chose {} did better on the other items than who chose the key: check it."
EASY_TEXT: Final = "{:.0%} of the points were won: the item hardly tells candidates apart."
HARD_TEXT: Final = "{:.0%} of the points were won: the item may be too hard, or not taught."
WEAK_TEXT: Final = "It hardly goes with the other items (r = {:.2f}): check the key, then the wording."
RAPID_TEXT: Final = "{:.0%} of the responses came faster than the item can be read."
DIF_TEXT: Final = "Candidates of equal ability differ by group (delta {:.2f}): have the wording looked at."
_TYPES: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "form_id": pl.String,
    "position": pl.Int32,
    "question_id": pl.String,
    "question_version_id": pl.String,
    "kind": pl.String,
    "key": pl.String,
    "max_points": pl.Float64,
    "n": pl.Int64,
    "difficulty": pl.Float64,
    "omitted": pl.Int64,
    "point_biserial": pl.Float64,
    "biserial": pl.Float64,
    "d27": pl.Float64,
    "alpha_if_deleted": pl.Float64,
    "distractors": pl.String,
    "timed": pl.Int64,
    "median_seconds": pl.Float64,
    "nt10_share": pl.Float64,
    "dif_delta": pl.Float64,
    "dif_class": pl.String,
    "flags": pl.List(pl.String),
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
    "as_of": UTC,
}
COLUMNS: Final = pl.Schema(_TYPES)


class Choice(Struct, frozen=True):
    """An option of an item: by how many it was chosen, and how that goes with the rest."""

    option: str
    is_key: bool
    chosen: int
    share: float
    r: float | None


class Numbers(Struct, frozen=True, kw_only=True):
    """What is said of an item."""

    difficulty: float | None
    point_biserial: float | None
    biserial: float | None
    choices: list[Choice]
    nt10_share: float | None
    timed: int
    dif: Dif | None


def item_analysis(
    submissions: pl.DataFrame,
    responses: pl.DataFrame,
    *,
    as_of: datetime | None,
    groups: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """
    Return the rows of all items.

    Args:
        submissions: of `frames.SUBMISSIONS`.
        responses: of `frames.RESPONSES`.
        as_of: how far these reach.
        groups: of `frames.GROUPS`, for an audit of fairness.
    """
    owners = dict(submissions.select("exam_id", "organisation_id").iter_rows())
    return as_frame(
        [
            row
            for (exam_id, form_id), tally in tallied(submissions, responses, groups).items()
            for row in item_rows(tally, Named(exam_id, owners[exam_id], form_id, as_of))
        ]
    )


def as_frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as the dataset's columns."""
    return pl.DataFrame(list(rows), COLUMNS, orient="row")


def item_rows(tally: Tally, named: Named) -> Iterator[dict[str, Any]]:
    """Yield the row of each item of a form."""
    whole, fair, shares = whole_of(tally), difs(tally), _d27(tally)
    for place, (item, dif) in enumerate(zip(tally.items, fair, strict=True)):
        numbers = _numbers(tally, whole, place, item, dif)
        found = list(_flags(numbers, item, tally.n)) if tally.n >= FEW else []
        yield {
            "exam_id": named.exam_id,
            "organisation_id": named.organisation_id,
            "form_id": named.form_id,
            "position": item.position,
            "question_id": item.question_id,
            "question_version_id": item.question_version_id,
            "kind": item.kind,
            "key": item.key,
            "max_points": item.max_points / 100,
            "n": tally.n,
            "difficulty": numbers.difficulty,
            "omitted": int(tally.omitted[place]),
            "point_biserial": numbers.point_biserial,
            "biserial": numbers.biserial,
            "d27": shares[place],
            "alpha_if_deleted": alpha_of(whole, place),
            "distractors": _table(numbers.choices) if item.kind in CHOICES else None,
            "timed": numbers.timed,
            "median_seconds": _median_seconds(tally.times[place]),
            "nt10_share": numbers.nt10_share,
            "dif_delta": dif.delta if dif else None,
            "dif_class": dif.level if dif else None,
            "flags": [each["code"] for each in found],
            "metric_version": METRIC_VERSION,
            "coverage": coverage_of(tally),
            "reasons": as_json([*reasons_of(tally), *([] if dif else why_not(tally, place)), *found]),
            "as_of": named.as_of,
        }


def _numbers(tally: Tally, whole: Whole, place: int, item: Item, dif: Dif | None) -> Numbers:
    n, x, xx = whole.n, whole.sums[place], whole.squares[place]
    rest = whole.total - x
    rest_squares = whole.total_squares - 2 * whole.with_total[place] + xx
    r = correlation(n, x, rest, xx, rest_squares, whole.with_total[place] - xx)
    p = x / (n * item.max_points) if n and item.max_points else None
    is_dichotomous = p is not None and 0 < p < 1 and not tally.partly[place]
    timed = int(tally.times[place].sum())
    return Numbers(
        difficulty=p,
        point_biserial=r,
        biserial=r * biserial_factor(p) if r is not None and p is not None and is_dichotomous else None,
        choices=list(_choices(tally, place, item, rest, rest_squares)),
        nt10_share=_rapid(tally.times[place], int(tally.milliseconds[place]), timed),
        timed=timed,
        dif=dif,
    )


def biserial_factor(p: float) -> float:
    """
    Return by how much a biserial correlation is larger than a point-biserial one.

    >>> round(biserial_factor(0.5), 4)
    1.2533
    """
    height = exp(-(float(ndtri(p)) ** 2) / 2) / sqrt(2 * pi)
    return sqrt(p * (1 - p)) / height


def _choices(tally: Tally, place: int, item: Item, rest: int, rest_squares: int) -> Iterator[Choice]:
    """Yield the options of an item that somebody chose, by name."""
    keys = (
        set()
        if item.key is None
        else set(item.key.split(",") if item.kind == "multiple_choice" else [item.key])
    )
    for at, (where, option) in enumerate(tally.options):
        if where == place:
            chosen = int(tally.chosen[at])
            elsewhere = int(tally.chosen_points[at].sum() - tally.chosen_points[at, place])
            r = correlation(tally.n, chosen, rest, chosen, rest_squares, elsewhere)
            yield Choice(option, option in keys, chosen, chosen / tally.n, r)


def _table(choices: Sequence[Choice]) -> str:
    return orjson.dumps([structs.asdict(each) for each in choices]).decode()


def _d27(tally: Tally) -> list[float | None]:
    """Return each item's mean share of its points in the upper 27 % less that in the lower."""
    if not tally.people:
        return [None] * len(tally.sums)
    people: list[int] = sum(tally.people.values(), np.zeros(BANDS + 1, dtype=np.int64)).tolist()
    points: Ints = sum(tally.points.values(), np.zeros((BANDS + 1, len(tally.sums)), dtype=np.int64))
    size = TAIL * tally.n
    upper, lower = (
        _tail(people, points, size, range(BANDS, -1, -1)),
        _tail(people, points, size, range(BANDS + 1)),
    )
    return [
        float((high - low) / (size * item.max_points)) if item.max_points else None
        for high, low, item in zip(upper, lower, tally.items, strict=True)
    ]


def _tail(people: list[int], points: Ints, size: Fraction, bands: range) -> list[Fraction]:
    """Return the points of so many candidates, in this order of bands; of the last band its mean."""
    taken, sums = Fraction(0), [Fraction(0)] * points.shape[1]
    for band in bands:
        if people[band] and taken < size:
            share = min(Fraction(1), (size - taken) / people[band])
            taken += share * people[band]
            sums = [sum_ + share * each for sum_, each in zip(sums, points[band].tolist(), strict=True)]
    return sums


def _median_seconds(counts: Ints) -> float | None:
    through = np.cumsum(counts)
    n = int(through[-1])
    middle = np.searchsorted(through, [(n - 1) // 2, n // 2], side="right")
    return int(STEPS[middle].sum()) / 20 if n else None


def _rapid(counts: Ints, milliseconds: int, n: int) -> float | None:
    """Return the share of times under min(10 s, a tenth of the mean), in whole tenths of a second."""
    if not n:
        return None
    tenths = min(TENTHS_MAX, milliseconds // (1000 * n))
    return int(counts[: int(np.searchsorted(STEPS, tenths))].sum()) / n


def _flags(numbers: Numbers, item: Item, n: int) -> Iterator[dict[str, Any]]:
    """Yield what stands out of an item of enough submissions."""
    right = [each.r or 0.0 for each in numbers.choices if each.is_key]
    wrong = [
        each
        for each in numbers.choices
        if not each.is_key and each.share >= FUNCTIONING and each.r is not None
    ]
    if item.key is not None and wrong:
        best, bar = max(wrong, key=lambda each: (each.r or 0.0, each.option)), min(right, default=0.0)
        if best.r is not None and best.r > bar:
            yield reason("MISKEY", best.r, bar, best.chosen, MISKEY_TEXT.format(best.option))
    p, with_rest, rapid, dif = numbers.difficulty, numbers.point_biserial, numbers.nt10_share, numbers.dif
    if p is not None and p > EASY:
        yield reason("EASY", p, EASY, n, EASY_TEXT.format(p))
    if p is not None and p < HARD:
        yield reason("HARD", p, HARD, n, HARD_TEXT.format(p))
    if with_rest is not None and with_rest < WEAK:
        yield reason("WEAK", with_rest, WEAK, n, WEAK_TEXT.format(with_rest))
    if rapid is not None and rapid >= RAPID and numbers.timed >= FEW:
        yield reason("RAPID", rapid, RAPID, numbers.timed, RAPID_TEXT.format(rapid))
    if dif is not None and dif.level == "C":
        yield reason("DIF", dif.delta, LARGE_DIF, n, DIF_TEXT.format(dif.delta))
