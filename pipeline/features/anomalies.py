"""
How strange each event is among comparable ones: an anomaly score, 0 to 1.

Grain: one row per event. Takes `frames.EVENTS` and `SESSIONS` (which mode, exam and organisation a session
is of, and whether a flag about it was upheld) and gives `SCORES`; `counts` sums it up by attempt. In two
steps, so that work can be divided: `calibrate` counts events into `Calibration`, frames of whole numbers
that `merged` adds up, in any partitioning to the same bytes; `anomaly_scores` scores events against it.

    anomaly_score = 1 - p,    p = share of comparable events that are as strange or stranger

Comparable are events of one type, mode and exam, from sessions without an upheld flag; where they are under
200, those of the organisation. An event that is not among them is added to both counts. Strangeness is the
larger of these:

- robust z = 0.6745 · (v - median) / MAD of its magnitude v: `durationMs` (or `awayMs`, `duration_ms`), else
  pasted `characters`, else gaze `offset`; of a heartbeat the time since the one before. Two significant
  digits count. MAD is at least a hundredth of the median, and 1;
- burst = -log10 P(K ≥ k), k the events of its type in its session in the 60 s up to it, at most 100, and K
  negative binomial: the rate per minute differs between sessions as a Gamma variable, whose mean and shape
  are those of the comparable sessions by the method of moments. Not of heartbeats.

Where the organisation has under 200 comparable events too, the score is min(1, z / 6), and 0 without a
magnitude. A heartbeat scores 0 unless its gap reached 45 s. `is_anomaly`: score ≥ 0.99, or severity ≥ 4.

p is a conformal p-value: if an event is exchangeable with those that it is compared with, P(score ≥ s) ≤ 1
- s whatever they are distributed like, for strangeness treats all of them alike. The score does not fall as
the magnitude rises.

>>> strangeness(45_000, 1, Norm(median=3_000, mad=1_000, rate=1.0, shape=1.0))
28.329
>>> round(burst(4, rate=0.5, shape=2.0), 3)
2.173
>>> coarse(45_678), coarse(99), coarse(-5)
(45000, 99, 0)

Source: analytics.md, "anomaly_score"; Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random
World (conformal p-values); Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers (modified
z-scores).
"""

from collections.abc import Sequence
from math import inf, log10
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct
from scipy.special import betainc

from kernel.events import HEARTBEAT_MISSED_AFTER_S, EventType
from pipeline.features.frames import EVENTS, checked, frame

METRIC_VERSION: Final = "anomalies-1"
COMPARABLE_MIN: Final = 200
ANOMALY_MIN: Final = 0.99
SEVERE_MIN: Final = 4
Z_SURE: Final = 6.0
NORMAL_MAD: Final = 0.6745  # of a standard normal variable
WINDOW_US: Final = 60_000_000
BURST_MAX: Final = 100
SHAPE_MAX: Final = 1e6  # from here on a Gamma-Poisson variable is a Poisson variable
P_MIN: Final = 1e-300
MAGNITUDE_MAX: Final = 1e15  # whatever a client says beyond it, or under 0, is none
NONE: Final = -1  # in place of a magnitude that an event does not have
HEARTBEAT: Final = int(EventType.Heartbeat)
GAP_MS: Final = HEARTBEAT_MISSED_AFTER_S * 1000
# What a client may say of an event's magnitude, the first that it does: milliseconds, characters, pixels.
MAGNITUDES: Final = ("durationMs", "duration_ms", "awayMs", "characters", "offset")

