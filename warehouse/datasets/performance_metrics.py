"""
How each student does over all attempts.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

PERFORMANCE_METRICS: Final = describe(
    "performance_metrics",
    1,
    grain="one row per student with a submission that counts",
    partition_key="organisation_id",
    group=slice(-2, None),
    sort=("organisation_id", "student_id"),
    columns=[
        column("student_id", pa.string(), "The student.", "UUID as text"),
        column("organisation_id", pa.string(), "Their organisation.", "UUID as text"),
        column("total_attempts", pa.int64(), "Submissions that count.", "submissions"),
        column("total_passed", pa.int64(), "Those that passed.", "submissions"),
        column(
            "avg_score",
            pa.float64(),
            "Mean percentage of the scored ones.",
            "0 to 100",
            null="none is scored",
        ),
        column(
            "subject_scores",
            pa.string(),
            "Mean percentage by the exam's subject.",
            "JSON object: subject to percentage",
        ),
        column(
            "strengths",
            pa.string(),
            "Topics that the student does well in, the surest first.",
            "JSON list of {topic, effect, n, p}",
            null="too little evidence, or none was computed",
        ),
        column(
            "weaknesses",
            pa.string(),
            "Topics that the student does badly in, the surest first.",
            "JSON list of {topic, effect, n, p}",
            null="too little evidence, or none was computed",
        ),
        column(
            "improvement_trend",
            pa.string(),
            "Of results: improving, stagnant or declining.",
            null="fewer than two results",
        ),
        column(
            "avg_integrity_score",
            pa.float64(),
            "Mean of the last 10 integrity scores.",
            "0 to 1",
            null="none is known",
        ),
        column(
            "integrity_trend",
            pa.string(),
            "Of integrity: improving, stable or declining.",
            null="fewer than two scores",
        ),
        column(
            "avg_lmi", pa.float64(), "Mean of the last 10 momentum scores.", "0 to 100", null="none is known"
        ),
        column(
            "lmi_trend",
            pa.string(),
            "Of momentum: improving, stable or declining.",
            null="fewer than two scores",
        ),
        column(
            "current_risk_label",
            pa.string(),
            "The latest dropout label: safe, incapable, copy or no_interest.",
            null="none is known",
        ),
        column(
            "flagged_for_intervention",
            pa.bool_(),
            "Two of the last three labels are other than safe.",
            null="fewer than two labels",
        ),
        column("last_attempt_date", TIME, "When the last of them was handed in.", "UTC"),
        column("metric_version", pa.string(), "Version of these definitions."),
        column(
            "coverage", pa.float64(), "Share of results, integrity and momentum that are known.", "0 to 1"
        ),
        column(
            "reasons",
            pa.string(),
            "What makes the numbers up.",
            "JSON list of {code, value, threshold, n, text}",
        ),
        column("as_of", TIME, "How far the numbers reach.", "UTC"),
    ],
)
