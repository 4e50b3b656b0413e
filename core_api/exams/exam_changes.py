"""
Changes of an exam: its fields, opened and closed to candidates, archived (spec.md E-2).

What scores rest on (the evaluation, the scale) is fixed once somebody has started.
"""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core_api.actors import Actor
from core_api.authoring.content import Title
from core_api.database import Connection
from core_api.exams import exams
from core_api.exams.exams import SCORE_MAX, Exam, Minutes
from core_api.ledger import entries as ledger
from core_api.wire import NO_NUL, Document, Text200, stored_document
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("exams")
FIXED: Final = ("evaluation_version_id", "max_score", "passing_score")


class UpdateExam(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields to change; those left out stay."""

    title: Title | UnsetType = UNSET
    duration_minutes: Minutes | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=20_000, pattern=NO_NUL)] | UnsetType = UNSET
    subject: Text200 | UnsetType = UNSET
    topic: Text200 | UnsetType = UNSET
    max_score: Annotated[float, Meta(ge=0.01, le=SCORE_MAX)] | UnsetType = UNSET
    passing_score: exams.Points | UnsetType = UNSET
    enable_monitoring: bool | UnsetType = UNSET
    enable_integrity_analysis: bool | UnsetType = UNSET
    metadata: Document | UnsetType = UNSET
    evaluation_version_id: UUID | UnsetType | None = UNSET


async def update(
    conn: Connection, actor: Actor, exam_id: UUID, command: UpdateExam, *, now: datetime
) -> Exam:
    """
    Change some fields of an exam; attempts that run keep the policy that they began under.

    Raises:
        NotFoundError: it is not visible to the caller.
        ForbiddenError: it is, and they may only look at it.
        ConflictError: it is archived, or what scores rest on would change under attempts.
        InvalidInputError: a value is not allowed, or the evaluation is not theirs to use.
    """
    given = msgspec.structs.asdict(command)
    changes = {name: value for name, value in given.items() if value is not UNSET}
    metadata = stored_document(command.metadata, "metadata", exams.METADATA_BYTES_MAX)
    async with conn.transaction():
        before = await _hold(conn, actor, exam_id)
        if before.archived_at is not None:
            raise ConflictError("The exam is archived.")
        after = msgspec.structs.replace(before, **changes)
        exams.check_scale(after.passing_score, after.max_score)
        fixed = [name for name in FIXED if getattr(before, name) != getattr(after, name)]
        if fixed and await conn.fetchval(QUERIES["has_attempts"], exam_id):
            raise ConflictError(f"Candidates have begun: {', '.join(fixed)} cannot change any more.")
        if after.evaluation_version_id not in {None, before.evaluation_version_id}:
            assert after.evaluation_version_id is not None, "excluded above"
            await exams.require_version(conn, actor, after.evaluation_version_id)
        row = await conn.fetchrow(
            QUERIES["update_exam"],
            exam_id,
            after.title,
            after.description,
            after.subject,
            after.topic,
            after.max_score,
            after.duration_minutes,
            after.passing_score,
            after.enable_monitoring,
            after.enable_integrity_analysis,
            metadata,
            after.evaluation_version_id,
        )
        assert row is not None, "the exam is held"
        if Exam(**row) != before:
            await _record(conn, actor, exam_id, Kind.exam_updated, {"fields": sorted(changes)}, now)
    return Exam(**row)


async def set_published(
    conn: Connection, actor: Actor, exam_id: UUID, *, published: bool, now: datetime
) -> Exam:
    """
    Open an exam to candidates, or close it to new attempts; doing so twice changes nothing.

    Raises:
        ConflictError: it is archived; and what `exams.require_editable` raises.
    """
    async with conn.transaction():
        before = await _hold(conn, actor, exam_id)
        if published and before.archived_at is not None:
            raise ConflictError("The exam is archived.")
        if before.is_published == published:
            return before
        row = await conn.fetchrow(QUERIES["set_published"], exam_id, published, now)
        assert row is not None, "the exam is held"
        version = None if before.evaluation_version_id is None else str(before.evaluation_version_id)
        kind = Kind.exam_published if published else Kind.exam_unpublished
        await _record(conn, actor, exam_id, kind, {"evaluation_version_id": version}, now)
    return Exam(**row)


async def archive(conn: Connection, actor: Actor, exam_id: UUID, *, now: datetime) -> Exam:
    """Close an exam for good; attempts that run go on. Raises what `exams.require_editable` raises."""
    async with conn.transaction():
        before = await _hold(conn, actor, exam_id)
        if before.archived_at is not None:
            return before
        row = await conn.fetchrow(QUERIES["archive_exam"], exam_id, now)
        assert row is not None, "the exam is held"
        await _record(conn, actor, exam_id, Kind.exam_archived, {}, now)
    return Exam(**row)


async def _hold(conn: Connection, actor: Actor, exam_id: UUID) -> Exam:
    await exams.require_editable(conn, actor, exam_id)
    row = await conn.fetchrow(QUERIES["hold_exam"], exam_id)
    assert row is not None, "exams are never deleted"
    return Exam(**row)


async def _record(
    conn: Connection, actor: Actor, exam_id: UUID, kind: str, payload: dict[str, Any], now: datetime
) -> None:
    await ledger.record(
        conn,
        ledger.by(actor, kind, exam_id, now=now, detail=payload),
    )
