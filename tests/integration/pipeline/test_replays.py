"""A score of any snapshot computes to the same number again, from everything that it rests on (R-1, W-2)."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from typer.testing import CliRunner

from deploy.commands.cli import app
from kernel.events import EventType
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.replays import Replay, replay
from sql.running import connect
from tests.integration.pipeline.test_risk_rider import check
from tests.kits.pipeline_child import fold_now
from tests.kits.pipeline_world import START, Sitting, end, event, make_sittings, rows_of, store_now
from warehouse.files import open_root

KINDS = (
    EventType.TabSwitched, EventType.FullscreenExited, EventType.CopyAttempt, EventType.Heartbeat,
    EventType.NetworkDisconnected,
)  # fmt: skip
ADJUST = """
INSERT INTO risk_adjustments (attempt_id, rule_id, percent, reason, created_by, created_at)
SELECT s.attempt_id, v.rule_id, %s, 'Agreed.', s.candidate_id, now()
FROM proctor_sessions s JOIN rule_sets r ON r.id = s.rule_set_id
JOIN risk_rule_versions v ON v.id = ANY (r.version_ids) AND v.event_type = %s WHERE s.id = %s
"""
# A version that says otherwise of every rule, and the set that sessions keep from then on.
NEW_RULES = """
INSERT INTO risk_rule_versions (rule_id, organisation_id, version, name_en, name_ar, description_en,
    description_ar, is_active, event_type, threshold_count, window_seconds, risk_points, priority, created_at)
SELECT rule_id, organisation_id, max(version) + 1, 'Stricter', '', '', '', true, min(event_type), 1, 60,
    1 + max(version), min(priority), now()
FROM risk_rule_versions
WHERE organisation_id = (SELECT organisation_id FROM proctor_sessions WHERE id = %s)
GROUP BY rule_id, organisation_id
"""
PUBLISHED = "SELECT publish_rule_set(organisation_id, now()) FROM proctor_sessions WHERE id = %s"
JUDGED = """
INSERT INTO heartbeat_gaps (session_id, started_at, revision, state, ended_at, class, missed, covered)
SELECT %s, %s, count(*), CASE WHEN count(*) = 0 THEN 'open' ELSE 'closed' END,
    CASE WHEN count(*) > 0 THEN %s::timestamptz END, CASE WHEN count(*) > 0 THEN %s END,
    CASE WHEN count(*) > 0 THEN 4 END, CASE WHEN count(*) > 0 THEN '{}'::int4multirange END
FROM heartbeat_gaps WHERE session_id = %s AND started_at = %s
"""
FORGED = """
INSERT INTO risk_snapshots (session_id, rule_set_id, as_of, risk_score, peak_risk_score, cause, trace,
    through_seq, judgements, adjustment_id)
SELECT session_id, rule_set_id, as_of, risk_score + 1, peak_risk_score + 1, cause, trace, through_seq,
    judgements, adjustment_id FROM risk_snapshots
