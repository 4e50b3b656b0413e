"""
Every stored event, as the archive has it.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

EVENTS: Final = describe(
    "events",
    1,
    grain="one row per stored event",
    partition_key="UTC day of occurred_at",
    group=slice(7),  # its month
    sort=("session_id", "seq"),
    columns=[
        column("session_id", pa.int64(), "Proctor session.", "number, an id"),
        column(
            "seq",
            pa.int32(),
            "Sequence number in the session, from 1 without a gap; unique with session_id.",
            "place",
        ),
        column("attempt_id", pa.string(), "Attempt that the session belongs to.", "UUID as text"),
        column("exam_id", pa.string(), "Exam of the attempt.", "UUID as text"),
        column("occurred_at", TIME, "Server time of acceptance; never runs backwards in a session.", "UTC"),
        column(
            "effective_at",
            TIME,
            "Corrected client time of a back-filled event.",
            "UTC",
            null="not back-filled",
        ),
        column("client_at", TIME, "What the client's clock said.", "UTC", null="the client did not say"),
        column(
            "client",
            pa.int64(),
            "Client instance: hash of its name.",
            "number, an id",
            null="the client sent none",
        ),
        column(
            "client_seq",
            pa.int64(),
            "The client's own sequence number.",
            "place",
            null="the client sent none",
        ),
        column("event_type", pa.int16(), "Type as its wire number.", "code"),
        column(
            "event_type_name", pa.string(), "Type as its wire name; for type 0 the name that the client gave."
        ),
        column("severity", pa.int16(), "0 Info, 1 Low, 2 Medium, 3 High, 4 Critical, 5 Terminal.", "code"),
        column("is_violation", pa.bool_(), "Counts as a violation."),
        column("is_late", pa.bool_(), "Arrived after the session had ended."),
        column("event_name", pa.string(), "The client's name for an event of type 0.", null="any other type"),
        column("payload", pa.string(), "Metadata of the event.", "JSON object as text", null="none was sent"),
    ],
)
