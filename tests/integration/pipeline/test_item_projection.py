"""Item and test statistics follow submissions, each counted once (spec.md W-1 to W-3)."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import polars as pl
import psycopg
import pytest
from statsmodels.stats.contingency_tables import StratifiedTable

from kernel.settings import Settings
from pipeline.extract import as_frame, snapshot
from pipeline.features.items import item_analysis
from pipeline.features.reliability import statistics_of_tests
from pipeline.projections.projection import Layer
from pipeline.projections.reading import rows_of as rows_projected
from pipeline.projections.turns import turn
from pipeline.rebuild import no_progress
from pipeline.recomputing import recompute
from sql.running import connect
from tests.kits.handed_in import Class, compare, hand_in, make_class, score_again, set_void
from tests.kits.pipeline_child import project_now
from tests.kits.pipeline_world import rows_of
from warehouse.datasets import DATASETS

MADE = ("item_analysis", "test_statistics")
JSON = {"distractors", "reasons", "distribution"}


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def projected(settings: Settings, name: str) -> pl.DataFrame:
    with connect(settings.database_url) as conn, snapshot(settings.database_url) as reader:
        return as_frame(rows_projected(conn, reader, DATASETS[name], "exam_id", None))


def plain(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows by exam and item, JSON as what it says."""
    read = [
        row | {name: orjson.loads(row[name]) for name in JSON & set(row) if row[name] is not None}
        for row in rows.iter_rows(named=True)
    ]
    return sorted(read, key=lambda row: (row["exam_id"], row.get("position", 0)))


def assert_projected(settings: Settings) -> None:
    """Hold what was carried forward to the definition, over all that is projected of submissions."""
    submissions, responses = (projected(settings, name) for name in ("submissions", "submission_items"))
    reach = submissions.filter(~pl.col("is_void"))["as_of"].max()
    wanted = (
        item_analysis(submissions, responses, as_of=None),
        statistics_of_tests(submissions, responses, as_of=None),
    )

    for name, rows in zip(MADE, wanted, strict=True):
        found = projected(settings, name)
        assert plain(found.drop("as_of")) == plain(rows.drop("as_of"))
        assert found["as_of"].max() == reach


def test_every_submission_counts_once_however_it_changes(settings: Settings, database: str) -> None:
    own = make_class(database, exams=2, students=4)
    sheets = ["bbba", "b ab", "abbb", "bbbb", "abab", "aaab"]
    given = [hand_in(database, own, number, sheet) for number, sheet in enumerate(sheets)]
    project_now(settings)
    assert_projected(settings)
    assert projected(settings, "test_statistics")["n"].to_list() == [4, 2]

    score_again(database, own, given[1], [1, 0.5, 0, 1], minutes=50)
    set_void(database, own, given[0], is_void=True, minutes=60)
    hand_in(database, own, 6, "bbab")
    project_now(settings)
    assert_projected(settings)

    set_void(database, own, given[0], is_void=False, minutes=70)
    for number in (4, 5, 6):
        set_void(database, own, own.attempts[number]["submission"], is_void=True, minutes=75)
    project_now(settings)
    assert_projected(settings)
    assert projected(settings, "test_statistics").height == 1, "nobody is left in the other"
    assert rows_of(database, "SELECT count(*) FROM reporting.form_shares") == [(4,)]


def count_anew(settings: Settings, own: Class) -> None:
    with connect(settings.database_url) as conn:
        turn(conn, settings, Layer.exam, keys=[str(each) for each in own.exam_ids])


def test_counted_anew_is_what_was_carried_forward(settings: Settings, database: str) -> None:
    own = make_class(database, students=3)
    for number, sheet in enumerate(["bbba", "b ab", "abbb"]):
        hand_in(database, own, number, sheet)
        project_now(settings)
    carried = [projected(settings, name) for name in MADE]
    tallies = rows_of(database, "SELECT * FROM reporting.form_tallies")

    count_anew(settings, own)
    assert [projected(settings, name).equals(rows) for name, rows in zip(MADE, carried, strict=True)] == [
        True,
        True,
    ]
    assert rows_of(database, "SELECT * FROM reporting.form_tallies") == tallies, "to the byte"
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE reporting.form_tallies SET version = 'tally-0', tally = ''")
    score_again(database, own, own.attempts[0]["submission"], [1, 1, 0, 0], minutes=90)
    project_now(settings)
    assert_projected(settings)


def test_one_more_submission_reads_no_other(settings: Settings, database: str) -> None:
    """Were the others read again, their rows, which are gone, would be missed."""
    own = make_class(database, students=3)
    for number, sheet in enumerate(["bbba", "b ab"]):
        hand_in(database, own, number, sheet)
    project_now(settings)
    with psycopg.connect(database) as conn:
        conn.execute("DELETE FROM reporting.submission_items")
    hand_in(database, own, 2, "bbbb")
    project_now(settings)

    assert projected(settings, "test_statistics")["n"].to_list() == [3]


def test_items_are_compared_for_the_groups_that_the_exam_names(settings: Settings, database: str) -> None:
    """W-1: as statsmodels says; who leaves a group is out of it; too few are a reason, no groups are none."""
    dice, own = Random(3), make_class(database, exams=2, students=64)
    reference, focal = compare(database, own, own.exam_ids[0])
    sheets = ["".join("b" if dice.random() < 0.3 + n / 110 else "a" for _ in range(4)) for n in range(64)]
    for number, sheet in enumerate(sheets):
        hand_in(database, own, number, sheet)
    hand_in(database, own, 64, "bbaa")
    project_now(settings)

    compared, other = projected(settings, "item_analysis").partition_by("exam_id", maintain_order=True)
    if compared["exam_id"][0] != str(own.exam_ids[0]):
        compared, other = other, compared
    assert compared["dif_delta"].to_list() == [
        pytest.approx(-2.35 * pooled(sheets, item), abs=1e-9) for item in range(4)
    ]
    assert other["dif_class"].to_list() == [None] * 4
    assert "DIF" not in "".join(other["reasons"])

    with psycopg.connect(database) as conn:
        left = [each["student"] for each in own.attempts[1:64:2]][:3]
        conn.execute(
            b"DELETE FROM group_members WHERE group_id = %s AND user_id = ANY (%s::uuid[])", (focal, left)
        )
    project_now(settings)
    few = projected(settings, "item_analysis").filter(pl.col("exam_id") == str(own.exam_ids[0]))
    assert few["dif_delta"].to_list() == [None] * 4
    (said,) = [each for each in orjson.loads(few["reasons"][0]) if each["code"].startswith("DIF")]
    assert (said["code"], said["value"], said["threshold"], said["n"]) == ("DIF_TOO_FEW", 29, 30, 61)

    before = rows_of(database, "SELECT * FROM reporting.item_analysis ORDER BY exam_id, position")
    recompute(settings, no_progress, datasets=MADE)
    assert rows_of(database, "SELECT * FROM reporting.item_analysis ORDER BY exam_id, position") == before
    assert reference != focal


def pooled(sheets: list[str], item: int) -> float:
    """Return the logarithm of Mantel and Haenszel's odds ratio, by statsmodels: even places over odd ones."""
    tables = []
    for total in range(5):
        at = [(n % 2, sheet[item] == "b") for n, sheet in enumerate(sheets) if sheet.count("b") == total]
        table = [[sum(each == (group, right) for each in at) for right in (True, False)] for group in (0, 1)]
        if all(map(sum, table)):
            tables.append(np.array(table, float))
    return float(StratifiedTable(tables).logodds_pooled)
