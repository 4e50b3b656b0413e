"""
What is thought of one attempt: one row, with every reason for it.

One row per attempt; the columns are those of the dataset `behavior_analysis`. `behavior_analysis` takes a
frame of `ATTEMPTS`: what monitoring, rules, cohort and texts said of each attempt, null where they said
nothing. It gives integrity (`integrity.py`), the dropout label (`dropout.py`), flags and alerts
(`flags.py`) and their text (`summaries.py`). What is null stays null: it lowers no score and raises no
flag. `reasons` holds those of the flags, of integrity, of the label and of weak topics, in this order;
`coverage` is integrity's. Each row follows from its own inputs alone, so neither order nor partition
matters.

>>> given = pl.DataFrame(
...     [{"attempt_id": "a", "exam_id": "e", "student_id": "s", "peak_risk": 100.0, "is_decided": False}],
...     schema_overrides=dict(ATTEMPTS.schema),
... )
>>> given = pl.concat([pl.DataFrame(schema=ATTEMPTS.schema), given], how="diagonal")
>>> row = behavior_analysis(given).row(0, named=True)
>>> row["integrity_score"], row["integrity_band"], row["requires_instructor_attention"], row["dropout_label"]
(0.25, 'needs_review', True, None)
>>> row["llm_summary"].split(". ")[0]
'The risk score was at most 100 of 100, which is Critical'

Source: veritas-architecture.txt, behavior_analysis; analytics.md.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
from msgspec import Struct

from pipeline.features import dropout, integrity, summaries
from pipeline.features.flags import RECAP_RESPONSES_MIN, action_of, alerts, attention, needs_recap, risk_level
from pipeline.features.frames import UTC, as_json, checked, frame, reason, version_of
from pipeline.features.integrity import WEIGHTS, Weights

METRIC_VERSION: Final = "behavior-1"

WEAK_TOPICS: Final = pl.List(pl.Struct({"topic": pl.String, "n": pl.Int64}))
ATTEMPTS: Final = frame(
    "one row per attempt",
    {
        "attempt_id": (pl.String, "The attempt."),
        "exam_id": (pl.String, "Its exam."),
        "student_id": (pl.String, "Its candidate."),
        "completed_at": (UTC, "When it was handed in; null: it was not."),
        "as_of": (UTC, "How far what follows reaches; null: nothing has come."),
        "is_decided": (pl.Boolean, "A final decision about each of its sessions."),
        "has_flag": (pl.Boolean, "A proctor has flagged one of its sessions, and the flag stands."),
        "events": (pl.Int64, "Monitoring events; null: not monitored."),
        "critical_events": (pl.Int64, "Those of severity 4 and 5; null: not monitored."),
        "peak_risk": (pl.Float64, "See `integrity.EVIDENCE`, as down to `indicators`."),
        "scored_events": (pl.Int64, ""),
        "anomalies": (pl.Int64, ""),
        "times_p": (pl.Float64, ""),
        "rapid_share": (pl.Float64, ""),
        "similarity_p": (pl.Float64, ""),
        "has_second_factor": (pl.Boolean, ""),
        "indicators": (pl.String, ""),
        "unexplained_silences": (pl.Int64, "Gaps that nothing explains; null: not monitored."),
        "unexplained_silence_s": (pl.Float64, "Their length together."),
        "damaged_evidence": (pl.Int64, "Files of evidence that are not what was stored."),
        "lmi_score": (pl.Float64, "Learning momentum, 0 to 100; null: nothing to compare with."),
        "improvement_trend": (pl.String, "`improving`, `stagnant`, `declining`; null: too few attempts."),
        "weak_topics": (
            WEAK_TOPICS,
            "Weak topics of the exam, responses to each; null: none could be judged.",
        ),
        "probability": (pl.Float64, "See `dropout.STANDING`, as to the end."),
        "probability_reasons": (pl.String, ""),
        "done_share": (pl.Float64, ""),
        "done_share_p10": (pl.Float64, ""),
        "model_version": (pl.String, "Whose probability that is; null: no model."),
    },
)
_COLUMNS: Final[dict[str, Any]] = {
    "attempt_id": pl.String,
    "exam_id": pl.String,
    "student_id": pl.String,
    "completed_at": UTC,
    "total_monitoring_events": pl.Int64,
    "anomaly_count": pl.Int64,
    "critical_events": pl.Int64,
    "peak_risk_score": pl.Float64,
    "risk_level": pl.String,
    "integrity_score": pl.Float64,
    "integrity_band": pl.String,
    "originality_indicators": pl.String,
    "lmi_score": pl.Float64,
    "improvement_trend": pl.String,
    "dropout_label": pl.String,
    "dropout_confidence": pl.Float64,
    "llm_summary": pl.String,
    "llm_recommendations": pl.String,
    "llm_model_version": pl.String,
    "requires_instructor_attention": pl.Boolean,
    "requires_recap": pl.Boolean,
    "flagged": pl.Boolean,
    "recommended_action": pl.String,
    "alerts": pl.String,
    "alert_rank": pl.Int16,
    "metric_version": pl.String,
    "coverage": pl.Float64,
    "reasons": pl.String,
    "as_of": UTC,
}
ROWS: Final = pl.Schema(_COLUMNS)


class Bars(Struct, frozen=True, kw_only=True):
    """What an operator may set: the blocks' weights, and from which probability on leaving is likely."""

    weights: Weights = WEIGHTS
    dropout: float = dropout.THRESHOLD


