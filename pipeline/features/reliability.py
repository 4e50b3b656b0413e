"""
How a whole test measured: its reliability, its error, and how its scores are distributed.

Grain: one row per exam and form. Takes a form's `Tally` (`moments`), or submissions and responses, and gives
the columns of the dataset `test_statistics`. Counted are submissions that are not void and have all their
points. With x_i the points of item i of k, T their total:

- `alpha` = k/(k-1) · (1 - Σ var(x_i) / var(T)), Cronbach's, with `alpha_low` and `alpha_high`, its interval
  of 95 % by Feldt. Null with one item, one submission, or one total for all.
- `sem` = sd · √(1 - alpha): by how many points a total varies from one like test to another, in points.
- `mean`, `median`, `sd` (of n - 1), `lowest`, `highest` in points; `skew` = G1, corrected for n; null where
  they are not defined: skew under three submissions, or with one total for all.
- `pass_rate` = `total_passed` / (passed + failed), as each submission says of itself: it alone knows on which
  scale passing is meant; null where none does. A percentage is never compared with points here.
- `distribution`: how many had a total in each of 20 steps of 5 % of the full points; these are in the last.
- `coverage`: share of valid submissions that are counted; the others, `waiting`, wait for a grader.

Reasons: TOO_FEW under 30 submissions, then nothing is said of alpha; ALPHA_LOW under 0.70; WAITING.

>>> from pipeline.features.tallying import sheet_of_choices
>>> sheet = sheet_of_choices(["aaa", "aab", "abb", "bbb"], key="aaa")
>>> row = statistics_of_tests(*sheet, as_of=None).row(0, named=True)
>>> [round(row[name], 3) for name in ("alpha", "sem", "mean", "sd", "skew")]
[0.75, 0.645, 1.5, 1.291, 0.0]
>>> row["pass_rate"] is None, orjson.loads(row["reasons"])[0]["code"]
(True, 'TOO_FEW')

Source: analytics.md, "Exam analytics"; Cronbach (1951), Psychometrika 16, 297-334; Feldt (1965),
Psychometrika 30, 357-370; Nunnally (1978), Psychometric Theory (0.70).
"""

from collections.abc import Sequence
from datetime import datetime
from math import sqrt
from typing import Any, Final

import orjson
import polars as pl
from msgspec import Struct
from scipy.special import fdtri

from pipeline.features.frames import UTC, as_json, reason
from pipeline.features.moments import HUNDREDTHS, Tally
from pipeline.features.tallying import tallied

METRIC_VERSION: Final = "test-1"
FEW: Final = 30
ALPHA_MIN: Final = 0.70
STEPS: Final = 20
TOO_FEW_TEXT: Final = "Too few: {} submissions are counted, of 30 that such numbers need."
ALPHA_TEXT: Final = "Alpha is {:.2f}: with other items of the kind, candidates would come in another order."
WAITING_TEXT: Final = "{} of {} submissions wait for a grader, and are not counted."
_TYPES: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "form_id": pl.String,
    "items": pl.Int64,
    "n": pl.Int64,
    "waiting": pl.Int64,
    "max_points": pl.Float64,
    "mean": pl.Float64,
    "median": pl.Float64,
    "sd": pl.Float64,
    "skew": pl.Float64,
    "lowest": pl.Float64,
    "highest": pl.Float64,
    "alpha": pl.Float64,
    "alpha_low": pl.Float64,
    "alpha_high": pl.Float64,
    "sem": pl.Float64,
    "total_passed": pl.Int64,
    "pass_rate": pl.Float64,
    "distribution": pl.String,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
    "as_of": UTC,
}
COLUMNS: Final = pl.Schema(_TYPES)


class Named(Struct, frozen=True):
    """Which form a tally is of, and how far it reaches."""

    exam_id: str
    organisation_id: str
    form_id: str
    as_of: datetime | None


class Whole(Struct, frozen=True):
    """A form's sums as plain integers, which never overflow."""

    n: int
    sums: list[int]
    squares: list[int]
    with_total: list[int]  # of each item's points times the total

    @property
    def total(self) -> int:
        """Return the sum of all totals."""
        return sum(self.sums)

    @property
    def total_squares(self) -> int:
        """Return the sum of the squares of all totals."""
        return sum(self.with_total)


def whole_of(tally: Tally) -> Whole:
    """Return the sums of a tally."""
    rows: list[list[int]] = tally.cross.tolist()
    squares = [row[place] for place, row in enumerate(rows)]
    return Whole(tally.n, tally.sums.tolist(), squares, [sum(row) for row in rows])


def correlation(n: int, x: int, y: int, xx: int, yy: int, xy: int) -> float | None:
    """
    Return Pearson's r of sums and sums of products; None where one of the two does not vary.

    >>> correlation(3, 6, 12, 14, 56, 28)
    1.0
    """
    spread = (n * xx - x * x) * (n * yy - y * y)
    return (n * xy - x * y) / sqrt(spread) if spread > 0 else None


