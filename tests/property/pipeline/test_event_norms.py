"""Events' cells, and what an exam's come to (spec.md I-7)."""

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.anomalies import (
    MAGNITUDE_MAX,
    NONE,
    anomaly_scores,
    calibrate,
    coarse,
    counts,
    measured,
    merged,
    negated,
)
from pipeline.features.event_norms import (
    anomalies_of,
    calibration_of,
    cell_of,
    event_norms,
    parts_of,
    session_cells,
)
from pipeline.projections.calibrations import packed, unpacked
from tests.property.pipeline.test_anomalies import world

kinds, bursts = st.integers(0, 108), st.integers(0, 100)
magnitudes = st.one_of(st.just(NONE), st.integers(0, 200), st.integers(0, int(MAGNITUDE_MAX))).map(
    lambda value: value if value == NONE else coarse(value)
)
upheld = st.frozensets(st.integers(1, 8), max_size=2)


@given(kinds, magnitudes, bursts)
@settings(max_examples=50)
def test_a_cell_says_what_it_is_of(kind: int, magnitude: int, k: int) -> None:
    assert parts_of(cell_of(kind, magnitude, k)) == (kind, magnitude, k)


def both(sessions: pl.DataFrame) -> Any:
    return calibration_of(sessions.filter(~pl.col("is_upheld"))), calibration_of(sessions.filter("is_upheld"))


@given(st.lists(st.integers(0, 150), min_size=4, max_size=8), st.integers(0, 99), upheld)
@settings(max_examples=8)
def test_cells_add_up_to_the_definition(sizes: list[int], seed: int, flagged: frozenset[int]) -> None:
    """Counted through cells, a session put in or taken out, is scored one by one in the exam."""
    found = measured(*world(sizes, seed, flagged))
    sessions = session_cells(found)
    usual, outside = both(sessions)
    scores = pl.concat(
        [anomaly_scores(own, calibrate(own)) for own in found.partition_by("exam_id")]
        or [anomaly_scores(found, calibrate(found))]
    )
    wanted = calibrate(found)

    assert usual.cells.equals(wanted.cells)
    assert usual.rates.equals(wanted.rates)
    held = anomalies_of(sessions, event_norms(usual, outside))
    owners = sessions.select("attempt_id").unique().sort("attempt_id")
    assert held.equals(
        owners.join(counts(scores), on="attempt_id", how="left", maintain_order="left").with_columns(
            pl.col("scored_events", "anomalies").fill_null(0)
        )
    )
    first, others = both(sessions.head(1)), both(sessions.tail(-1))
    for whole, part, rest in zip((usual, outside), first, others, strict=True):
        left = merged([whole, negated(part)])
        assert left.cells.equals(rest.cells)
        assert left.rates.equals(rest.rates)
    assert packed(unpacked(packed((usual, outside)))) == packed((usual, outside))
