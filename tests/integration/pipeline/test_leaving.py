"""A model of leaving comes from what is stored, and its labels go there (analytics.md, "dropout_label")."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import duckdb
import orjson
import polars as pl
import psycopg
import pytest
from msgspec import Struct
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from core_api import seeding
from core_api.seeding import NewUser
from deploy.commands.cli import app
from kernel.events import EventType, Role
from kernel.settings import Settings
from pipeline.features.models import PROGRESS
from pipeline.publications import publish_marked
from pipeline.rebuild import rebuild
from tests.integration.pipeline.test_behavior import tell
from tests.kits.pipeline_child import fold_now, project_now
from tests.kits.pipeline_world import Sitting, end, event, rows_of, store_now

AT: Final = datetime(2026, 8, 1, 9, tzinfo=UTC)
CLOSING_D: Final = (10, 20, 30, 50)
CUT_OFF, LATER = "2026-09-05T00:00:00", "2026-10-20T00:00:00"
GROUPS, MEMBERS = 6, 40
FEW: Final = 5  # members of a group too small to compare
ATTEMPT = (
    b"INSERT INTO exam_attempts (id, exam_id, student_id, status, started_at, expires_at, completed_at,"
    b" attempt_number, submitted_by) VALUES (%s, %s, %s, %s, %s, %s, %s, 1, %s)"
)
ASSIGNED = (
    b"INSERT INTO assignments (id, exam_id, group_id, closes_at, created_by, created_at)"
    b" VALUES (%s, %s, %s, %s, %s, %s)"
)
MARKED = (
    "INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)"
    " SELECT 'attempt', id, id, exam_id FROM exam_attempts"
)
LABELS = (
    "SELECT attempt_id::text, dropout_label, dropout_confidence, metric_version, reasons::text, coverage"
    " FROM reporting.behavior_analysis ORDER BY attempt_id"
)


class World(Struct):
    """Who does how much, and what they have handed in, by day."""

    diligence: dict[UUID, float]
    handed_in: dict[UUID, list[tuple[int, UUID, UUID]]]  # day of closing, exam, attempt
    left: set[UUID]


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


@pytest.fixture
def world(database: str) -> World:
    """Six groups with four hand-ins each; who does little hands in late, and rather does not come back."""
    dice, own = Random(3), World({}, {}, set())
    with seeding.connect(database) as conn:
        school = seeding.create_school(conn, "Leaving", now=AT, exams=len(CLOSING_D))
        for group in range(GROUPS + 1):
            people = [
                NewUser(email=f"p{group}-{n}@left.example", role=Role.student)
                for n in range(MEMBERS if group < GROUPS else FEW)
            ]
            ids = seeding.create_users(conn, school.organisation_id, people, now=AT)
            group_id = seeding.create_group(conn, school.organisation_id, f"Group {group}", ids, now=AT)
            for exam, day in zip(school.exam_ids, CLOSING_D, strict=True):
                closes_at = AT + timedelta(days=day)
                conn.execute(ASSIGNED, (uuid7(), exam, group_id, closes_at, school.teacher_id, AT))
            for student in ids:
                own.diligence[student], own.handed_in[student] = dice.random(), []
    with psycopg.connect(database) as conn:
        for student, diligence in own.diligence.items():
            if dice.random() > 0.1 + 0.9 * diligence:
                own.left.add(student)
            for exam, day in zip(school.exam_ids, CLOSING_D, strict=True):
                is_done = student not in own.left if day == CLOSING_D[-1] else dice.random() < diligence
                if is_done or day == CLOSING_D[0]:
                    attempt, early = uuid7(), timedelta(hours=1 + 60 * diligence * dice.random())
                    done_at = AT + timedelta(days=day) - early
                    status = "completed" if is_done else "abandoned"
                    conn.execute(
                        ATTEMPT,
                        (
                            attempt, exam, student, status, done_at - timedelta(hours=1), done_at, done_at,
                            "candidate" if is_done else None,
                        ),
                    )  # fmt: skip
                    if is_done:
                        own.handed_in[student].append((day, exam, attempt))
    return own


def watched(database: str, student: UUID, exam: UUID, attempt: UUID) -> None:
    """Let a session have watched an attempt, and seen nothing odd."""
    with seeding.connect(database) as conn:
        [session] = seeding.open_sessions(conn, [attempt], now=AT + timedelta(days=48))
    sitting = Sitting(session, str(attempt), str(exam), str(student), AT + timedelta(days=48))
    at = sitting.started_at
    store_now(database, sitting, [event(at + timedelta(seconds=5), EventType.WindowBlurred, severity=1)])
    end(database, sitting, at + timedelta(minutes=30))


@pytest.fixture
def model(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Give the command, which is to succeed, and what it prints."""
    monkeypatch.setenv("VERITAS_OWNER_DATABASE_URL", database)

    def run(*arguments: str | Path) -> str:
        found = CliRunner().invoke(app, ["model", *map(str, arguments)])
        assert found.exit_code == 0, found.output
        return found.output

    return run


