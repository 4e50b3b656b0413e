"""
How a model of leaving comes about: fitted to closed cohorts, calibrated on cohorts that it has not seen.

Takes `models.PROGRESS` with outcomes of cohorts whose horizon is over, and gives a `models.Model`. `train`:
inputs are standardised; a logistic regression with an L2 penalty of 1/2 |b|² (scikit-learn's C = 1) is
fitted by Newton's method, which has one minimum and finds the same one on every machine to rounding.
Cohorts are dealt into five folds (students, where there are fewer than five cohorts); each fold is
predicted by a model of the other four. On these predictions the calibration is fitted: Platt's scaling, or
an isotonic curve from 1,000 of them on. The card's Brier score, AUC and ECE are those of predictions whose
calibration was also fitted without their fold. Fewer than 200 outcomes, or of one kind alone, make no
model: the cold start of `dropout` stands.

>>> fit = fitted(np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([0.0, 0.0, 1.0, 1.0]))
>>> abs(round(float(fit[0]), 4)), round(float(fit[1]), 4)
(0.0, 1.0426)

Source: analytics.md, "dropout_label"; Hastie, Tibshirani and Friedman (2009), The Elements of Statistical
Learning, § 4.4.1 and 7.10; Barlow et al. (1972), Statistical Inference under Order Restrictions (isotonic
regression).
"""

from datetime import datetime
from math import log
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec.structs import replace
from scipy.optimize import isotonic_regression
from scipy.special import expit

from pipeline.features.models import (
    INPUTS,
    Bins,
    Calibration,
    Model,
    auc,
    binned,
    brier,
    calibrated,
    ece,
    inputs_of,
    probability,
)

OUTCOMES_MIN: Final = 200
ISOTONIC_MIN: Final = 1_000
FOLDS: Final = 5
PENALTY: Final = 1.0
STEPS_MAX: Final = 100
CLOSE: Final = 1e-12
BINS: Final = 10
Floats = npt.NDArray[np.float64]


class TooFewError(ValueError):
    """There are too few outcomes to train on; the message says how many."""


def train(
    progress: pl.DataFrame,
    *,
    version: str,
    as_of: datetime,
    horizon_days: int,
    base_rate: float | None = None,
) -> Model:
    """
    Train a model.

    Args:
        progress: `PROGRESS`; rows without an outcome, and who was not enrolled, are left out.
        version: what the model is called in every row that it scores.
        as_of: when, for the card.
        horizon_days: within which leaving counts, for the card.
        base_rate: share who leave where the model is used; None: as in training.

    Raises:
        TooFewError: under OUTCOMES_MIN outcomes, or all of one kind.
    """
    known = inputs_of(progress).filter(pl.col("has_left").is_not_null())
    y = known["has_left"].cast(pl.Float64).to_numpy()
    if len(y) < OUTCOMES_MIN or len(set(y.tolist())) < 2:
        raise TooFewError(
            f"{len(y)} outcomes, {int(y.sum())} of them left; {OUTCOMES_MIN} of both kinds are needed"
        )
    raw = known.select(INPUTS).to_numpy().astype(np.float64)
    means, scales = _usual(raw)
    x = np.where(np.isnan(raw), 0.0, (raw - means) / scales)
    folds = _folds(known)
    logits = np.zeros(len(y))
    for fold in range(FOLDS):
        own = folds == fold
        weights = fitted(x[~own], y[~own])
        logits[own] = weights[0] + x[own] @ weights[1:]
    weights = fitted(x, y)
    rate = float(y.mean())
    model = Model(
        version=version,
        inputs=list(INPUTS),
        means=means.tolist(),
        scales=scales.tolist(),
        coefficients=weights[1:].tolist(),
        intercept=float(weights[0]),
        calibration=calibration_of(logits, y),
        shift=0.0 if base_rate is None else log(base_rate / (1 - base_rate)) - log(rate / (1 - rate)),
        bins=Bins(edges={}, shares={}),
        card={},
    )
    left_out = progress.height - len(y)
    card = _card(known, y, _unseen(logits, y, folds)) | {
        "trained_at": as_of.isoformat(),
        "horizon_days": horizon_days,
        "base_rate": rate if base_rate is None else base_rate,
        "left_out": f"{left_out} rows: not enrolled at the cut-off, or outcome not known",
    }
    return replace(model, bins=_bins(model, known), card=card)


