"""Strengths and weaknesses: shrunken effects of topics (analytics.md, "strengths, weaknesses")."""

from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from scipy import stats

from pipeline.features.strengths import prior_of, strengths, topic_sums, usual_of
from pipeline.features.tallying import sheet_of_choices

Frames = tuple[pl.DataFrame, pl.DataFrame]
PEOPLE, ITEMS, TOPICS = 60, 48, ("Algebra", "Geometry", "Numbers", "Sets")


def cohort(seed: int, spread: float, ability: dict[int, float] | None = None) -> Frames:
    """
    Return answers to 12 items on each topic.

    Args:
        seed: of the chances.
        spread: how much candidates differ in each topic, in logits.
        ability: of some candidates in the first topic.
    """
    rng = np.random.default_rng(seed)
    level = rng.normal(0, spread, (PEOPLE, len(TOPICS)))
    for person, own in (ability or {}).items():
        level[person, 0] = own
    knows = rng.random((PEOPLE, ITEMS)) < 1 / (1 + np.exp(-np.repeat(level, 12, axis=1)))
    submissions, responses = sheet_of_choices(
        ["".join("a" if each else "b" for each in row) for row in knows], key="a" * ITEMS
    )
    topics = [[TOPICS[(place - 1) // 12]] for place in responses["position"].to_list()]
    return submissions, responses.with_columns(topics=pl.Series(topics))


def lists(frames: Frames) -> dict[str, list[list[Any] | None]]:
    """Return each candidate's strengths and weaknesses."""
    return {
        row["student_id"]: [
            None if row[name] is None else orjson.loads(row[name]) for name in ("strengths", "weaknesses")
        ]
        for row in strengths(*frames).iter_rows(named=True)
    }


def test_who_knows_a_topic_has_it_as_a_strength_and_who_does_not_as_a_weakness() -> None:
    found = lists(cohort(1, 0.4, {0: 4.0, 1: -4.0}))

    assert "Algebra" in [each["topic"] for each in found["p0"][0] or []]
    assert "Algebra" in [each["topic"] for each in found["p1"][1] or []]
    assert all(len(each or []) <= 3 for both in found.values() for each in both)


def test_where_nobody_differs_almost_nobody_stands_out() -> None:
    found = lists(cohort(2, 0.0))

    assert sum(len(each or []) for both in found.values() for each in both) <= 0.05 * PEOPLE * len(TOPICS)


def test_the_prior_is_the_analysis_of_variance() -> None:
    """As equal numbers of responses have it: F = between / within mean squares."""
    _, responses = cohort(3, 1.0)
    own = topic_sums(responses, usual_of(responses))
    part = own.filter(pl.col("topic") == "Sets")
    prior = prior_of(part)
    share = responses.filter(pl.col("topics").list.contains("Sets")).with_columns(
        d=pl.col("points") - pl.col("points").mean().round(2).over("question_version_id")
    )
    values = [each["d"].to_numpy() for each in share.partition_by("student_id")]
    within = np.mean([each.var(ddof=1) for each in values])
    f = stats.f_oneway(*values).statistic

    assert prior is not None
    assert prior.within == pytest.approx(within, abs=1e-6)
    assert prior.between == pytest.approx((f - 1) * within / 12, abs=1e-6)


def test_too_little_evidence_is_null_and_not_an_empty_list() -> None:
    submissions, responses = cohort(4, 1.0)
    few = responses.filter(pl.col("position") % 12 < 9)
    alone = submissions[:9]

    assert lists((submissions, responses))["p0"] != [None, None]
    assert set(map(str, lists((submissions, few)).values())) == {"[None, None]"}
    assert set(map(str, lists((alone, responses)).values())) == {"[None, None]"}
    assert strengths(alone, responses)["coverage"].to_list() == [0.0] * 9


def test_two_attempts_are_enough_where_ten_responses_are_not_there() -> None:
    submissions, responses = cohort(5, 1.0)
    few = responses.filter(pl.col("position") % 12 < 5)
    other = pl.format("{}x", "submission_id").alias("submission_id")
    again = few.with_columns(other, pl.format("{}x", "attempt_id").alias("attempt_id"))
    both = submissions.with_columns(other)

    assert None not in lists((pl.concat([submissions, both]), pl.concat([few, again])))["p0"]


def test_void_submissions_count_nothing_and_the_order_of_rows_changes_no_byte() -> None:
    submissions, responses = cohort(6, 1.0)
    void = submissions.with_columns(is_void=pl.col("student_id") == "p3")
    rows = strengths(void, responses)
    mixed = (each.sample(fraction=1.0, shuffle=True, seed=8) for each in (void, responses))

    assert "p3" not in rows["student_id"].to_list()
    assert strengths(*mixed).equals(rows)
    assert strengths(void.filter(~pl.col("is_void")), responses).equals(rows)
    assert strengths(submissions.clear(), responses.clear()).is_empty()
