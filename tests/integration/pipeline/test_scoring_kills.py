"""kill -9 while scores are computed: nothing half done, doubled or lost (R-1, W-2)."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.rebuild import rebuild
from tests.integration.pipeline.test_replays import Sat, events_come, replayed, sat, silence_judged, weighs
from tests.kits.pipeline_child import fold_now, kill_at_statement
from tests.kits.pipeline_world import end, make_sittings, rows_of

SNAPSHOTS = """
SELECT risk_score, peak_risk_score, cause, trace::text, through_seq, judgements FROM risk_snapshots
WHERE session_id = {} ORDER BY id
"""
FIRED = "SELECT rule_id, version, triggers FROM reporting.session_rule_fires WHERE session_id = {} ORDER BY 1"
NOW = "SELECT risk_score, peak_risk_score, risk_level FROM reporting.session_risk WHERE session_id = {}"
ACTIVITY = "SELECT events, violations FROM reporting.attempt_activity WHERE {} = ANY (session_ids)"
FOLDED = "SELECT through_seq FROM reporting.session_folds WHERE session_id = {}"


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"))


def left(database: str, sitting: Sat) -> list[list[tuple[Any, ...]]]:
    """Return everything that scoring leaves of a session."""
    kept = (SNAPSHOTS, FIRED, NOW, ACTIVITY, FOLDED)
    return [rows_of(database, each.format(sitting.session_id)) for each in kept]


def go_on(database: str, sitting: Sat) -> None:
    """Let what comes next be of every kind: new and back-filled events, a weight, a judgement, the end."""
    events_come([EventType.TabSwitched] * 3 + [EventType.FullscreenExited], 0)(database, sitting)
    events_come([EventType.CopyAttempt] * 2, 90)(database, sitting)
    weighs(50, EventType.FullscreenExited)(database, sitting)
    silence_judged(0, "unexplained")(database, sitting)
    end(database, sitting, sitting.at())


def test_a_worker_killed_at_any_statement_of_scoring_leaves_all_of_a_turn_or_nothing(
    settings: Settings, database: str
) -> None:
    """
    The walk finds the statements itself. A session beside it, which nobody disturbs, says what is expected;
    rebuilt from nothing, the scores are the same, and no snapshot is added.
    """
    disturbed, quiet = (sat(each) for each in make_sittings(database, attempts=2))
    for sitting in (disturbed, quiet):
        events_come([EventType.FullscreenExited, EventType.TabSwitched], 0)(database, sitting)
    fold_now(settings)
    with psycopg.connect(database) as conn:  # scored at another moment of an hour that is long over
        conn.execute("TRUNCATE reporting.fold_claims")
        conn.execute("UPDATE reporting.session_folds SET wake_at = NULL")
    go_on(database, quiet)
    fold_now(settings)
    expected = left(database, quiet)
    before = left(database, disturbed)
    go_on(database, disturbed)

    seen: list[Any] = []
    for statement in count(1):
        assert kill_at_statement("fold", settings, statement), "the turn is stored before the job ends"
        seen.append(left(database, disturbed))
        if seen[-1] != before:
            break  # in front of the first statement behind the commit
    fold_now(settings)
    assert left(database, disturbed) == expected
    assert len(seen) > 10, "a turn has that many statements at least"
    assert seen == [before] * (len(seen) - 1) + [expected]

    archive_events(settings)
    assert all(each.is_equal for each in replayed(settings, disturbed))
    rebuild(settings)
    assert left(database, disturbed) == expected
    assert rows_of(database, NOW.format(quiet.session_id))[0][:2] == expected[0][-1][:2]
    assert rows_of(database, "SELECT count(*) FROM dirty_sessions") == [(0,)]
