"""Projections: what is handed in, scored or voided reaches reporting and Parquet (spec.md W-1 to W-3)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.settings import Settings
from pipeline.extract import as_frame, snapshot
from pipeline.projections.reading import rows_of as rows_projected
from pipeline.projections.registry import PROJECTIONS
from pipeline.projections.storing import store
from pipeline.publications import publish_marked
from sql import named
from sql.running import connect
from tests.kits.access_matrix_world import imported
from tests.kits.core import core_api as serving
from tests.kits.handed_in import hand_in, make_class, score_again, set_void
from tests.kits.pipeline_child import project_now
from tests.kits.pipeline_world import rows_of
from warehouse.layout import conform

SUBMISSIONS = """
SELECT submission_id, points, percentage, passed, is_void, revision
FROM reporting.submissions ORDER BY finalised_at
"""
ITEMS = """
SELECT response, key, points, topics FROM reporting.submission_items ORDER BY submission_id, position
"""


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def test_every_projected_table_is_its_dataset_and_the_pipeline_may_write_it(settings: Settings) -> None:
    """W-1: Parquet and reporting have one schema; `store` and publication know no dataset by name."""
    with connect(settings.database_url) as conn, snapshot(settings.database_url) as reader:
        for dataset in {each.dataset.name: each.dataset for each in PROJECTIONS}.values():
            found = rows_projected(conn, reader, dataset, dataset.partition_key, [])
            assert conform(dataset, found).schema.equals(dataset.schema)
        for each in PROJECTIONS:
            assert store(conn, each, [], as_frame(each.dataset.schema.empty_table())) == []


def test_what_is_handed_in_scored_again_voided_and_restored_is_projected(
    settings: Settings, database: str
) -> None:
    own = make_class(database)
    first, second = hand_in(database, own, 0, "bbba"), hand_in(database, own, 1, "b a ", minutes=40)
    project_now(settings)
    assert rows_of(database, SUBMISSIONS) == [
        (first, 3.0, 75.0, True, False, 1),
        (second, 1.0, 25.0, False, False, 1),
    ]
    assert rows_of(database, ITEMS)[4:] == [
        ("b", "b", 1.0, ["Geometry"]),
        (None, "b", 0.0, ["Algebra"]),
        ("a", "b", 0.0, ["Geometry"]),
        (None, "b", 0.0, ["Algebra"]),
    ]
    assert publish_marked(settings).items() >= {"submissions": 1, "submission_items": 1}.items()

    score_again(database, own, second, [1, 0.5, 0, 1], minutes=50)
    set_void(database, own, first, is_void=True, minutes=60)
    project_now(settings)
    assert rows_of(database, SUBMISSIONS) == [
        (first, 3.0, 75.0, True, True, 1),
        (second, 2.5, 62.5, True, False, 2),
    ]
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []


async def test_what_is_imported_is_projected_with_its_times_and_versions_w7(
    settings: Settings, database: str, database_as: Callable[[str], str]
) -> None:
    async with serving(database, database_as) as api:
        done = await api.post("/api/admin/results/import", "admin", json=imported("S-1"))
        assert done.status == 200, done.body
    project_now(settings)

    (attempt,) = rows_of(
        database, "SELECT attempt_id::text FROM reporting.submissions WHERE kind = 'imported'"
    )
    assert rows_of(database, "SELECT seconds, points, kind FROM reporting.submission_items") == [
        (60.5, None, "essay")
    ]
    with snapshot(settings.database_url) as reader:
        drafts = reader.frame(named("sources")["drafts"], [attempt[0]])
    assert drafts.sort("version").select("version", "text").rows() == [(1, "Cells."), (2, "Cells live.")]
