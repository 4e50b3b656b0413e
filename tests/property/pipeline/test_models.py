"""Models of leaving (analytics.md, "dropout_label", "Drift and calibration")."""

from datetime import UTC, datetime, timedelta
from functools import cache

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from pipeline.features.models import (
    INPUTS,
    PROGRESS,
    SAID,
    Model,
    auc,
    brier,
    calibrated,
    calibration_report,
    drift,
    inputs_of,
    read_model,
    score,
)
from pipeline.features.training import TooFewError, calibration_of, fitted, train

AT = datetime(2026, 9, 1, tzinfo=UTC)


def cohorts(seed: int, *, number: int = 8, students: int = 60, easier: float = 0.0) -> pl.DataFrame:
    """Return simulated cohorts: whoever does less of what is due, and later, leaves more often."""
    dice = np.random.default_rng(seed)
    rows = []
    for cohort in range(number):
        effort = dice.normal(0, 1, students) + easier
        chance = 1 / (1 + np.exp(2.0 * (effort - easier) + 1.0))
        for n in range(students):
            done = int(dice.binomial(10, 1 / (1 + np.exp(-1 - effort[n]))))
            rows.append({
                "cohort_id": f"cohort-{seed}-{cohort}", "student_id": f"student-{cohort}-{n}",
                "cut_off": AT + timedelta(days=cohort), "is_enrolled": bool(dice.random() > 0.05), "due": 10,
                "done": done, "attempts": 10, "abandoned": int(dice.binomial(3, 0.2)),
                "earliness_h": float(dice.normal(24 + 12 * effort[n], 12)) if done else None,
                "idle_d": float(dice.gamma(2.0) * np.exp(-effort[n] / 2)) if done else None,
                "lmi": float(dice.uniform(20, 80)) if dice.random() > 0.3 else None, "integrity": 0.9,
                "has_left": bool(dice.random() < chance[n]),
            })  # fmt: skip
    return pl.DataFrame(rows, schema=PROGRESS.schema)


@cache
def trained() -> Model:
    return train(cohorts(1), version="left-1", as_of=AT, horizon_days=28)


def test_a_model_sees_who_leaves_and_its_probabilities_are_right_in_cohorts_that_it_does_not_know() -> None:
    report = calibration_report(trained(), cohorts(2))
    metrics = trained().card["metrics"]

    assert report["auc"] > 0.75
    assert report["ece"] < 0.08
    assert report["brier"] < 0.8 * 0.25
    assert metrics == pytest.approx({name: report[name] for name in metrics}, abs=0.06)


def test_the_file_says_all_there_is_and_nobody_who_had_left_before_counts() -> None:
    model, given_rows = trained(), cohorts(1)
    again = read_model(msgspec.json.encode(model))
    enrolled = given_rows.filter("is_enrolled").height

    assert again == model
    assert score(again, cohorts(2)).equals(score(model, cohorts(2)))
    assert model.card["outcomes"] == enrolled < given_rows.height
    assert {"trained_at", "horizon_days", "cut_offs", "left_out", "metrics", "base_rate"} <= set(model.card)
    assert set(SAID) == set(INPUTS) == set(model.inputs)


def test_neither_the_order_of_rows_nor_how_cohorts_are_divided_changes_a_byte() -> None:
    rows = cohorts(1)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=3)
    parts = [score(trained(), part) for part in shuffled.partition_by("cohort_id")]

    assert train(shuffled, version="left-1", as_of=AT, horizon_days=28) == trained()
    assert (
        pl.concat(parts)
        .sort("cohort_id", "student_id")
        .equals(score(trained(), rows).sort("cohort_id", "student_id"))
    )


def test_an_easier_course_is_compared_with_itself() -> None:
    """Everybody doing more changes nobody's rank, and little of what is predicted on average."""
    usual, easy = (score(trained(), cohorts(5, easier=each))["probability"].mean() for each in (0.0, 1.5))

    assert easy == pytest.approx(usual, abs=0.05)


def test_what_is_not_known_moves_nothing_and_lowers_coverage() -> None:
    rows = cohorts(2).with_columns(lmi=pl.lit(None, pl.Float64), integrity=pl.lit(None, pl.Float64))
    scored = score(trained(), rows)

    assert scored["coverage"].max() == 6 / 8
    assert scored["probability"].is_between(0, 1, closed="none").all()
    for reasons in scored["reasons"]:
        assert len(msgspec.json.decode(reasons)) <= 2


def test_another_base_rate_shifts_every_probability() -> None:
    rows = cohorts(1)
    rarer = train(rows, version="left-1", as_of=AT, horizon_days=28, base_rate=0.02)
    both = score(rarer, rows)["probability"], score(trained(), rows)["probability"]

    assert (both[0] < both[1]).all()
    assert both[0].mean() == pytest.approx(0.02, abs=0.02)


@pytest.mark.parametrize("rows", [cohorts(1, number=3), cohorts(1).with_columns(has_left=pl.lit(False))])  # noqa: FBT003
def test_too_few_outcomes_make_no_model(rows: pl.DataFrame) -> None:
    with pytest.raises(TooFewError, match="are needed"):
        train(rows, version="left-1", as_of=AT, horizon_days=28)


def test_drift_is_seen_where_the_world_has_changed_and_not_where_it_has_not() -> None:
    same = {each["name"]: each["verdict"] for each in drift(trained(), cohorts(4, number=20))}
    later = cohorts(4, number=20).with_columns(abandoned=pl.lit(9, pl.Int64), lmi=pl.lit(None, pl.Float64))
    changed = {each["name"]: each["verdict"] for each in drift(trained(), later)}

    assert "act" not in same.values()
    assert same["score"] == "ok"
    assert (changed["abandoned_share"], changed["lmi"]) == ("act", "unknown")


def test_fits_and_metrics_agree_with_scikit_learn() -> None:
    known = inputs_of(cohorts(1)).select("done_rank", "abandoned_share", "done_z").to_numpy()
    y = inputs_of(cohorts(1))["has_left"].cast(pl.Float64).to_numpy()
    theirs = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=200).fit(known, y)
    p = theirs.predict_proba(known)[:, 1]

    assert fitted(known, y) == pytest.approx([*theirs.intercept_, *theirs.coef_[0]], abs=1e-8)
    assert brier(y.tolist(), p.tolist()) == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    assert auc(y.tolist(), p.tolist()) == pytest.approx(roc_auc_score(y, p), abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
@settings(max_examples=30)
def test_ties_count_half_as_scikit_learn_has_it(pairs: list[tuple[bool, int]]) -> None:
    y, p = [float(left) for left, _ in pairs], [place / 6 for _, place in pairs]

    assert brier(y, p) == pytest.approx(brier_score_loss(y, p, labels=[0.0, 1.0]), abs=1e-9)
    if len(set(y)) == 2:
        assert auc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-9)
    else:
        assert auc(y, p) is None


def test_a_thousand_outcomes_are_calibrated_by_an_isotonic_curve_as_scikit_learn_has_it() -> None:
    dice = np.random.default_rng(9)
    logits = np.round(dice.normal(0, 2, 1500), 2)
    y = (dice.random(1500) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    calibration = calibration_of(logits, y)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logits, y).predict(logits)
    ours = np.array([calibrated(calibration, logit) for logit in logits])

    assert calibration.kind == "isotonic"
    assert ours == pytest.approx(np.clip(theirs, 1e-6, 1 - 1e-6), abs=1e-9)
