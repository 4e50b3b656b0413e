from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from msgspec.structs import replace

from kernel.settings import Settings
from pipeline.actors import Actors, declare, open_brokers
from pipeline.archive import ArchiveMismatchError, archive_events
from pipeline.jobs import failing_jobs, run_job
from pipeline.publications import publish_marked, show_builds
from pipeline.rebuild import rebuild
from pipeline.scheduler import jobs_due
from sql.running import Connection, connect
from tests.integration.pipeline.test_process import wait_until
from tests.kits.pipeline_child import fold_now
from tests.kits.pipeline_world import (
    START,
    Sitting,
    event,
    make_sittings,
    rows_of,
    some_events,
    store,
    store_now,
)
from tests.kits.warehouse import read, root_of
from warehouse.builds import list_parts, read_manifest
from warehouse.compacting import PARTS_MAX
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.datasets.events import EVENTS

KEYS = "SELECT session_id, seq FROM events ORDER BY 1, 2"


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"), build_grace_s=0
    )


def archived(settings: Settings, columns: str = "session_id, seq") -> list[tuple[Any, ...]]:
    return read(settings, EVENTS, columns, "session_id, seq")


def test_what_is_in_parquet_is_what_is_in_the_table(settings: Settings, database: str) -> None:
    """spec.md W-1, W-2: every column, by UTC day, and each event once."""
    sitting, other = make_sittings(database)
    store_now(database, sitting, some_events(sitting, 40, seconds=3600))
    store_now(database, other, [event(START, skew_ms=5)])

    assert archive_events(settings) == 41
    columns = (
        "session_id, seq, occurred_at, effective_at, client_at, client, client_seq, event_type, severity,"
        " is_violation, is_late, event_name"
    )
    assert archived(settings, columns) == rows_of(
        database, f"SELECT {columns} FROM events ORDER BY session_id, seq"
    )
    assert set(archived(settings, "attempt_id, exam_id, session_id")) == {
        (sitting.attempt_id, sitting.exam_id, sitting.session_id),
        (other.attempt_id, other.exam_id, other.session_id),
    }
    assert set(archived(settings, "event_type_name, payload")) == {
        (name, '{"n": 1}') for name in ("Heartbeat", "TabSwitched", "noise", "CopyAttempt")
    }
    manifest = read_manifest(root_of(settings), EVENTS)
    assert manifest is not None
    parts = list_parts(root_of(settings), EVENTS, manifest)
    assert [part.partition for part, _ in parts] == ["2026-09-01", "2026-09-02", "2026-09-03"]


def test_only_what_is_new_is_appended_and_a_late_commit_is_not_skipped(
    settings: Settings, database: str
) -> None:
    """design.md: append-only parts for events; nothing is lost to a transaction that commits late."""
    early, late = make_sittings(database)
    store_now(database, early, some_events(early, 3))
    with psycopg.connect(database) as slow:
        store(slow, late, some_events(late, 3))
        store_now(database, early, some_events(early, 3))
        assert archive_events(settings) == 6
        slow.commit()
    assert archive_events(settings) == 3
    assert archive_events(settings) is None

    assert archived(settings) == rows_of(database, KEYS)


@pytest.mark.slow("many small parts before they become one")
def test_many_small_parts_of_a_day_become_one(settings: Settings, database: str) -> None:
    """design.md: about 122,880 rows a row group; a day is not a thousand files."""
    [sitting] = make_sittings(database, attempts=1)
    for _ in range(PARTS_MAX + 2):
        store_now(database, sitting, some_events(sitting, 2, seconds=1))
        archive_events(settings)
    manifest = read_manifest(root_of(settings), EVENTS)

    assert manifest is not None
    assert manifest.parts < PARTS_MAX
    assert archived(settings) == rows_of(database, KEYS)


def test_an_archive_that_is_not_the_planned_one_is_refused_and_rebuilt(
    settings: Settings, database: str
) -> None:
    """spec.md W-2: a lost or restored warehouse is seen, not silently continued."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, some_events(sitting, 3))
    archive_events(settings)
    Path(settings.warehouse).rename(Path(settings.warehouse).with_name("lost"))
    store_now(database, sitting, some_events(sitting, 3))

    with pytest.raises(ArchiveMismatchError):
        archive_events(settings)
    assert rebuild(settings).events == 6
    assert archived(settings) == rows_of(database, KEYS)


def test_days_that_only_the_archive_has_survive_a_rebuild(settings: Settings, database: str) -> None:
    """spec.md W-2: after retention the archive is the only copy of old events; attempts are computed from it
    too."""
    old, new = make_sittings(database)
    store_now(database, old, some_events(old, 5))
    store_now(database, new, [event(START + timedelta(days=3, seconds=n)) for n in range(4)])
    fold_now(settings)
    archive_events(settings)
    before = rows_of(database, "SELECT * FROM reporting.attempt_activity ORDER BY attempt_id")
    kept = archived(settings, "*")
    rows_of(database, "SELECT drop_chunks('events', older_than => timestamptz '2026-09-03')")
    assert rows_of(database, "SELECT count(*) FROM events") == [(4,)]

    assert rebuild(settings).events == 9
    assert archived(settings, "*") == kept
    assert rows_of(database, "SELECT * FROM reporting.attempt_activity ORDER BY attempt_id") == before


def activity(settings: Settings) -> list[tuple[Any, ...]]:
    return read(settings, ATTEMPT_ACTIVITY, "*", "attempt_id")


REPORTING = """
SELECT attempt_id::text, exam_id::text, student_id::text, session_ids, events, violations, by_type::text,
by_severity::text,
       first_event_at, last_event_at, longest_silence_s, heartbeat_coverage, clock_skew_ms, late_events,
       metric_version, coverage, reasons::text, as_of
