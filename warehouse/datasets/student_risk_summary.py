"""
What is thought of each student"s attempts together.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

STUDENT_RISK_SUMMARY: Final = describe(
    "student_risk_summary",
    1,
    grain="one row per student with an attempt that is over",
    partition_key="organisation_id",
    group=slice(-2, None),
    sort=("organisation_id", "student_id"),
    columns=[
        column("student_id", pa.string(), "The student.", "UUID as text"),
        column("organisation_id", pa.string(), "Their organisation.", "UUID as text"),
        column(
            "current_dropout_risk",
            pa.string(),
            "The latest dropout label: safe, incapable, copy or no_interest.",
            null="none is known",
        ),
        column(
            "cumulative_integrity",
            pa.float64(),
            "Mean of the last 10 integrity scores.",
            "0 to 1",
            null="none is known",
        ),
        column(
            "cumulative_lmi",
            pa.float64(),
            "Mean of the last 10 momentum scores.",
            "0 to 100",
            null="none is known",
        ),
        column("attempt_count", pa.int64(), "Attempts that are over, given up ones among them.", "attempts"),
        column("flagged_count", pa.int64(), "Those that ask for attention and are not decided.", "attempts"),
        column("last_attempt", TIME, "When the last of them was over.", "UTC", null="nobody knows when"),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Share of integrity, momentum and label that are known.", "0 to 1"),
        column(
            "reasons",
            pa.string(),
            "What makes the numbers up.",
            "JSON list of {code, value, threshold, n, text}",
        ),
        column("as_of", TIME, "How far the numbers reach.", "UTC", null="nobody knows when"),
    ],
)
