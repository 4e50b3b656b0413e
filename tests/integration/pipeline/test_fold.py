import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.fold import turn
from pipeline.jobs import behind
from pipeline.scheduler import gather
from sql import named
from sql.running import connect, run
from tests.kits.pipeline_child import fold_now
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

WAITING = "SELECT (SELECT count(*) FROM dirty_sessions), (SELECT count(*) FROM reporting.fold_claims)"
MARKS = "SELECT count(*) FROM reporting.partition_marks"
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


def events_of(database: str) -> dict[str, int]:
    return dict(rows_of(database, "SELECT attempt_id::text, events FROM reporting.attempt_activity"))


def touched(settings: Settings) -> None:
    """Gather what was touched, as the scheduler does."""
    with connect(settings.database_url) as conn:
        gather(conn, settings)


def test_a_touched_attempt_gets_its_row_and_waits_no_more(settings: Settings, database: str) -> None:
    """spec.md W-1."""
    sitting, _ = make_sittings(database)
    beats = [event(START + timedelta(seconds=15 * n), skew_ms=2_000) for n in range(9)]
    tab = event(START + timedelta(seconds=300), EventType.TabSwitched, severity=2)
    store_now(database, sitting, [*beats, tab])

    assert fold_now(settings) == 1
    assert rows_of(database, WAITING) == [(0, 0)]
    [row] = rows_of(database, ROWS)
    assert row == (sitting.attempt_id, 10, 1, {"Heartbeat": 9, "TabSwitched": 1}, 180.0, 0.45)
    [(skew, coverage, reasons, exam, student)] = rows_of(
        database,
        "SELECT clock_skew_ms, coverage, reasons, exam_id::text, student_id::text"
        " FROM reporting.attempt_activity",
    )
    assert (skew, coverage, exam, student) == (2000.0, 1.0, sitting.exam_id, sitting.student_id)
    assert [reason["code"] for reason in reasons] == ["LONG_SILENCE", "HEARTBEATS_MISSING"]


def test_only_what_arrived_since_is_read(settings: Settings, database: str) -> None:
    sitting = seen(database)
    fold_now(settings)
    with psycopg.connect(database) as conn:  # were they read again, the row would tell
        conn.execute("DELETE FROM events")
    store_now(database, sitting, some_events(sitting, 3))

    fold_now(settings)
    assert events_of(database) == {sitting.attempt_id: 8}


def test_a_touch_without_news_changes_nothing(settings: Settings, database: str) -> None:
    sitting = seen(database)
    fold_now(settings)
    before = rows_of(database, "SELECT a.*, a.xmin::text FROM reporting.attempt_activity a")
    marks = rows_of(database, MARKS)
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO dirty_sessions (session_id) VALUES (%s)", (sitting.session_id,))

    assert fold_now(settings) == 1
    assert fold_now(settings) == 0
    assert rows_of(database, "SELECT a.*, a.xmin::text FROM reporting.attempt_activity a") == before
    assert rows_of(database, MARKS) == marks


@pytest.mark.parametrize("at", ["read", "computed"])
@pytest.mark.parametrize("is_gathered", [False, True])
def test_a_session_touched_meanwhile_stays_due(
    settings: Settings, database: str, at: str, *, is_gathered: bool
) -> None:
    """Whether the scheduler has gathered the touch before the turn settles its claim, or not."""
    sitting = seen(database)
    waiting = []

    def touch(step: str) -> None:
        if step == at and sitting.through_seq == 5:
            store_now(database, sitting, some_events(sitting, 3))
            if is_gathered:
                touched(settings)
        if step == "committed":
            waiting.append(rows_of(database, WAITING)[0])

    fold_now(settings, touch)
    assert waiting[0] == ((0, 1) if is_gathered else (1, 0))
    fold_now(settings)
    assert events_of(database) == {sitting.attempt_id: 8}
    assert rows_of(database, WAITING) == [(0, 0)]


def test_an_attempt_is_folded_by_one_and_others_do_not_wait_for_it(settings: Settings, database: str) -> None:
    sittings = make_sittings(database, attempts=3)
    for sitting in sittings:
        store_now(database, sitting, some_events(sitting, 2))
    one_each = msgspec.structs.replace(settings, fold_attempts_max=1)
    others: list[int] = []

    def overtake(step: str) -> None:
        if step == "read" and not others:
            store_now(database, sittings[0], some_events(sittings[0], 3))
            others.append(fold_now(settings))

    touched(settings)
    with connect(settings.database_url) as conn:
        assert turn(conn, one_each, overtake) == 1
    assert others == [2]
    assert events_of(database) == {sitting.attempt_id: 2 for sitting in sittings}
    fold_now(settings)
    assert events_of(database)[sittings[0].attempt_id] == 5


