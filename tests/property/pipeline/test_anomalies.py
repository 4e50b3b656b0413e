"""Anomaly scores (analytics.md, "anomaly_score"; spec.md I-7)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation, nbinom

from kernel.events import EventType
from pipeline.features.anomalies import (
    NONE,
    SESSIONS,
    Norm,
    _coarse,
    _rate_of,
    anomaly_scores,
    burst,
    calibrate,
    coarse,
    counts,
    groups_of,
    measured,
    merged,
    robust_z,
    strangeness,
)
from pipeline.features.frames import EVENTS

START = datetime(2026, 9, 1, 9, tzinfo=UTC)
AWAY, FACE, BEAT = EventType.WindowFocus, EventType.MultipleFacesDetected, EventType.Heartbeat


def world(
    sizes: list[int], seed: int, upheld: frozenset[int] = frozenset()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return events of sessions of these sizes in two exams, and the sessions."""
    dice = np.random.default_rng(seed)
    events = []
    for session_id, size in enumerate(sizes, start=1):
        at = np.cumsum(dice.exponential(20, size))
        for seq, seconds in enumerate(at, start=1):
            kind = int(dice.choice([AWAY, AWAY, EventType.PasteAttempt, BEAT]))
            payload = f'{{"awayMs": {int(dice.lognormal(8, 1))}}}' if kind == AWAY else None
            events.append(event(session_id, seq, float(seconds), kind, payload))
    sessions = [
        {"session_id": n, "organisation_id": "school", "mode": 1 + n % 2, "is_upheld": n in upheld}
        for n in range(1, len(sizes) + 1)
    ]
    return pl.DataFrame(events, schema=EVENTS.schema), pl.DataFrame(sessions, schema=SESSIONS.schema)


def event(
    session_id: int, seq: int, seconds: float, kind: int, payload: str | None = None, severity: int = 1
) -> dict[str, Any]:
    return {
        "session_id": session_id, "seq": seq, "attempt_id": f"attempt-{session_id}",
        "exam_id": f"exam-{session_id % 4 // 2}", "occurred_at": START + timedelta(seconds=seconds),
        "effective_at": None, "event_type": kind, "severity": severity, "is_violation": False,
        "is_late": False, "payload": payload,
    }  # fmt: skip


sizes = st.lists(st.integers(0, 40), min_size=1, max_size=8)


@given(sizes, st.integers(0, 99), st.sampled_from([1, 4, 16]), st.randoms(use_true_random=False))
@settings(max_examples=8)
def test_any_partitioning_and_order_give_the_same_bytes(
    given_sizes: list[int], seed: int, parts: int, random: Any
) -> None:
    events, sessions = world(given_sizes, seed)
    whole = calibrate(measured(events, sessions))
    shuffled = events.sample(fraction=1, shuffle=True, seed=random.randrange(99))
    pieces = [measured(shuffled.filter(pl.col("session_id") % parts == n), sessions) for n in range(parts)]
    again = merged([calibrate(piece) for piece in pieces])
    scores = anomaly_scores(measured(events, sessions), whole)

    assert again.cells.equals(whole.cells)
    assert again.rates.equals(whole.rates)
    assert (
        pl.concat([anomaly_scores(each, again) for each in pieces]).sort("session_id", "seq").equals(scores)
    )
    assert scores.height == events.height


def test_of_comparable_events_no_more_than_one_in_a_hundred_scores_99_hundredths() -> None:
    """P(score ≥ s) ≤ 1 - s, and exactly: scores are ranks among the events that they are compared with."""
    found = measured(*world([150] * 12, 5))
    scores = anomaly_scores(found, calibrate(found)).join(
        found.select("session_id", "seq", "mode"), on=["session_id", "seq"]
    )
    groups = [
        own
        for own in scores.partition_by("exam_id", "mode", "event_type")
        if own.height == own["comparable"][0]
    ]

    assert len(groups) > 2
    for own in groups:
        for least in (0.5, 0.9, 0.99):
            assert (own["anomaly_score"] >= least).sum() <= (1 - least) * own.height + 1e-9


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=5), st.booleans())
@settings(max_examples=8)
def test_a_longer_duration_never_scores_less(durations: list[int], is_member: bool) -> None:  # noqa: FBT001
    calibration = calibrate(measured(*world([120] * 6, 7)))
    for group in groups_of(calibration, ("organisation_id", "exam_id", "mode", "event_type")).values():
        scored = [group.score(int(AWAY), coarse(each), 1, is_member=is_member) for each in sorted(durations)]

        assert scored == sorted(scored)