"""
TOUCH = "INSERT INTO dirty_sessions (session_id) VALUES (%s)"


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"))


class Sat(Sitting):
    """A session to which things happen, and its time."""

    second: int = 0

    def at(self, back: int = 0) -> datetime:
        return START + timedelta(seconds=self.second - back)


def sat(sitting: Sitting) -> Sat:
    return Sat(sitting.session_id, sitting.attempt_id, sitting.exam_id, sitting.student_id, START)


Act = Callable[[str, Sat], None]


def events_come(kinds: Sequence[EventType], back: int, *, late: bool = False) -> Act:
    """Return what stores events, a second apart, as of so many seconds before where `back` says so."""

    def act(url: str, sitting: Sat) -> None:
        given_events = []
        for kind in kinds:
            sitting.second += 1
            row = event(sitting.at(), kind, severity=2, late=late)
            if kind == EventType.NetworkDisconnected or back:
                row["effective_at"] = sitting.at(back)
            given_events.append(row)
        store_now(url, sitting, given_events)

    return act


def silence_judged(back: int, judged: str) -> Act:
    """Return what records a silence, or judges the one of that time."""

    def act(url: str, sitting: Sat) -> None:
        started = START + timedelta(seconds=sitting.second // 40 * 40 - back)
        values = (sitting.session_id, started, started + timedelta(seconds=50), judged)
        with psycopg.connect(url) as conn:
            conn.execute(JUDGED, (*values, sitting.session_id, started))
            conn.execute(TOUCH, (sitting.session_id,))

    return act


def weighs(percent: int, kind: EventType) -> Act:
    def act(url: str, sitting: Sat) -> None:
        with psycopg.connect(url) as conn:
            conn.execute(ADJUST, (percent, int(kind), sitting.session_id))
            conn.execute(TOUCH, (sitting.session_id,))

    return act


def rules_change(url: str, sitting: Sat) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(NEW_RULES, (sitting.session_id,))
        conn.execute(PUBLISHED, (sitting.session_id,))


acts = st.one_of(
    st.builds(events_come, st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), st.just(0)),
    st.builds(events_come, st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), st.integers(1, 200)),
    st.builds(silence_judged, st.integers(0, 100), st.sampled_from(["network", "unexplained"])),
    st.builds(weighs, st.sampled_from([0, 50, 100]), st.sampled_from(KINDS)),
    st.just(rules_change),
)


def replayed(settings: Settings, sitting: Sitting) -> list[Replay]:
    with connect(settings.database_url) as conn:
        found = replay(conn, open_root(settings.warehouse, settings), sitting.session_id, limit=1_000)
    assert found is not None
    return found


@examples(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(acts, min_size=3, max_size=6), st.lists(acts, max_size=2))
def test_any_snapshot_computes_to_its_number_from_trace_events_and_archive(
    settings: Settings, database: str, before: list[Act], after: list[Act]
) -> None:
    """
    Also back-filled and late events, silences judged anew, weights, rules that changed meanwhile: a session
    keeps those of its beginning.
    """
    [made] = make_sittings(database, attempts=1)
    sitting, kept = sat(made), rows_of(database, "SELECT max(id) FROM rule_sets")[0][0]
    opening = events_come([EventType.FullscreenExited, EventType.NetworkDisconnected], 0)
    for act in (opening, *before):
        act(database, sitting)
        fold_now(settings)
    end(database, sitting, sitting.at())
    for act in (events_come([EventType.DevToolsOpened], 0, late=True), *after):
        act(database, sitting)
        fold_now(settings)
    waiting = replayed(settings, sitting)
    archive_events(settings)
    found = replayed(settings, sitting)

    assert [each for each in found if not each.is_equal] == []
    assert {each.from_archive for each in waiting} == {None}
    assert None not in {value for each in found for value in (each.from_events, each.from_archive)}
    assert len(found) >= 2
    of_session = f"WHERE session_id = {sitting.session_id}"
    assert rows_of(database, f"SELECT DISTINCT rule_set_id FROM risk_snapshots {of_session}") == [(kept,)]
    check(database, sitting.session_id)


def test_rules_of_a_later_set_count_in_sessions_that_begin_under_it(
    settings: Settings, database: str
) -> None:
    """Decision 10: rule versions are pinned when the session starts; each trace names its own."""
    [made] = make_sittings(database, attempts=1)
    early = sat(made)
    events_come([EventType.FullscreenExited], 0)(database, early)
    rules_change(database, early)
    with psycopg.connect(database) as conn:
        row = conn.execute(
            "INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode,"
            " started_at) SELECT attempt_id, exam_id, candidate_id, organisation_id, 2, started_at"
            " FROM proctor_sessions WHERE id = %s RETURNING id",
            (early.session_id,),
        ).fetchone()
    assert row is not None
    later = Sat(row[0], early.attempt_id, early.exam_id, early.student_id, START)
    for sitting in (early, later):
        events_come([EventType.FullscreenExited], 0)(database, sitting)
    fold_now(settings)
    archive_events(settings)

    traces = [
        [(part.version, part.points, part.triggers) for part in replayed(settings, each)[-1].snapshot.trace]
        for each in (early, later)
    ]
    assert traces == [[(1, 3_000, 2)], [(2, 200, 1)]]
    assert all(each.is_equal for sitting in (early, later) for each in replayed(settings, sitting))


def test_the_command_says_whether_the_numbers_are_those_that_were_stored(
    settings: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [made, silent] = make_sittings(database, attempts=2)
    sitting = sat(made)
    events_come([EventType.FullscreenExited, EventType.Heartbeat], 0)(database, sitting)
    fold_now(settings)
    monkeypatch.setenv("VERITAS_OWNER_DATABASE_URL", database)
    monkeypatch.setenv("VERITAS_WAREHOUSE", settings.warehouse)

    def said(session_id: int) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["risk", "replay", str(session_id)], env={"COLUMNS": "200"})
        return done.exit_code, done.stdout

    code, text = said(sitting.session_id)
    assert (code, "not there" in text, "All 1 snapshots compute" in text) == (0, True, True)
    assert "1 times 30, events 1" in text
    archive_events(settings)
    assert "not there" not in said(sitting.session_id)[1]
    assert said(silent.session_id)[1].startswith(f"Session {silent.session_id} has no score yet")
    assert said(10**9)[0] != 0
    with psycopg.connect(database) as conn:  # somebody gives a point more than there is
        conn.execute(FORGED)
    code, text = said(sitting.session_id)
    assert (code, "DIFFERENT: 1 of 2" in text, "31 / 31" in text) == (1, True, True)
