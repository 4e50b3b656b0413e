"""
How likely somebody leaves: a calibrated model of behaviour, as a file that can be read.

Grain: one row per student, cohort and cut-off. Takes `PROGRESS`, what each had done by the cut-off, and
gives `SCORED`. `inputs_of` makes the inputs, each relative to the cohort at that cut-off, so that an easy
course and a hard one compare; only who was still enrolled then counts. No demographics are among them:

- `done_rank`, `earliness_rank`, `recency_rank`: mid-rank, 0 to 1, among the cohort, of hand-ins done over
due, of   hours before the deadline, and of days since the last hand-in (fewest days rank highest); -
`done_z`, `earliness_z`: the same less the cohort's mean over its standard deviation, at most 3 either way;
- `abandoned_share`: attempts given up over attempts; `lmi`: (LMI - 50) / 50; `integrity`.

    logit p = a · (b0 + sum of b_i · (x_i - mean_i) / scale_i) + c + shift

x is the mean where it is null: what is not known moves nothing. a and c are Platt's scaling of predictions
for cohorts that the coefficients were not fitted to, or an isotonic curve in its place where there are
1,000 of them or more; shift is the correction for another base rate of leaving, logit of that less logit of
the trained one. `coverage`: share of inputs that are known. `reasons`: the inputs that raise p most, at
most two.

Veritas makes `PROGRESS` of what it has stored (`veritas model progress`). A cohort is a group that exams were
assigned to. `due`: its exams whose time to hand in, the candidate's own where they have one, was over by the
cut-off; `done`: those of them with an attempt handed in by then. `earliness_h` is over these, `attempts`,
`abandoned` and `idle_d` over all of the cohort's exams; `lmi` and `integrity` are means of the last ten that
are known. `has_left`: something was due within the horizon after the cut-off, and in it they neither began
nor handed in anything; null where nothing was, or the horizon is not over. Groups with fewer than ten who
were enrolled are left out: there is nobody to compare with.

A model is a JSON file: numbers, and a card that says from what, when, for which horizon and cut-off, how
good, and who is left out. Reading one runs nothing.

>>> calibration = Calibration(kind="platt", x=[1.0, 0.0], y=[])
>>> model = Model(version="toy", inputs=["lmi"], means=[0.0], scales=[0.5], coefficients=[-1.0], shift=0.0,
...               intercept=0.0, calibration=calibration, bins=Bins(edges={}, shares={}), card={})
>>> round(probability(model, {"lmi": -0.5}), 3), probability(model, {"lmi": None})
(0.731, 0.5)
>>> round(brier([0.0, 1.0], [0.25, 0.75]), 4), auc([0.0, 1.0, 1.0], [0.1, 0.1, 0.9])
(0.0625, 0.75)
>>> round(psi([0.5, 0.5], [0.7, 0.3]), 4)
0.1695

Source: analytics.md, "dropout_label", "Drift and calibration"; Platt (1999), Probabilistic outputs for
support vector machines; Zadrozny and Elkan (2002), KDD 2002 (isotonic calibration); King and Zeng (2001),
Political Analysis 9, 137-163 (base rates); Guo et al. (2017), ICML 2017 (ECE).
"""

from collections.abc import Mapping, Sequence
from math import exp, fsum, log
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from pipeline.features.frames import UTC, as_json, checked, frame, reason

INPUTS: Final = (
    "done_rank", "earliness_rank", "recency_rank", "done_z", "earliness_z", "abandoned_share", "lmi",
    "integrity",
)  # fmt: skip
SAID: Final[Mapping[str, str]] = {
    "done_rank": "Has done less of what was due than others of the cohort.",
    "done_z": "Has done less of what was due than is usual.",
    "earliness_rank": "Hands in later before the deadline than others of the cohort.",
    "earliness_z": "Hands in later before the deadline than is usual.",
    "recency_rank": "Was last active longer ago than others of the cohort.",
    "abandoned_share": "Has given up attempts.",
    "lmi": "Learning momentum is low.",
    "integrity": "Integrity is unusual.",
}
Z_MAX: Final = 3.0
P_EDGE: Final = 1e-6  # no probability is surer
REASONS_MAX: Final = 2
PSI_WATCH, PSI_ACT = 0.10, 0.25
SHARE_MIN: Final = 1e-4  # of a bin, where PSI takes a logarithm
ECE_BINS: Final = 10

