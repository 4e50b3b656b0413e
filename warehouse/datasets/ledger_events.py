"""
Every change to a durable record and every sensitive view, in the order of the signed log.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

LEDGER_EVENTS: Final = describe(
    "ledger_events",
    1,
    grain="one row per sealed ledger event",
    partition_key="UTC day of occurred_at",
    group=slice(7),  # its month
    sort=("log_position",),
    columns=[
        column("log_position", pa.int64(), "Its place in the signed log, from 0 without a gap.", "place"),
        column("event_id", pa.string(), "The event.", "UUID as text"),
        column("organisation_id", pa.string(), "The organisation that it happened in.", "UUID as text"),
        column("occurred_at", TIME, "When it was recorded.", "UTC"),
        column("kind", pa.string(), "What happened: `submission.finalised`, say."),
        column("aggregate_type", pa.string(), "What it happened to: a kind of record."),
        column("aggregate_id", pa.string(), "Which one.", "UUID, or a number, as text"),
        column("actor_id", pa.string(), "Who did it.", "UUID as text", null="the system"),
        column("actor_role", pa.string(), "As what they did it."),
        column("subject_id", pa.string(), "Whom it is about.", "UUID as text", null="nobody"),
        column(
            "body",
            pa.string(),
            "The text that the leaf hashes, to the byte; personal values are commitments in it.",
            "JSON object as text",
        ),
        column("leaf_hash", pa.string(), "SHA-256 of the leaf, as RFC 6962 has it.", "hexadecimal"),
    ],
)
