"""
Submissions for the pipeline's tests, as the use cases leave them: rows, and what the outbox says of them.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import psycopg
from msgspec import Struct
from uuid_utils.compat import uuid7

from core_api import seeding
from core_api.seeding import NewUser
from kernel.events import Role
from kernel.ledger.kinds import Kind

START: Final = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
OPTIONS: Final = "abcd"
_TEXT: Final = Path(__file__).with_suffix(".sql").read_text()
_PIECES: Final = re.split(r"^-- name: (\w+)\n", _TEXT, flags=re.MULTILINE)[1:]
SQL: Final = dict(zip(_PIECES[::2], (text.encode() for text in _PIECES[1::2]), strict=True))
TELL: Final = (
    "INSERT INTO outbox (event_id, kind, organisation_id, resource_id, payload, occurred_at)"
    " VALUES (%s, %s, %s, %s, '{}', now())"
)


class Class(Struct):
    """A school's exams, whose form has so many items of one mark, and their candidates at work."""

    organisation_id: UUID
    exam_ids: list[UUID]
    questions: list[UUID]
    attempts: list[dict[str, Any]]


def make_class(url: str, *, exams: int = 1, students: int = 2, items: int = 4) -> Class:
    """Make a school whose students are all at work in each exam."""
    with seeding.connect(url) as conn:
        school = seeding.create_school(conn, f"School {uuid4()}", now=START, exams=exams)
        people = [
            NewUser(email=f"pupil{n}@{school.organisation_id}.example", role=Role.student)
            for n in range(students)
        ]
        ids = seeding.create_users(conn, school.organisation_id, people, now=START)
        questions = [uuid7() for _ in range(items)]
        for n, exam in enumerate(school.exam_ids):
            _give_form(conn, school, exam, questions, subject=("Mathematics", "Physics")[n % 2], first=not n)
        attempts = [
            {"attempt": attempt, "exam": exam, "student": student, "organisation": school.organisation_id}
            for exam in school.exam_ids
            for student, attempt in zip(ids, seeding.begin_attempts(conn, exam, ids, now=START), strict=True)
        ]
    return Class(school.organisation_id, school.exam_ids, questions, attempts)


def _give_form(
    conn: "psycopg.Connection[Any]",
    school: seeding.School,
    exam: UUID,
    questions: Sequence[UUID],
    *,
    subject: str,
    first: bool,
) -> None:
    """Give an exam a published form; the school's first makes its questions and topics."""
    topics = ["Algebra", "Geometry"]
    terms = [uuid7() for _ in topics]
    key = [
        {
            "position": n,
            "question_id": str(question),
            "question_version_id": str(question),
            "points": "1",
            "item": {"kind": "single_choice", "content": {}, "key": {"choice": "b"}},
            "term_ids": [str(terms[n % 2])] if first else [],
        }
        for n, question in enumerate(questions, start=1)
    ]
    cursor = psycopg.ClientCursor(conn)
    cursor.execute(
        SQL["form"],
        {
            "form": uuid7(),
            "organisation": school.organisation_id,
            "teacher": school.teacher_id,
            "exam": exam,
            "subject": subject,
            "at": START,
            "terms": terms if first else [],
            "topics": topics if first else [],
            "questions": list(questions) if first else [],
            "key": orjson.dumps(key).decode(),
            "items": len(questions),
        },
    )


def compare(url: str, own: Class, exam: UUID) -> tuple[UUID, UUID]:
    """Let an exam compare two groups: the second half of each pair of candidates with the first half."""
    students = list(dict.fromkeys(each["student"] for each in own.attempts))
    groups = uuid7(), uuid7()
    with psycopg.connect(url) as conn:
        for n, group in enumerate(groups):
            given = {"id": group, "name": f"Group {group}", "organisation": own.organisation_id}
            conn.execute(
                b"INSERT INTO groups (id, organisation_id, name) VALUES (%(id)s, %(organisation)s, %(name)s)",
                given,
            )
            conn.execute(
                b"INSERT INTO group_members (group_id, user_id) SELECT %s, unnest(%s::uuid[])",
                (group, students[n::2]),
            )
        conn.execute(
            b"UPDATE exams SET reference_group_id = %s, focal_group_id = %s WHERE id = %s", (*groups, exam)
        )
        conn.execute(TELL.encode(), (uuid7(), Kind.exam_updated, own.organisation_id, exam))
    return groups


def hand_in(url: str, own: Class, number: int, responses: str, *, minutes: float = 30.0) -> UUID:
    """Hand an attempt in, a response an option's letter or a space; return the submission."""
    attempt = own.attempts[number]
    submission_id, at = uuid7(), START + timedelta(minutes=minutes)
    given = [None if each == " " else orjson.dumps({"choice": each}).decode() for each in responses]
    with psycopg.connect(url) as conn:
        psycopg.ClientCursor(conn).execute(
            SQL["hand_in"],
            {
                **attempt,
                "id": submission_id,
                "event": uuid7(),
                "at": at,
                "questions": own.questions,
                "responses": given,
            },
        )
        _score(conn, submission_id, [each == "b" for each in responses], at)
        _tell(conn, own, Kind.submission_finalised, submission_id)
    attempt["submission"] = submission_id
    return submission_id


def score_again(
    url: str, own: Class, submission_id: UUID, points: Sequence[float], *, minutes: float
) -> None:
    """Give a submission another score."""
    with psycopg.connect(url) as conn:
        _score(conn, submission_id, points, START + timedelta(minutes=minutes))
        _tell(conn, own, Kind.submission_scored, submission_id)


def set_void(url: str, own: Class, submission_id: UUID, *, is_void: bool, minutes: float) -> None:
    """Make a result void, or restore it."""
    with psycopg.connect(url) as conn:
        given = {"id": submission_id, "is_void": is_void, "at": START + timedelta(minutes=minutes)}
        conn.execute(SQL["void"], given)
        _tell(conn, own, Kind.result_voided if is_void else Kind.result_restored, submission_id)


def abandon(url: str, own: Class, number: int, *, minutes: float = 60.0) -> None:
    """Let an attempt end without a saved answer."""
    attempt = own.attempts[number]["attempt"]
    with psycopg.connect(url) as conn:
        conn.execute(
            b"UPDATE exam_attempts SET status = 'abandoned', completed_at = %s WHERE id = %s",
            (START + timedelta(minutes=minutes), attempt),
        )
        _tell(conn, own, Kind.attempt_abandoned, attempt)


def _score(
    conn: "psycopg.Connection[Any]", submission_id: UUID, points: Sequence[float], at: datetime
) -> None:
    total = sum(points)
    by_position = {str(n): str(float(each)) for n, each in enumerate(points, start=1)}
    given = {
        "id": submission_id,
        "item_points": orjson.dumps(by_position).decode(),
        "points": total,
        "items": len(points),
        "percentage": round(100 * total / len(points), 2),
        "at": at,
    }
    conn.execute(SQL["score"], given)


def _tell(conn: "psycopg.Connection[Any]", own: Class, kind: Kind, resource_id: UUID) -> None:
    conn.execute(TELL.encode(), (uuid7(), kind.value, own.organisation_id, resource_id))