SESSIONS: Final = frame(
    "one row per proctor session",
    {
        "session_id": (pl.Int64, "The session."),
        "organisation_id": (pl.String, "Its exam's organisation."),
        "mode": (pl.Int16, "1 Soft, 2 Advanced."),
        "is_upheld": (pl.Boolean, "A flag about it was upheld: it is no yardstick for others."),
    },
)
GROUP: Final = ("organisation_id", "exam_id", "mode", "event_type")
WIDER: Final = ("organisation_id", "mode", "event_type")
SUMS: Final = ("sessions", "n", "t", "nn", "nt", "tt")
_COLUMNS: Final[dict[str, Any]] = {
    "session_id": pl.Int64,
    "seq": pl.Int32,
    "attempt_id": pl.String,
    "exam_id": pl.String,
    "event_type": pl.Int16,
    "anomaly_score": pl.Float64,
    "is_anomaly": pl.Boolean,
    "comparable": pl.Int64,
    "metric_version": pl.String,
}
SCORES: Final = pl.Schema(_COLUMNS)
COUNTS: Final = pl.Schema({"attempt_id": pl.String, "scored_events": pl.Int64, "anomalies": pl.Int64})
Floats = npt.NDArray[np.float64]


class Calibration(Struct, frozen=True):
    """
    What events are compared with, in whole numbers.

    Attributes:
        cells: by `GROUP`, magnitude and burst: n events.
        rates: by `GROUP`: sums over sessions of their number, of events n, minutes t, n·n, n·t, t·t.
    """

    cells: pl.DataFrame
    rates: pl.DataFrame


class Norm(Struct, frozen=True):
    """What is usual in a group: median and MAD of magnitudes, rate per minute and its Gamma shape."""

    median: float
    mad: float
    rate: float
    shape: float


def coarse(value: float) -> int:
    """Return a magnitude as a whole number of two significant digits, rounded down, not under 0."""
    whole = max(round(value), 0)
    unit = int(10 ** max(len(str(whole)) - 2, 0))
    return whole // unit * unit


def burst(k: int, *, rate: float, shape: float) -> float:
    """Return -log10 P(K ≥ k) of a negative binomial K with this mean and shape; 0 where k is 0."""
    if k <= 0 or rate <= 0:
        return 0.0
    return -log10(max(float(betainc(k, shape, rate / (rate + shape))), P_MIN))


def strangeness(magnitude: int, k: int, norm: Norm) -> float:
    """Return how strange an event is in its group; not of a heartbeat's number, only of its gap: k is 0."""
    return max(robust_z(magnitude, norm), burst(k, rate=norm.rate, shape=norm.shape))


def robust_z(magnitude: int, norm: Norm) -> float:
    """Return the modified z-score, 0 without a magnitude."""
    return 0.0 if magnitude == NONE else NORMAL_MAD * (magnitude - norm.median) / norm.mad


