"""
Exams: made and published by teachers, listed for candidates (spec.md E-2, D-1).
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.wire import (
    LIMIT_DEFAULT,
    NO_NUL,
    Document,
    Limit,
    ShownDocument,
    Text200,
    invalid,
    stored_document,
)
from kernel.errors import ForbiddenError, NotFoundError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("exams")
EVALUATIONS: Final = named("evaluations")
METADATA_BYTES_MAX: Final = 64 << 10
SCORE_MAX: Final = 99_999_999.99  # numeric(10, 2)

Points = Annotated[float, Meta(ge=0, le=SCORE_MAX)]
Minutes = Annotated[int, Meta(ge=1, le=1440)]


class NewExam(msgspec.Struct, frozen=True, kw_only=True):
    """An exam to create, unpublished. `passing_score` is half of `max_score` unless given."""

    title: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
    duration_minutes: Minutes
    description: Annotated[str, Meta(max_length=20_000, pattern=NO_NUL)] = ""
    subject: Text200 = ""
    topic: Text200 = ""
    max_score: Annotated[float, Meta(ge=0.01, le=SCORE_MAX)] = 100.0
    passing_score: Points | None = None
    enable_monitoring: bool = True
    enable_integrity_analysis: bool = True
    metadata: Document | UnsetType = UNSET
    evaluation_version_id: UUID | None = None


class Exam(msgspec.Struct, frozen=True, kw_only=True):
    """An exam as its staff see it."""

    id: UUID
    creator_id: UUID
    title: str
    description: str
    subject: str
    topic: str
    max_score: float
    duration_minutes: int
    passing_score: float
    is_published: bool
    published_at: datetime | None
    enable_monitoring: bool
    enable_integrity_analysis: bool
    metadata: ShownDocument
    created_at: datetime
    evaluation_version_id: UUID | None  # null: delivered elsewhere and only proctored here
    archived_at: datetime | None


class Exams(msgspec.Struct, frozen=True, kw_only=True):
    """A page of exams, newest first; `next_cursor` is null on the last page."""

    exams: list[Exam]
    next_cursor: UUID | None


class ListExams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which exams."""

    archived: Annotated[bool, Meta(description="Archived ones too.")] = False
    limit: Limit = LIMIT_DEFAULT
    cursor: Annotated[UUID, Meta(description="`next_cursor` of the page before.")] | None = None


async def create(conn: Connection, actor: Actor, command: NewExam, *, now: datetime) -> Exam:
    """
    Create an exam owned by the caller.

    Raises:
        InvalidInputError: the passing score is over the maximum, or the metadata is too large.
    """
    passing = command.max_score / 2 if command.passing_score is None else command.passing_score
    check_scale(passing, command.max_score)
    metadata = stored_document(command.metadata, "metadata", METADATA_BYTES_MAX) or "{}"
    if command.evaluation_version_id is not None:
        await require_version(conn, actor, command.evaluation_version_id)
    async with conn.transaction():
        row = await conn.fetchrow(
            QUERIES["insert_exam"],
            uuid7(),
            actor.organisation_id,
            actor.user_id,
            command.title,
            command.description,
            command.subject,
            command.topic,
            command.max_score,
            command.duration_minutes,
            passing,
            command.enable_monitoring,
            command.enable_integrity_analysis,
            metadata,
            now,
            command.evaluation_version_id,
        )
        assert row is not None, "an insert without a conflict clause returns its row"
        await ledger.record(conn, ledger.by(actor, Kind.exam_created, row["id"], now=now))
    return Exam(**row)


def check_scale(passing_score: float, max_score: float) -> None:
    """Return when the passing score is on the exam's scale; raises InvalidInputError otherwise."""
    if passing_score > max_score:
        raise invalid("passing_score", f"at most max_score ({max_score:g})")


async def require_version(conn: Connection, actor: Actor, evaluation_version_id: UUID) -> None:
    """Return when the version is published and the caller's to use; raises InvalidInputError otherwise."""
    found = await conn.fetchval(
        EVALUATIONS["find_usable_version"],
        evaluation_version_id,
        actor.organisation_id,
        actor.user_id,
        actor.sees_organisation,
    )
    if found is None:
        raise invalid("evaluation_version_id", "no published evaluation of yours")


async def fetch(conn: Connection, actor: Actor, exam_id: UUID) -> Exam:
    """Return an exam; raises NotFoundError when the caller may not see it."""
    row = await conn.fetchrow(
        QUERIES["fetch_exam"], exam_id, actor.organisation_id, actor.user_id, actor.sees_organisation
    )
    if row is None:
        raise NotFoundError("There is no such exam.")
    return Exam(**row)


async def list_visible(conn: Connection, actor: Actor, query: ListExams) -> Exams:
    """Return a page of the exams that the caller may see."""
    rows = await conn.fetch(
        QUERIES["list_exams"],
        actor.organisation_id,
        actor.user_id,
        actor.sees_organisation,
        query.archived,
        query.cursor,
        query.limit + 1,
    )
    page = [Exam(**row) for row in rows[: query.limit]]
    return Exams(exams=page, next_cursor=page[-1].id if len(rows) > query.limit else None)


async def require_visible(conn: Connection, actor: Actor, exam_id: UUID) -> asyncpg.Record:
    """Return an exam's row with what the caller may do; raises NotFoundError when they may not see it."""
    row = await conn.fetchrow(
        QUERIES["fetch_exam_for_staff"],
        exam_id,
        actor.organisation_id,
        actor.user_id,
        actor.sees_organisation,
    )
    if row is None:
        raise NotFoundError("There is no such exam.")
    return row


async def require_editable(conn: Connection, actor: Actor, exam_id: UUID) -> None:
    """
    Return when the caller may edit the exam.

    Raises:
        NotFoundError: it is not visible to them.
        ForbiddenError: it is, and they may only look at it.
    """
    row = await require_visible(conn, actor, exam_id)
    if not row["can_edit"]:
        raise ForbiddenError("You may look at this exam and not change it.")
