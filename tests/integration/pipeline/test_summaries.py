"""Exams and students in a row each, as submissions come, are scored again, voided, restored (W-1)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.settings import Settings
from tests.kits.handed_in import abandon, hand_in, make_class, score_again, set_void
from tests.kits.pipeline_child import kill_at, project_now
from tests.kits.pipeline_world import rows_of

EXAMS = """
SELECT subject, unique_students, total_attempts, avg_score, pass_rate, avg_integrity, high_risk_count
FROM reporting.exam_performance_summary ORDER BY subject
"""
STUDENTS = """
SELECT total_attempts, total_passed, avg_score, subject_scores, improvement_trend, current_risk_label
FROM reporting.performance_metrics ORDER BY student_id
"""
RISKS = (
    "SELECT attempt_count, flagged_count, coverage FROM reporting.student_risk_summary ORDER BY student_id"
)


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def test_what_is_taken_out_is_what_was_put_in(settings: Settings, database: str) -> None:
    """Rescoring, voiding and restoring leave the sums of what counts now, though a worker dies between."""
    own = make_class(database, exams=2, students=2)
    first = hand_in(database, own, 0, "bbbb")
    hand_in(database, own, 1, "baaa", minutes=40)
    hand_in(database, own, 2, "bbaa", minutes=50)
    abandon(database, own, 3)
    project_now(settings)
    assert rows_of(database, EXAMS) == [
        ("Mathematics", 2, 2, 62.5, 0.5, None, None),
        ("Physics", 1, 1, 50.0, 1.0, None, None),
    ]
    assert rows_of(database, STUDENTS) == [
        (2, 2, 75.0, {"Mathematics": 100.0, "Physics": 50.0}, "declining", None),
        (1, 0, 25.0, {"Mathematics": 25.0}, None, None),
    ]
    assert rows_of(database, RISKS) == [(2, 0, 0.0), (2, 0, 0.0)]

    set_void(database, own, first, is_void=True, minutes=60)
    assert kill_at("project", settings, "stored")
    project_now(settings)
    assert rows_of(database, EXAMS)[0] == ("Mathematics", 1, 1, 25.0, 0.0, None, None)
    assert rows_of(database, STUDENTS)[0] == (1, 1, 50.0, {"Physics": 50.0}, None, None)

    set_void(database, own, first, is_void=False, minutes=70)
    score_again(database, own, first, [1, 1, 0, 0], minutes=80)
    project_now(settings)
    assert rows_of(database, EXAMS)[0] == ("Mathematics", 2, 2, 37.5, 0.5, None, None)
    sums = "SELECT attempts, students, scored, percentage, passed FROM reporting.exam_sums ORDER BY attempts"
    assert rows_of(database, sums) == [(1, 1, 1, 50_000, 1), (2, 2, 2, 75_000, 1)]
