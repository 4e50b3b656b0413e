"""
What results and revisions of an exam are worth among those of the others.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import column, describe

EXAM_NORMS: Final = describe(
    "exam_norms",
    1,
    grain="one row per exam with a result that counts",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id",),
    columns=[
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column("organisation_id", pa.string(), "Its organisation.", "UUID as text"),
        column("cohort", pa.int64(), "Results that count: neither void nor waiting for a grader.", "results"),
        column(
            "scores",
            pa.string(),
            "The normal score of each percentage, rounded to 0.1; empty under a cohort of 10.",
            "JSON object: percentage to standard deviations",
        ),
        column(
            "qualities",
            pa.string(),
            "Median and MAD of each essay's thinking quality, rounded to 0.01; of those with a cohort of 10.",
            "JSON object: question to [median, MAD]",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
    ],
)
