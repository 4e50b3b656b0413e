"""
How long each attempt's answers took, among those of its form.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import column, describe

FEW: Final = "the times of under 5 items, or of under half of the form, are known"
NOBODY: Final = "under 30 candidates can be compared with"

RESPONSE_TIMES: Final = describe(
    "response_times",
    1,
    grain="one row per attempt that is not void",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "form_id", "attempt_id"),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("form_id", pa.string(), "Its form.", "UUID as text"),
        column("items", pa.int64(), "Items of the form.", "items"),
        column("timed", pa.int64(), "Those of them whose time is known.", "items"),
        column(
            "speed",
            pa.float64(),
            "How much faster than the others its answers came; 0.69 is twice as fast.",
            "natural logarithm",
            null=FEW,
        ),
        column(
            "speed_z",
            pa.float64(),
            "How unusual the speed is at its share of points: a studentized residual.",
            "standard deviations",
            null=f"no speed or no score, or {NOBODY}",
        ),
        column("speed_p", pa.float64(), "Chance of more.", "0 to 1", null="no speed_z"),
        column("rapid", pa.int64(), "Answers faster than min(10 s, 10 % of the item's mean).", "items"),
        column("rapid_share", pa.float64(), "Those of the timed ones.", "0 to 1", null=FEW),
        column(
            "rapid_p",
            pa.float64(),
            "Share of the cohort with as many or more.",
            "0 to 1",
            null=f"no rapid_share, or {NOBODY}",
        ),
        column(
            "times_p",
            pa.float64(),
            "Chance of such times: of speed and rapid answers together, to two digits.",
            "0 to 1",
            null="neither p is known",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Share of the form's items whose time is known.", "0 to 1"),
        column(
            "reasons",
            pa.string(),
            "What stands out, or why nothing can be said.",
            "JSON list of {code, value, threshold, n, text}",
        ),
    ],
)
