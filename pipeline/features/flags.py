"""
Which attempts ask for somebody's attention: flags and alerts, the most urgent first.

`attention` is about one attempt: it asks for an instructor's attention where nobody has decided about it
yet and the peak of its risk is High or Critical, or its integrity needs review, or a proctor's flag stands.
The strongest consequence of any number is that a person looks. `flagged` and `flagged_for_review` say the
same. `requires_recap`: the exam has a topic in which the candidate is weak, with ten responses or more;
null where no topic could be judged.

`alerts` lists what stands out in an attempt, each with its reason, in this order: Critical, High, evidence
tampering, unexplained silence, anomaly cluster, dropout. What to do follows from the peak's band alone:
`none` (Low, or not scored), `flag_for_review` (Medium), `priority_review` (High), `immediate_attention`
(Critical).

`standings` is about one student, over their attempts by (completed_at, attempt_id):
`flagged_for_intervention` where two of the last three have a dropout label other than `safe`;
`current_risk_label` is the latest label that is not null; `cumulative_integrity_score` the mean of the last
ten integrity scores that are not null, each weighted by its coverage, null without one.

>>> [each["code"] for each in attention({"peak_risk": 80.0, "is_decided": False, "has_flag": True})]
['PEAK_RISK', 'FLAG_STANDS']
>>> attention({"peak_risk": 80.0, "is_decided": True})
[]
>>> silent = {"peak_risk": 60.0, "unexplained_silences": 2, "unexplained_silence_s": 130.0}
>>> [each["code"] for each in alerts(silent)]
['HIGH_RISK', 'UNEXPLAINED_SILENCE']
>>> action_of(50.0), action_of(50.1), action_of(None)
('flag_for_review', 'priority_review', 'none')

Source: analytics.md, flags; proctor-module.txt, recommended actions.
"""

from collections.abc import Iterator, Mapping
from math import fsum
from typing import Any, Final

import polars as pl

from kernel.risk import POINT, Level, level_of
from pipeline.features.dropout import SHOWN
from pipeline.features.frames import UTC, checked, frame, reason
from pipeline.features.integrity import NEEDS_REVIEW, events_p

RECAP_RESPONSES_MIN: Final = 10
CLUSTER_P: Final = 0.001  # of an attempt's anomalies to be chance: one of a thousand honest attempts
LAST: Final = 10
RECENT, OF_RECENT = 3, 2
ACTIONS: Final = {
    Level.low: "none",
    Level.medium: "flag_for_review",
    Level.high: "priority_review",
    Level.critical: "immediate_attention",
}
# In the order of their urgency; the place, from 1, is an alert's rank.
ALERTS: Final = (
    "CRITICAL_RISK",
    "HIGH_RISK",
    "EVIDENCE_TAMPERING",
    "UNEXPLAINED_SILENCE",
    "ANOMALY_CLUSTER",
    "DROPOUT",
)

ATTEMPTS: Final = frame(
    "one row per attempt of any number of students",
    {
        "attempt_id": (pl.String, "The attempt."),
        "student_id": (pl.String, "Its candidate."),
        "completed_at": (UTC, "When it was handed in; null: it was not, and it does not count here."),
        "integrity_score": (pl.Float64, "0 to 1; null: not enough evidence."),
        "coverage": (pl.Float64, "Coverage of that."),
        "dropout_label": (pl.String, "Null: not enough evidence."),
    },
)
STANDINGS: Final = pl.Schema(
    {
        "student_id": pl.String,
        "current_risk_label": pl.String,
        "flagged_for_intervention": pl.Boolean,
        "cumulative_integrity_score": pl.Float64,
    }
)


def risk_level(peak: float | None) -> Level | None:
    """Return the band of a peak risk, 0 to 100; None of none."""
    return None if peak is None else level_of(round(peak * POINT))


def action_of(peak: float | None) -> str:
    """Return what a peak risk asks for."""
    level = risk_level(peak)
    return "none" if level is None else ACTIONS[level]


