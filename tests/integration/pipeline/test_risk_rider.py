"""Scores as events arrive, as snapshots that can be computed again (spec.md R-1, R-4, R-6)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from kernel import risk
from kernel.events import EventType
from kernel.risk import Event, GapClass, Part, Rule
from kernel.settings import Settings
from tests.kits.pipeline_child import fold_now
from tests.kits.pipeline_world import START, Sitting, end, event, make_sittings, rows_of, store_now

RISK = "SELECT risk_score::float8, peak_risk_score::float8, risk_level FROM reporting.session_risk"
SNAPSHOTS = """
SELECT session_id, rule_set_id, as_of, (risk_score * 100)::int, (peak_risk_score * 100)::int, cause,
       trace::text, through_seq, judgements, adjustment_id, ended_at
FROM risk_snapshots WHERE {} IN (session_id, 0) ORDER BY id
"""
EVENTS = """
SELECT seq, coalesce(effective_at, occurred_at), event_type, severity,
       client_at IS NULL AND effective_at IS NOT NULL
FROM events WHERE session_id = {} AND seq <= {}
"""
RULES = """
SELECT v.rule_id, v.version, v.event_type, v.threshold_count, v.window_seconds,
       (v.risk_points * 100)::int, v.min_severity, v.max_triggers, v.gap_class
FROM rule_sets s JOIN risk_rule_versions v ON v.id = ANY (s.version_ids) WHERE s.id = {}
ORDER BY v.priority, v.rule_id
"""
GAPS = """
SELECT DISTINCT ON (started_at) started_at, class
FROM (SELECT *, count(*) FILTER (WHERE revision > 0)
          OVER (ORDER BY recorded_at, started_at, revision) AS place
      FROM heartbeat_gaps WHERE session_id = {}) known