def measured(events: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return events with their session's group, `magnitude` and `burst`, by session and sequence."""
    given = (
        checked(events, EVENTS)
        .join(checked(sessions, SESSIONS), on="session_id", how="inner")
        .with_columns(at_us=pl.coalesce("effective_at", "occurred_at").dt.epoch("us"))
        .sort("session_id", "event_type", "at_us", "seq")
    )
    since_ms = (pl.col("at_us") - pl.col("at_us").shift(1).over("session_id", "event_type")) / 1000
    said = pl.coalesce(
        pl.col("payload").str.json_path_match(f"$.{name}").cast(pl.Float64, strict=False)
        for name in MAGNITUDES
    )
    is_beat = pl.col("event_type") == HEARTBEAT
    value = pl.when(is_beat).then(since_ms).otherwise(said)
    sized = given.with_columns(value=pl.when(value.is_between(0, MAGNITUDE_MAX)).then(value))
    return sized.with_columns(
        magnitude=pl.Series(_coarse(sized["value"].fill_null(NONE).to_numpy())),
        burst=pl.when(is_beat).then(0).otherwise(pl.Series(_bursts(sized))).cast(pl.Int64),
    ).sort("session_id", "seq")


_POWERS: Final[npt.NDArray[np.int64]] = 10 ** np.arange(2, 17, dtype=np.int64)


def _coarse(values: Floats) -> npt.NDArray[np.int64]:
    """Say what `coarse` says, of a column; NONE stays."""
    whole = np.maximum(np.rint(values), 0).astype(np.int64)
    unit = 10 ** np.searchsorted(_POWERS, whole, side="right").astype(np.int64)
    found: npt.NDArray[np.int64] = np.where(values == NONE, NONE, whole // unit * unit)
    return found


def _bursts(given: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return for each event how many of its type and session lie in the 60 s up to it, in their order."""
    if given.is_empty():
        return np.zeros(0, np.int64)
    at = given["at_us"].to_numpy()
    place = (
        given.select(pl.struct("session_id", "event_type").rle_id()).to_series().to_numpy().astype(np.int64)
    )
    line = place * (int(at.max() - at.min()) + 2 * WINDOW_US) + (at - at.min())  # groups far from one another
    first = np.searchsorted(line, line - WINDOW_US, side="right")
    found: npt.NDArray[np.int64] = np.minimum(np.arange(len(line)) - first + 1, BURST_MAX)
    return found


def calibrate(found: pl.DataFrame) -> Calibration:
    """Return the calibration of `measured` events, of whole sessions; those with an upheld flag left out."""
    usual = found.filter(~pl.col("is_upheld"))
    cells = usual.group_by(*GROUP, "magnitude", "burst").agg(pl.len().cast(pl.Int64).alias("n"))
    minutes = ((pl.col("at_us").max() - pl.col("at_us").min()) // WINDOW_US + 1).alias("t")
    spans = usual.group_by("session_id").agg(minutes)
    of_session = (
        usual.group_by(*GROUP, "session_id")
        .agg(pl.len().cast(pl.Int64).alias("n"))
        .join(spans, on="session_id")
    )
    n, t = pl.col("n"), pl.col("t")
    rates = of_session.group_by(*GROUP).agg(
        sessions=pl.len().cast(pl.Int64),
        n=n.sum(),
        t=t.sum(),
        nn=(n * n).sum(),
        nt=(n * t).sum(),
        tt=(t * t).sum(),
    )
    return merged([Calibration(cells, rates)])


def merged(parts: Sequence[Calibration], *, by: Sequence[str] = GROUP) -> Calibration:
    """Return the sum of calibrations, in one order whatever theirs; `by` WIDER, of all exams together."""
    cells = (
        pl.concat([each.cells for each in parts]).group_by(*by, "magnitude", "burst").agg(pl.col("n").sum())
    )
    rates = pl.concat([each.rates for each in parts]).group_by(*by).agg(pl.col(*SUMS).sum())
    return Calibration(
        cells.filter(pl.col("n") != 0).sort(*by, "magnitude", "burst"),
        rates.filter(pl.col("sessions") != 0).sort(*by),
    )


def negated(part: Calibration) -> Calibration:
    """Return what, merged with a calibration, takes this part out of it."""
    return Calibration(part.cells.with_columns(-pl.col("n")), part.rates.with_columns(-pl.col(*SUMS)))


def anomaly_scores(found: pl.DataFrame, calibration: Calibration) -> pl.DataFrame:
    """
    Return a row of `SCORES` for each event, by session and sequence.

    Args:
        found: `measured` events.
        calibration: of everything that they are compared with, themselves among it where no flag was upheld.
    """
    if found.is_empty():
        return pl.DataFrame(schema=SCORES)
    wider = merged([calibration], by=WIDER)
    exams, organisations = groups_of(calibration, GROUP), groups_of(wider, WIDER)
    rows = []
    cells = found.select(*GROUP, "magnitude", "burst", "is_upheld").unique(maintain_order=True)
    for *key, magnitude, k, is_upheld in cells.iter_rows():
        organisation, exam, mode, kind = key
        group = exams.get((organisation, exam, mode, kind))
        if group is None or group.n < COMPARABLE_MIN:
            group = organisations.get((organisation, mode, kind), NOBODY)
        rows.append(
            (*key, magnitude, k, is_upheld, group.score(kind, magnitude, k, is_member=not is_upheld), group.n)
        )
    names = [*GROUP, "magnitude", "burst", "is_upheld"]
    kinds = {name: found.schema[name] for name in names}
    kinds |= {"anomaly_score": pl.Float64(), "comparable": pl.Int64()}
    scored = pl.DataFrame(rows, schema=kinds, orient="row")
    is_anomaly = (pl.col("anomaly_score") >= ANOMALY_MIN) | (pl.col("severity") >= SEVERE_MIN)
    return (
        found.join(scored, on=names, how="left", maintain_order="left")
        .with_columns(is_anomaly=is_anomaly, metric_version=pl.lit(METRIC_VERSION))
        .select(SCORES.names())
        .sort("session_id", "seq")
    )


class Group(Struct, frozen=True):
    """Comparable events: how many, what is usual, how many are at least as strange as each strangeness."""

    n: int
    norm: Norm
    strange: Floats
    at_least: npt.NDArray[np.int64]

    def score(self, kind: int, magnitude: int, k: int, *, is_member: bool) -> float:
        """Return an event's score among these, itself one of them or not."""
        if kind == HEARTBEAT and magnitude < GAP_MS:
            return 0.0
        if self.n < COMPARABLE_MIN:
            return min(max(robust_z(magnitude, self.norm) / Z_SURE, 0.0), 1.0) if self.n else 0.0
        place = int(np.searchsorted(self.strange, strangeness(magnitude, k, self.norm), side="left"))
        above = int(self.at_least[place]) if place < len(self.at_least) else 0
        return 1 - (above / self.n if is_member else (above + 1) / (self.n + 1))


NOBODY: Final = Group(0, Norm(0.0, 1.0, 0.0, 1.0), np.zeros(0), np.zeros(0, np.int64))


def groups_of(calibration: Calibration, by: Sequence[str]) -> dict[tuple[Any, ...], Group]:
    """Return what each group of comparable events is, by its names in the order of `by`."""
    norms = {tuple(row[: len(by)]): row[len(by) :] for row in calibration.rates.iter_rows()}
    groups = {}
    for key, cells in calibration.cells.partition_by(*by, as_dict=True, include_key=False).items():
        rate, shape = _rate_of(*norms[key])
        sizes = cells.filter(pl.col("magnitude") != NONE).group_by("magnitude").agg(pl.col("n").sum())
        norm = Norm(*_middle(sizes["magnitude"].to_numpy(), sizes["n"].to_numpy()), rate, shape)
        strange = np.array([strangeness(magnitude, k, norm) for magnitude, k, _ in cells.iter_rows()])
        order = np.argsort(strange, kind="stable")
        counts = cells["n"].to_numpy()[order]
        values, firsts = np.unique(strange[order], return_index=True)
        at_least = np.cumsum(counts[::-1])[::-1][firsts]
        groups[key] = Group(int(counts.sum()), norm, values, at_least)
    return groups


def _middle(values: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return median and MAD of values that are counted; the MAD at least 1 and a hundredth of the median."""
    if not len(values):
        return 0.0, 1.0
    median = _weighted_median(values.astype(np.float64), counts)
    return median, max(_weighted_median(np.abs(values - median), counts), median / 100, 1.0)


def _weighted_median(values: Floats, counts: npt.NDArray[np.int64]) -> float:
    order = np.argsort(values, kind="stable")
    through, total = np.cumsum(counts[order]), int(counts.sum())
    middle = [int(np.searchsorted(through, place, side="right")) for place in ((total - 1) // 2, total // 2)]
    return float(sum(values[order][place] for place in middle)) / 2


def _rate_of(sessions: int, n: int, t: int, nn: int, nt: int, tt: int) -> tuple[float, float]:
    """
    Return rate per minute and Gamma shape by the method of moments: of a session with t minutes the variance
    is m·t + (m·t)² / shape.
    """
    rate = n / t
    excess = nn - 2 * rate * nt + rate * rate * tt - n  # sum of (n - m·t)² less its Poisson part
    shape = rate * rate * tt / excess if excess > 0 and sessions > 1 else inf
    return rate, min(shape, SHAPE_MAX)


def counts(scores: pl.DataFrame) -> pl.DataFrame:
    """Return a row of `COUNTS` for each attempt: its events but heartbeats, and how many are anomalous."""
    return (
        scores.filter(pl.col("event_type") != HEARTBEAT)
        .group_by("attempt_id")
        .agg(scored_events=pl.len().cast(pl.Int64), anomalies=pl.col("is_anomaly").sum().cast(pl.Int64))
        .select(COUNTS.names())
        .sort("attempt_id")
    )
