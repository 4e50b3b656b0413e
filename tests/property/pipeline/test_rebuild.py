import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.archive_told import check
from pipeline.publications import open_warehouse, publish_marked
from pipeline.rebuild import FOLDED, rebuild
from sql.running import connect
from tests.kits.pipeline_child import JOBS, STEPS, fold_now, kill_at
from tests.kits.pipeline_world import Sitting, end, make_sittings, rows_of, some_events, store_now
from tests.kits.warehouse import read, root_of
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.datasets.events import EVENTS
from warehouse.publish import no_step

ATTEMPTS = 3
# What makes numbers of events. The detector makes none, and nothing here is old enough to go: both are killed
# in tests of their own.
ASIDE = {"detect", "retain", "expire", "people", "contents", "runtime"}
FOLDING = {job: steps for job, steps in STEPS.items() if job not in ASIDE}
RESET = """
TRUNCATE events, session_progress, dirty_sessions, unarchived_sessions,
         reporting.session_folds, reporting.fold_claims,
         reporting.attempt_activity, reporting.partition_marks, reporting.archive_batches,
         reporting.archive_ranges, reporting.archived_sessions;
UPDATE proctor_sessions SET status = 1, ended_at = NULL, final_seq = NULL WHERE final_seq IS NOT NULL;
TRUNCATE dirty_sessions;
"""
Action = tuple[str, Any]

stores = st.tuples(st.just("store"), st.tuples(st.integers(0, ATTEMPTS - 1), st.integers(1, 4)))
ends = st.tuples(st.just("end"), st.integers(0, ATTEMPTS - 1))
runs = st.sampled_from([("run", job) for job in FOLDING])
kills = st.sampled_from([("kill", (job, at)) for job, steps in FOLDING.items() for at in steps])
schedules = st.lists(stores | stores | ends | runs | kills, min_size=3, max_size=12)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which nothing was published yet: a first build of each dataset takes long to make."""
    folder = tmp_path_factory.mktemp("opened") / "warehouse"
    open_warehouse(Settings(warehouse=str(folder)))
    return folder


@pytest.fixture
def pipeline_settings(database_as: Callable[[str], str], opened: Path, tmp_path: Path) -> Settings:
    warehouse = tmp_path / "warehouse"
    shutil.copytree(opened, warehouse, symlinks=True)
    return Settings(database_url=database_as("veritas_pipeline"), warehouse=str(warehouse), build_grace_s=0)


def reset(database: str, warehouse: Path, opened: Path, sittings: list[Sitting]) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(RESET.encode())
    shutil.rmtree(warehouse)
    shutil.copytree(opened, warehouse, symlinks=True)
    for sitting in sittings:
        sitting.through_seq = 0


def play(database: str, pipeline: Settings, sittings: list[Sitting], action: Action) -> None:
    match action:
        case ("store", (number, count)):
            sitting = sittings[number]
            store_now(database, sitting, some_events(sitting, count, seconds=20_000.0))
        case ("end", number):
            sitting = sittings[number]
            end(database, sitting, sitting.started_at + timedelta(days=30))
        case ("run", job):
            JOBS[job](pipeline, no_step)
        case ("kill", (job, at)):
            kill_at(job, pipeline, at)


def told(pipeline: Settings) -> int:
    """How many events of the archive the ledger speaks of, whose files are as it has them; all are."""
    with connect(pipeline.database_url) as conn:
        report = check(conn, root_of(pipeline))
    assert report.findings == []
    return report.rows


def drain(pipeline: Settings) -> None:
    fold_now(pipeline)
    while archive_events(pipeline) is not None:
        pass
    publish_marked(pipeline)


def contents(database: str, pipeline: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of reporting and of the Parquet datasets that events make, as they are in force."""
    found = {"reporting": rows_of(database, "SELECT * FROM reporting.attempt_activity ORDER BY attempt_id")}
    for dataset, order in ((EVENTS, "session_id, seq"), (ATTEMPT_ACTIVITY, "attempt_id")):
        found[dataset.name] = read(pipeline, dataset, "*", order)
    return found


@pytest.mark.slow("schedules with crashes, each rebuilt")
def test_incremental_equals_rebuild_whatever_the_schedule_and_the_crashes(
    database: str, pipeline_settings: Settings, opened: Path
) -> None:
    """spec.md W-2; design.md: a property test with random schedules and crash points. Every kill is a real
    SIGKILL."""
    sittings = make_sittings(database, exams=1, attempts=2) + make_sittings(database, exams=1, attempts=1)

    @settings(max_examples=8, suppress_health_check=list(HealthCheck))
    @given(schedules)
    def holds(schedule: list[Action]) -> None:
        reset(database, Path(pipeline_settings.warehouse), opened, sittings)
        play(database, pipeline_settings, sittings, ("store", (0, 2)))
        for action in schedule:
            play(database, pipeline_settings, sittings, action)
        drain(pipeline_settings)
        incremental = contents(database, pipeline_settings)
        stored = rows_of(database, "SELECT session_id, seq FROM events ORDER BY 1, 2")
        assert [row[:2] for row in incremental["events"]] == stored
        assert told(pipeline_settings) == len(stored)

        rebuild(pipeline_settings, only=FOLDED)
        assert contents(database, pipeline_settings) == incremental
        assert told(pipeline_settings) == len(stored)

    holds()


@pytest.mark.parametrize(
    ("job", "at"),
    [(job, at) for job, steps in FOLDING.items() for at in steps if job not in {"fold", "project"}],
)
def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(
    database: str, pipeline_settings: Settings, job: str, at: str
) -> None:
    """design.md, "Pipeline and warehouse"; spec.md W-2. The fold's: test_scoring_kills.py."""
    sittings = make_sittings(database, attempts=2)
    for sitting in sittings:
        store_now(database, sitting, some_events(sitting, 3, seconds=20_000.0))
    drain(pipeline_settings)
    for sitting in sittings:
        store_now(database, sitting, some_events(sitting, 2, seconds=20_000.0))
    if job == "publish":
        fold_now(pipeline_settings)

    assert kill_at(job, pipeline_settings, at)
    drain(pipeline_settings)
    found = contents(database, pipeline_settings)
    assert [row[:2] for row in found["events"]] == rows_of(
        database, "SELECT session_id, seq FROM events ORDER BY 1, 2"
    )
    assert [row[4] for row in found["attempt_activity"]] == [5, 5]
    assert told(pipeline_settings) == 10
    assert rows_of(database, "SELECT count(*) FROM dirty_sessions") == [(0,)]