def test_a_long_session_takes_several_turns_and_lets_other_exams_between(
    settings: Settings, database: str
) -> None:
    """Bounded by events in memory, and fair: the busy exam's touches are older, and more."""
    busy, quiet = make_sittings(database, exams=2, attempts=1)
    store_now(database, busy, some_events(busy, 11, seconds=1.0))
    store_now(database, quiet, some_events(quiet, 2))
    bounded = msgspec.structs.replace(settings, fold_events_max=4)
    seen_after = []

    touched(settings)
    with connect(settings.database_url) as conn:
        while turn(conn, bounded):
            found = events_of(database)
            seen_after.append((found.get(busy.attempt_id, 0), found.get(quiet.attempt_id, 0)))
    assert seen_after == [(4, 0), (6, 2), (10, 2), (11, 2)]
    [(stored, folded)] = rows_of(
        database, f"SELECT {busy.through_seq}, through_seq FROM reporting.session_folds WHERE session_id ="
        f" {busy.session_id}",
    )  # fmt: skip
    assert stored == folded


def test_exams_take_turns(settings: Settings, database: str) -> None:
    sittings = make_sittings(database, exams=1, attempts=5)
    for sitting in sittings:
        store_now(database, sitting, some_events(sitting, 1))
    [quiet] = make_sittings(database, attempts=1)
    store_now(database, quiet, some_events(quiet, 1))

    touched(settings)
    with connect(settings.database_url) as conn:
        assert turn(conn, msgspec.structs.replace(settings, fold_attempts_max=2)) == 2
    assert set(events_of(database)) == {sittings[0].attempt_id, quiet.attempt_id}


def test_both_sessions_of_an_attempt_are_one_row(settings: Settings, database: str) -> None:
    """spec.md P-2: one proctor session per attempt and mode; each is carried forward by itself."""
    soft = seen(database)
    advanced = second_session(database, soft)
    fold_now(settings)
    store_now(database, advanced, some_events(advanced, 4))
    fold_now(settings)
    store_now(database, soft, some_events(soft, 1))
    fold_now(settings)

    [(events, sessions)] = rows_of(database, "SELECT events, session_ids FROM reporting.attempt_activity")
    assert (events, sessions) == (10, [soft.session_id, advanced.session_id])


def second_session(database: str, sitting: Sitting) -> Sitting:
    with psycopg.connect(database) as conn:
        row = conn.execute(
            "INSERT INTO proctor_sessions"
            " (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)"
            " SELECT attempt_id, exam_id, candidate_id, organisation_id, 2, started_at"
            " FROM proctor_sessions WHERE id = %s RETURNING id",
            (sitting.session_id,),
        ).fetchone()
    assert row is not None
    return Sitting(row[0], sitting.attempt_id, sitting.exam_id, sitting.student_id, sitting.started_at)


def test_a_state_of_another_version_is_folded_from_nothing(settings: Settings, database: str) -> None:
    sitting = seen(database)
    fold_now(settings)
    older = msgspec.msgpack.encode({"activity": ["activity-0", [1, 2, 3]]})
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE reporting.session_folds SET states = %s", (older,))
    store_now(database, sitting, some_events(sitting, 3))

    fold_now(settings)
    assert events_of(database) == {sitting.attempt_id: 8}


def test_what_is_to_be_looked_at_by_time_alone_becomes_due_then(settings: Settings, database: str) -> None:
    seen(database)
    fold_now(settings)
    wake = "UPDATE reporting.session_folds SET wake_at = now() + %s * interval '1 hour'"
    with psycopg.connect(database) as conn:
        conn.execute(wake, (1,))
    assert fold_now(settings) == 0
    with psycopg.connect(database) as conn:
        conn.execute(wake, (-1,))

    assert fold_now(settings) == 1
    assert fold_now(settings) == 0


