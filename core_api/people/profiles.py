"""
One's own profile, and a student's as an admin keeps it (spec.md A-5).
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, of_row
from core_api.identity.accounts import NAME_MAX
from core_api.identity.logins import User
from core_api.ledger import entries as ledger
from core_api.ledger.viewings import Views
from core_api.people.users import NAMES_TAKEN, Username, own_username
from core_api.wire import NO_NUL, Document, ShownDocument, Text200, invalid, spelled, stored_document
from kernel import spelling
from kernel.errors import ConflictError, NotFoundError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("profiles")
METADATA_BYTES_MAX: Final = 16 << 10

Text100 = Annotated[str, Meta(max_length=100, pattern=NO_NUL)]


class StudentDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a student may see of their profile; scores and risk stay with staff (spec.md, decision 6)."""

    enrollment_id: str
    cohort: str


class TeacherDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a teacher says of themselves."""

    title: str
    department: str


class Profile(User, frozen=True, kw_only=True):
    """A person with the dates of their account; `metadata` holds what they set: picture, preferences."""

    is_verified: bool
    last_login: datetime | None
    created_at: datetime
    metadata: ShownDocument
    student: StudentDetails | None
    teacher: TeacherDetails | None


class UpdateProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of one's own; what is left out stays. `title` and `department` are for teachers."""

    full_name: Text200 | UnsetType = UNSET
    username: Username | UnsetType = UNSET
    metadata: Document | UnsetType = UNSET
    title: Text100 | UnsetType = UNSET
    department: Text100 | UnsetType = UNSET


class StudentProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything kept of a student; the sums and scores follow from their exams."""

    user_id: UUID
    enrollment_id: str
    cohort: str
    cumulative_integrity_score: float | None
    cumulative_lmi: float | None
    total_exams_attempted: int
    total_exams_passed: int
    current_dropout_risk: str | None
    flagged_for_review: bool


class UpdateStudent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a student's profile; what is left out stays."""

    enrollment_id: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | UnsetType = UNSET
    cohort: Text100 | UnsetType = UNSET


async def fetch(conn: Connection, actor: Actor) -> Profile:
    """Return the caller's own profile; raises NotFoundError when it was closed since the token was made."""
    row = await conn.fetchrow(QUERIES["fetch_profile"], actor.user_id, actor.organisation_id)
    if row is None:
        raise NotFoundError("The account is closed.")
    role = Role(row["role"])
    return of_row(
        row,
        Profile,
        student=of_row(row, StudentDetails) if role is Role.student else None,
        teacher=of_row(row, TeacherDetails) if role is Role.teacher else None,
    )


async def update(
    conn: Connection, actor: Actor, command: UpdateProfile, *, views: Views, now: datetime
) -> Profile:
    """
    Change the caller's own profile and return it.

    Raises:
        ConflictError: the username is taken; that somebody was told so is a view.
        InvalidInputError: the metadata is too large, a teacher's field from somebody else, a username that is
            somebody else's address, or something that holds what cannot be seen.
        NotFoundError: the account is closed.
    """
    metadata = stored_document(command.metadata, "metadata", METADATA_BYTES_MAX)
    full_name = _name("full_name", command.full_name, NAME_MAX)
    title, department = _name("title", command.title, 100), _name("department", command.department, 100)
    username = None if command.username is UNSET else own_username(command.username, actor.email)
    teaches = title is not None or department is not None
    if teaches and actor.role is not Role.teacher:
        raise invalid("department" if title is None else "title", "for teachers only")
    try:
        async with conn.transaction():
            before = await fetch(conn, actor)
            await conn.execute(
                QUERIES["update_account"],
                actor.user_id,
                full_name,
                username,
                metadata,
            )
            if teaches:
                await conn.execute(
                    QUERIES["upsert_teacher_profile"], uuid7(), actor.user_id, title, department
                )
            after = await fetch(conn, actor)
            if after != before:
                await ledger.record(
                    conn,
                    ledger.by(
                        actor, Kind.user_updated, actor.user_id, now=now, detail={"fields": _fields(command)}
                    ),
                )
            return after
    except asyncpg.UniqueViolationError as error:
        views.note(actor, NAMES_TAKEN, actor.organisation_id, now=now, looked_up=1, taken=1)
        raise ConflictError("The username is taken.") from error


async def fetch_student(conn: Connection, actor: Actor, user_id: UUID) -> StudentProfile:
    """Return a student's profile; raises NotFoundError for anybody else."""
    row = await fetch_one(conn, "student", QUERIES["fetch_student_profile"], user_id, actor.organisation_id)
    return StudentProfile(**row)


async def update_student(
    conn: Connection, actor: Actor, user_id: UUID, command: UpdateStudent, *, now: datetime
) -> StudentProfile:
    """Change a student's profile and return it; raises NotFoundError for anybody else."""
    async with conn.transaction():
        before = await fetch_student(conn, actor, user_id)
        await conn.execute(
            QUERIES["upsert_student_profile"],
            uuid7(),
            user_id,
            _name("enrollment_id", command.enrollment_id, 64),
            _name("cohort", command.cohort, 100),
        )
        after = await fetch_student(conn, actor, user_id)
        if after != before:
            await ledger.record(
                conn,
                ledger.by(
                    actor,
                    Kind.student_profile_updated,
                    user_id,
                    now=now,
                    subject_id=user_id,
                    detail={"fields": _fields(command)},
                ),
            )
        return after


def _fields(command: UpdateProfile | UpdateStudent) -> list[str]:
    """Return the names of what was given; the values are nobody's but the person's."""
    return sorted(name for name in command.__struct_fields__ if getattr(command, name) is not UNSET)


def _name(path: str, text: str | UnsetType, length_max: int) -> str | None:
    """Return a name as it is stored, None where it stays as it is; raises InvalidInputError."""
    return None if text is UNSET else spelled(path, spelling.name, text, length_max=length_max)