FROM reporting.attempt_activity ORDER BY attempt_id::text
"""


def test_parquet_and_reporting_hold_the_same_rows(settings: Settings, database: str) -> None:
    """spec.md W-1: from one computation."""
    sittings = make_sittings(database, exams=3, attempts=2)
    for number, sitting in enumerate(sittings):
        store_now(database, sitting, some_events(sitting, 3 + number))
    fold_now(settings)

    assert publish_marked(settings)["attempt_activity"] == 3
    assert activity(settings) == rows_of(database, REPORTING)
    assert publish_marked(settings) == {}


def test_only_touched_exams_are_written_again(settings: Settings, database: str) -> None:
    """design.md: those partitions whole, and no other."""
    first, second = make_sittings(database, exams=2, attempts=1)
    for sitting in (first, second):
        store_now(database, sitting, some_events(sitting, 3))
    fold_now(settings)
    publish_marked(settings)
    files_before = exam_files(settings)
    store_now(database, first, some_events(first, 3))
    fold_now(settings)

    assert publish_marked(settings)["attempt_activity"] == 1
    files = exam_files(settings)
    assert files[second.exam_id] == files_before[second.exam_id]
    assert files[first.exam_id] != files_before[first.exam_id]
    assert activity(settings) == rows_of(database, REPORTING)


def test_a_job_that_fails_is_tried_again_though_its_work_is_done(
    settings: Settings, database: str, redis_url: str
) -> None:
    """What was archived cannot be shown; what failed of publishing, somebody else has done."""
    actors = declare(open_brokers(replace(settings, redis_url=redis_url), detects=False), settings)
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, some_events(sitting, 3))
    in_the_way = Path(settings.warehouse) / "catalogue.duckdb"
    in_the_way.mkdir(parents=True)

    assert not run_job(settings, "publish", (Path(settings.warehouse) / "missing").rmdir)
    actors.archive()
    in_the_way.rmdir()

    assert len(archived(settings)) == 3
    with connect(settings.database_url) as conn:
        assert [each.job for each in failing_jobs(conn)] == ["open", "publish"]
        wait_until(lambda: again(conn, actors) == {"open", "publish"})
        actors.open()
        actors.publish()
        assert failing_jobs(conn) == []
        assert again(conn, actors) == set()


def again(conn: Connection, actors: Actors) -> set[str]:
    """Return the jobs that the scheduler would send now."""
    return {each.actor_name for each in jobs_due(conn, actors, is_first=False)}


def exam_files(settings: Settings) -> dict[str, str]:
    manifest = read_manifest(root_of(settings), ATTEMPT_ACTIVITY)
    assert manifest is not None
    parts = list_parts(root_of(settings), ATTEMPT_ACTIVITY, manifest)
    return {part.partition: part.file for part, _ in parts}


def test_the_catalogue_answers_from_another_folder(
    settings: Settings, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """spec.md W-4: one file, named views, schemas, units and freshness in the data itself."""
    [sitting] = make_sittings(database, attempts=1)
    fill(settings, database, [sitting])
    show_builds(settings)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    with duckdb.connect(str(Path(settings.warehouse) / "catalogue.duckdb"), read_only=True) as conn:
        assert conn.execute("SELECT count(*), count(DISTINCT exam_id) FROM events").fetchall() == [(6, 1)]
        assert conn.execute("SELECT (by_type ->> 'Heartbeat')::int FROM attempt_activity").fetchall() == [
            (2,)
        ]
        freshness = conn.execute(
            "SELECT dataset, rows, watermark > 0, bytes > 0, as_of > now() - INTERVAL 1 HOUR FROM datasets "
            "WHERE dataset IN ('attempt_activity', 'events')"
        )
        assert freshness.fetchall() == [
            ("attempt_activity", 1, True, True, True),
            ("events", 6, True, True, True),
        ]
        assert conn.execute(
            "SELECT unit FROM columns WHERE column_name = 'longest_silence_s'"
        ).fetchall() == [("seconds",)]


def fill(settings: Settings, database: str, sittings: Sequence[Sitting]) -> None:
    for sitting in sittings:
        store_now(database, sitting, some_events(sitting, 6))
    fold_now(settings)
    archive_events(settings)
    publish_marked(settings)
