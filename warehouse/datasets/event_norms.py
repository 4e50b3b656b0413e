"""
How anomalous each kind of event is in an exam: kept in PostgreSQL alone, to score events.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import column, describe

EVENT_NORMS: Final = describe(
    "event_norms",
    1,
    grain="one row per exam and mode",
    partition_key="exam_id",
    group=slice(-2, None),
    sort=("exam_id", "mode"),
    columns=[
        column("exam_id", pa.string(), "The exam.", "UUID as text"),
        column("organisation_id", pa.string(), "Its organisation.", "UUID as text"),
        column("mode", pa.int16(), "1 Soft, 2 Advanced.", "code"),
        column(
            "cells", pa.list_(pa.field("element", pa.int32())), "Its sessions' cells, ascending.", "codes"
        ),
        column(
            "comparable",
            pa.list_(pa.field("element", pa.int64())),
            "With how many events those of each are compared.",
            "events",
        ),
        column(
            "scores",
            pa.list_(pa.field("element", pa.float64())),
            "Anomaly score of the events of each; null: only sessions with an upheld flag have any.",
            "0 to 1",
        ),
        column(
            "scores_outside",
            pa.list_(pa.field("element", pa.float64())),
            "The same in sessions with an upheld flag; null: none has any.",
            "0 to 1",
        ),
        column(
            "texts",
            pa.list_(pa.field("element", pa.string())),
            "What is out of the ordinary; null: nothing.",
        ),
        column("metric_version", pa.string(), "Version of these definitions."),
    ],
)
