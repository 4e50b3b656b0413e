"""
What events are compared with in an exam, and how many of an attempt's are anomalous: as sums that add up.

Grain: `session_cells` has one row per proctor session, `event_norms` one per exam and mode. An event's score
(`anomalies`) depends on its type, its magnitude and its burst alone: its cell, a whole number. So a session
is what it has of each cell; an exam's calibration is the sum of its sessions, to which one is added, and from
which one is taken, whatever their number; and the scores of all its events are those of its cells. No event
is scored again because another candidate came: `event_analysis` looks the cell up.

Comparable are here events of the exam. An exam's rare types, under 200 events, go by the robust z of their
magnitude: were they compared with the organisation's, each hand-in would move every other exam.

`anomalies_of` gives `anomalies.COUNTS`: all events of an attempt but heartbeats, and those of them whose cell
scores 0.99 or whose severity is 4 or more. Null: an attempt without events has no row.

>>> cell = cell_of(int(EventType.PasteAttempt), 4_500, 2)
>>> cell, parts_of(cell)
(1577186, (6, 4500, 2))
>>> parts_of(cell_of(101, NONE, 1)), parts_of(cell_of(1, 99, 0)), parts_of(cell_of(1, 10**15, 100))
((101, -1, 1), (1, 99, 0), (1, 1000000000000000, 100))

Source: spec.md I-7; analytics.md, "anomaly_score"; pipeline.features.anomalies.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from kernel.events import EventType
from pipeline.features.anomalies import (
    ANOMALY_MIN,
    BURST_MAX,
    COUNTS,
    GROUP,
    HEARTBEAT,
    METRIC_VERSION,
    NOBODY,
    NONE,
    SEVERE_MIN,
    WINDOW_US,
    Calibration,
    Group,
    burst,
    groups_of,
    robust_z,
)

BURST_BITS: Final = 7
MAGNITUDE_BITS: Final = 11
PLAIN_MAX: Final = 100  # magnitudes below it stand as they are
DIGITS_FROM: Final = 10  # two significant digits: 10 to 99
DIGITS: Final = 90
SIZED: Final = {
    int(EventType.CopyAttempt): "characters",
    int(EventType.PasteAttempt): "characters",
    int(EventType.EyeMovement): "pixels",
}
Ints = npt.NDArray[np.int64]
_CELLS: Final[dict[str, Any]] = {
    "session_id": pl.Int64,
    "attempt_id": pl.String,
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "mode": pl.Int16,
    "is_upheld": pl.Boolean,
    "minutes": pl.Int64,
    "cells": pl.List(pl.Int32),
    "counts": pl.List(pl.Int32),
    "mild": pl.List(pl.Int32),
    "of_events": pl.List(pl.Int32),
    "severe": pl.List(pl.Int32),
    "scored": pl.Int64,
}
CELLS: Final = pl.Schema(_CELLS)
TAKEN: Final = ("session_id", "exam_id", "organisation_id", "mode", "is_upheld", "minutes", "cells", "counts")
_NORMS: Final[dict[str, Any]] = {
    "exam_id": pl.String,
    "organisation_id": pl.String,
    "mode": pl.Int16,
    "cells": pl.List(pl.Int32),
    "comparable": pl.List(pl.Int64),
    "scores": pl.List(pl.Float64),
    "scores_outside": pl.List(pl.Float64),
    "texts": pl.List(pl.String),
    "metric_version": pl.String,
}
NORMS: Final = pl.Schema(_NORMS)


def cell_of(event_type: int, magnitude: int, k: int) -> int:
    """Return the cell of an event: its type, its magnitude in two significant digits, its burst."""
    return int(_cells(*(np.array([each], dtype=np.int64) for each in (event_type, magnitude, k)))[0])


def _column(rows: pl.DataFrame) -> pl.Series:
    """Return the cells of rows with `event_type`, `magnitude` and `burst`."""
    names = ("event_type", "magnitude", "burst")
    return pl.Series(_cells(*(rows[name].cast(pl.Int64).to_numpy() for name in names))).cast(pl.Int32)


def _cells(event_type: Ints, magnitude: Ints, k: Ints) -> Ints:
    powers = 10 ** np.arange(2, 17, dtype=np.int64)
    zeros = np.searchsorted(powers, magnitude, side="right").astype(np.int64)
    digits = magnitude // 10**zeros
    rounded = PLAIN_MAX + 1 + (zeros - 1) * DIGITS + digits - DIGITS_FROM
    place = np.where(magnitude == NONE, 0, np.where(zeros == 0, magnitude + 1, rounded))
    cells: Ints = ((event_type << BURST_BITS | k) << MAGNITUDE_BITS) | place
    return cells


def parts_of(cell: int) -> tuple[int, int, int]:
    """Return type, magnitude and burst of a cell."""
    rest, place = divmod(cell, 1 << MAGNITUDE_BITS)
    event_type, k = divmod(rest, 1 << BURST_BITS)
    if place <= PLAIN_MAX:
        return event_type, place - 1 if place else NONE, k
    zeros, digits = divmod(place - PLAIN_MAX - 1, DIGITS)
    return event_type, int((digits + DIGITS_FROM) * 10 ** (zeros + 1)), k


def session_cells(found: pl.DataFrame) -> pl.DataFrame:
    """Return a row of `CELLS` for each session of `anomalies.measured` events, of whole sessions."""
    assert BURST_MAX < 1 << BURST_BITS, "a burst has room in a cell"
    events = found.select(
        *("session_id", "seq", "attempt_id", "exam_id", "organisation_id", "mode", "is_upheld", "at_us"),
        cell=_column(found),
        is_scored=pl.col("event_type") != HEARTBEAT,
        is_severe=pl.col("severity") >= SEVERE_MIN,
    ).sort("session_id", "seq")
    owners = events.group_by("session_id").agg(
        *(pl.col(name).first() for name in ("attempt_id", "exam_id", "organisation_id", "mode", "is_upheld")),
        minutes=(pl.col("at_us").max() - pl.col("at_us").min()) // WINDOW_US + 1,
        severe=pl.col("seq").filter("is_severe").cast(pl.Int32),
        scored=pl.col("is_scored").sum().cast(pl.Int64),
        last=pl.col("seq").max(),
    )
    counted = (
        events.group_by("session_id", "cell")
        .agg(n=pl.len(), mild=(pl.col("is_scored") & ~pl.col("is_severe")).sum())
        .sort("session_id", "cell")
        .group_by("session_id", maintain_order=True)
        .agg(cells="cell", counts="n", mild="mild")
    )
    placed = (
        owners.select("session_id", seq=pl.int_ranges(1, pl.col("last") + 1, dtype=pl.Int32))
        .explode("seq")
        .join(events.select("session_id", "seq", "cell"), on=["session_id", "seq"], how="left")
        .sort("session_id", "seq")
        .group_by("session_id", maintain_order=True)
        .agg(of_events="cell")
    )
    whole = owners.join(counted, on="session_id").join(placed, on="session_id")
    return whole.select(pl.col(name).cast(kind) for name, kind in CELLS.items()).sort("session_id")


def calibration_of(sessions: pl.DataFrame) -> Calibration:
    """Return what sessions add up to, rows with the columns TAKEN; `anomalies.calibrate` of their events."""
    spread = sessions.select(TAKEN).explode("cells", "counts")
    parts = [parts_of(cell) for cell in spread["cells"].to_list()]
    named = spread.with_columns(
        pl.Series("event_type", [kind for kind, _, _ in parts], pl.Int16),
        pl.Series("magnitude", [magnitude for _, magnitude, _ in parts], pl.Int64),
        pl.Series("burst", [k for _, _, k in parts], pl.Int64),
        n=pl.col("counts").cast(pl.Int64),
        t=pl.col("minutes"),
    )
    cells = named.group_by(*GROUP, "magnitude", "burst").agg(pl.col("n").sum())
    n, t = pl.col("n"), pl.col("t")
    rates = (
        named.group_by(*GROUP, "session_id", "t")
        .agg(n.sum())
        .group_by(*GROUP)
        .agg(
            sessions=pl.len().cast(pl.Int64),
            n=n.sum(),
            t=t.sum(),
            nn=(n * n).sum(),
            nt=(n * t).sum(),
            tt=(t * t).sum(),
        )
    )
    return Calibration(cells.sort(*GROUP, "magnitude", "burst"), rates.sort(*GROUP))


def event_norms(usual: Calibration, outside: Calibration) -> pl.DataFrame:
    """
    Return a row of `NORMS` for each exam and mode.

    Args:
        usual: of the sessions that events are compared with.
        outside: of those with an upheld flag, whose events are compared with these.
    """
    groups = groups_of(usual, GROUP)
    owners = ("organisation_id", "exam_id", "mode")
    names = [*GROUP, "magnitude", "burst"]
    cells = (
        usual.cells.select(*names, is_member=True)
        .join(outside.cells.select(*names, is_outside=True), on=names, how="full", coalesce=True)
        .sort(names)
    )
    cells = cells.with_columns(cell=_column(cells))
    rows = []
    for (organisation, exam, mode), own in cells.group_by(owners, maintain_order=True):
        found = []
        for cell, kind, magnitude, k, *sides in own.select(
            "cell", "event_type", "magnitude", "burst", "is_member", "is_outside"
        ).iter_rows():
            group = groups.get((organisation, exam, mode, kind), NOBODY)
            scores = [
                group.score(kind, magnitude, k, is_member=is_member) if is_there else None
                for is_member, is_there in zip((True, False), sides, strict=True)
            ]
            is_strange = any(score is not None and score >= ANOMALY_MIN for score in scores)
            text = described(group, kind, magnitude, k) if is_strange else None
            found.append((cell, group.n, *scores, text))
        columns = zip(*sorted(found), strict=True)
        rows.append((exam, organisation, mode, *(list(each) for each in columns), METRIC_VERSION))
    return pl.DataFrame(rows, NORMS, orient="row")


def described(group: Group, kind: int, magnitude: int, k: int) -> str:
    """Return a sentence on what is out of the ordinary about an event."""
    if burst(k, rate=group.norm.rate, shape=group.norm.shape) > robust_z(magnitude, group.norm):
        return f"{k} of its kind came within a minute."
    if kind == HEARTBEAT:
        return f"No sign of life for {magnitude / 1000:.0f} s."
    if kind in SIZED:
        return f"{magnitude} {SIZED[kind]}, where {group.norm.median:.0f} are usual."
    return f"It took {magnitude / 1000:.1f} s, where {group.norm.median / 1000:.1f} s is usual."


def anomalies_of(sessions: pl.DataFrame, norms: pl.DataFrame) -> pl.DataFrame:
    """Return `anomalies.COUNTS` of the attempts that these sessions are all of, by their exams' norms."""
    known = norms.select("exam_id", "mode", "cells", "scores", "scores_outside").explode(
        "cells", "scores", "scores_outside"
    )
    own = sessions.select(
        "session_id", "attempt_id", "exam_id", "mode", "is_upheld", "scored", "mild", "cells"
    )
    severe = pl.col("scored") - pl.col("mild").list.sum()
    score = pl.when("is_upheld").then("scores_outside").otherwise("scores")
    strange = (
        own.explode("cells", "mild")
        .join(known, on=["exam_id", "mode", "cells"], how="left")
        .filter(score >= ANOMALY_MIN)
        .group_by("session_id")
        .agg(strange=pl.col("mild").cast(pl.Int64).sum())
    )
    return (
        own.with_columns(severe=severe)
        .join(strange, on="session_id", how="left")
        .group_by("attempt_id")
        .agg(
            scored_events=pl.col("scored").sum(),
            anomalies=(pl.col("severe") + pl.col("strange").fill_null(0)).sum().cast(pl.Int64),
        )
        .select(COUNTS.names())
        .sort("attempt_id")
    )
