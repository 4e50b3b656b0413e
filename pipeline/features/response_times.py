"""
How long candidates took to answer: who was too fast for their score, and who answered before they could read.

Grain: one row per attempt that is not void. Takes submissions and responses of whole cohorts
(`frames.SUBMISSIONS`, `frames.RESPONSES`); candidates of one form are compared. With l = ln of the seconds
(at least 0.1) of a candidate on an item, b the item's mean of l:

- `speed` = mean of b - l over the candidate's timed items: how much faster than the others, in logarithms;
  0.69 is twice as fast (the lognormal model's speed with equal discriminations).
- `speed_z` = externally studentized residual of speed regressed on the share of points, and `speed_p` the
  probability of more, by Student's t with n - 3 degrees of freedom. Answers known beforehand come fast *and*
  right: speed alone, or the score alone, says nothing.
- `rapid_share` = share of timed items answered under min(10 s, 10 % of the item's mean), in whole tenths of a
  second. `rapid_p` = share of the cohort with as much or more: valid whatever the distribution.
- `times_p` = min(1, 2 · the smaller of the two), or the one that is known (Bonferroni); to two significant
  digits, so that among thousands one candidate more leaves those of most as they are.
- `coverage` = timed items / items of the form.

Null: speed and rapid share under 5 timed items or half of the form; `speed_z`, `speed_p` also without a
score; every p under 30 candidates to compare with. Logarithms and shares are whole millionths before they are
summed.

Thirty-one candidates get half the points at much the same pace, the last one in a tenth of the time:

>>> from pipeline.features.tallying import sheet_of_choices
>>> submissions, responses = sheet_of_choices(["aaabbb"] * 31, key="aaaaaa", seconds=30.0)
>>> place = pl.int_range(pl.len()) // 6
>>> paced = responses.with_columns(seconds=pl.when(place == 30).then(3.1).otherwise(29 + place % 3))
>>> rows = response_times(submissions.with_columns(points=3.0, max_points=6.0), paced)
>>> last = rows.filter(pl.col("attempt_id") == "a30").row(0, named=True)
>>> round(last["speed"], 2), last["speed_p"] < 1e-6, last["rapid_share"], last["coverage"]
(2.2, True, 0.0, 1.0)
>>> import orjson
>>> [each["code"] for each in orjson.loads(last["reasons"])]
['FAST']

Source: analytics.md, integrity_score; van der Linden (2006), A lognormal model for response times on test
items, Journal of Educational and Behavioral Statistics 31, 181-204; Wise and Ma (2012), Setting response time
thresholds for a CAT item pool (NT10); Cook and Weisberg (1982), Residuals and Influence in Regression; Vovk,
Gammerman and Shafer (2005), Algorithmic Learning in a Random World (p of a rank).
"""

from collections.abc import Iterator
from math import exp
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import stdtr

from pipeline.features.frames import as_json, reason

METRIC_VERSION: Final = "times-1"
MILLIONTHS: Final = 1_000_000
SECONDS_MIN: Final = 0.1
TIMED_MIN: Final = 5
COHORT_MIN: Final = 30
TENTHS_MAX: Final = 100  # of a rapid answer: 10 s
P_SAID: Final = 0.01  # from which on a reason is given
FAST_TEXT: Final = "Answered {:.1f} times as fast as the others, which is rare at this score (p = {:.2g})."
RAPID_TEXT: Final = "{} of {} answers came faster than the item can be read (p = {:.2g})."
FEW_TIMES_TEXT: Final = "The time of {} of {} items is known: too few."
TOO_FEW_TEXT: Final = "Only {} candidates can be compared with."
_TYPES: Final[dict[str, Any]] = {
    "attempt_id": pl.String,
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "student_id": pl.String,
    "form_id": pl.String,
    "items": pl.Int64,
    "timed": pl.Int64,
    "speed": pl.Float64,
    "speed_z": pl.Float64,
    "speed_p": pl.Float64,
    "rapid": pl.Int64,
    "rapid_share": pl.Float64,
    "rapid_p": pl.Float64,
    "times_p": pl.Float64,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
}
COLUMNS: Final = pl.Schema(_TYPES)
Floats = npt.NDArray[np.float64]


