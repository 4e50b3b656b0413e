"""Speed given the score against statsmodels, and rapid answers (analytics.md, integrity_score)."""

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from pipeline.features.response_times import response_times
from tests.kits.forms import answered, cohort

Frames = tuple[pl.DataFrame, pl.DataFrame]
PEOPLE, ITEMS = 200, 20
RNG = np.random.default_rng(11)
CHOICES, KEY = cohort(RNG, PEOPLE, ITEMS)
PACE = RNG.normal(0, 0.25, PEOPLE)
SECONDS = np.exp(RNG.normal(3.4, 0.4, (PEOPLE, ITEMS)) - PACE[:, None]).round(3)


def scored(choices: list[str], seconds: npt.NDArray[np.float64]) -> Frames:
    submissions, responses = answered(choices, KEY, seconds=[list(row) for row in seconds.tolist()])
    points = responses.group_by("submission_id", maintain_order=True).agg(
        pl.col("points", "max_points").sum()
    )
    return submissions.drop("points", "max_points").join(points, on="submission_id"), responses


ROWS = response_times(*scored(CHOICES, SECONDS)).sort(pl.col("attempt_id").str.slice(1).cast(pl.Int64))


def test_speed_given_the_score_is_the_studentized_residual_of_statsmodels() -> None:
    right = np.array([sum(a == b for a, b in zip(row, KEY, strict=True)) for row in CHOICES], float)
    logs = np.log(SECONDS)
    speed = (logs.mean(axis=0) - logs).mean(axis=1)
    line = OLS(speed, np.column_stack([np.ones(PEOPLE), right / ITEMS])).fit()
    wanted = line.get_influence().resid_studentized_external

    assert ROWS["speed"].to_list() == pytest.approx(list(speed), abs=2e-6), "millionths"
    assert ROWS["speed_z"].to_list() == pytest.approx(list(wanted), abs=1e-4)
    p = stats.t.sf(ROWS["speed_z"].to_numpy(), PEOPLE - 3)
    assert ROWS["speed_p"].to_list() == pytest.approx(list(p), abs=1e-9)


def test_honest_candidates_rarely_stand_out() -> None:
    """As p says: about one of a hundred is below 0.01, and each is that of a rank at least."""
    rare = ROWS.select((pl.col("speed_p") < 0.01).sum(), (pl.col("times_p") < 0.001).sum()).row(0)

    assert rare[0] <= 6
    assert rare[1] <= 1
    assert min(ROWS["rapid_p"].to_list()) >= 1 / PEOPLE


def test_who_knew_the_answers_is_found_and_who_is_only_able_or_only_fast_is_less_so() -> None:
    choices, seconds = [*CHOICES], SECONDS.copy()
    choices[0], seconds[0] = KEY, SECONDS[0] / 4
    choices[1] = KEY
    rows = response_times(*scored(choices, seconds))
    knew, able = (rows.filter(pl.col("attempt_id") == name).row(0, named=True) for name in ("a0", "a1"))

    assert knew["times_p"] < 1e-4
    assert "FAST" in {each["code"] for each in orjson.loads(knew["reasons"])}
    assert able["times_p"] > 0.01


def test_rapid_answers_are_those_under_a_tenth_of_the_mean_and_never_over_ten_seconds() -> None:
    seconds = SECONDS.copy()
    seconds[3, :8] = 0.5
    row = response_times(*scored(CHOICES, seconds)).filter(pl.col("attempt_id") == "a3").row(0, named=True)

    assert (row["rapid"], row["rapid_share"], row["rapid_p"]) == (8, 8 / 20, 1 / PEOPLE)
    assert "RAPID" in {each["code"] for each in orjson.loads(row["reasons"])}


def test_few_times_and_few_candidates_are_no_evidence() -> None:
    untimed = scored(CHOICES, SECONDS)
    some = untimed[1].with_columns(seconds=pl.when(pl.col("position") <= 9).then("seconds"))
    few = response_times(untimed[0], some)
    small = response_times(*scored(CHOICES[:29], SECONDS[:29]))

    assert few.select("speed", "rapid_share", "times_p").null_count().row(0) == (PEOPLE,) * 3
    assert set(few["coverage"]) == {9 / 20}
    assert small["times_p"].null_count() == 29
    assert small["speed"].null_count() == 0
    for rows, code in ((few, "FEW_TIMES"), (small, "TOO_FEW")):
        assert [each["code"] for each in orjson.loads(rows["reasons"][0])] == [code]


def test_the_order_of_rows_changes_no_byte_and_nothing_comes_of_nothing() -> None:
    submissions, responses = scored(CHOICES, SECONDS)
    other = response_times(
        submissions.sample(fraction=1.0, shuffle=True, seed=1),
        responses.sample(fraction=1.0, shuffle=True, seed=2),
    )

    assert other.equals(response_times(submissions, responses))
    assert response_times(submissions.clear(), responses.clear()).is_empty()