def test_a_heartbeat_scores_nothing_until_its_gap_is_45_seconds() -> None:
    beats = [event(1, n, 15.0 * n, BEAT) for n in range(1, 300)]
    late = [event(2, 1, 0, BEAT), event(2, 2, 44.9, BEAT), event(2, 3, 89.9, BEAT), event(2, 4, 200, BEAT)]
    events = pl.DataFrame([*beats, *late], schema=EVENTS.schema)
    sessions = pl.DataFrame(
        [{"session_id": n, "organisation_id": "o", "mode": 1, "is_upheld": False} for n in (1, 2)],
        schema=SESSIONS.schema,
    )
    events = events.with_columns(exam_id=pl.lit("exam"))
    scores = anomaly_scores(measured(events, sessions), calibrate(measured(events, sessions)))
    late_scores = scores.filter(pl.col("session_id") == 2)["anomaly_score"].to_list()

    assert scores.filter(pl.col("session_id") == 1)["anomaly_score"].sum() == 0
    assert late_scores[:2] == [0.0, 0.0]
    assert late_scores[2] > 0.99
    assert late_scores[3] > late_scores[2]
    assert counts(scores).is_empty(), "heartbeats are not counted"


def test_few_comparable_events_are_judged_by_their_z_alone() -> None:
    seconds = [3.0, 4.0, 5.0, 6.0, 7.0]
    events = [
        event(1, n, 100.0 * n, AWAY, f'{{"awayMs": {1000 * each}}}') for n, each in enumerate(seconds, 1)
    ]
    odd = [event(1, 9, 2000, AWAY, '{"awayMs": 600000}'), event(1, 10, 2100, FACE, severity=4)]
    frame = pl.DataFrame([*events, *odd], schema=EVENTS.schema)
    sessions = world([0], 0)[1]
    scores = anomaly_scores(measured(frame, sessions), calibrate(measured(frame, sessions)))
    found = dict(zip(scores["seq"], scores["anomaly_score"], strict=True))

    assert found[3] == 0.0
    assert found[5] == pytest.approx(min(1, 0.6745 * (7000 - 5500) / 1500 / 6))
    assert found[9] == 1.0
    assert scores["is_anomaly"].to_list() == [False] * 5 + [True, True], "severity 4 whatever the score"
    assert counts(scores).row(0) == ("attempt-1", 7, 2)


def test_a_session_with_an_upheld_flag_is_no_yardstick() -> None:
    events, sessions = world([60] * 8, 3, upheld=frozenset({2}))
    calibration = calibrate(measured(events, sessions))
    without = events.filter(pl.col("session_id") != 2)

    assert calibration.cells.equals(calibrate(measured(without, sessions)).cells)
    assert anomaly_scores(measured(events, sessions), calibration).height == events.height


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
@settings(max_examples=20)
def test_columns_say_what_the_definition_says(values: list[int]) -> None:
    column = np.array([*values, NONE], dtype=np.float64)

    assert _coarse(column).tolist() == [*map(coarse, values), NONE]
    mad = max(float(median_abs_deviation(values)), 1.0)
    norm = Norm(median=float(np.median(values)), mad=mad, rate=0.5, shape=2.0)
    assert robust_z(values[0], norm) == pytest.approx(0.6745 * (values[0] - np.median(values)) / mad)
    assert strangeness(NONE, 3, norm) == pytest.approx(-np.log10(nbinom.sf(2, 2.0, 2.0 / 2.5)))
    assert burst(0, rate=0.5, shape=2.0) == 0.0


def test_the_rates_moments_find_what_was_simulated() -> None:
    dice = np.random.default_rng(11)
    t = dice.integers(20, 60, 4000)
    n = dice.poisson(dice.gamma(2.0, 0.25, 4000) * t)
    rate, shape = _rate_of(4000, *(int(each) for each in (n.sum(), t.sum(), n @ n, n @ t, t @ t)))

    assert rate == pytest.approx(0.5, rel=0.05)
    assert shape == pytest.approx(2.0, rel=0.1)
