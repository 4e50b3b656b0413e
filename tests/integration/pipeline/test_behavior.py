"""What is thought of attempts reaches reporting and Parquet, and follows what people say (spec.md W-1)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import msgspec
import psycopg
import pytest

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.publications import publish_marked
from tests.kits.pipeline_child import fold_now, project_now
from tests.kits.pipeline_world import Sitting, end, event, make_sittings, rows_of, store_now

HANDED_IN = (
    "UPDATE exam_attempts SET status = 'completed', submitted_by = 'candidate', completed_at = %s"
    " WHERE id = %s"
)
FLAGGED = (
    "INSERT INTO session_actions (session_id, kind, reason, acted_by, acted_at)"
    " SELECT s.id, %s, 'Talks.', e.creator_id, now() FROM proctor_sessions s"
    " JOIN exams e ON e.id = s.exam_id WHERE s.id = %s"
)
DECIDED = (
    "INSERT INTO proctor_decisions (session_id, attempt_id, exam_id, candidate_id, organisation_id, status,"
    " decided_by, decided_at, is_finalized) SELECT s.id, s.attempt_id, s.exam_id, s.candidate_id,"
    " s.organisation_id, 2, e.creator_id, now(), true FROM proctor_sessions s"
    " JOIN exams e ON e.id = s.exam_id WHERE s.id = %s"
)
SEEN = (
    "SELECT attempt_id::text, total_monitoring_events, critical_events, peak_risk_score, risk_level,"
    " integrity_score, integrity_band, dropout_label, requires_instructor_attention, recommended_action,"
    " alert_rank FROM reporting.behavior_analysis ORDER BY peak_risk_score"
)
ASKED = (
    "SELECT requires_instructor_attention, flagged, recommended_action FROM reporting.behavior_analysis"
    " ORDER BY peak_risk_score"
)
ALERTED = "SELECT jsonb_path_query_array(alerts, '$[*].code') FROM reporting.behavior_analysis ORDER BY 1"
MOVED = (EventType.TabSwitched, EventType.DevToolsOpened, EventType.FullscreenExited)


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def sit(database: str, sitting: Sitting, *kinds: EventType, severity: int = 3) -> None:
    """Do these things, one every ten seconds, then hand in."""
    at = sitting.started_at
    events = [
        event(at + timedelta(seconds=10 * n), kind, severity=severity) for n, kind in enumerate(kinds, 1)
    ]
    store_now(database, sitting, events)
    end(database, sitting, at + timedelta(minutes=30))
    with psycopg.connect(database) as conn:
        conn.execute(HANDED_IN, (at + timedelta(minutes=30), sitting.attempt_id))


def tell(database: str, statement: str, *arguments: object) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(statement.encode(), arguments)


def test_attempts_are_judged_by_what_was_seen_and_by_what_people_say(
    settings: Settings, database: str
) -> None:
    calm, wild = make_sittings(database)
    sit(database, calm, EventType.WindowBlurred, severity=1)
    sit(database, wild, *MOVED, severity=4)
    fold_now(settings)
    project_now(settings)

    assert rows_of(database, SEEN) == [
        (calm.attempt_id, 1, 0, 0.0, "Low", 1.0, "consistent", None, False, "none", None),
        (
            wild.attempt_id, 3, 3, 70.0, "High", (1 - 0.75 * 0.7) * (1 - 0.25), "concerns", None, True,
            "priority_review", 2,
        ),
    ]  # fmt: skip

    assert rows_of(database, ALERTED) == [([],), (["HIGH_RISK", "ANOMALY_CLUSTER"],)]

    tell(database, DECIDED, wild.session_id)
    tell(database, FLAGGED, "flag", calm.session_id)
    project_now(settings)
    assert rows_of(database, ASKED) == [(True, True, "none"), (False, False, "priority_review")]

    tell(database, FLAGGED, "unflag", calm.session_id)
    project_now(settings)
    assert rows_of(database, ASKED) == [(False, False, "none"), (False, False, "priority_review")]
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []


def test_the_row_is_published_with_its_reasons(settings: Settings, database: str) -> None:
    [wild] = make_sittings(database, attempts=1)
    sit(database, wild, *MOVED)
    fold_now(settings)
    project_now(settings)
    publish_marked(settings)
    with duckdb.connect() as conn:
        [(summary, reasons, version)] = conn.execute(
            "SELECT llm_summary, reasons, llm_model_version FROM read_parquet($1)",
            [f"{settings.warehouse}/current/behavior_analysis/*/*.parquet"],
        ).fetchall()

    assert [each["code"] for each in msgspec.json.decode(reasons)] == [
        "PEAK_RISK",
        "RULES",
        "NO_DROPOUT_LABEL",
    ]
    assert summary == " ".join(each["text"] for each in msgspec.json.decode(reasons))
    assert version == "rules-1"


def test_an_attempt_under_way_is_not_judged_yet(settings: Settings, database: str) -> None:
    [sitting] = make_sittings(database, attempts=1)
    store_now(
        database,
        sitting,
        [event(sitting.started_at + timedelta(seconds=5), EventType.DevToolsOpened, severity=3)],
    )
    fold_now(settings)
    tell(database, FLAGGED, "flag", sitting.session_id)
    project_now(settings)

    assert rows_of(database, SEEN) == []
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []
