"""
What is thought of an attempt: integrity, dropout, flags and alerts, each with its reasons.
"""

from typing import Final

import pyarrow as pa

from warehouse.layout import TIME, column, describe

NOT_MONITORED: Final = "the attempt was not monitored"

BEHAVIOR_ANALYSIS: Final = describe(
    "behavior_analysis",
    1,
    grain="one row per attempt",
    partition_key="exam_id",
    group=slice(-2, None),  # one of 256: the beginning of an id is its time
    sort=("exam_id", "attempt_id"),
    columns=[
        column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        column("completed_at", TIME, "When it was handed in.", "UTC", null="it has not been"),
        column(
            "total_monitoring_events", pa.int64(), "Events of all its sessions.", "events", null=NOT_MONITORED
        ),
        column(
            "anomaly_count",
            pa.int64(),
            "Events that are out of the ordinary among comparable ones.",
            "events",
            null="no event was scored",
        ),
        column("critical_events", pa.int64(), "Events of severity 4 and 5.", "events", null=NOT_MONITORED),
        column(
            "peak_risk_score",
            pa.float64(),
            "Highest risk score of its sessions at any event's moment.",
            "0 to 100",
            null="no session was scored",
        ),
        column(
            "risk_level",
            pa.string(),
            "Band of that: Low, Medium, High, Critical.",
            null="no session was scored",
        ),
        column(
            "integrity_score",
            pa.float64(),
            "1 where no evidence speaks against the candidate, less with each kind that does.",
            "0 to 1",
            null="under a quarter of what it rests on is known",
        ),
        column(
            "integrity_band",
            pa.string(),
            "consistent (from 0.8), review_optional (from 0.5), concerns (from 0.3), needs_review.",
            null="the score is null",
        ),
        column(
            "originality_indicators",
            pa.string(),
            "What stands out in how its texts came about.",
            "JSON list of {code, value, threshold, n, p, text}",
            null="no text could be judged",
        ),
        column(
            "lmi_score",
            pa.float64(),
            "Learning momentum; 50 is none.",
            "0 to 100",
            null="there is nothing to compare with",
        ),
        column(
            "improvement_trend",
            pa.string(),
            "improving, stagnant, declining.",
            null="under two attempts with a score",
        ),
        column(
            "dropout_label",
            pa.string(),
            "safe, incapable (needs academic support), copy, no_interest.",
            null="not enough evidence",
        ),
        column(
            "dropout_confidence",
            pa.float64(),
            "Calibrated probability of the label, times the square root of coverage.",
            "0 to 1",
            null="no label, or no calibrated model",
        ),
        column(
            "llm_summary", pa.string(), "The reasons in sentences.", null="there is no reason to speak of"
        ),
        column("llm_recommendations", pa.string(), "What a teacher can do.", null="nothing need be done"),
        column("llm_model_version", pa.string(), "Who wrote both: rules-1, or a model's name."),
        column(
            "requires_instructor_attention",
            pa.bool_(),
            "High or Critical risk, integrity that needs review, or a flag, and no decision yet.",
        ),
        column(
            "requires_recap",
            pa.bool_(),
            "The exam has a weak topic of the candidate's with ten responses or more.",
            null="no topic could be judged",
        ),
        column("flagged", pa.bool_(), "Attention is required."),
        column(
            "recommended_action",
            pa.string(),
            "none, flag_for_review, priority_review, immediate_attention: by the peak's band.",
        ),
        column(
            "alerts",
            pa.string(),
            "What stands out, the most urgent first.",
            "JSON list of {code, rank, value, threshold, n, text}",
        ),
        column("alert_rank", pa.int16(), "Rank of the first; 1 is the most urgent.", "rank", null="no alert"),
        column(
            "metric_version",
            pa.string(),
            "Version of these definitions; after a plus, settings that differ, and the model of leaving.",
        ),
        column("coverage", pa.float64(), "Share of what integrity rests on that is known.", "0 to 1"),
        column(
            "reasons",
            pa.string(),
            "What flags, integrity and label are made of.",
            "JSON list of {code, value, threshold, n, text}; `share` is a part of integrity",
        ),
        column("as_of", TIME, "How far the row's inputs reach.", "UTC", null="nothing has come of it yet"),
    ],
)