WHERE revision = 0 OR place <= {}
ORDER BY started_at, revision DESC
"""
PERCENTS = """
SELECT DISTINCT ON (a.rule_id) a.rule_id, a.percent
FROM risk_adjustments a JOIN proctor_sessions s USING (attempt_id)
WHERE s.id = {} AND a.id <= {} ORDER BY a.rule_id, a.id DESC
"""


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"))


def micros(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def replayed(url: str, snapshot: tuple[Any, ...]) -> tuple[int, int, int]:
    """Compute a score again: from its trace, and with the peak from the raw events of its position."""
    session, rule_set, as_of, *_, trace, through, judgements, adjustment, ended = snapshot
    rules = [
        Rule(
            rule_id=row[0], version=row[1], event_type=row[2], threshold=row[3],
            window_us=row[4] * risk.SECOND, points=row[5], min_severity=row[6] or 0, max_triggers=row[7],
            gap_class=None if row[8] is None else GapClass(row[8]),
        )
        for row in rows_of(url, RULES.format(rule_set))
    ]  # fmt: skip
    weighed = risk.weighed(rules, dict(rows_of(url, PERCENTS.format(session, adjustment))))
    gaps = [
        (micros(at), each and GapClass(each)) for at, each in rows_of(url, GAPS.format(session, judgements))
    ]
    events = [
        Event(
            seq=seq,
            at_us=micros(min(at, ended or at)),
            event_type=kind,
            severity=severity,
            gap_class=risk.gap_class_of(kind, micros(at), gaps) if is_ours else None,
        )
        for seq, at, kind, severity, is_ours in rows_of(url, EVENTS.format(session, through))
    ]
    top = risk.peak(weighed, events)
    return (
        risk.score_of_trace(msgspec.json.decode(trace, type=list[Part])),
        risk.score(weighed, events, micros(as_of)).score,
        0 if top is None else top.score,
    )


def check(url: str, session_id: int = 0) -> list[tuple[int, int, str]]:
    """
    Hold every snapshot, or a session's, to what the definition says; return scores, peaks and causes.
    """
    found = rows_of(url, SNAPSHOTS.format(session_id))
    for each in found:
        assert replayed(url, each) == (each[3], each[3], each[4]), each
    return [each[3:6] for each in found]


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def tab(seconds: int) -> dict[str, Any]:
    return event(at(seconds), EventType.TabSwitched, severity=2)


def store_gap(url: str, sitting: Sitting, judged: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO heartbeat_gaps (session_id, started_at, revision, state, ended_at, class, missed,"
            " covered) SELECT %s, %s, count(*) + 1, 'closed', %s, %s, 4, '{}' FROM heartbeat_gaps"
            " WHERE session_id = %s",
            (sitting.session_id, at(500), at(600), judged, sitting.session_id),
        )
        conn.execute("INSERT INTO dirty_sessions (session_id) VALUES (%s)", (sitting.session_id,))


def test_scores_follow_events_and_each_snapshot_computes_to_the_same_number_again(
    settings: Settings, database: str
) -> None:
    """R-1, R-4, R-6, decisions 10 and 11: also back-filled events, silences judged anew, weights, the end."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(at(15))])
    fold_now(settings)
    assert rows_of(database, RISK) == [(0.0, 0.0, "Low")]

    store_now(database, sitting, [event(at(100), EventType.FullscreenExited, severity=2), tab(101), tab(110)])
    fold_now(settings)
    assert rows_of(database, RISK) == [(30.0, 30.0, "Medium")]
    # A window that has forgotten: the third tab switch was long ago, the peak keeps it.
    store_now(database, sitting, [tab(120), event(at(130))])
    fold_now(settings)
    assert rows_of(database, RISK) == [(30.0, 40.0, "Medium")]
    # Back-filled: three more before, two minutes of their own.
    fills = [tab(400 + n) | {"effective_at": at(50 + n)} for n in range(3)]
    store_now(database, sitting, fills)
    fold_now(settings)
    assert rows_of(database, RISK)[0][1] == 50.0
    # A silence: nothing while it is not judged, then unexplained, then explained.
    lost = event(at(700), EventType.NetworkDisconnected, severity=3) | {"effective_at": at(545)}
    store_now(database, sitting, [lost])
    fold_now(settings)
    peaks = [rows_of(database, RISK)[0][1]]
    for judged in ("unexplained", "network"):
        store_gap(database, sitting, judged)
        fold_now(settings)
        peaks.append(rows_of(database, RISK)[0][1])
    assert peaks == [50.0, 50.0, 50.0]
    # The candidate may leave fullscreen.
    with psycopg.connect(database) as conn:
        conn.execute(
            "INSERT INTO risk_adjustments (attempt_id, rule_id, percent, reason, created_by, created_at)"
            " SELECT s.attempt_id, r.id, 0, 'Agreed.', s.candidate_id, now() FROM proctor_sessions s"
            " JOIN risk_rules r USING (organisation_id) JOIN risk_rule_versions v ON v.rule_id = r.id"
            " WHERE s.id = %s AND v.event_type = 4",
            (sitting.session_id,),
        )
        conn.execute("INSERT INTO dirty_sessions (session_id) VALUES (%s)", (sitting.session_id,))
    fold_now(settings)
    assert rows_of(database, RISK) == [(0.0, 20.0, "Low")]
    end(database, sitting, at(800))
    late = event(at(900), EventType.DevToolsOpened, severity=3, late=True)
    store_now(database, sitting, [late])
    fold_now(settings)
    assert rows_of(database, RISK) == [(40.0, 40.0, "Medium")]
    found = check(database)
    assert {cause for _, _, cause in found} >= {"events", "backfilled", "gaps", "adjusted"}
    assert [score for score, _, cause in found if cause == "gaps"] == [5_000, 3_000]
    fired = rows_of(database, "SELECT triggers FROM reporting.session_rule_fires ORDER BY rule_id")
    assert fired == [(2,), (1,)]


def test_what_changes_no_score_leaves_no_snapshot_and_rebuilt_rows_are_the_same(
    settings: Settings, database: str
) -> None:
    """R-4, W-2: snapshots are appended only where a score changes; a rebuild appends none."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(at(10), EventType.FullscreenExited, severity=2)])
    fold_now(settings)
    first = rows_of(database, SNAPSHOTS.format(0))
    store_now(database, sitting, [event(at(20)), tab(30)])
    fold_now(settings)

    assert rows_of(database, SNAPSHOTS.format(0)) == first
    assert len(first) == 1


def test_a_state_of_another_form_is_computed_anew_alone_and_whole(settings: Settings, database: str) -> None:
    """R-1, R-4: nothing is appended twice, nor a part of a long history, and no other rider begins anew."""
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(at(10), EventType.FullscreenExited, severity=2), tab(30), tab(31)])
    fold_now(settings)
    first = rows_of(database, SNAPSHOTS.format(0))
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE reporting.risk_states SET version = 'risk-0', state = 'of another form'")
    store_now(database, sitting, [event(at(40)), tab(400), tab(401), tab(402)])
    fold_now(msgspec.structs.replace(settings, fold_events_max=1))

    assert rows_of(database, SNAPSHOTS.format(0))[: len(first)] == first
    # The peak, and what its windows have left of it by now.
    assert check(database)[len(first) :] == [(4_000, 4_000, "rebuilt"), (3_000, 4_000, "rebuilt")]
    assert rows_of(database, "SELECT DISTINCT version FROM reporting.risk_states") == [("risk-1",)]
    assert rows_of(database, "SELECT events FROM reporting.attempt_activity") == [(7,)]