PROGRESS: Final = frame(
    "one row per student of a cohort at a cut-off",
    {
        "cohort_id": (pl.String, "The course or group."),
        "student_id": (pl.String, "The student, pseudonymous."),
        "cut_off": (UTC, "Up to when everything in the row is."),
        "is_enrolled": (pl.Boolean, "Still enrolled then; others are left out."),
        "due": (pl.Int64, "Hand-ins that were due."),
        "done": (pl.Int64, "Those of them that were done."),
        "attempts": (pl.Int64, "Attempts begun."),
        "abandoned": (pl.Int64, "Attempts given up."),
        "earliness_h": (pl.Float64, "Median hours from hand-in to deadline; null: none was handed in."),
        "idle_d": (pl.Float64, "Days since the last hand-in; null: none yet."),
        "lmi": (pl.Float64, "Cumulative learning momentum, 0 to 100; null: not known."),
        "integrity": (pl.Float64, "Cumulative integrity, 0 to 1; null: not known."),
        "has_left": (pl.Boolean, "Left within the horizon; null: not known yet."),
    },
)
SCORED: Final = pl.Schema(
    {
        "cohort_id": pl.String,
        "student_id": pl.String,
        "probability": pl.Float64,
        "coverage": pl.Float64,
        "reasons": pl.String,
        "model_version": pl.String,
    }
)


class Calibration(Struct, frozen=True, kw_only=True):
    """`platt`: x is a and c. `isotonic`: logits x ascending, their probabilities y, lines between them."""

    kind: str
    x: list[float]
    y: list[float]


class Bins(Struct, frozen=True, kw_only=True):
    """How inputs and score were distributed in training: inner edges, and the share of each bin."""

    edges: dict[str, list[float]]
    shares: dict[str, list[float]]


class Model(Struct, frozen=True, kw_only=True):
    """A model as its file has it; see the module."""

    version: str
    inputs: list[str]
    means: list[float]
    scales: list[float]
    coefficients: list[float]
    intercept: float
    calibration: Calibration
    shift: float
    bins: Bins
    card: dict[str, Any]


def read_model(text: bytes) -> Model:
    """
    Return the model of a file.

    Raises:
        msgspec.DecodeError: it is none, or one that could not be asked; the message says why.
    """
    model = msgspec.json.decode(text, type=Model)
    if wrong := _wrong_with(model):
        raise msgspec.ValidationError(wrong)
    return model


def _wrong_with(model: Model) -> str | None:
    """Return what keeps a model from being asked, or None."""
    numbers = (model.means, model.scales, model.coefficients)
    if not set(model.inputs) <= set(INPUTS):
        return f"inputs are of {', '.join(INPUTS)}"
    if any(len(each) != len(model.inputs) for each in numbers) or 0 in model.scales:
        return "each input has a mean, a coefficient, and a scale other than 0"
    kind, x, y = model.calibration.kind, model.calibration.x, model.calibration.y
    if kind == "platt":
        return None if len(x) == 2 else "Platt's scaling has a slope and an offset"
    if kind != "isotonic":
        return "calibration is platt or isotonic"
    if not x or len(x) != len(y) or list(x) != sorted(x) or min(y) < 0 or max(y) > 1:
        return "an isotonic curve has a probability for each logit, and logits that ascend"
    return None


def inputs_of(progress: pl.DataFrame) -> pl.DataFrame:
    """Return `PROGRESS` of who was enrolled, with the columns `INPUTS`, by cohort, cut-off and student."""
    given = checked(progress, PROGRESS).filter("is_enrolled").sort("cohort_id", "cut_off", "student_id")
    cohort = ("cohort_id", "cut_off")
    share = pl.when(pl.col("due") > 0).then(pl.col("done") / pl.col("due"))
    sized = given.with_columns(done_share=share, recency=-pl.col("idle_d"))

    def rank(name: str) -> pl.Expr:
        return ((pl.col(name).rank("average") - 0.5) / pl.col(name).count()).over(*cohort)

    def z(name: str) -> pl.Expr:
        # summed in ascending order, so that the order of rows changes nothing
        ordered = pl.col(name).sort()
        spread = ordered.std(ddof=0)
        from_mean = (
            pl.when(spread > 0).then((pl.col(name) - ordered.mean()) / spread).otherwise(pl.col(name) * 0)
        )
        return from_mean.clip(-Z_MAX, Z_MAX).over(*cohort)

    return sized.with_columns(
        done_rank=rank("done_share"),
        earliness_rank=rank("earliness_h"),
        recency_rank=rank("recency"),
        done_z=z("done_share"),
        earliness_z=z("earliness_h"),
        abandoned_share=pl.when(pl.col("attempts") > 0).then(pl.col("abandoned") / pl.col("attempts")),
        lmi=(pl.col("lmi") - 50) / 50,
    )


