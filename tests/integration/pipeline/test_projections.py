import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.projections import DirtyRowsTakenError, project_attempts
from tests.kits.pipeline_world import (
    START,
    Sitting,
    end,
    event,
    make_sittings,
    rows_of,
    some_events,
    store,
    store_now,
)

DIRTY = "SELECT count(*) FROM dirty_sessions"
ROWS = """
SELECT attempt_id::text, events, violations, by_type, longest_silence_s, heartbeat_coverage
FROM reporting.attempt_activity
"""


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"))


def seen(database: str) -> Sitting:
    """Return a candidate at work, with five events stored."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, some_events(sitting, 5))
    return sitting


def test_a_dirty_attempt_gets_its_row_and_is_clean(settings: Settings, database: str) -> None:
    """design.md: dirty rows are deleted by the projection that has taken them in. spec.md W-1."""
    sitting, other = make_sittings(database)
    beats = [event(START + timedelta(seconds=15 * n), skew_ms=2_000) for n in range(9)]
    tab = event(START + timedelta(seconds=300), EventType.TabSwitched, severity=2)
    store_now(database, sitting, [*beats, tab])

    assert project_attempts(settings, [sitting.attempt_id, other.attempt_id]) == 1
    assert rows_of(database, DIRTY) == [(0,)]
    [row] = rows_of(database, ROWS)
    assert row == (sitting.attempt_id, 10, 1, {"Heartbeat": 9, "TabSwitched": 1}, 180.0, 0.45)
    [(skew, coverage, reasons, exam, student)] = rows_of(
        database,
        "SELECT clock_skew_ms, coverage, reasons, exam_id::text, student_id::text"
        " FROM reporting.attempt_activity",
    )
    assert (skew, coverage, exam, student) == (2000.0, 1.0, sitting.exam_id, sitting.student_id)
    assert [reason["code"] for reason in reasons] == ["LONG_SILENCE", "HEARTBEATS_MISSING"]


def test_a_second_delivery_changes_nothing(settings: Settings, database: str) -> None:
    """design.md: every actor is idempotent."""
    sitting = seen(database)
    project_attempts(settings, [sitting.attempt_id])
    before = rows_of(database, "SELECT a.*, a.xmin::text FROM reporting.attempt_activity a")

    assert project_attempts(settings, [sitting.attempt_id]) == 0
    assert rows_of(database, "SELECT a.*, a.xmin::text FROM reporting.attempt_activity a") == before


def test_a_session_touched_meanwhile_stays_dirty(settings: Settings, database: str) -> None:
    """design.md: dirty set and rows are read in one snapshot."""
    sitting = seen(database)

    def touch(step: str) -> None:
        if step == "read":
            store_now(database, sitting, some_events(sitting, 3))

    project_attempts(settings, [sitting.attempt_id], touch)

    assert rows_of(database, "SELECT events FROM reporting.attempt_activity") == [(5,)]
    assert rows_of(database, DIRTY) == [(1,)]
    project_attempts(settings, [sitting.attempt_id])
    assert rows_of(database, "SELECT events FROM reporting.attempt_activity") == [(8,)]


def test_an_older_snapshot_never_lands_on_a_newer_row(settings: Settings, database: str) -> None:
    """design.md: a redelivered job cannot put an older snapshot over a newer one."""
    sitting = seen(database)

    def overtake(step: str) -> None:
        if step == "computed":
            store_now(database, sitting, some_events(sitting, 3))
            project_attempts(settings, [sitting.attempt_id])

    with pytest.raises(DirtyRowsTakenError):
        project_attempts(settings, [sitting.attempt_id], overtake)

    assert rows_of(database, "SELECT events FROM reporting.attempt_activity") == [(8,)]
    assert rows_of(database, DIRTY) == [(0,)]


def test_rows_not_yet_committed_are_taken_in_when_they_are(settings: Settings, database: str) -> None:
    """design.md: a late commit is not skipped."""
    early, late, first = make_sittings(database, attempts=3)
    store_now(
        database, first, some_events(first, 1)
    )  # the day's chunk is there; making it would block the other writer
    with psycopg.connect(database) as slow:
        store(slow, late, some_events(late, 4))
        store_now(database, early, some_events(early, 2))
        project_attempts(settings, [early.attempt_id, late.attempt_id])
        assert rows_of(database, "SELECT events::int FROM reporting.attempt_activity") == [(2,)]
        slow.commit()

    project_attempts(settings, [early.attempt_id, late.attempt_id])
    assert rows_of(database, "SELECT sum(events)::int FROM reporting.attempt_activity") == [(6,)]


def test_the_end_of_a_session_makes_it_dirty_and_counts_as_silence(settings: Settings, database: str) -> None:
    """spec.md P-2: the end is in order with the events; the last silence reaches it."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(START + timedelta(seconds=5))])
    project_attempts(settings, [sitting.attempt_id])
    end(database, sitting, START + timedelta(seconds=65))

    assert project_attempts(settings, [sitting.attempt_id]) == 1
    [(silence, as_of)] = rows_of(database, "SELECT longest_silence_s, as_of FROM reporting.attempt_activity")
    assert (silence, as_of) == (60.0, START + timedelta(seconds=65))


def test_the_analyst_reads_reporting_and_nothing_else(
    settings: Settings, database: str, database_as: Callable[[str], str]
) -> None:
    """design.md, "Durable core": roles of least privilege."""
    sitting = seen(database)
    project_attempts(settings, [sitting.attempt_id])
    analyst = database_as("veritas_analyst")

    assert rows_of(analyst, "SELECT events FROM reporting.attempt_activity") == [(5,)]
    for statement in (
        "DELETE FROM reporting.attempt_activity",
        "SELECT 1 FROM events",
        "SELECT 1 FROM users",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows_of(analyst, statement)


def test_reasons_are_json_that_a_teacher_can_read(settings: Settings, database: str) -> None:
    """analytics.md: code, value, threshold, n and a sentence."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(START + timedelta(seconds=1), EventType.Other)])
    project_attempts(settings, [sitting.attempt_id])

    [(text, skew, share)] = rows_of(
        database, "SELECT reasons::text, clock_skew_ms, heartbeat_coverage FROM reporting.attempt_activity"
    )
    assert (skew, share) == (None, None)
    assert [(r["code"], r["threshold"]) for r in json.loads(text)] == [("SHORT_SPAN", 4)]