def alpha_of(whole: Whole, item: int | None = None) -> float | None:
    """Return Cronbach's alpha of all items, or of all but one; None where it is not defined."""
    n, left = whole.n, [place for place in range(len(whole.sums)) if place != item]
    total, squares = whole.total, whole.total_squares
    if item is not None:
        squares += whole.squares[item] - 2 * whole.with_total[item]
        total -= whole.sums[item]
    variance, k = n * squares - total * total, len(left)
    if k < 2 or variance <= 0:
        return None
    items = sum(n * whole.squares[place] - whole.sums[place] ** 2 for place in left)
    return k * (variance - items) / ((k - 1) * variance)


def statistics_of_tests(
    submissions: pl.DataFrame, responses: pl.DataFrame, *, as_of: datetime | None
) -> pl.DataFrame:
    """Return the row of each form, from `frames.SUBMISSIONS` and `frames.RESPONSES`."""
    owners = dict(submissions.select("exam_id", "organisation_id").iter_rows())
    return as_frame(
        [
            statistics_row(tally, Named(exam_id, owners[exam_id], form_id, as_of))
            for (exam_id, form_id), tally in tallied(submissions, responses).items()
        ]
    )


def as_frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as the dataset's columns."""
    return pl.DataFrame(list(rows), COLUMNS, orient="row")


def statistics_row(tally: Tally, named: Named) -> dict[str, Any]:
    """Return one form's row."""
    n, k, whole = tally.n, len(tally.sums), whole_of(tally)
    alpha = alpha_of(whole)
    low, high = _interval(alpha, n, k)
    variance = n * whole.total_squares - whole.total**2
    sd = sqrt(variance / (n * (n - 1))) / HUNDREDTHS if n > 1 else None
    known = tally.passed + tally.failed
    totals = sorted(tally.totals)
    full = sum(item.max_points for item in tally.items)
    return {
        "exam_id": named.exam_id,
        "organisation_id": named.organisation_id,
        "form_id": named.form_id,
        "items": k,
        "n": n,
        "waiting": tally.waiting,
        "max_points": full / HUNDREDTHS,
        "mean": whole.total / (n * HUNDREDTHS) if n else None,
        "median": _median(tally.totals),
        "sd": sd,
        "skew": _skew(tally.totals),
        "lowest": totals[0] / HUNDREDTHS if totals else None,
        "highest": totals[-1] / HUNDREDTHS if totals else None,
        "alpha": alpha,
        "alpha_low": low,
        "alpha_high": high,
        "sem": None if alpha is None or sd is None else sd * sqrt(max(1 - alpha, 0.0)),
        "total_passed": tally.passed if known else None,
        "pass_rate": tally.passed / known if known else None,
        "distribution": _distribution(tally.totals, full),
        "metric_version": METRIC_VERSION,
        "coverage": coverage_of(tally),
        "reasons": as_json([*reasons_of(tally), *_reasons(tally, alpha)]),
        "as_of": named.as_of,
    }


def coverage_of(tally: Tally) -> float:
    """Return the share of valid submissions that are counted."""
    return tally.n / (tally.n + tally.waiting) if tally.n + tally.waiting else 0.0


def reasons_of(tally: Tally) -> list[dict[str, Any]]:
    """Say what holds of a form's every number: that they are of few, that some are left out."""
    n, waiting = tally.n, tally.waiting
    few = [reason("TOO_FEW", n, FEW, n, TOO_FEW_TEXT.format(n))] if n < FEW else []
    text = WAITING_TEXT.format(waiting, n + waiting)
    return few + ([reason("WAITING", waiting, 1, n + waiting, text)] if waiting else [])


def _reasons(tally: Tally, alpha: float | None) -> list[dict[str, Any]]:
    if tally.n < FEW or alpha is None or alpha >= ALPHA_MIN:
        return []
    return [reason("ALPHA_LOW", alpha, ALPHA_MIN, tally.n, ALPHA_TEXT.format(alpha))]


def _interval(alpha: float | None, n: int, k: int) -> tuple[float | None, float | None]:
    """Return the bounds of 95 % by Feldt: (1 - true) / (1 - alpha) is distributed as F."""
    if alpha is None:
        return None, None
    freedom = (n - 1, (n - 1) * (k - 1))
    low, high = (1 - (1 - alpha) * float(fdtri(*freedom, p)) for p in (0.975, 0.025))
    return low, high


def _median(totals: dict[int, int]) -> float | None:
    n, seen = sum(totals.values()), 0
    middle = []
    for total in sorted(totals):
        before, seen = seen, seen + totals[total]
        middle += [total for place in ((n - 1) // 2, n // 2) if before <= place < seen]
    return sum(middle) / (2 * HUNDREDTHS) if n else None


def _skew(totals: dict[int, int]) -> float | None:
    """Return G1, of whole numbers: n·total less the sum of all."""
    n = sum(totals.values())
    whole = sum(total * count for total, count in totals.items())
    off = [(n * total - whole, count) for total, count in totals.items()]
    square, cube = (sum(count * each**power for each, count in off) for power in (2, 3))
    if n < 3 or not square:
        return None
    return cube / n / sqrt(square / n) ** 3 * sqrt(n * (n - 1)) / (n - 2)


def _distribution(totals: dict[int, int], full: int) -> str | None:
    counts = [0] * STEPS
    for total, count in totals.items():
        counts[min(total * STEPS // full, STEPS - 1) if full else 0] += count
    return orjson.dumps(counts).decode() if totals else None
