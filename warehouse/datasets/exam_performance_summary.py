"""
How each exam went, in one row.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

EXAM_PERFORMANCE_SUMMARY: Final = describe(
    "exam_performance_summary",
    2,
    grain="one row per exam with a submission that counts",
    partition_key="organisation_id",
    group=slice(-2, None),
    sort=("organisation_id", "exam_id"),
    columns=[
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column("organisation_id", pa.string(), "Its organisation.", "UUID as text"),
        column("title", pa.string(), "Its title."),
        column("subject", pa.string(), "Its subject; empty without one."),
        column("unique_students", pa.int64(), "Students with a submission that counts.", "students"),
        column("total_attempts", pa.int64(), "Submissions that count: void ones do not.", "submissions"),
        column("scored_attempts", pa.int64(), "Those of them that no grader is awaited for.", "submissions"),
        column(
            "avg_score",
            pa.float64(),
            "Mean percentage of the scored ones.",
            "0 to 100",
            null="none is scored",
        ),
        column(
            "pass_rate",
            pa.float64(),
            "Share of the scored ones that passed.",
            "0 to 1",
            null="none is scored",
        ),
        column(
            "avg_integrity",
            pa.float64(),
            "Mean integrity score of those that have one.",
            "0 to 1",
            null="none has one",
        ),
        column(
            "high_risk_count", pa.int64(), "Labels other than safe.", "submissions", null="none has a label"
        ),
        column(
            "copy_count", pa.int64(), "Those with the label copy.", "submissions", null="none has a label"
        ),
        column(
            "incapable_count",
            pa.int64(),
            "Those with the label incapable.",
            "submissions",
            null="none has a label",
        ),
        column(
            "no_interest_count",
            pa.int64(),
            "Those with the label no_interest.",
            "submissions",
            null="none has a label",
        ),
        column(
            "risk_levels",
            pa.string(),
            "How many reached each level at the peak of their risk: Low, Medium, High, Critical.",
            "JSON object of submissions by level",
            null="no risk is known of any",
        ),
        column(
            "integrity_bands",
            pa.string(),
            "How many are in each band of integrity: consistent, review_optional, concerns, needs_review.",
            "JSON object of submissions by band",
            null="no integrity is known of any",
        ),
        column("flagged_count", pa.int64(), "Those that ask for somebody's attention.", "submissions"),
        column("alerting_count", pa.int64(), "Those that alert of something.", "submissions"),
        column(
            "last_attempt", TIME, "When the last of them was handed in.", "UTC", null="no submission counts"
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Share of score, integrity and label that are known.", "0 to 1"),
        column(
            "reasons",
            pa.string(),
            "What makes the numbers up.",
            "JSON list of {code, value, threshold, n, text}",
        ),
        column("as_of", TIME, "How far the numbers reach.", "UTC", null="no submission counts"),
    ],
)
