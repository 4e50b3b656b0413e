"""
Whether a person's work goes up or down.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

LEARNING_MOMENTUM: Final = describe(
    "learning_momentum",
    1,
    grain="one row per submission that is not void, of what came up to it",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "attempt_id"),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column("finalised_at", TIME, "When it was handed in; the candidate's order.", "UTC"),
        column(
            "normal_score",
            pa.float64(),
            "The result among those of its exam.",
            "standard deviations from the middle",
            null="no result, or a cohort under 10",
        ),
        column(
            "draft_z",
            pa.float64(),
            "Thinking quality of its texts among those of its exam.",
            "MADs from the median, -3 to 3",
            null="no revised text, or a cohort under 10",
        ),
        column(
            "lmi",
            pa.float64(),
            "Learning momentum index after this attempt: 50 is no momentum.",
            "0 to 100",
            null="nothing earlier, and no revised text, to compare with",
        ),
        column("lmi_band", pa.string(), "`healthy`, `watch` or `falling`.", null="as `lmi`"),
        column("lmi_steps", pa.int32(), "Steps that it rests on, at most 10.", "steps"),
        column(
            "cumulative_lmi",
            pa.float64(),
            "Mean of the last 10, weighted by their steps.",
            "0 to 100",
            null="as `lmi`",
        ),
        column(
            "lmi_trend",
            pa.string(),
            "`improving`, `stable` or `declining`.",
            null="under two values of LMI",
        ),
        column(
            "improvement_trend",
            pa.string(),
            "Of results in percent: `improving`, `stagnant` or `declining`.",
            null="under two results",
        ),
        column(
            "indicators",
            pa.string(),
            "SUDDEN_JUMP and SPEED_JUMP against the candidate's earlier attempts.",
            "JSON list of {code, value, threshold, n, p, text}",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
        column("coverage", pa.float64(), "Share of the last 10 attempts that gave a step.", "0 to 1"),
        column("reasons", pa.string(), "What it rests on.", "JSON list of {code, value, threshold, n, text}"),
    ],
)
