"""
How an exam went, in one row: who took it, what they reached, how many are at risk.

Grain: one row per exam with a submission that counts. Takes the exam and sums over its submissions that are
not void. These are whole numbers (thousandths of a percent, millionths of integrity), so that they are the
same however they were added up:

- `avg_score` = mean percentage of those that are scored; null without any.
- `pass_rate` = passed / scored, 0 to 1; null without any that is scored.
- `avg_integrity` = mean of the integrity scores that are known; null without any.
- `high_risk_count` = labels `copy`, `incapable` and `no_interest` together, and each by itself; null while no
  attempt has a label.
- `risk_levels` and `integrity_bands` = how many have each; null while no attempt has one. `flagged_count`,
  `alerting_count` = attempts that ask for somebody's attention, and those that alert of something.
- `coverage` = share of the three numbers (score, integrity, label) of all attempts that are known.

Three submissions, of which two are scored with 80 and 50 percent and one has passed:

>>> sums = pl.DataFrame([{"exam_id": "e", "attempts": 3, "students": 2, "scored": 2, "percentage": 130_000,
...                       "passed": 1, "judged": 0, "integrity": 0, "labelled": 1, "copy": 0,
...                       "incapable": 1, "no_interest": 0,
...                       "judgements": '{"High": 1, "Low": 2, "flagged": 1}'}])
>>> exams = pl.DataFrame([{"exam_id": "e", "organisation_id": "o", "title": "Algebra", "subject": ""}])
>>> given = pl.concat([SUMS.schema.to_frame(), sums], how="diagonal")
>>> row = exam_performance_summary(exams, given).row(0, named=True)
>>> row["avg_score"], row["pass_rate"], row["avg_integrity"], row["high_risk_count"], row["coverage"]
(65.0, 0.5, None, 1, 0.333333)
>>> row["risk_levels"], row["integrity_bands"], row["flagged_count"]
('{"Low":2,"Medium":0,"High":1,"Critical":0}', None, 1)

Source: veritas-architecture.txt, exam_performance_summary; analytics.md.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson
import polars as pl

from pipeline.features.frames import UTC, as_json, frame, reason

METRIC_VERSION: Final = "exam-performance-2"
LEVELS: Final = ("Low", "Medium", "High", "Critical")
BANDS: Final = ("consistent", "review_optional", "concerns", "needs_review")
THOUSANDTHS: Final = 1_000
MILLIONTHS: Final = 1_000_000
DIGITS: Final = 6

SUMS: Final = frame(
    "one row per exam: sums over its submissions that count",
    {
        "exam_id": (pl.String, "The exam."),
        "attempts": (pl.Int64, "How many submissions."),
        "students": (pl.Int64, "Of how many students."),
        "scored": (pl.Int64, "How many are scored."),
        "percentage": (pl.Int64, "Sum of their percentages, in thousandths."),
        "passed": (pl.Int64, "How many have passed."),
        "judged": (pl.Int64, "How many have an integrity score."),
        "integrity": (pl.Int64, "Sum of these, in millionths."),
        "labelled": (pl.Int64, "How many have a dropout label."),
        "copy": (pl.Int64, "How many have this one."),
        "incapable": (pl.Int64, "Likewise."),
        "no_interest": (pl.Int64, "Likewise."),
        "judgements": (
            pl.String,
            "JSON: how many have each risk level, each band of integrity, are `flagged`, are `alerting`.",
        ),
        "last_attempt": (UTC, "When the last of them was handed in."),
        "as_of": (UTC, "How far they reach."),
    },
)


def exam_performance_summary(exams: pl.DataFrame, sums: pl.DataFrame) -> pl.DataFrame:
    """Return one row per exam; `exams` has exam_id, organisation_id, title and subject."""
    labels = ("copy", "incapable", "no_interest")
    mean = pl.col("percentage") / (pl.col("scored") * THOUSANDTHS)
    rows = (
        sums.filter(pl.col("attempts") > 0)
        .join(exams.select("exam_id", "organisation_id", "title", "subject"), on="exam_id")
        .with_columns(
            unique_students="students",
            total_attempts="attempts",
            scored_attempts="scored",
            avg_score=pl.when(pl.col("scored") > 0).then(mean.round(DIGITS)),
            pass_rate=pl.when(pl.col("scored") > 0).then((pl.col("passed") / pl.col("scored")).round(DIGITS)),
            avg_integrity=pl.when(pl.col("judged") > 0).then(
                (pl.col("integrity") / (pl.col("judged") * MILLIONTHS)).round(DIGITS)
            ),
            high_risk_count=pl.when(pl.col("labelled") > 0).then(pl.sum_horizontal(labels)),
            coverage=(
                (pl.col("scored") + pl.col("judged") + pl.col("labelled")) / (3 * pl.col("attempts"))
            ).round(DIGITS),
            metric_version=pl.lit(METRIC_VERSION),
            **{f"{each}_count": pl.when(pl.col("labelled") > 0).then(pl.col(each)) for each in labels},
        )
    )
    reasons = [as_json(_reasons(row)) for row in rows.iter_rows(named=True)]
    judgements = [orjson.loads(each or "{}") for each in rows["judgements"]]
    return rows.with_columns(
        pl.Series("reasons", reasons, pl.String),
        pl.Series("risk_levels", [_counted(each, LEVELS) for each in judgements], pl.String),
        pl.Series("integrity_bands", [_counted(each, BANDS) for each in judgements], pl.String),
        pl.Series("flagged_count", [each.get("flagged", 0) for each in judgements], pl.Int64),
        pl.Series("alerting_count", [each.get("alerting", 0) for each in judgements], pl.Int64),
    ).select(
        "exam_id", "organisation_id", "title", "subject", "unique_students", "total_attempts",
        "scored_attempts", "avg_score", "pass_rate", "avg_integrity", "high_risk_count", "copy_count",
        "incapable_count", "no_interest_count", "risk_levels", "integrity_bands", "flagged_count",
        "alerting_count", "last_attempt", "metric_version", "coverage",
        "reasons", "as_of",
    )  # fmt: skip


def _counted(judgements: dict[str, int], names: Sequence[str]) -> str | None:
    """Return how many there are of each name, as JSON; None where there is none of any."""
    counts = {name: judgements.get(name, 0) for name in names}
    return orjson.dumps(counts).decode() if any(counts.values()) else None


def _reasons(row: dict[str, Any]) -> list[dict[str, Any]]:
    attempts, scored = row["total_attempts"], row["scored_attempts"]
    found = []
    if scored < attempts:
        text = f"{attempts - scored} of {attempts} submissions wait for a grader and are in no mean."
        found.append(reason("UNGRADED", attempts - scored, 0, attempts, text))
    if row["high_risk_count"]:
        text = (
            f"{row['high_risk_count']} of {row['labelled']} have a label other than safe: {row['copy']} copy,"
            f" {row['incapable']} needs academic support, {row['no_interest']} no interest."
        )
        found.append(reason("HIGH_RISK", row["high_risk_count"], 0, row["labelled"], text))
    return found
