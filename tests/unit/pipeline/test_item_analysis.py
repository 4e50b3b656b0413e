"""Item and test statistics against other implementations; their flags (analytics.md, "Exam analytics")."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from pipeline.features.items import item_analysis
from pipeline.features.reliability import statistics_of_tests
from tests.kits.forms import answered, cohort

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
Floats = npt.NDArray[np.float64]
RNG = np.random.default_rng(7)
CHOICES, KEY = cohort(RNG, 300, 12)
SECONDS = RNG.lognormal(3.0, 0.8, (300, 12)).round(1)
PASSED = [bool(each) for each in RNG.random(300) < 0.6]
SHEET = answered(CHOICES, KEY, seconds=SECONDS.tolist(), passed=PASSED)
GROUPS = SHEET[0].select("submission_id", group=pl.Series(["reference", "focal"] * 150))
ITEMS = item_analysis(*SHEET, as_of=AS_OF, groups=GROUPS)
TEST = statistics_of_tests(*SHEET, as_of=AS_OF).row(0, named=True)
X: Floats = np.array([[float(a == b) for a, b in zip(row, KEY, strict=True)] for row in CHOICES])
TOTAL: Floats = X.sum(axis=1)

near = pytest.approx


def cronbach(x: Floats) -> float:
    """As psych and pingouin compute it: from the variances."""
    k = x.shape[1]
    return float(k / (k - 1) * (1 - x.var(axis=0, ddof=1).sum() / x.sum(axis=1).var(ddof=1)))


def column(name: str) -> list[Any]:
    return ITEMS[name].to_list()


def test_correlations_are_those_of_scipy() -> None:
    r = [stats.pointbiserialr(X[:, n], TOTAL - X[:, n]).statistic for n in range(12)]
    p = X.mean(axis=0)
    height = stats.norm.pdf(stats.norm.ppf(p))

    assert column("difficulty") == near(list(p), abs=1e-9)
    assert column("point_biserial") == near(r, abs=1e-9)
    assert column("biserial") == near(list(r * np.sqrt(p * (1 - p)) / height), abs=1e-9)


def test_alpha_is_that_of_the_variances_and_its_interval_feldts() -> None:
    alpha = cronbach(X)
    bounds = [1 - (1 - alpha) * stats.f.isf(p, 299, 299 * 11) for p in (0.025, 0.975)]

    assert TEST["alpha"] == near(alpha, abs=1e-9)
    assert [TEST["alpha_low"], TEST["alpha_high"]] == near(bounds, abs=1e-9)
    assert TEST["sem"] == near(TOTAL.std(ddof=1) * np.sqrt(1 - alpha), abs=1e-9)
    assert column("alpha_if_deleted") == near([cronbach(np.delete(X, n, 1)) for n in range(12)], abs=1e-9)


def test_moments_of_totals_are_those_of_scipy() -> None:
    got = [TEST[name] for name in ("mean", "median", "sd", "skew", "lowest", "highest")]
    wanted = [
        TOTAL.mean(), np.median(TOTAL), TOTAL.std(ddof=1), stats.skew(TOTAL, bias=False), TOTAL.min(),
        TOTAL.max(),
    ]  # fmt: skip

    assert got == near(wanted, abs=1e-9)
    assert orjson.loads(TEST["distribution"]) == np.histogram(TOTAL / 12, 20, (0, 1))[0].tolist()


def test_tails_take_ties_by_their_share() -> None:
    size = 0.27 * 300

    def weights(order: Floats) -> Floats:
        above = np.array([(order > each).sum() for each in order])
        tied = np.array([(order == each).sum() for each in order])
        share: Floats = np.clip((size - above) / tied, 0, 1)
        return share

    difference = (weights(TOTAL) - weights(-TOTAL)) @ X / size

    assert column("d27") == near(list(difference), abs=1e-9)


def test_options_correlate_with_the_rest_as_numpy_says() -> None:
    for n, table in enumerate(map(orjson.loads, column("distractors"))):
        for each in table:
            chose = np.array([row[n] == each["option"] for row in CHOICES], float)
            assert each["chosen"] == chose.sum()
            assert each["r"] == near(np.corrcoef(chose, TOTAL - X[:, n])[0, 1], abs=1e-9)
            assert each["is_key"] == (each["option"] == KEY[n])


def test_fairness_is_that_of_statsmodels() -> None:
    focal = np.arange(300) % 2 == 1
    for n, row in enumerate(ITEMS.iter_rows(named=True)):
        tables = [
            [[(X[at, n] == 1).sum(), (X[at, n] == 0).sum()] for at in (~focal & is_band, focal & is_band)]
            for band in np.unique(TOTAL)
            if (is_band := band == TOTAL)[focal].any() and is_band[~focal].any()
        ]
        wanted = StratifiedTable([np.array(table, float) for table in tables])
        assert row["dif_delta"] == near(-2.35 * wanted.logodds_pooled, abs=1e-9)
        assert row["dif_class"] in {"A", "B"}, "halves by chance"


def test_an_item_that_one_group_was_told_is_of_class_c() -> None:
    knows = [n % 20 != 0 if n % 2 == 0 else n % 10 == 1 for n in range(300)]
    told = [(KEY[0] if each else "x") + row[1:] for each, row in zip(knows, CHOICES, strict=True)]
    rows = item_analysis(*answered(told, KEY), as_of=None, groups=GROUPS)
    without_groups = item_analysis(*answered(told, KEY), as_of=None)

    assert [n for n, flags in enumerate(rows["flags"]) if "DIF" in flags] == [0]
    assert rows["dif_class"][0] == "C"
    assert rows["dif_delta"][0] < 0, "harder for the focal group"
    assert set(without_groups["dif_class"]) == {None}


def test_times_are_medians_and_shares_of_rapid_answers_in_steps() -> None:
    medians = np.median(SECONDS, axis=0)
    bars = np.floor(np.minimum(10, 0.1 * SECONDS.mean(axis=0)) * 10) / 10
    rapid = (bars - 1e-9 > SECONDS).mean(axis=0)

    assert column("timed") == [300] * 12
    assert (np.array(column("median_seconds")) <= medians).all()
    assert (np.array(column("median_seconds")) > medians - 1).all()
    assert column("nt10_share") == near(list(rapid), abs=1e-9)


def test_a_wrong_key_is_found_and_a_right_one_is_not() -> None:
    wrong = next(each for each in "abcd" if each != KEY[4])
    rows = item_analysis(*answered(CHOICES, KEY[:4] + wrong + KEY[5:]), as_of=None)

    assert [n for n, flags in enumerate(rows["flags"]) if "MISKEY" in flags] == [4]
    reason = orjson.loads(rows["reasons"][4])[0]
    assert reason["code"] == "MISKEY"
    assert f"chose {KEY[4]} " in reason["text"]


def test_few_submissions_raise_no_flag() -> None:
    """Whatever they show: 29 are too few, 30 are enough."""
    sheet = [KEY[:2] + "x" * 10] * 15 + ["x" * 11 + KEY[11]] * 15
    few, enough = (item_analysis(*answered(sheet[:n], KEY), as_of=None) for n in (29, 30))
    whole = statistics_of_tests(*answered(sheet[:29], KEY), as_of=None).row(0, named=True)

    assert not any(len(flags) for flags in few["flags"])
    assert {each["code"] for text in few["reasons"] for each in orjson.loads(text)} == {"TOO_FEW"}
    assert [each["code"] for each in orjson.loads(whole["reasons"])] == ["TOO_FEW"]
    assert enough["flags"][5].to_list() == ["HARD"]


def test_a_pass_is_what_the_submission_says() -> None:
    """
    No scale is looked at, as when a percentage was compared with a raw score; nobody divides by no attempts.
    """
    sheet = ["ab", "ab", "aa"]
    known, unknown = (
        statistics_of_tests(*answered(sheet, "ab", worth=[50, 50], passed=passed), as_of=None)
        for passed in ([True, None, False], [None, None, None])
    )

    assert known.select("total_passed", "pass_rate").row(0) == (1, 0.5)
    assert unknown.select("total_passed", "pass_rate").row(0) == (None, None)


def test_without_attempts_there_is_no_row_and_nothing_fails() -> None:
    nobody = tuple(frame.clear() for frame in SHEET)

    assert item_analysis(*nobody, as_of=None).is_empty()
    assert statistics_of_tests(*nobody, as_of=None).is_empty()


def test_what_waits_or_is_void_is_not_counted_and_said() -> None:
    waiting = frozenset({(0, 0), (1, 1)})
    sheet = answered(CHOICES[:40], KEY, ungraded=waiting, void=frozenset({5}))
    row = statistics_of_tests(*sheet, as_of=None).row(0, named=True)
    fewer = statistics_of_tests(
        *answered([each for n, each in enumerate(CHOICES[:40]) if n not in {0, 1, 5}], KEY), as_of=None
    ).row(0, named=True)

    assert (row["n"], row["waiting"], row["coverage"]) == (37, 2, 37 / 39)
    assert "WAITING" in {each["code"] for each in orjson.loads(row["reasons"])}
    assert (row["alpha"], row["mean"], row["skew"]) == (fewer["alpha"], fewer["mean"], fewer["skew"])


def test_what_an_import_had_the_points_of_alone_was_answered() -> None:
    """Of a response that is not known points tell that there was one; without any it counts as omitted."""
    submissions, responses = answered(["aa", "ba", " b"], "aa")
    unknown = responses.with_columns(response=pl.lit(None, pl.String))

    assert item_analysis(submissions, responses, as_of=None)["omitted"].to_list() == [1, 0]
    rows = item_analysis(submissions, unknown, as_of=None)
    assert rows["omitted"].to_list() == [2, 1]
    assert rows["difficulty"].to_list() == [1 / 3, 2 / 3]


def test_numbers_that_are_not_defined_are_null() -> None:
    """One submission, one item, one result for all, one that all wait for."""
    names = ["point_biserial", "biserial", "alpha_if_deleted"]
    for sheet, key in ((["aa"], "aa"), (["a", "b", "a"], "a"), (["aa"] * 40, "aa")):
        rows = item_analysis(*answered(sheet, key), as_of=None)
        whole = statistics_of_tests(*answered(sheet, key), as_of=None).row(0, named=True)
        assert rows.select(names).null_count().row(0) == (len(key),) * 3
        assert whole["alpha"] is whole["sem"] is None
    waits = answered(["aa"], "aa", ungraded=frozenset({(0, 0)}))
    row = statistics_of_tests(*waits, as_of=None).row(0, named=True)
    assert (row["n"], row["waiting"], row["mean"], row["coverage"]) == (0, 1, None, 0.0)
    assert item_analysis(*waits, as_of=None)["difficulty"].to_list() == [None, None]