def test_an_attempt_that_cannot_be_folded_is_put_aside_and_holds_up_nobody(
    settings: Settings, database: str
) -> None:
    """What the session has, lasts; it is tried again later, and folded when it can be."""
    broken, *others = make_sittings(database, attempts=3)
    store_now(database, broken, some_events(broken, 1))
    fold_now(settings)
    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT states FROM reporting.session_folds").fetchone()
        conn.execute("UPDATE reporting.session_folds SET states = 'broken'")
    for sitting in (broken, *others):
        store_now(database, sitting, some_events(sitting, 2))

    fold_now(settings)
    assert events_of(database) == {broken.attempt_id: 1} | {each.attempt_id: 2 for each in others}
    assert rows_of(database, WAITING) == [(0, 1)]
    store_now(database, broken, some_events(broken, 1))
    assert fold_now(settings) == 0  # a touch alone does not bring it back at once
    with connect(settings.database_url) as worker:
        assert any(broken.attempt_id in said for said in behind(worker, settings))
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE reporting.session_folds SET states = %s WHERE states = 'broken'", row)
        conn.execute("UPDATE reporting.fold_claims SET due_at = now()")
    fold_now(settings)
    assert events_of(database)[broken.attempt_id] == 4


def test_heartbeats_wait_for_whatever_else_happens(settings: Settings, database: str) -> None:
    """Another event, time that changes a score, or the end of their patience; nobody is behind meanwhile."""
    sitting = seen(database)
    fold_now(settings)

    def beat() -> None:
        store_now(database, sitting, [event(START + timedelta(seconds=100 * sitting.through_seq))])
        touched(settings)
        assert fold_now(settings) == 0
        assert rows_of(database, WAITING) == [(0, 1)]

    beat()
    with connect(settings.database_url) as worker:
        assert behind(worker, msgspec.structs.replace(settings, behind_after_s=0)) == []
    tab = event(START + timedelta(seconds=550), EventType.TabSwitched, severity=2)
    store_now(database, sitting, [tab])
    assert fold_now(settings) == 1
    assert events_of(database) == {sitting.attempt_id: 7}
    beat()
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE reporting.session_folds SET wake_at = now()")
    assert fold_now(settings) == 1
    beat()
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE reporting.fold_claims SET due_at = now()")
    assert fold_now(settings) == 1
    assert events_of(database) == {sitting.attempt_id: 9}
    assert rows_of(database, WAITING) == [(0, 0)]


def test_a_rebuild_and_a_turn_keep_out_of_each_others_way(settings: Settings, database: str) -> None:
    seen(database)
    with connect(settings.database_url) as rebuilding:
        run(rebuilding, named("folds")["hold_folds"])
        assert fold_now(settings) == 0
    assert fold_now(settings) == 1


def test_rows_not_yet_committed_are_taken_in_when_they_are(settings: Settings, database: str) -> None:
    """design.md: a late commit is not skipped."""
    early, late, first = make_sittings(database, attempts=3)
    store_now(
        database, first, some_events(first, 1)
    )  # the day's chunk is there; making it would block the other writer
    with psycopg.connect(database) as slow:
        store(slow, late, some_events(late, 4))
        store_now(database, early, some_events(early, 2))
        fold_now(settings)
        assert events_of(database) == {first.attempt_id: 1, early.attempt_id: 2}
        slow.commit()

    fold_now(settings)
    assert events_of(database)[late.attempt_id] == 4


def test_the_end_of_a_session_makes_it_dirty_and_counts_as_silence(settings: Settings, database: str) -> None:
    """spec.md P-2: the end is in order with the events; the last silence reaches it."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(START + timedelta(seconds=5))])
    fold_now(settings)
    end(database, sitting, START + timedelta(seconds=65))

    assert fold_now(settings) == 1
    [(silence, as_of)] = rows_of(database, "SELECT longest_silence_s, as_of FROM reporting.attempt_activity")
    assert (silence, as_of) == (60.0, START + timedelta(seconds=65))


def test_the_analyst_reads_reporting_and_nothing_else(
    settings: Settings, database: str, database_as: Callable[[str], str]
) -> None:
    """design.md, "Durable core": roles of least privilege."""
    seen(database)
    fold_now(settings)
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
    fold_now(settings)

    [(text, skew, share)] = rows_of(
        database, "SELECT reasons::text, clock_skew_ms, heartbeat_coverage FROM reporting.attempt_activity"
    )
    assert (skew, share) == (None, None)
    assert [(r["code"], r["threshold"]) for r in json.loads(text)] == [("SHORT_SPAN", 4)]
