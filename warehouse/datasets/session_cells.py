"""
What a proctor session has of each kind of event: kept in PostgreSQL alone, to score its events.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import column, describe

INTEGERS: Final = pa.list_(pa.field("element", pa.int32()))

SESSION_CELLS: Final = describe(
    "session_cells",
    1,
    grain="one row per proctor session with events, of attempts that are over",
    partition_key="attempt_id",
    group=slice(-2, None),
    sort=("session_id",),
    columns=[
        column("session_id", pa.int64(), "The session.", "number, an id"),
        column("attempt_id", pa.string(), "Its attempt.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("mode", pa.int16(), "1 Soft, 2 Advanced.", "code"),
        column("is_upheld", pa.bool_(), "A flag about it was upheld: it is no yardstick for others."),
        column("minutes", pa.int64(), "From its first event to its last, begun ones.", "minutes"),
        column("cells", INTEGERS, "The cells that it has events of, ascending.", "codes"),
        column("counts", INTEGERS, "How many of each.", "events"),
        column("mild", INTEGERS, "Those of them under severity 4, heartbeats left out.", "events"),
        column("of_events", INTEGERS, "The cell of each event by its sequence; null: not stored.", "codes"),
        column("severe", INTEGERS, "Sequences of the events of severity 4 and 5.", "places"),
        column("scored", pa.int64(), "Its events but heartbeats.", "events"),
    ],
)
