"""
What candidates of an exam usually reach, by item and by topic.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import column, describe

TOPIC_NORMS: Final = describe(
    "topic_norms",
    1,
    grain="one row per exam with a submission",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id",),
    columns=[
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column("organisation_id", pa.string(), "Its organisation.", "UUID as text"),
        column(
            "item_means",
            pa.string(),
            "Mean share of the points of each item that 10 candidates have answered.",
            "JSON object: form to {question version: hundredths}",
        ),
        column(
            "topic_priors",
            pa.string(),
            "What effects of a topic are among candidates: mean, variance between them, variance within.",
            "JSON object: topic to [mean, between, within]",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
    ],
)