def attention(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return why an attempt asks for attention; nothing where it does not.

    Args:
        row: `peak_risk` (0 to 100), `integrity_band`, `integrity_score`, `has_flag`, `is_decided`; one that
            is not there counts as null, and null asks for nothing.
    """
    if row.get("is_decided"):
        return []
    found = []
    peak = row.get("peak_risk")
    if (level := risk_level(peak)) in {Level.high, Level.critical}:
        assert peak is not None, "a band is of a number"
        text = f"The risk score was at most {_short(peak)} of 100, which is {level}."
        found.append(reason("PEAK_RISK", peak, 50, 1, text))
    if row.get("integrity_band") == NEEDS_REVIEW:
        score = row["integrity_score"]
        text = f"Integrity is {score:.2f}, which a person should look at."
        found.append(reason("INTEGRITY_NEEDS_REVIEW", score, 0.3, 1, text))
    if row.get("has_flag"):
        found.append(
            reason("FLAG_STANDS", 1, 1, 1, "A proctor has flagged the session, and the flag stands.")
        )
    return found


def needs_recap(weak_topics: Mapping[str, int] | None) -> bool | None:
    """
    Say whether a weak topic of the exam has responses enough.

    >>> needs_recap({"fractions": 12}), needs_recap({"fractions": 9}), needs_recap({}), needs_recap(None)
    (True, False, False, None)
    """
    if weak_topics is None:
        return None
    return any(responses >= RECAP_RESPONSES_MIN for responses in weak_topics.values())


def alerts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return an attempt's alerts, the most urgent first: each a reason with its `rank`.

    Args:
        row: `peak_risk`, `damaged_evidence`, `unexplained_silences`, `unexplained_silence_s`, `anomalies`,
            `scored_events`, `dropout_label`; one that is not there counts as null, and null alerts nobody.
    """
    return [each | {"rank": ALERTS.index(each["code"]) + 1} for each in _alerts(row)]


def _alerts(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    peak = row.get("peak_risk")
    if (level := risk_level(peak)) in {Level.high, Level.critical}:
        assert peak is not None, "a band is of a number"
        least = 75 if level is Level.critical else 50
        text = f"The risk score reached {_short(peak)} of 100: {level}."
        yield reason("CRITICAL_RISK" if level is Level.critical else "HIGH_RISK", peak, least, 1, text)
    if damaged := row.get("damaged_evidence"):
        text = f"{damaged} files of evidence are not what was stored."
        yield reason("EVIDENCE_TAMPERING", damaged, 1, damaged, text)
    if silences := row.get("unexplained_silences"):
        seconds = row["unexplained_silence_s"]
        text = f"{silences} silences of {round(seconds)} s together are unexplained."
        yield reason("UNEXPLAINED_SILENCE", seconds, 45, silences, text)
    anomalies, scored = row.get("anomalies"), row.get("scored_events")
    if anomalies and scored and (p := events_p(anomalies, scored)) <= CLUSTER_P:
        text = f"{anomalies} of {scored} events were out of the ordinary, far more than by chance."
        yield reason("ANOMALY_CLUSTER", p, CLUSTER_P, scored, text)
    label = row.get("dropout_label")
    if label is not None and label != "safe":
        text = f"The dropout label is: {SHOWN[label]}."
        yield reason("DROPOUT", 1, 1, 1, text)


def standings(attempts: pl.DataFrame) -> pl.DataFrame:
    """Return a row of `STANDINGS` for each student with a completed attempt, by student."""
    rows = []
    given = checked(attempts, ATTEMPTS).filter(pl.col("completed_at").is_not_null())
    for own in given.sort("student_id", "completed_at", "attempt_id").partition_by("student_id"):
        labels = own["dropout_label"].to_list()
        known = [label for label in labels if label is not None]
        left = sum(label not in {None, "safe"} for label in labels[-RECENT:])
        scored = own.filter(pl.col("integrity_score").is_not_null()).tail(LAST)
        rows.append(
            {
                "student_id": own["student_id"][0],
                "current_risk_label": known[-1] if known else None,
                "flagged_for_intervention": left >= OF_RECENT,
                "cumulative_integrity_score": _weighted_mean(
                    scored["integrity_score"].to_list(), scored["coverage"].to_list()
                ),
            }
        )
    return pl.DataFrame(rows, schema=STANDINGS)


def _weighted_mean(values: list[float], weights: list[float]) -> float | None:
    whole = fsum(weights)
    if not whole:
        return None
    return fsum(value * weight for value, weight in zip(values, weights, strict=True)) / whole


def _short(value: float) -> str:
    """Return a number with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
