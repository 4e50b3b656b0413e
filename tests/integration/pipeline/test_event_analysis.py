"""What analysis says of events, beside them (spec.md I-7), follows its exam, and costs what has changed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.projections.projection import Layer
from pipeline.projections.turns import turn
from sql.running import connect
from tests.integration.pipeline.test_behavior import DECIDED, HANDED_IN
from tests.kits.pipeline_child import fold_now, project_now
from tests.kits.pipeline_world import Sitting, end, event, make_sittings, rows_of, store_now

AWAY = EventType.WindowFocus
COUNTED = "SELECT attempt_id::text, anomaly_count FROM reporting.behavior_analysis ORDER BY attempt_id::text"
SAID = (
    "SELECT is_anomaly, anomaly_score, description, analysis_notes FROM monitoring_events"
    " WHERE proctor_session_id = %s ORDER BY sequence_number"
)
UPHELD = DECIDED.replace("is_finalized)", "is_finalized, reason_en)").replace(
    " 2, e.creator_id, now(), true", " 3, e.creator_id, now(), true, 'Talks.'"
)


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def sit(database: str, sitting: Sitting, seconds_away: list[int]) -> None:
    """Look away for so long, once every two minutes, then hand in."""
    events = [
        event(sitting.started_at + timedelta(minutes=2 * n), AWAY)
        | {"payload": Jsonb({"awayMs": 1000 * each})}
        for n, each in enumerate(seconds_away, 1)
    ]
    store_now(database, sitting, events)
    over = sitting.started_at + timedelta(hours=10)
    end(database, sitting, over)
    with psycopg.connect(database) as conn:
        conn.execute(HANDED_IN, (over, sitting.attempt_id))


def settle(settings: Settings) -> None:
    fold_now(settings)
    project_now(settings)


def test_an_event_is_out_of_the_ordinary_among_those_of_its_exam(settings: Settings, database: str) -> None:
    usual, odd, other = make_sittings(database, attempts=3)
    sit(database, odd, [3, 4, 60])
    settle(settings)
    assert rows_of(database, COUNTED) == [(odd.attempt_id, 1)], "three events go by the robust z"

    sit(database, usual, [2, 3, 4, 5] * 60)
    settle(settings)
    counted = dict(rows_of(database, COUNTED))
    assert counted[odd.attempt_id] == 1
    assert counted[usual.attempt_id] == 0
    rows = rows_of(database, SAID, odd.session_id)
    assert [row[0] for row in rows] == [False, False, True]
    assert rows[2][1:] == (
        1 - 1 / 243,
        "It took 60.0 s, where 4.0 s is usual.",
        "Compared with 243 events of its kind in this exam.",
    )

    sit(database, other, [60] * 3)
    settle(settings)
    assert dict(rows_of(database, COUNTED)) == dict.fromkeys(counted, 0) | {other.attempt_id: 0}, (
        "four among 246 are more than one in a hundred"
    )
    with psycopg.connect(database) as conn:
        conn.execute(UPHELD.encode(), (other.session_id,))
    settle(settings)
    assert dict(rows_of(database, COUNTED))[odd.attempt_id] == 1, "what was upheld is no yardstick"
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []

    states = "SELECT * FROM reporting.exam_calibrations"
    carried = [rows_of(database, each) for each in (states, COUNTED)]
    with connect(settings.database_url) as conn:
        turn(conn, settings, Layer.exam, keys=[odd.exam_id])
    assert [rows_of(database, each) for each in (states, COUNTED)] == carried, "counted anew, to the byte"


def test_one_more_attempt_reads_and_writes_no_other(settings: Settings, database: str) -> None:
    first, second = make_sittings(database)
    sit(database, first, [2, 3, 4, 5] * 30)
    settle(settings)
    before = rows_of(database, "SELECT xmin::text FROM reporting.session_cells")
    with psycopg.connect(database) as conn:
        conn.execute("DELETE FROM reporting.session_cells")
        conn.execute("DELETE FROM reporting.projection_marks")
    sit(database, second, [3, 4] * 60)
    settle(settings)

    assert len(before) == 1
    assert rows_of(database, "SELECT session_id FROM reporting.session_cells") == [(second.session_id,)]
    assert rows_of(database, "SELECT DISTINCT unnest(comparable) FROM reporting.event_norms") == [(240,)]


def test_an_attempt_under_way_has_no_analysis_yet(settings: Settings, database: str) -> None:
    [sitting] = make_sittings(database, attempts=1)
    store_now(database, sitting, [event(sitting.started_at + timedelta(seconds=5), AWAY)])
    settle(settings)

    assert rows_of(database, SAID, sitting.session_id) == [(None, None, None, None)]