def fitted(x: Floats, y: Floats, penalty: float = PENALTY) -> Floats:
    """Return intercept and coefficients of the least log loss plus penalty/2 times the latters' squares."""
    design = np.column_stack([np.ones(len(y)), x])
    penalties = np.full(design.shape[1], penalty)
    penalties[0] = 0.0
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS_MAX):
        p = expit(design @ weights)
        gradient = design.T @ (p - y) + penalties * weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalties + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if float(np.abs(step).max()) < CLOSE:
            break
    return weights


def calibration_of(logits: Floats, y: Floats) -> Calibration:
    """Return what makes probabilities of logits that the outcomes were not fitted to."""
    if len(y) < ISOTONIC_MIN:
        left = y.sum()
        target = np.where(y == 1, (left + 1) / (left + 2), 1 / (len(y) - left + 2))  # Platt's, never 0 or 1
        offset, slope = fitted(logits[:, None], target, penalty=0.0).tolist()
        return Calibration(kind="platt", x=[slope, offset], y=[])
    points, places = np.unique(logits, return_inverse=True)
    counts = np.bincount(places).astype(np.float64)
    curve = isotonic_regression(np.bincount(places, weights=y) / counts, weights=counts).x
    kept = np.r_[True, (curve[1:-1] != curve[:-2]) | (curve[1:-1] != curve[2:]), True]  # ends of steps
    return Calibration(kind="isotonic", x=points[kept].tolist(), y=curve[kept].tolist())


def _usual(raw: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each input's known values; 0 and 1 without any difference."""
    means, scales = np.zeros(raw.shape[1]), np.ones(raw.shape[1])
    for place in range(raw.shape[1]):
        known = np.sort(raw[~np.isnan(raw[:, place]), place])
        if len(known) and known[0] < known[-1]:
            means[place], scales[place] = known.mean(), known.std()
        elif len(known):
            means[place] = known[0]
    return means, scales


def _folds(known: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return each row's fold: of its cohort, or of its student where cohorts are few."""
    by = "cohort_id" if known["cohort_id"].n_unique() >= FOLDS else "student_id"
    names = {name: place for place, name in enumerate(sorted(set(known[by])))}
    return np.array([names[name] % FOLDS for name in known[by]], dtype=np.int64)


def _unseen(logits: Floats, y: Floats, folds: npt.NDArray[np.int64]) -> list[float]:
    """Return probabilities whose calibration was fitted without their fold."""
    found = np.zeros(len(y))
    for fold in range(FOLDS):
        own = folds == fold
        calibration = calibration_of(logits[~own], y[~own])
        found[own] = [calibrated(calibration, logit) for logit in logits[own].tolist()]
    return found.tolist()


def _card(known: pl.DataFrame, y: Floats, unseen: list[float]) -> dict[str, Any]:
    outcomes = y.tolist()
    return {
        "outcomes": len(outcomes),
        "left": int(y.sum()),
        "cohorts": known["cohort_id"].n_unique(),
        "cut_offs": [str(known["cut_off"].min()), str(known["cut_off"].max())],
        "inputs": "behaviour alone, relative to the cohort at the cut-off; no demographics",
        "metrics": {
            "brier": brier(outcomes, unseen),
            "auc": auc(outcomes, unseen),
            "ece": ece(outcomes, unseen),
        },
        "measured_on": "cohorts that neither coefficients nor calibration were fitted to, in five folds",
    }


def _bins(model: Model, known: pl.DataFrame) -> Bins:
    """Return deciles of inputs and score in training, and how much lies between them."""
    values = {name: known[name].drop_nulls().to_list() for name in INPUTS}
    values["score"] = [probability(model, row) for row in known.iter_rows(named=True)]
    edges = {
        name: sorted(set(np.quantile(each, np.arange(1, BINS) / BINS).tolist()))
        for name, each in values.items()
        if each
    }
    return Bins(edges=edges, shares={name: binned(edges[name], values[name]) for name in edges})