def response_times(submissions: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each attempt that is not void, by exam, form and attempt."""
    people = _people(submissions.filter(~pl.col("is_void")), responses).sort(
        "exam_id", "form_id", "attempt_id"
    )
    rows: list[dict[str, Any]] = []
    for cohort in people.partition_by("exam_id", "form_id"):
        known = cohort["speed"].is_not_null().to_numpy()
        scored = known & cohort["share"].is_not_null().to_numpy()
        z = np.full(len(cohort), np.nan)
        z[scored] = studentized(
            cohort["share"].to_numpy()[scored].astype(np.float64), cohort["speed"].to_numpy()[scored]
        )
        freedom = int(scored.sum()) - 3
        rapid = cohort["rapid_share"].to_numpy()[known]
        at_least = len(rapid) - np.searchsorted(np.sort(rapid), rapid, side="left")
        p = np.full(len(cohort), np.nan)
        if len(rapid) >= COHORT_MIN:
            p[known] = at_least / len(rapid)
        rows += [
            _row(person, float(z[n]), freedom, float(p[n]), len(rapid))
            for n, person in enumerate(cohort.iter_rows(named=True))
        ]
    return pl.DataFrame(rows, COLUMNS, orient="row")


def _people(submissions: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return what is known of each attempt; its speed and its share of the points in millionths."""
    own = submissions.select("submission_id", "organisation_id", total="points", full="max_points")
    rows = responses.filter(pl.col("form_id").is_not_null()).join(own, on="submission_id")
    seconds = pl.col("seconds").clip(lower_bound=SECONDS_MIN)
    by_item = ("exam_id", "form_id", "question_version_id")
    timed = rows.with_columns(
        log=(seconds.log() * MILLIONTHS).round().cast(pl.Int64),
        milliseconds=(pl.col("seconds").clip(lower_bound=0) * 1000).round().cast(pl.Int64),
    )
    items = (
        timed.drop_nulls("log")
        .group_by(by_item)
        .agg(
            usual=(pl.col("log").sum() / pl.col("log").count()).round().cast(pl.Int64),
            bar=(pl.col("milliseconds").sum() // (1000 * pl.col("log").count())).clip(upper_bound=TENTHS_MAX),
        )
    )
    people = (
        timed.join(items, on=by_item, how="left")
        .group_by("attempt_id", "exam_id", "organisation_id", "student_id", "form_id")
        .agg(
            items=pl.len().cast(pl.Int64),
            timed=pl.col("log").count().cast(pl.Int64),
            rapid=(pl.col("milliseconds") // 100 < pl.col("bar")).sum().cast(pl.Int64),
            faster=(pl.col("usual") - pl.col("log")).sum(),
            share=(pl.col("total").first() / pl.col("full").first() * MILLIONTHS).round(),
        )
    )
    is_enough = (pl.col("timed") >= TIMED_MIN) & (2 * pl.col("timed") >= pl.col("items"))
    return people.with_columns(
        speed=pl.when(is_enough).then((pl.col("faster") / pl.col("timed")).round()),
        rapid_share=pl.when(is_enough).then(pl.col("rapid") / pl.col("timed")),
        share=pl.when(pl.col("share").is_finite()).then("share"),
    )


def studentized(x: Floats, y: Floats) -> Floats:
    """
    Return the externally studentized residuals of y regressed on x, both whole; NaN where there is none.

    Each is as if its candidate had no part in the line, and follows Student's t with n - 3 degrees of
    freedom.
    """
    n = len(x)
    if n < COHORT_MIN:
        return np.full(n, np.nan)
    xs, ys = [[int(each) for each in column] for column in (x, y)]
    sum_x, sum_y = sum(xs), sum(ys)
    xx = n * sum(each * each for each in xs) - sum_x**2
    yy = n * sum(each * each for each in ys) - sum_y**2
    xy = n * sum(a * b for a, b in zip(xs, ys, strict=True)) - sum_x * sum_y
    slope = xy / xx if xx else 0.0
    off = np.array([n * each - sum_x for each in xs], dtype=np.float64)
    residual = (np.array([n * each - sum_y for each in ys], dtype=np.float64) - slope * off) / n
    leverage = 1 / n + (off * off / (n * xx) if xx else 0.0)
    squares = (yy * xx - xy * xy) / (n * xx) if xx else yy / n
    left = np.maximum(squares - residual**2 / (1 - leverage), 0.0) / (n - 3)
    spread = np.sqrt(left * (1 - leverage))
    found: Floats = np.full(n, np.nan)
    return np.divide(residual, spread, out=found, where=spread > 0)


def _row(person: dict[str, Any], z: float, freedom: int, rapid_p: float, n: int) -> dict[str, Any]:
    """Return one attempt's row; `n` candidates can be compared, NaN says that there is no such number."""
    speed, timed, items = person["speed"], person["timed"], person["items"]
    faster = None if np.isnan(z) else float(stdtr(freedom, -z))
    rapid = None if np.isnan(rapid_p) else rapid_p
    known = [p for p in (faster, rapid) if p is not None]
    return {
        **{name: person[name] for name in COLUMNS if name in person},
        "speed": None if speed is None else speed / MILLIONTHS,
        "speed_z": None if np.isnan(z) else z,
        "speed_p": faster,
        "rapid_p": rapid,
        "times_p": float(f"{min(1.0, len(known) * min(known)):.1e}") if known else None,
        "metric_version": METRIC_VERSION,
        "coverage": timed / items,
        "reasons": as_json(list(_reasons(person, faster, rapid, n))),
    }


def _reasons(
    person: dict[str, Any], faster: float | None, rapid: float | None, n: int
) -> Iterator[dict[str, Any]]:
    timed, items, speed = person["timed"], person["items"], person["speed"]
    if speed is None:
        text = FEW_TIMES_TEXT.format(timed, items)
        yield reason("FEW_TIMES", timed, max(TIMED_MIN, items / 2), items, text)
    elif n < COHORT_MIN:
        yield reason("TOO_FEW", n, COHORT_MIN, n, TOO_FEW_TEXT.format(n))
    if faster is not None and faster < P_SAID:
        yield reason("FAST", faster, P_SAID, n, FAST_TEXT.format(exp(speed / MILLIONTHS), faster))
    if rapid is not None and rapid < P_SAID and person["rapid"]:
        text = RAPID_TEXT.format(person["rapid"], timed, rapid)
        yield reason("RAPID", person["rapid_share"], P_SAID, n, text)