BARS: Final = Bars()


def behavior_analysis(attempts: pl.DataFrame, bars: Bars = BARS) -> pl.DataFrame:
    """Return a row of `ROWS` for each row of `ATTEMPTS`, by attempt."""
    given = checked(attempts, ATTEMPTS).sort("attempt_id")
    return pl.DataFrame([_row(row, bars) for row in given.iter_rows(named=True)], schema=ROWS)


def _row(given: Mapping[str, Any], bars: Bars) -> dict[str, Any]:
    scored = integrity.integrity(given, bars.weights)
    known = {**given, **scored}
    labelled = dropout.dropout(known, bars.dropout)
    known |= labelled | {"coverage": scored["coverage"]}
    topics = given["weak_topics"]
    weak = None if topics is None else {each["topic"]: each["n"] for each in topics}
    asked, told, recap = attention(known), alerts(known), needs_recap(weak)
    reasons = [*asked, *scored["reasons"], *labelled["reasons"], *_weak_topics(weak)]
    return {
        **{name: given[name] for name in ("attempt_id", "exam_id", "student_id", "completed_at", "as_of")},
        "total_monitoring_events": given["events"],
        "anomaly_count": given["anomalies"],
        "critical_events": given["critical_events"],
        "peak_risk_score": given["peak_risk"],
        "risk_level": risk_level(given["peak_risk"]),
        "integrity_score": scored["integrity_score"],
        "integrity_band": scored["integrity_band"],
        "originality_indicators": given["indicators"],
        "lmi_score": given["lmi_score"],
        "improvement_trend": given["improvement_trend"],
        "dropout_label": labelled["dropout_label"],
        "dropout_confidence": labelled["dropout_confidence"],
        "llm_summary": summaries.summary_of(reasons),
        "llm_recommendations": summaries.advice_of(reasons),
        "llm_model_version": summaries.RULES,
        "requires_instructor_attention": bool(asked),
        "requires_recap": recap,
        "flagged": bool(asked),
        "recommended_action": action_of(given["peak_risk"]),
        "alerts": as_json(told),
        "alert_rank": told[0]["rank"] if told else None,
        "metric_version": _version(given["model_version"], bars),
        "coverage": scored["coverage"],
        "reasons": as_json(reasons),
    }


def _version(model: str | None, bars: Bars) -> str:
    """Return the definition's version, and the model's where one was asked."""
    version = version_of(METRIC_VERSION, bars, BARS)
    return version if model is None else f"{version}+{model}"


def _weak_topics(weak: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Say how many topics ask for a recap, where any does; which ones, the student's strengths say."""
    counts = [n for topic, n in (weak or {}).items() if needs_recap({topic: n})]
    if not counts:
        return []
    text = f"{len(counts)} of the exam's topics are weak, each over {RECAP_RESPONSES_MIN} responses or more."
    return [reason("WEAK_TOPICS", len(counts), 1, sum(counts), text)]
