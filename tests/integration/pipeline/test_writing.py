"""Texts, momentum and trends as they are projected (spec.md W-1 to W-3; analytics.md)."""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from kernel.settings import Settings
from pipeline.projections.projection import Layer
from pipeline.projections.turns import turn
from sql.running import connect
from tests.kits.handed_in import START, Class, hand_in, make_class, score_again, set_void
from tests.kits.pipeline_child import project_now
from tests.kits.pipeline_world import rows_of
from tests.property.pipeline.test_writing import essay

DRAFT = (
    "INSERT INTO attempt_drafts (attempt_id, question_id, client_seq, response, saved_at)"
    " VALUES (%s, %s, %s, %s, %s)"
)
SESSION = (
    "INSERT INTO proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)"
    " VALUES (%(attempt)s, %(exam)s, %(student)s, %(organisation)s, 1, %(at)s) RETURNING id"
)
EVENT = (
    "INSERT INTO events (session_id, seq, occurred_at, event_type, severity, is_violation, is_late, payload)"
    " VALUES (%s, %s, %s, %s, 0, false, false, %s)"
)
ANALYSED = """
SELECT versions, thinking_quality, paste_share, nearest_attempt_id, coverage,
       jsonb_path_query_array(indicators, '$.code')
FROM reporting.draft_analysis WHERE attempt_id = %s
"""
MOMENTUM = """
SELECT normal_score, lmi, lmi_band, lmi_steps, improvement_trend FROM reporting.learning_momentum
WHERE student_id = %s ORDER BY finalised_at
"""


@pytest.fixture
def settings(database_as: Callable[[str], str], tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )


def write(url: str, own: Class, number: int, *versions: str, pasted: str = "") -> UUID:
    """Save versions of a text, watched where something is pasted, and hand in."""
    attempt = own.attempts[number]
    with psycopg.connect(url) as conn:
        for n, text in enumerate(versions, 1):
            at = START + timedelta(minutes=n)
            response = orjson.dumps({"text": text}).decode()
            conn.execute(DRAFT, (attempt["attempt"], own.questions[0], n, response, at))
        if pasted:
            found = conn.execute(SESSION, attempt | {"at": START}).fetchone()
            assert found is not None
            payload = orjson.dumps({"text": pasted, "question": str(own.questions[0])}).decode()
            conn.execute(EVENT, (found[0], 1, START + timedelta(seconds=90), 6, payload))
    hand_in(url, own, number, "b")
    return UUID(str(attempt["attempt"]))


def analysed(url: str, attempt_id: UUID) -> tuple[Any, ...]:
    (row,) = rows_of(url, ANALYSED, attempt_id)
    return tuple(row)


def test_texts_are_analysed_compared_through_their_index_and_found_from_both_sides(
    settings: Settings, database: str
) -> None:
    dice = random.Random(1)
    own = make_class(database, students=4, items=1)
    text, foreign = essay(dice, 120), essay(dice, 60)
    honest = write(database, own, 0, text)
    revised = write(database, own, 1, essay(dice, 90), "", essay(dice, 20))
    project_now(settings)

    assert analysed(database, honest) == (1, None, None, None, 0.2, [])
    assert analysed(database, revised)[0] == 3

    copied = write(database, own, 2, text, text, f"{text} {foreign}", pasted=foreign)
    project_now(settings)

    versions, quality, share, nearest, coverage, codes = analysed(database, copied)
    assert (versions, nearest, coverage, codes) == (
        2,
        honest,
        0.6,
        ["PASTE_SHARE", "LARGE_PASTE", "NEAR_DUPLICATE"],
    )
    assert 0 < quality < 1
    assert 0.3 < share < 0.4
    assert analysed(database, honest) == (1, None, None, copied, 0.2, ["NEAR_DUPLICATE"])
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []


def test_the_order_in_which_copies_come_does_not_matter(settings: Settings, database: str) -> None:
    text = essay(random.Random(2), 120)
    own = make_class(database, students=3, items=1)
    ids = [write(database, own, n, text + essay(random.Random(n), 10)) for n in (2, 0, 1)]
    with connect(settings.database_url) as conn:
        for attempt_id in (ids[1], ids[2], ids[0]):
            turn(conn, settings, Layer.attempt, keys=[str(attempt_id)])
    project_now(settings)
    before = [analysed(database, each) for each in ids]

    with connect(settings.database_url) as conn:
        turn(conn, settings, Layer.attempt, keys=[str(each) for each in ids])

    assert [analysed(database, each) for each in ids] == before
    assert all(
        row[-1] == ["NEAR_DUPLICATE"] and row[3] != each for row, each in zip(before, ids, strict=True)
    )


def test_momentum_follows_results_their_norms_and_whether_they_count(
    settings: Settings, database: str
) -> None:
    own = make_class(database, exams=2, students=12, items=4)
    for n in range(12):
        hand_in(database, own, n, "b" * (n % 4 + 1) + "a" * (3 - n % 4), minutes=30 + n)
    given = [hand_in(database, own, 12 + n, "bbaa", minutes=90 + n) for n in range(12)]
    student = own.attempts[0]["student"]
    project_now(settings)
    assert rows_of(database, MOMENTUM, student) == [
        (-1.2, None, None, 0, None),  # three of twelve have as little
        (0.0, pytest.approx(61.13, abs=0.01), "watch", 1, "improving"),
    ]

    score_again(database, own, given[0], [1, 1, 1, 1], minutes=200)
    project_now(settings)
    assert rows_of(database, MOMENTUM, student)[1] == (
        1.7,
        pytest.approx(75.3, abs=0.1),
        "healthy",
        1,
        "improving",
    )
    assert rows_of(
        database,
        "SELECT lmi_score, improvement_trend FROM reporting.behavior_analysis"
        " JOIN reporting.submissions USING (attempt_id) WHERE submission_id = %s",
        given[0],
    ) == [(pytest.approx(75.3, abs=0.1), "improving")], "what is thought of the attempt knows of it"
    # All others' norm has changed as well, and with it they.
    others = rows_of(
        database,
        "SELECT DISTINCT normal_score FROM reporting.learning_momentum WHERE exam_id = %s",
        own.exam_ids[1],
    )
    assert sorted(each for (each,) in others) == [-0.1, 1.7]

    set_void(database, own, given[0], is_void=True, minutes=210)
    project_now(settings)
    assert rows_of(database, MOMENTUM, student) == [(-1.2, None, None, 0, None)]
    assert rows_of(database, "SELECT * FROM reporting.projection_marks") == []
