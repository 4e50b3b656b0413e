"""
Schools, people, exams and candidates at work, made in bulk and without a request: what the local stack, the
demo, the benchmarks and the tests begin with.

A statement makes all rows of a kind, however many, as the use cases leave them. No event of the ledger speaks
of them, because nobody acted: `veritas ledger verify` counts such rows in a remark. Rows that it would miss
an event of (a published paper, an exception to an assignment, a submission) are made through the API alone.

Organisations are found again by name, people by e-mail, exams by title: seeding twice makes them once. For
whoever holds the database's address, never for a route; psycopg's connections need no event loop.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg.errors import CardinalityViolation
from uuid_utils.compat import uuid7

from core_api.database import ASKING, Asker
from core_api.exams.policy import Defaults, effective
from core_api.identity.accounts import username_of
from core_api.identity.passwords import hash_password
from core_api.wire import as_json
from kernel import spelling
from kernel.events import Mode, Role
from sql import named, running
from sql.running import Connection, one, run

QUERIES: Final = named("seeding")
ROUNDS: Final = 12  # the cost of bcrypt, as the setting has it where nobody sets it


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """
    Somebody to create. Without a password they sign in by launch link, or are a service. `username`: the
    e-mail's; `id`: a new one.
    """

    email: str
    role: Role
    full_name: str = ""
    password: str | None = None
    username: str | None = None
    id: UUID | None = None


class School(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation with a teacher and their published exams."""

    organisation_id: UUID
    teacher_id: UUID
    exam_ids: list[UUID]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A student with a running attempt and its active proctor session."""

    user_id: UUID
    attempt_id: UUID
    session_id: int


def connect(database_url: str) -> Connection:
    """Connect for what follows: every row is seen, each statement committed."""
    conn = running.connect(database_url)
    run(conn, ASKING["ask_as"], Asker.system.value, "", "", "")
    return conn


def create_organisation(conn: Connection, name: str, *, now: datetime) -> UUID:
    """Return the id of the organisation of that name, made if there is none."""
    found: UUID = one(conn, QUERIES["make_organisation"], uuid7(), name, now)
    return found


def create_users(
    conn: Connection, organisation_id: UUID, users: Sequence[NewUser], *, now: datetime, rounds: int = ROUNDS
) -> list[UUID]:
    """
    Create people and return their ids, in the order given.

    Who is there already (by e-mail) keeps id and role, and takes the password when one is given.

    Args:
        conn: of `connect`; joins the caller's transaction if there is one.
        organisation_id: all of them belong to it.
        users: no e-mail twice.
        now: becomes `created_at`.
        rounds: cost of bcrypt, paid once for each password: those who are given the same share its hash.

    Raises:
        ValueError: an e-mail stands twice, or belongs to somebody else's; a password is too long; something
            holds what cannot be seen.
    """
    users = [_spelt(user) for user in users]
    hashes = {None: None} | {
        password: hash_password(password, rounds)
        for password in {user.password for user in users}
        if password is not None
    }
    ids = [user.id or uuid7() for user in users]
    names = [user.username or username_of(user.email, each) for user, each in zip(users, ids, strict=True)]
    upsert = QUERIES.bind(
        "upsert_users",
        organisation=organisation_id,
        ids=ids,
        emails=[user.email for user in users],
        usernames=names,
        full_names=[user.full_name for user in users],
        roles=[user.role.value for user in users],
        password_hashes=[hashes[user.password] for user in users],
        created_at=now,
    )
    with conn.transaction():
        try:
            found = run(conn, *upsert).fetchall()
        except CardinalityViolation as error:
            message = "an e-mail address stands twice"
            raise ValueError(message) from error
        for user, (_, role) in zip(users, found, strict=True):
            if role != user.role:
                message = f"{user.email} belongs to another organisation or another role"
                raise ValueError(message)
    return [user_id for user_id, _ in found]


def _spelt(user: NewUser) -> NewUser:
    """Return somebody as their account is spelt; raises ValueError."""
    return msgspec.structs.replace(
        user,
        email=spelling.address(user.email),
        username=None if user.username is None else spelling.username(user.username),
        full_name=spelling.name(user.full_name),
        password=None if user.password is None else spelling.password(user.password),
    )


def create_group(
    conn: Connection, organisation_id: UUID, name: str, member_ids: Sequence[UUID], *, now: datetime
) -> UUID:
    """Create a group of these people and return its id."""
    group_id = uuid7()
    group = {"id": group_id, "organisation": organisation_id, "name": name}
    run(conn, *QUERIES.bind("insert_group", **group, members=list(member_ids), at=now))
    return group_id


def create_exams(
    conn: Connection,
    organisation_id: UUID,
    creator_id: UUID,
    titles: Sequence[str],
    *,
    now: datetime,
    duration_minutes: int = 60,
) -> list[UUID]:
    """
    Return the ids of the organisation's exams of these titles, no title twice; made where there are none,
    published, monitored, their questions asked elsewhere.
    """
    ids = [uuid7() for _ in titles]
    made = QUERIES.bind(
        "make_exams",
        organisation=organisation_id,
        creator_id=creator_id,
        ids=ids,
        titles=list(titles),
        duration_minutes=duration_minutes,
        at=now,
    )
    return [exam_id for (exam_id,) in run(conn, *made)]


def grant_exam(conn: Connection, exam_id: UUID, staff_id: UUID, *, can_edit: bool = False) -> None:
    """Let a teacher or reviewer reach an exam they did not create; a second grant replaces the first."""
    allowed = {
        "can_view": True,
        "can_edit": can_edit,
        "can_manage_students": False,
        "can_adjudicate": False,
        "can_view_analytics": True,
    }
    run(conn, *named("accounts").bind("grant_exam", teacher_id=staff_id, exam_id=exam_id, **allowed))


def begin_attempts(
    conn: Connection,
    exam_id: UUID,
    student_ids: Sequence[UUID],
    *,
    now: datetime,
    ids: Sequence[UUID] | None = None,
) -> list[UUID]:
    """
    Begin an attempt of each student and return the attempts' ids, in the order given.

    Args:
        conn: of `connect`.
        exam_id: a published, monitored exam that is open to its whole organisation.
        student_ids: of the exam's organisation, nobody twice, nobody with a running attempt.
        now: when they begin.
        ids: the attempts'; new ones by default.
    """
    attempt_ids = [uuid7() for _ in student_ids] if ids is None else list(ids)
    minutes = one(conn, QUERIES["read_duration"], exam_id)
    policy = effective(Defaults(duration_minutes=minutes, monitoring_mode=int(Mode.Soft)), [], now=now)
    insert = QUERIES.bind(
        "insert_attempts",
        exam_id=exam_id,
        ids=attempt_ids,
        students=list(student_ids),
        started_at=now,
        expires_at=policy.expires_at(now),
        policy=as_json(policy),
    )
    run(conn, *insert)
    return attempt_ids


def open_sessions(
    conn: Connection, attempt_ids: Sequence[UUID], *, now: datetime, mode: Mode = Mode.Soft
) -> list[int]:
    """Open a proctor session of each attempt; return the sessions' ids, which ascend in the order given."""
    return [
        session for (session,) in run(conn, QUERIES["insert_sessions"], list(attempt_ids), int(mode), now)
    ]


def save_answers(
    conn: Connection,
    attempt_ids: Sequence[UUID],
    question_ids: Sequence[UUID],
    responses: Sequence[object],
    *,
    now: datetime,
) -> None:
    """Save the same responses, one to each question, in every attempt."""
    shown = [as_json(each) for each in responses]
    run(conn, QUERIES["insert_answers"], list(attempt_ids), list(question_ids), shown, now)


def create_school(
    conn: Connection, name: str, *, now: datetime, exams: int = 1, duration_minutes: int = 60
) -> School:
    """Create an organisation, a teacher, and so many published exams of theirs."""
    organisation_id = create_organisation(conn, name, now=now)
    teacher = NewUser(email=f"teacher@{organisation_id}.example", role=Role.teacher)
    (teacher_id,) = create_users(conn, organisation_id, [teacher], now=now)
    titles = [f"Exam {number}" for number in range(1, exams + 1)]
    exam_ids = create_exams(
        conn, organisation_id, teacher_id, titles, now=now, duration_minutes=duration_minutes
    )
    return School(organisation_id=organisation_id, teacher_id=teacher_id, exam_ids=exam_ids)


def seat_candidates(
    conn: Connection, organisation_id: UUID, exam_id: UUID, count: int, *, now: datetime
) -> list[Candidate]:
    """Create so many students, each at work on the exam since `now`, in the order of their sessions' ids."""
    ids = [uuid7() for _ in range(count)]
    students = [NewUser(id=each, email=f"{each}@seated.example", role=Role.student) for each in ids]
    create_users(conn, organisation_id, students, now=now)
    attempts = begin_attempts(conn, exam_id, ids, now=now)
    sessions = open_sessions(conn, attempts, now=now)
    return [
        Candidate(user_id=user, attempt_id=attempt, session_id=session)
        for user, attempt, session in zip(ids, attempts, sessions, strict=True)
    ]
