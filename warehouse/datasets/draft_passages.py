"""
Fingerprints of texts: kept in PostgreSQL alone, to find copies, and never published.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import column, describe

DRAFT_PASSAGES: Final = describe(
    "draft_passages",
    1,
    grain="one row per essay that was handed in",
    partition_key="attempt_id",
    group=slice(-2, None),
    sort=("attempt_id", "question_id"),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("question_id", pa.string(), "The essay's question.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column(
            "fingerprints",
            pa.list_(pa.field("element", pa.int64())),
            "Hashes of passages of five words, ascending.",
        ),
    ],
)
