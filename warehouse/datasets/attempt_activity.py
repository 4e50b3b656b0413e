"""
What monitoring saw of an attempt, in numbers.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

ATTEMPT_ACTIVITY: Final = describe(
    "attempt_activity",
    1,
    grain="one row per attempt that has events",
    partition_key="exam_id",
    group=slice(-2, None),  # one of 256: the beginning of an id is its time
    sort=("exam_id", "attempt_id"),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column("session_ids", pa.list_(pa.field("element", pa.int64())), "Its proctor sessions, ascending."),
        column("events", pa.int64(), "Events of all its sessions.", "events"),
        column("violations", pa.int64(), "Events that count as violations.", "events"),
        column("by_type", pa.string(), "Events by type name.", "JSON object: name to events"),
        column("by_severity", pa.string(), "Events by severity number.", "JSON object: number to events"),
        column("first_event_at", TIME, "Server time of the first event.", "UTC"),
        column("last_event_at", TIME, "Server time of the last event.", "UTC"),
        column(
            "longest_silence_s",
            pa.float64(),
            "Longest time between consecutive events of a session, start and known end included.",
            "seconds",
            null="no session has two points in time",
        ),
        column(
            "heartbeat_coverage",
            pa.float64(),
            "Share of the 15 s intervals of the sessions' spans that held a heartbeat.",
            "0 to 1",
            null="under four whole intervals, or no heartbeat ever came",
        ),
        column(
            "clock_skew_ms",
            pa.float64(),
            "Median of client minus server time over heartbeats that were neither late nor back-filled.",
            "milliseconds; positive when the client is ahead",
            null="no such heartbeat said its time",
        ),
        column("late_events", pa.int64(), "Events that arrived after their session had ended.", "events"),
        column("metric_version", pa.string(), "Version of these definitions."),
        column(
            "coverage",
            pa.float64(),
            "Share of silence, heartbeat coverage and skew that could be computed.",
            "0 to 1",
        ),
        column("reasons", pa.string(), "What stands out.", "JSON list of {code, value, threshold, n, text}"),
        column("as_of", TIME, "How far the row's inputs reach: its last event or session end.", "UTC"),
    ],
)