def logit_of(model: Model, row: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """Return the model's logit before calibration, and what each known input adds to it."""
    parts = {
        name: weight * (row[name] - mean) / scale
        for name, mean, scale, weight in zip(
            model.inputs, model.means, model.scales, model.coefficients, strict=True
        )
        if row.get(name) is not None
    }
    return model.intercept + fsum(parts.values()), parts


def calibrated(calibration: Calibration, logit: float) -> float:
    """Return the probability of a logit, never surer than P_EDGE."""
    if calibration.kind == "platt":
        slope, offset = calibration.x
        p = expit(slope * logit + offset)
    else:
        p = float(np.interp(logit, calibration.x, calibration.y))
    return min(max(p, P_EDGE), 1 - P_EDGE)


def probability(model: Model, row: Mapping[str, Any]) -> float:
    """Return how likely the student of a row of `inputs_of` leaves within the horizon."""
    p = calibrated(model.calibration, logit_of(model, row)[0])
    return expit(log(p / (1 - p)) + model.shift) if model.shift else p


def expit(x: float) -> float:
    """Return 1 / (1 + e^-x)."""
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def score(model: Model, progress: pl.DataFrame) -> pl.DataFrame:
    """Return a row of `SCORED` for each enrolled student of `PROGRESS`."""
    rows = []
    for row in inputs_of(progress).iter_rows(named=True):
        parts = logit_of(model, row)[1]
        rows.append(
            {
                "cohort_id": row["cohort_id"],
                "student_id": row["student_id"],
                "probability": probability(model, row),
                "coverage": len(parts) / len(model.inputs),
                "reasons": as_json(_reasons(row, parts)),
                "model_version": model.version,
            }
        )
    return pl.DataFrame(rows, schema=SCORED)


def _reasons(row: Mapping[str, Any], parts: Mapping[str, float]) -> list[dict[str, Any]]:
    raising = sorted((-part, name) for name, part in parts.items() if part > 0)[:REASONS_MAX]
    return [reason("MODEL_INPUT", row[name], 0.0, 1, SAID[name]) for _, name in raising]


# -- how good a model is, and whether the world is still the one it knows


def brier(outcomes: Sequence[float], probabilities: Sequence[float]) -> float:
    """Return the mean squared difference of outcomes (0 or 1) and probabilities."""
    return fsum((p - y) ** 2 for y, p in zip(outcomes, probabilities, strict=True)) / len(outcomes)


def auc(outcomes: Sequence[float], probabilities: Sequence[float]) -> float | None:
    """Return P(p of one who left > p of one who stayed), ties half; None where all did alike."""
    y, p = np.asarray(outcomes, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    values, places, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    left, stayed = int((y == 1).sum()), int((y == 0).sum())
    if not left or not stayed:
        return None
    return float((ranks[y == 1].sum() - left * (left + 1) / 2) / (left * stayed)) if len(values) else None


def ece(outcomes: Sequence[float], probabilities: Sequence[float]) -> float:
    """Return the expected calibration error: mean |share who left - mean p| over ten bins of p, by size."""
    y, p = np.asarray(outcomes, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    bins = np.minimum((p * ECE_BINS).astype(int), ECE_BINS - 1)
    return fsum(
        abs(fsum(y[bins == each]) - fsum(p[bins == each])) / len(y) for each in np.unique(bins).tolist()
    )


def psi(trained: Sequence[float], found: Sequence[float]) -> float:
    """Return the population stability index of two distributions over the same bins."""
    pairs = [(max(a, SHARE_MIN), max(b, SHARE_MIN)) for a, b in zip(trained, found, strict=True)]
    return fsum((b - a) * log(b / a) for a, b in pairs)


def binned(edges: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return the share of values in each bin between inner edges."""
    places = np.searchsorted(np.asarray(edges), np.asarray(values, dtype=np.float64), side="right")
    return [int(each) / len(values) for each in np.bincount(places, minlength=len(edges) + 1)]


def drift(model: Model, progress: pl.DataFrame) -> list[dict[str, Any]]:
    """Return PSI against training of each input and of `score`, and `ok`, `watch` (0.10) or `act` (0.25)."""
    given = inputs_of(progress)
    values = {name: given[name].drop_nulls().to_list() for name in model.inputs}
    values["score"] = [probability(model, row) for row in given.iter_rows(named=True)]
    found: list[dict[str, Any]] = []
    for name, edges in model.bins.edges.items():
        if not values[name]:
            found.append({"name": name, "psi": None, "verdict": "unknown", "n": 0})
            continue
        index = psi(model.bins.shares[name], binned(edges, values[name]))
        verdict = "act" if index >= PSI_ACT else "watch" if index >= PSI_WATCH else "ok"
        found.append({"name": name, "psi": index, "verdict": verdict, "n": len(values[name])})
    return found


def calibration_report(model: Model, progress: pl.DataFrame) -> dict[str, Any]:
    """Return n, Brier, AUC and ECE over who is known to have left or stayed; only n, of nobody."""
    given = inputs_of(progress).filter(pl.col("has_left").is_not_null())
    if given.is_empty():
        return {"n": 0, "brier": None, "auc": None, "ece": None}
    y = given["has_left"].cast(pl.Float64).to_list()
    p = [probability(model, row) for row in given.iter_rows(named=True)]
    return {"n": len(y), "brier": brier(y, p), "auc": auc(y, p), "ece": ece(y, p)}
