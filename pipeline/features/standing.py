"""
How a person's work goes on: one row per attempt that counts, with momentum and trends up to it.

Grain: one row per submission that is not void. Takes submissions and texts of any number of persons, whole,
and the norms of their exams. Gives the columns of the dataset `learning_momentum`: the steps' scale
(`norms`), LMI (`momentum`) and trends (`trends`), each of the attempts up to this one, in the order
(finalised_at, attempt_id), and what is far above all that (`jumps`). Where the form's test statistics are
known, δ of results takes its standard error of measurement, and a sudden jump its reliability; where the
speed of attempts is known (`response_times`), a jump in speed is looked for.

>>> from datetime import UTC, datetime
>>> submissions = pl.DataFrame(
...     {"student_id": ["s", "s"], "attempt_id": ["a", "b"], "exam_id": ["e", "f"],
...      "organisation_id": ["o", "o"], "form_id": ["v", "w"], "percentage": [50.0, 75.0],
...      "is_void": [False, False],
...      "finalised_at": [datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 6, 4, tzinfo=UTC)]})
>>> texts = pl.DataFrame(schema=TEXTS)
>>> norms = pl.DataFrame(
...     {"exam_id": ["e", "f"], "scores": ['{"50.0":0.0}', '{"75.0":0.9}'], "qualities": ["{}"] * 2})
>>> row = standing(submissions, texts, norms).row(1, named=True)
>>> row["normal_score"], round(row["lmi"], 2), row["improvement_trend"], row["lmi_trend"] is None
(0.9, 58.4, 'improving', True)

Source: analytics.md, "LMI", "improvement_trend".
"""

from collections import defaultdict
from collections.abc import Mapping
from math import fsum, sqrt
from typing import Any, Final

import orjson
import polars as pl
from msgspec import Struct

from pipeline.features.frames import PROGRESS, UTC, as_json
from pipeline.features.jumps import jumps
from pipeline.features.momentum import draft_z, learning_momentum
from pipeline.features.trends import LMI_DELTA, label_of, score_delta, trend

_COLUMNS: Final[dict[str, Any]] = {
    "attempt_id": pl.String,
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "student_id": pl.String,
    "finalised_at": UTC,
    "normal_score": pl.Float64,
    "draft_z": pl.Float64,
    "lmi": pl.Float64,
    "lmi_band": pl.String,
    "lmi_steps": pl.Int32,
    "cumulative_lmi": pl.Float64,
    "lmi_trend": pl.String,
    "improvement_trend": pl.String,
    "indicators": pl.String,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
}
SCHEMA: Final = pl.Schema(_COLUMNS)
_TEXTS: Final[dict[str, Any]] = {
    "attempt_id": pl.String,
    "question_id": pl.String,
    "thinking_quality": pl.Float64,
}
TEXTS: Final = pl.Schema(_TEXTS)
OF_SUBMISSION: Final = (
    "attempt_id",
    "exam_id",
    "organisation_id",
    "student_id",
    "form_id",
    "finalised_at",
    "percentage",
)
ORDER: Final = ("student_id", "finalised_at", "attempt_id")


class Reliability(Struct, frozen=True):
    """A form's standard error of measurement in percent, and Cronbach's alpha, 0 to 1."""

    sem: float
    alpha: float


Tests = Mapping[tuple[str, str], Reliability]  # by exam and form
NO_TESTS: Final[Tests] = {}
NO_SPEEDS: Final[Mapping[str, float]] = {}


class Past(Struct):
    """What a person did so far, in their order."""

    percentages: list[float] = []
    momenta: list[float] = []
    results: list[float] = []  # normal scores
    speeds: list[float] = []


def standing(
    submissions: pl.DataFrame,
    texts: pl.DataFrame,
    norms: pl.DataFrame,
    *,
    tests: Tests = NO_TESTS,
    speeds: Mapping[str, float] = NO_SPEEDS,
) -> pl.DataFrame:
    """
    Return the rows of these persons, by person and in their order.

    Args:
        submissions: the columns of OF_SUBMISSION, and is_void; all of each person, in any order.
        texts: the columns of TEXTS; all of theirs, in any order.
        norms: exam_id, and as JSON text scores and qualities, of their exams.
        tests: how reliable results are, by exam and form.
        speeds: logarithm of how much faster than its cohort an attempt was, by attempt.
    """
    counted = submissions.filter(~pl.col("is_void")).select(OF_SUBMISSION).sort(ORDER)
    whole = _scaled(counted, texts, norms)
    momentum = learning_momentum(whole.select(PROGRESS.schema.names()))
    told = whole.join(momentum.drop("student_id", "finalised_at"), on="attempt_id")
    return _with_history(told.sort(ORDER), tests, speeds).select(SCHEMA.names())


def _scaled(counted: pl.DataFrame, texts: pl.DataFrame, norms: pl.DataFrame) -> pl.DataFrame:
    """Return submissions with what they are worth by the norms of their exam."""
    scales = {
        exam_id: (orjson.loads(scores), orjson.loads(qualities))
        for exam_id, scores, qualities in norms.select("exam_id", "scores", "qualities").iter_rows()
    }
    written: dict[str, list[tuple[str, float]]] = {}
    for attempt_id, question_id, quality in texts.select(TEXTS.names()).drop_nulls().iter_rows():
        written.setdefault(attempt_id, []).append((question_id, quality))
    results: list[float | None] = []
    revisions: list[float | None] = []
    for attempt_id, exam_id, percentage in counted.select("attempt_id", "exam_id", "percentage").iter_rows():
        scores, essays = scales.get(exam_id, ({}, {}))
        found = [
            draft_z(quality, middle=essays[question_id][0], deviation=essays[question_id][1])
            for question_id, quality in written.get(attempt_id, ())
            if question_id in essays
        ]
        known = [each for each in found if each is not None]
        results.append(scores.get(str(percentage)))
        revisions.append(fsum(known) / len(known) if known else None)
    return counted.with_columns(
        pl.Series("normal_score", results, pl.Float64), pl.Series("draft_z", revisions, pl.Float64)
    )


def _with_history(told: pl.DataFrame, tests: Tests, speeds: Mapping[str, float]) -> pl.DataFrame:
    """Return rows in their order with each trend up to them, and their jumps against what was before."""
    pasts: defaultdict[str, Past] = defaultdict(Past)
    found = []
    for row in told.iter_rows(named=True):
        past, test = pasts[row["student_id"]], tests.get((row["exam_id"], row["form_id"]))
        result, speed = row["normal_score"], speeds.get(row["attempt_id"])
        sem = sqrt(1 - test.alpha) if test and 0 < test.alpha < 1 else None
        above = jumps(past.results, result, sem=sem, speeds=past.speeds, speed=speed)
        for values, value in (
            (past.percentages, row["percentage"]),
            (past.momenta, row["lmi"]),
            (past.results, result),
            (past.speeds, speed),
        ):
            values.extend([] if value is None else [value])
        improvement = trend(past.percentages, score_delta(None if test is None else test.sem))
        momentum = trend(past.momenta, LMI_DELTA)
        found.append((label_of(improvement, "stagnant"), label_of(momentum, "stable"), as_json(above)))
    return told.with_columns(
        pl.Series(name, [each[place] for each in found], pl.String)
        for place, name in enumerate(("improvement_trend", "lmi_trend", "indicators"))
    )
