"""
Whether somebody is about to leave: a label that says what kind of help that asks for.

One row per attempt, as it stood when the attempt was handed in. With a model (`models.py`) p is its
calibrated probability, at a cut-off, that the candidate leaves within the horizon; an attempt has one where
it was the last that they had handed in to the cohort by then (`veritas model apply`):

| where | label | shown as |
|---|---|---|
| p < θ (0.35, a setting) | `safe` | safe |
| else integrity < 0.3 and LMI < 30 | `copy` | never shown to the candidate |
| else done / due under the cohort's 10th percentile | `no_interest` | no interest |
| else | `incapable` | needs academic support |

Without one (none was applied; of fewer than 200 labelled outcomes none is trained), the cold start, in this
order:

| where | label |
|---|---|
| integrity < 0.3 and LMI < 30 | `copy` |
| integrity ≥ 0.4 and LMI < 30 | `incapable` |
| integrity < 0.4 and LMI < 50 | `no_interest` |
| else | `safe` |

Every pair of numbers has one label: integrity of 0.4 is on the side of those above it, and between 0.3 and
0.4 momentum under 50 is `no_interest`. With integrity or LMI null the label is null, shown as "not enough
evidence": a number that is missing never makes a label, so an honest candidate with one draft, whose LMI is
null, has none. `dropout_confidence` is the calibrated probability of the label times the square root of
coverage (how much of what integrity rests on is known), 0 to 1; null in the cold start, where nothing is
calibrated. At most three reasons.

>>> label_of(0.4, 25.0), label_of(0.2, 20.0), label_of(0.35, 25.0), label_of(0.9, 25.0), label_of(0.9, None)
('incapable', 'copy', 'no_interest', 'incapable', None)
>>> row = dropout({"integrity_score": 0.9, "lmi_score": 55.0, "coverage": 0.64, "probability": 0.5})
>>> row["dropout_label"], row["dropout_confidence"]
('incapable', 0.4)

Source: analytics.md, dropout_label; spec.md W-1.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any, Final

import orjson
import polars as pl

from pipeline.features.frames import as_json, checked, frame, reason

METRIC_VERSION: Final = "dropout-1"
SHOWN: Final = {
    "safe": "safe",
    "incapable": "needs academic support",
    "copy": "copies, and falls behind",
    "no_interest": "no interest",
}
RISK_TEXT: Final = "The dropout model gives {} % for leaving, where {} % and more count."
THRESHOLD: Final = 0.35
COPY_INTEGRITY: Final = 0.3
LOW_INTEGRITY: Final = 0.4
LOW_MOMENTUM: Final = 30.0
MOMENTUM: Final = 50.0
REASONS_MAX: Final = 3

STANDING: Final = frame(
    "one row per attempt",
    {
        "attempt_id": (pl.String, "The attempt."),
        "integrity_score": (pl.Float64, "Its integrity, 0 to 1; null: not enough evidence."),
        "coverage": (pl.Float64, "Coverage of that, 0 to 1."),
        "lmi_score": (pl.Float64, "Learning momentum, 0 to 100; null: nothing to compare with."),
        "probability": (pl.Float64, "Calibrated, of leaving within the horizon; null: no model."),
        "probability_reasons": (pl.String, "What makes it up, JSON list of reasons; null: no model."),
        "done_share": (pl.Float64, "Hand-ins done of those due, 0 to 1; null: none was due."),
        "done_share_p10": (pl.Float64, "The cohort's 10th percentile of it; null: no cohort."),
    },
)
LABELLED: Final = pl.Schema(
    {
        "attempt_id": pl.String,
        "dropout_label": pl.String,
        "dropout_confidence": pl.Float64,
        "coverage": pl.Float64,
        "reasons": pl.String,
        "metric_version": pl.String,
    }
)


def label_of(integrity: float | None, lmi: float | None) -> str | None:
    """Return the label of the cold start; null where a number is."""
    if integrity is None or lmi is None:
        return None
    if integrity < COPY_INTEGRITY and lmi < LOW_MOMENTUM:
        return "copy"
    if integrity >= LOW_INTEGRITY and lmi < LOW_MOMENTUM:
        return "incapable"
    if integrity < LOW_INTEGRITY and lmi < MOMENTUM:
        return "no_interest"
    return "safe"


def label_of_risk(row: Mapping[str, Any], p: float, threshold: float) -> str:
    """Return the label where a model says how likely somebody leaves."""
    if p < threshold:
        return "safe"
    integrity, lmi = row.get("integrity_score"), row.get("lmi_score")
    if integrity is not None and lmi is not None and integrity < COPY_INTEGRITY and lmi < LOW_MOMENTUM:
        return "copy"
    done, least = row.get("done_share"), row.get("done_share_p10")
    return "no_interest" if done is not None and least is not None and done < least else "incapable"


def dropout(row: Mapping[str, Any], threshold: float = THRESHOLD) -> dict[str, Any]:
    """
    Label one attempt.

    Args:
        row: columns of `STANDING`; one that is not there counts as null.
        threshold: θ.

    Returns:
        The columns of `LABELLED` but the attempt's id, the reasons as a list.
    """
    p, coverage = row.get("probability"), row.get("coverage") or 0.0
    if p is None:
        label, confidence = label_of(row.get("integrity_score"), row.get("lmi_score")), None
        reasons = _cold_reasons(row, label)
    else:
        label = label_of_risk(row, p, threshold)
        confidence = (1 - p if label == "safe" else p) * sqrt(coverage)
        reasons = _reasons(row, p, threshold)
    return {
        "dropout_label": label,
        "dropout_confidence": confidence,
        "coverage": coverage,
        "reasons": reasons[:REASONS_MAX],
        "metric_version": METRIC_VERSION,
    }


def dropout_labels(standing: pl.DataFrame, threshold: float = THRESHOLD) -> pl.DataFrame:
    """Return a row of `LABELLED` for each row of `STANDING`, by attempt."""
    rows = []
    for row in checked(standing, STANDING).sort("attempt_id").iter_rows(named=True):
        labelled = dropout(row, threshold)
        rows.append({"attempt_id": row["attempt_id"], **labelled, "reasons": as_json(labelled["reasons"])})
    return pl.DataFrame(rows, schema=LABELLED)


def _cold_reasons(row: Mapping[str, Any], label: str | None) -> list[dict[str, Any]]:
    """Return the numbers that a label of the cold start rests on; none for `safe`."""
    integrity, lmi = row.get("integrity_score"), row.get("lmi_score")
    if label is None:
        missing = [name for name, value in (("integrity", integrity), ("momentum", lmi)) if value is None]
        text = f"Not enough evidence for a dropout label: {' and '.join(missing)} could not be computed."
        return [reason("NO_DROPOUT_LABEL", 2 - len(missing), 2, 2 - len(missing), text)]
    if label == "safe" or integrity is None or lmi is None:
        return []
    if label == "no_interest":
        return [_low_momentum(lmi, MOMENTUM), _low_integrity(integrity, LOW_INTEGRITY)]
    momentum = _low_momentum(lmi, LOW_MOMENTUM)
    return [momentum, _low_integrity(integrity, COPY_INTEGRITY)] if label == "copy" else [momentum]


def _low_momentum(lmi: float, threshold: float) -> dict[str, Any]:
    text = f"Learning momentum is {round(lmi)} of 100, under {round(threshold)}."
    return reason("LOW_MOMENTUM", lmi, threshold, 1, text)


def _low_integrity(integrity: float, threshold: float) -> dict[str, Any]:
    text = f"Integrity is {integrity:.2f}, under {threshold:.1f}."
    return reason("LOW_INTEGRITY", integrity, threshold, 1, text)


def _reasons(row: Mapping[str, Any], p: float, threshold: float) -> list[dict[str, Any]]:
    """Return the probability, where it reaches θ, and what makes most of it up."""
    if p < threshold:
        return []
    text = RISK_TEXT.format(round(100 * p), round(100 * threshold))
    given = row.get("probability_reasons")
    return [reason("DROPOUT_RISK", p, threshold, 1, text), *(orjson.loads(given) if given else [])]
