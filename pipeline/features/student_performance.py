"""
How a student stands over all attempts: results, integrity, momentum, and what has been flagged.

Grain: one row per student. Takes all of a student's attempts that are over, the submissions among them, and
what is thought of each (`behavior_analysis`); void results count nothing. Order is the time of the hand-in,
then the attempt's id.

- `avg_score` = mean percentage of scored submissions; `subject_scores` the same by the exam's subject.
- `avg_integrity_score`, `cumulative_integrity` = mean of the last 10 integrity scores that are not null;
  `avg_lmi` and `cumulative_lmi` alike.
- `improvement_trend`, `integrity_trend`, `lmi_trend`: see Trends.
- `current_risk_label`, `current_dropout_risk` = the latest dropout label that is not null.
- `flagged_for_intervention`: a label other than safe in two of the last three attempts with one; null with
  fewer than two labels. `flagged_count` = attempts that ask for attention and are not decided.
- `coverage` = how many of the three numbers of an attempt (percentage, integrity, LMI) are known / 3.

>>> means = [standing([0.9, None, 0.5]), standing([None])]
>>> means
[0.7, None]
>>> is_flagged(["safe", "copy", None, "incapable"]), is_flagged(["copy", "safe"]), is_flagged(["copy"])
(True, False, None)

Source: veritas-architecture.txt, performance_metrics and student_risk_summary; analytics.md, "flags".
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any, Final

import orjson
import polars as pl

from pipeline.features import trends
from pipeline.features.frames import POINTS, UTC, as_json, reason

METRIC_VERSION: Final = "student-performance-1"
LAST_MAX: Final = 10  # of the cumulated numbers
LABELS_LOOKED_AT: Final = 3
LABELS_MIN: Final = 2
DIGITS: Final = 6
Row = dict[str, Any]
METRICS: Final[dict[str, Any]] = {
    "student_id": pl.String, "organisation_id": pl.String, "total_attempts": pl.Int64,
    "total_passed": pl.Int64, "avg_score": pl.Float64, "subject_scores": pl.String, "strengths": pl.String,
    "weaknesses": pl.String,
    "improvement_trend": pl.String, "avg_integrity_score": pl.Float64, "integrity_trend": pl.String,
    "avg_lmi": pl.Float64, "lmi_trend": pl.String, "current_risk_label": pl.String,
    "flagged_for_intervention": pl.Boolean, "last_attempt_date": UTC, "metric_version": pl.String,
    "coverage": pl.Float64, "reasons": pl.String, "as_of": UTC,
}  # fmt: skip
RISK: Final[dict[str, Any]] = {
    "student_id": pl.String, "organisation_id": pl.String, "current_dropout_risk": pl.String,
    "cumulative_integrity": pl.Float64, "cumulative_lmi": pl.Float64, "attempt_count": pl.Int64,
    "flagged_count": pl.Int64, "last_attempt": UTC, "metric_version": pl.String, "coverage": pl.Float64,
    "reasons": pl.String, "as_of": UTC,
}  # fmt: skip


def performance_metrics(
    submissions: pl.DataFrame,
    behavior: pl.DataFrame,
    exams: pl.DataFrame,
    strengths: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """
    Return one row per student with a submission that counts.

    Args:
        submissions: `frames.SUBMISSIONS`, all of each student.
        behavior: attempt_id, integrity_score, lmi_score, dropout_label, as_of; of some attempts.
        exams: exam_id and subject.
        strengths: student_id, strengths, weaknesses and reasons as JSON text; those that are left out stay
            null.
    """
    joined = _joined(
        submissions.filter(~pl.col("is_void")).join(
            exams.select("exam_id", "subject"), on="exam_id", how="left"
        ),
        behavior,
    ).sort("student_id", "finalised_at", "attempt_id")
    found = {
        name: _by_student(compute(_points(joined, column)))
        for name, column, compute in (
            ("improvement_trend", "percentage", trends.improvement_trend),
            ("integrity_trend", "integrity_score", trends.integrity_trend),
            ("lmi_trend", "lmi_score", trends.lmi_trend),
        )
    }
    topics = {} if strengths is None else _by_student(strengths)
    rows = [
        _metrics(own, {name: each[student] for name, each in found.items()}, topics.get(student, {}))
        for student, own in _grouped(joined)
    ]
    return pl.DataFrame(rows, METRICS, orient="row")


def student_risk_summary(attempts: pl.DataFrame, behavior: pl.DataFrame, exams: pl.DataFrame) -> pl.DataFrame:
    """
    Return one row per student with an attempt that is over.

    Args:
        attempts: attempt_id, exam_id, student_id, completed_at; all of each student that are over.
        behavior: as above, and flagged.
        exams: exam_id and organisation_id.
    """
    joined = _joined(
        attempts.select("attempt_id", "exam_id", "student_id", "completed_at").join(
            exams.select("exam_id", "organisation_id"), on="exam_id"
        ),
        behavior,
    ).sort("student_id", "completed_at", "attempt_id")
    return pl.DataFrame([_risk(own) for _, own in _grouped(joined)], RISK, orient="row")


def standing(values: Iterable[float | None]) -> float | None:
    """Return the mean of the last LAST_MAX values that are known; None without any."""
    return _mean([each for each in values if each is not None][-LAST_MAX:])


def is_flagged(labels: Sequence[str | None]) -> bool | None:
    """Tell whether two of the last three labels are other than safe; None with fewer than two."""
    last = [each for each in labels if each is not None][-LABELS_LOOKED_AT:]
    return None if len(last) < LABELS_MIN else sum(each != "safe" for each in last) >= LABELS_MIN


def _metrics(own: list[Row], found: dict[str, Row], topics: Row) -> Row:
    scored = [row["percentage"] for row in own if row["percentage"] is not None]
    subjects: dict[str, list[float]] = defaultdict(list)
    for row in own:
        if row["percentage"] is not None and row["subject"]:
            subjects[row["subject"]].append(row["percentage"])
    labels = [row["dropout_label"] for row in own]
    reasons = [each for name in found for each in orjson.loads(found[name]["reasons"])]
    return {
        "student_id": own[0]["student_id"],
        "organisation_id": own[-1]["organisation_id"],
        "total_attempts": len(own),
        "total_passed": sum(row["passed"] is True for row in own),
        "avg_score": _mean(scored),
        "subject_scores": orjson.dumps({name: _mean(subjects[name]) for name in sorted(subjects)}).decode(),
        "strengths": topics.get("strengths"),
        "weaknesses": topics.get("weaknesses"),
        **{name: each["trend"] for name, each in found.items()},
        "avg_integrity_score": standing(row["integrity_score"] for row in own),
        "avg_lmi": standing(row["lmi_score"] for row in own),
        "current_risk_label": _latest(labels),
        "flagged_for_intervention": is_flagged(labels),
        "last_attempt_date": own[-1]["finalised_at"],
        "metric_version": METRIC_VERSION,
        "coverage": _coverage(own, ("percentage", "integrity_score", "lmi_score")),
        "reasons": as_json([*reasons, *orjson.loads(topics.get("reasons", "[]")), *_flag(labels)]),
        "as_of": _reach(own, ("as_of", "behavior_as_of")),
    }


def _risk(own: list[Row]) -> Row:
    labels = [row["dropout_label"] for row in own]
    return {
        "student_id": own[0]["student_id"],
        "organisation_id": own[-1]["organisation_id"],
        "current_dropout_risk": _latest(labels),
        "cumulative_integrity": standing(row["integrity_score"] for row in own),
        "cumulative_lmi": standing(row["lmi_score"] for row in own),
        "attempt_count": len(own),
        "flagged_count": sum(row["flagged"] is True for row in own),
        "last_attempt": own[-1]["completed_at"],
        "metric_version": METRIC_VERSION,
        "coverage": _coverage(own, ("integrity_score", "lmi_score", "dropout_label")),
        "reasons": as_json(_flag(labels)),
        "as_of": _reach(own, ("completed_at", "behavior_as_of")),
    }


def _flag(labels: Sequence[str | None]) -> list[Row]:
    last = [each for each in labels if each is not None][-LABELS_LOOKED_AT:]
    other = sum(each != "safe" for each in last)
    if len(last) < LABELS_MIN or other < LABELS_MIN:
        return []
    text = f"{other} of the last {len(last)} attempts have a label other than safe."
    return [reason("INTERVENTION", other, LABELS_MIN, len(last), text)]


def _joined(attempts: pl.DataFrame, behavior: pl.DataFrame) -> pl.DataFrame:
    columns = ("integrity_score", "lmi_score", "dropout_label", "flagged")
    said = behavior.select("attempt_id", *columns, behavior_as_of="as_of")
    return attempts.join(said, on="attempt_id", how="left")


def _points(joined: pl.DataFrame, column: str) -> pl.DataFrame:
    return joined.select(
        "student_id", occurred_at="finalised_at", sequence=pl.lit(0, pl.Int64), id="attempt_id", value=column
    ).cast(POINTS.schema)


def _by_student(rows: pl.DataFrame) -> dict[str, Row]:
    return {row["student_id"]: row for row in rows.iter_rows(named=True)}


def _grouped(joined: pl.DataFrame) -> Iterable[tuple[str, list[Row]]]:
    rows: dict[str, list[Row]] = {}
    for row in joined.iter_rows(named=True):
        rows.setdefault(row["student_id"], []).append(row)
    return rows.items()


def _mean(values: Sequence[float]) -> float | None:
    return round(fsum(values) / len(values), DIGITS) if values else None


def _latest(values: Sequence[str | None]) -> str | None:
    return next((each for each in reversed(values) if each is not None), None)


def _coverage(own: list[Row], names: Sequence[str]) -> float:
    known = sum(row[name] is not None for row in own for name in names)
    return round(known / (len(names) * len(own)), DIGITS)


def _reach(own: list[Row], names: Sequence[str]) -> Any:  # noqa: ANN401  a moment
    return max((row[name] for row in own for name in names if row[name] is not None), default=None)
