"""
How the score of each proctor session came about.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

RISK_SNAPSHOTS: Final = describe(
    "risk_snapshots",
    1,
    grain="one row per change of a session's risk score or of its peak",
    partition_key="exam_id",
    group=slice(-2, None),  # one of 256: the beginning of an id is its time
    sort=("session_id", "snapshot_id"),
    columns=[
        column("snapshot_id", pa.int64(), "The snapshot; ascending in a session.", "number, an id"),
        column("session_id", pa.int64(), "Proctor session.", "number, an id"),
        column("attempt_id", pa.string(), "Attempt that the session belongs to.", "UUID as text"),
        column("exam_id", pa.string(), "Exam of the attempt.", "UUID as text"),
        column("organisation_id", pa.string(), "The exam's organisation.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column("as_of", TIME, "The moment that windows count back from.", "UTC"),
        column("calculated_at", TIME, "When it was computed.", "UTC"),
        column("risk_score", pa.float64(), "The score as of then.", "0 to 100"),
        column("peak_risk_score", pa.float64(), "The highest until then, at any event's moment.", "0 to 100"),
        column(
            "cause",
            pa.string(),
            "What moved it: `events`, `time`, `backfilled`, `gaps`, `adjusted`, `ended` or `rebuilt`.",
        ),
        column(
            "trace",
            pa.string(),
            "Where every point comes from: the rule, its version, its window and the events.",
            "JSON list of {ruleId, version, windowUs, points, percent, triggers, events, …}",
        ),
        column("rule_set_id", pa.int64(), "The set of rules that the session keeps.", "number, an id"),
        column("through_seq", pa.int32(), "Sequence of the last event that is in it.", "place"),
        column("judgements", pa.int32(), "How many judgements of silences are in it.", "judgements"),
        column(
            "adjustment_id",
            pa.int64(),
            "The last adjustment of rules that is in it; 0 is none.",
            "number, an id",
        ),
        column("ended_at", TIME, "The session's end, if it was known.", "UTC", null="it was not over"),
    ],
)
