"""Momentum and trends against what they must never do, and against libraries (analytics.md, "LMI")."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
import pymannkendall
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.features.drafts import analyze_thinking_quality
from pipeline.features.frames import POINTS, PROGRESS
from pipeline.features.jumps import excess, jumps
from pipeline.features.momentum import (
    SCHEMA,
    band,
    cumulative,
    draft_z,
    learning_momentum,
    lmi,
    normal_score,
    score_step,
)
from pipeline.features.norms import exam_norms
from pipeline.features.standing import Reliability, standing
from pipeline.features.trends import (
    improvement_trend,
    integrity_trend,
    lmi_trend,
    mann_kendall,
    theil_sen,
    trend,
)

START = datetime(2026, 5, 4, 9, tzinfo=UTC)
steps = st.lists(st.floats(-6, 6), max_size=14)
values = st.lists(
    st.integers(0, 12).map(float) | st.integers(0, 10**4).map(lambda n: n / 100), min_size=4, max_size=14
)


def progress(scores: list[float | None], student_id: str = "s") -> pl.DataFrame:
    rows = [
        {
            "student_id": student_id,
            "attempt_id": f"{student_id}{n:02}",
            "finalised_at": START + timedelta(days=n // 2),  # two at one moment: the id settles it
            "normal_score": score,
            "draft_z": None,
        }
        for n, score in enumerate(scores)
    ]
    return pl.DataFrame(rows, schema=PROGRESS.schema, orient="row")


def points(given_values: list[float | None]) -> pl.DataFrame:
    rows = [
        {
            "student_id": "s",
            "occurred_at": START + timedelta(days=n // 3),
            "sequence": n % 3 // 2,
            "id": f"a{n:02}",
        }
        | {"value": value}
        for n, value in enumerate(given_values)
    ]
    return pl.DataFrame(rows, schema=POINTS.schema, orient="row")


def shuffled(frame: pl.DataFrame, dice: random.Random) -> pl.DataFrame:
    return frame[dice.sample(range(frame.height), frame.height)]


@given(steps)
@settings(max_examples=60)
def test_the_mirrored_series_has_what_is_left_of_100(z: list[float]) -> None:
    up, down = lmi(z), lmi([-each for each in z])

    if up is None or down is None:
        assert z == []
    else:
        assert 0 <= up <= 100
        assert up + down == pytest.approx(100, abs=1e-9)


@given(st.floats(-3, 3), st.integers(2, 14))
@settings(max_examples=30)
def test_a_constant_series_has_50(score: float, n: int) -> None:
    found = learning_momentum(progress([score] * n))

    assert found["lmi"].to_list() == [None, *[50.0] * (n - 1)]
    assert found["cumulative_lmi"][-1] == 50


@given(steps, st.floats(0, 3), st.data())
@settings(max_examples=40)
def test_a_higher_step_never_lowers_momentum(z: list[float], more: float, data: st.DataObject) -> None:
    if z:
        at = data.draw(st.integers(0, len(z) - 1))
        raised = [*z[:at], z[at] + more, *z[at + 1 :]]

        before, after = lmi(z), lmi(raised)

        assert before is not None
        assert after is not None
        assert after >= before - 1e-9


def test_padding_a_text_with_its_own_sentences_never_raises_momentum() -> None:
    """Once it counted characters, so that padding gave 100."""
    first, second = "Rain fell. We stayed in.", "Rain fell. We stayed in. Nobody came."

    def momentum(text: str) -> float | None:
        quality = analyze_thinking_quality(first, text)
        assert quality is not None
        z = draft_z(quality, middle=0.3, deviation=0.2)
        return None if z is None else lmi([z])

    assert momentum(second) is not None
    assert momentum(f"{second} {' '.join([second] * 20)}") == momentum(second)


@given(st.lists(st.none() | st.floats(-3, 3), min_size=1, max_size=9), st.randoms(use_true_random=False))
@settings(max_examples=12)
def test_momentum_does_not_depend_on_the_order_of_rows_or_on_who_else_is_there(
    scores: list[float | None], dice: random.Random
) -> None:
    own, other = progress(scores), progress(scores[::-1], "t")

    found = learning_momentum(own)

    assert found.schema == SCHEMA
    assert learning_momentum(shuffled(own, dice)).equals(found)
    assert learning_momentum(pl.concat([other, own])).filter(student_id="s").equals(found)


def test_momentum_follows_its_definition() -> None:
    found = learning_momentum(progress([0.0, 1.0, None, 0.5]))
    up, down = score_step(0.0, 1.0), score_step(1.0, 0.5)
    mean = (up * 2 ** (-1 / 3) + down) / (1 + 2 ** (-1 / 3))

    assert up == pytest.approx(1 / np.sqrt(2))
    assert found["lmi"].to_list() == pytest.approx(
        [None, 100 * stats.norm.cdf(up / 3), 100 * stats.norm.cdf(up / 3), 100 * stats.norm.cdf(mean / 2)]
    )
    assert found["lmi_steps"].to_list() == [0, 1, 1, 2]
    assert found["coverage"].to_list() == [0, 1 / 2, 1 / 3, 2 / 4]
    assert [orjson.loads(each)[0]["code"] for each in found["reasons"]] == ["NO_STEP", *["MOMENTUM"] * 3]
    assert found["cumulative_lmi"][-1] == pytest.approx(
        cumulative([(value, n) for value, n in zip(found["lmi"], found["lmi_steps"], strict=True)])
    )


@pytest.mark.parametrize(
    ("value", "name"), [(70.0, "healthy"), (69.99, "watch"), (40.0, "watch"), (39.99, "falling")]
)
def test_every_value_has_its_band(value: float, name: str) -> None:
    assert band(value) == name


def test_what_has_no_cohort_has_no_step() -> None:
    assert normal_score(below=4, equal=1, cohort=9) is None
    assert draft_z(0.5, middle=0.5, deviation=0.0) is None
    assert normal_score(below=5, equal=2, cohort=12) == pytest.approx(0)
    assert draft_z(0.9, middle=0.25, deviation=0.15) == 3


@given(values)
@settings(max_examples=40)
def test_slopes_are_theil_and_sens_and_p_is_mann_and_kendalls(given_values: list[float]) -> None:
    n = len(given_values)
    theirs = pymannkendall.original_test(given_values)
    tau = (
        stats.kendalltau(range(n), given_values, variant="b").statistic if len(set(given_values)) > 1 else 0.0
    )

    assert theil_sen(given_values) == pytest.approx(stats.theilslopes(given_values).slope, abs=1e-9)
    assert theil_sen(given_values) == pytest.approx(theirs.slope, abs=1e-9)
    assert mann_kendall(given_values) == pytest.approx(theirs.p, abs=1e-9)
    assert np.sign(tau) == np.sign(theirs.s)
    found = trend(given_values, 5.0)
    assert found is not None
    if found.direction != "standing":
        assert found.p is not None
        assert found.p < 0.10
        assert (found.change > 5) == (found.direction == "improving")


@given(st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=9), st.randoms(use_true_random=False))
@settings(max_examples=12)
def test_a_trend_is_that_of_time_and_never_of_rows(
    given_values: list[float | None], dice: random.Random
) -> None:
    """Once it was taken over rows as they came."""
    rows = points(given_values)

    for kind in (improvement_trend, integrity_trend, lmi_trend):
        assert kind(shuffled(rows, dice)).equals(kind(rows))


@pytest.mark.parametrize(
    ("given_values", "label"),
    [
        ([], None),
        ([50.0], None),
        ([50.0, 55.0], "stagnant"),  # exactly δ is no change
        ([50.0, 55.1], "improving"),
        ([90.0, 50.0, 44.0], "declining"),
        ([10.0, 20.0, 30.0, 40.0], "improving"),
        ([40.0, 30.0, 20.0, 10.0], "declining"),
        ([10.0, 40.0, 20.0, 30.0], "stagnant"),  # up, and by chance
        ([50.0, 50.5, 51.0, 51.5, 52.0], "stagnant"),  # in order, and no change
    ],
)
def test_results_trend_as_defined(given_values: list[float], label: str | None) -> None:
    rows: list[float | None] = [*given_values] or [None]
    found = improvement_trend(points(rows)).row(0, named=True)

    assert found["trend"] == label
    assert found["n"] == len(given_values)
    assert orjson.loads(found["reasons"])[0]["code"] == (label.upper() if label else "TOO_FEW")


def test_what_a_measurement_errs_by_is_no_trend() -> None:
    rows = points([50.0, 58.0])

    assert improvement_trend(rows)["trend"].item() == "improving"
    assert improvement_trend(rows, sems={"s": 4.0})["trend"].item() == "stagnant"


def test_whoever_goes_on_as_before_seldom_jumps() -> None:
    dice = np.random.default_rng(9)
    people: list[list[dict[str, Any]]] = []
    for _ in range(3000):
        n = int(dice.integers(3, 9))
        history = dice.normal(dice.normal(), dice.uniform(0.3, 2), n + 1).tolist()
        people.append(jumps(history[:n], history[n], sem=0.3, speeds=history[:n], speed=history[n]))
    found = [each["code"] for person in people for each in person]

    assert found.count("SPEED_JUMP") <= 0.015 * len(people)  # 1 % expected: 30, its chance included
    assert found.count("SUDDEN_JUMP") <= 0.005 * len(people)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=8), st.floats(-9, 9))
@settings(max_examples=40)
def test_a_jump_is_as_rare_as_students_t(history: list[float], value: float) -> None:
    found = excess(history, value)

    if found is None:
        assert np.std(history) < 1e-8
    else:
        n = len(history)
        t = (value - np.mean(history)) / (np.std(history, ddof=1) * np.sqrt(1 + 1 / n))
        assert stats.norm.sf(found) == pytest.approx(stats.t.sf(t, n - 1), rel=1e-6, abs=1e-9)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_how_work_goes_on_does_not_depend_on_the_order_of_rows(
    percents: list[int], dice: random.Random
) -> None:
    submissions = pl.DataFrame(
        [
            {
                "attempt_id": f"a{n}",
                "exam_id": f"e{n}",
                "organisation_id": "o",
                "student_id": "st"[n % 2],
                "form_id": "f",
                "finalised_at": START + timedelta(days=n // 3),
                "percentage": float(percent),
                "is_void": n == 5,
            }
            for n, percent in enumerate(percents)
        ]
    )
    results = submissions.select("exam_id", "organisation_id", percentage="percentage", n=pl.lit(12))
    qualities = pl.DataFrame(
        {"exam_id": ["e0"] * 11, "question_id": ["q"] * 11, "thinking_quality": [0.1 * n for n in range(11)]}
    )
    texts = pl.DataFrame(
        {"attempt_id": ["a0", "a0"], "question_id": ["q", "q2"], "thinking_quality": [0.9, 0.1]}
    )
    tests = {("e1", "f"): Reliability(sem=4.0, alpha=0.8)}

    norms = exam_norms(results, qualities)
    whole = standing(submissions, texts, norms, tests=tests, speeds={"a0": 0.1})

    assert exam_norms(shuffled(results, dice), shuffled(qualities, dice)).equals(norms)
    assert standing(
        shuffled(submissions, dice), shuffled(texts, dice), norms, tests=tests, speeds={"a0": 0.1}
    ).equals(whole)
    of_one = standing(submissions.filter(student_id="s"), texts, norms, tests=tests, speeds={"a0": 0.1})
    assert whole.filter(student_id="s").equals(of_one)
    assert whole.filter(attempt_id="a0")["draft_z"].item() == pytest.approx(4 / 3, abs=1e-9)
    assert whole.filter(attempt_id="a5").is_empty()