def stored(database: str) -> dict[str, float]:
    """Return the probability that each attempt was given."""
    return dict(rows_of(database, "SELECT attempt_id::text, probability FROM reporting.leaving_scores"))


def test_from_what_is_stored_to_a_model_to_labels(
    world: World, settings: Settings, database: str, tmp_path: Path, model: Callable[..., str]
) -> None:
    past, file = tmp_path / "past.csv", tmp_path / "left.json"
    model("progress", "--out", past, "--cut-off", CUT_OFF, "--horizon-days", "28")
    assert "brier" in model("train", past, "--out", file, "--version", "left-1", "--horizon-days", "28")
    last = max(
        (own[-1][0], -world.diligence[student], student) for student, own in world.handed_in.items() if own
    )[2]
    _, exam, attempt_id = world.handed_in[last][-1]
    watched(database, last, exam, attempt_id)
    attempt = str(attempt_id)
    fold_now(settings)
    tell(database, MARKED)
    project_now(settings)
    assert "students scored" in model("apply", "--model", file, "--cut-off", LATER)
    project_now(settings)

    labels, scored = {row[0]: row[1:] for row in rows_of(database, LABELS)}, stored(database)
    assert {each for each, row in labels.items() if "+left-1-" in row[2]} == scored.keys()
    assert {labels[each][0] == "safe" for each in scored} == {True, False}
    assert all((labels[each][0] == "safe") == (p < 0.35) for each, p in scored.items())
    at_risk = next(row for each, row in labels.items() if each in scored and row[0] != "safe")
    assert "DROPOUT_RISK" in [each["code"] for each in orjson.loads(at_risk[3])]
    label, confidence, _, _, coverage = labels[attempt]
    p = 1 - scored[attempt] if label == "safe" else scored[attempt]
    assert confidence == pytest.approx(p * coverage**0.5, abs=1e-12)
    assert confidence > 0

    publish_marked(settings)
    with duckdb.connect() as conn:
        seen = conn.execute(
            "SELECT dropout_confidence FROM read_parquet($1) WHERE attempt_id = $2",
            [f"{settings.warehouse}/current/behavior_analysis/*/*.parquet", attempt],
        ).fetchall()
    assert seen == [(confidence,)]
    before = rows_of(database, LABELS)
    rebuild(settings, only=("behavior_analysis",))
    assert rows_of(database, LABELS) == before

    # an older cut-off changes nothing that a later one has said
    model("apply", "--model", file, "--cut-off", CUT_OFF)
    assert stored(database).items() >= scored.items()


def test_progress_is_what_each_had_done_by_the_cut_off(
    world: World, database: str, tmp_path: Path, model: Callable[..., str]
) -> None:
    still, excused, joined, closed = sorted(
        student
        for student, own in world.handed_in.items()
        if student not in world.left and {day for day, _, _ in own} >= {10, 30}
    )[:4]
    excuse = (
        "INSERT INTO assignment_overrides (assignment_id, user_id, closes_at, reason, created_by, created_at)"
        " SELECT a.id, m.user_id, %s, 'Ill.', a.created_by, now() FROM group_members m"
        " JOIN assignments a ON a.group_id = m.group_id WHERE m.user_id = %s AND a.closes_at = %s"
    )
    tell(database, excuse, AT + timedelta(days=300), excused, AT + timedelta(days=20))
    move = "UPDATE group_members SET added_at = %s WHERE user_id = %s"
    tell(database, move, AT + timedelta(days=15), joined)
    tell(database, "UPDATE users SET is_active = false WHERE id = %s", closed)
    past, now = tmp_path / "past.parquet", tmp_path / "now.parquet"
    model("progress", "--out", past, "--cut-off", CUT_OFF, "--horizon-days", "28")
    model("progress", "--out", now, "--cut-off", CUT_OFF, "--horizon-days", "3650")
    rows = {UUID(row["student_id"]): row for row in pl.read_parquet(past).iter_rows(named=True)}

    assert pl.read_parquet(past).schema == PROGRESS.schema
    assert len(rows) == GROUPS * MEMBERS, "the group of five is left out"
    for student in rows.keys() - {excused, joined}:
        row, done = rows[student], [day for day, _, _ in world.handed_in[student] if day < 35]
        assert (row["due"], row["done"], row["has_left"]) == (3, len(done), student in world.left)
        assert (row["earliness_h"] is None) == (row["idle_d"] is None) == (not done)
        assert row["abandoned"] == (10 not in done)
    assert (rows[still]["due"], rows[excused]["due"], rows[joined]["due"]) == (3, 2, 2)
    assert rows[closed]["is_enrolled"], "then it was"
    unknown = {UUID(row["student_id"]): row for row in pl.read_parquet(now).iter_rows(named=True)}
    assert {row["has_left"] for row in unknown.values()} == {None}, "the horizon is not over"
    assert [unknown[each]["is_enrolled"] for each in (closed, still)] == [False, True]
