"""
Exams: made, changed, opened and closed to candidates, archived (spec.md E-2).

What scores rest on (the evaluation, the scale) is fixed once somebody has started.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.authoring.content import Title
from core_api.database import Connection, fetch_one, fetch_page
from core_api.ledger import entries as ledger
from core_api.wire import (
    NO_NUL,
    Document,
    ListPage,
    Page,
    ShownDocument,
    Text200,
    invalid,
    stored_document,
)
from kernel.errors import ConflictError, ForbiddenError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("exams")
EVALUATIONS: Final = named("evaluations")
METADATA_BYTES_MAX: Final = 64 << 10
MINUTES_MAX: Final = 30 * 24 * 60  # an exam that is taken home; as the tables have it
SCORE_MAX: Final = 99_999_999.99  # numeric(10, 2)
FIXED: Final = ("evaluation_version_id", "max_score", "passing_score")
CAN: Final = ("can_edit", "can_manage_students", "can_adjudicate", "can_view_analytics")

Points = Annotated[float, Meta(ge=0, le=SCORE_MAX)]
MaxScore = Annotated[float, Meta(ge=0.01, le=SCORE_MAX)]
Minutes = Annotated[int, Meta(ge=1, le=MINUTES_MAX, description="Minutes, up to 30 days.")]
Description = Annotated[str, Meta(max_length=20_000, pattern=NO_NUL)]
DoubleReview = Annotated[
    bool,
    Meta(description="Two people review each proctor session, blind; where they disagree a third decides."),
]

ComparedGroup = Annotated[
    UUID,
    Meta(
        description="`focal_group_id` is compared with `reference_group_id`: whether items are harder for its"
        " members than for others who do as well. Both, or neither; staff alone see it."
    ),
]


class NewExam(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exam to create, unpublished. `passing_score` is half of `max_score` unless given."""

    title: Title
    duration_minutes: Minutes
    description: Description = ""
    subject: Text200 = ""
    topic: Text200 = ""
    max_score: MaxScore = 100.0
    passing_score: Points | None = None
    enable_monitoring: bool = True
    enable_integrity_analysis: bool = True
    double_review: DoubleReview = False
    metadata: Document | UnsetType = UNSET
    evaluation_version_id: UUID | None = None
    reference_group_id: ComparedGroup | None = None
    focal_group_id: ComparedGroup | None = None


class UpdateExam(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields to change; those left out stay."""

    title: Title | UnsetType = UNSET
    duration_minutes: Minutes | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    subject: Text200 | UnsetType = UNSET
    topic: Text200 | UnsetType = UNSET
    max_score: MaxScore | UnsetType = UNSET
    passing_score: Points | UnsetType = UNSET
    enable_monitoring: bool | UnsetType = UNSET
    enable_integrity_analysis: bool | UnsetType = UNSET
    double_review: DoubleReview | UnsetType = UNSET
    metadata: Document | UnsetType = UNSET
    evaluation_version_id: UUID | UnsetType | None = UNSET
    reference_group_id: ComparedGroup | UnsetType | None = UNSET
    focal_group_id: ComparedGroup | UnsetType | None = UNSET


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
    double_review: DoubleReview
    reference_group_id: ComparedGroup | None
    focal_group_id: ComparedGroup | None


class ShownExam(Exam, frozen=True, kw_only=True):
    """
    An exam, and what the caller may do with it beside looking. Whoever may change it is told which evaluation
    its version is of: there the questions are.
    """

    evaluation_id: UUID | None
    can_edit: bool
    can_manage_students: bool
    can_adjudicate: bool
    can_view_analytics: bool


class Exams(Page, frozen=True):
    """A page of exams, newest first; `next_cursor` is null on the last page."""

    exams: list[Exam]


class ListExams(ListPage, frozen=True):
    """Which exams."""

    archived: Annotated[bool, Meta(description="Archived ones too.")] = False


async def create(conn: Connection, actor: Actor, command: NewExam, *, now: datetime) -> Exam:
    """
    Create an exam owned by the caller.

    Raises:
        InvalidInputError: the passing score is over the maximum, the metadata is too large, or the groups are
            not two of the organisation.
    """
    passing = command.max_score / 2 if command.passing_score is None else command.passing_score
    check_scale(passing, command.max_score)
    metadata = stored_document(command.metadata, "metadata", METADATA_BYTES_MAX) or "{}"
    if command.evaluation_version_id is not None:
        await require_version(conn, actor, command.evaluation_version_id)
    async with conn.transaction():
        await _check_groups(conn, actor, command.reference_group_id, command.focal_group_id)
        row = await QUERIES.run(
            conn.fetchrow,
            "insert_exam",
            **msgspec.structs.asdict(command) | {"passing_score": passing, "metadata": metadata},
            id=uuid7(),
            organisation=actor.organisation_id,
            creator_id=actor.user_id,
            created_at=now,
        )
        assert row is not None, "an insert without a conflict clause returns its row"
        await ledger.record(conn, ledger.by(actor, Kind.exam_created, row["id"], now=now))
    return Exam(**row)


async def update(
    conn: Connection, actor: Actor, exam_id: UUID, command: UpdateExam, *, now: datetime
) -> Exam:
    """
    Change some fields of an exam; attempts that run keep the policy that they began under.

    Raises:
        NotFoundError: it is not visible to the caller.
        ForbiddenError: it is, and they may only look at it.
        ConflictError: it is archived, or what scores rest on would change under attempts.
        InvalidInputError: a value is not allowed, the evaluation is not theirs to use, or the groups are not
            two of the organisation.
    """
    given = msgspec.structs.asdict(command)
    changes = {name: value for name, value in given.items() if value is not UNSET}
    metadata = stored_document(command.metadata, "metadata", METADATA_BYTES_MAX)
    async with conn.transaction():
        before = await _hold(conn, actor, exam_id)
        if before.archived_at is not None:
            raise ConflictError("The exam is archived and cannot be changed or opened.")
        after = msgspec.structs.replace(before, **changes)
        check_scale(after.passing_score, after.max_score)
        fixed = [name for name in FIXED if getattr(before, name) != getattr(after, name)]
        if fixed and await conn.fetchval(QUERIES["has_begun"], exam_id):
            raise ConflictError(
                f"Somebody has begun or was observed, so this cannot change any more: {', '.join(fixed)}."
            )
        if after.evaluation_version_id not in {None, before.evaluation_version_id}:
            assert after.evaluation_version_id is not None, "excluded above"
            await require_version(conn, actor, after.evaluation_version_id)
        groups = after.reference_group_id, after.focal_group_id
        if groups != (before.reference_group_id, before.focal_group_id):
            await _check_groups(conn, actor, *groups)
        row = await QUERIES.run(
            conn.fetchrow,
            "update_exam",
            id=exam_id,
            **{name: getattr(after, name) for name in given if name != "metadata"},
            metadata=metadata,
        )
        assert row is not None, "the exam is held"
        if Exam(**row) != before:
            detail = {"fields": sorted(changes)}
            await ledger.record(conn, ledger.by(actor, Kind.exam_updated, exam_id, now=now, detail=detail))
    return Exam(**row)


async def set_published(
    conn: Connection, actor: Actor, exam_id: UUID, *, published: bool, now: datetime
) -> Exam:
    """
    Open an exam to candidates, or close it to new attempts; doing so twice changes nothing.

    Raises:
        NotFoundError: it is not visible to the caller.
        ForbiddenError: it is, and they may only look at it.
        ConflictError: it is archived.
    """
    async with conn.transaction():
        before = await _hold(conn, actor, exam_id)
        if published and before.archived_at is not None:
            raise ConflictError("The exam is archived and cannot be changed or opened.")
        if before.is_published == published:
            return before
        row = await conn.fetchrow(QUERIES["set_published"], exam_id, published, now)
        assert row is not None, "the exam is held"
        version = None if before.evaluation_version_id is None else str(before.evaluation_version_id)
        kind = Kind.exam_published if published else Kind.exam_unpublished
        detail = {"evaluation_version_id": version}
        await ledger.record(conn, ledger.by(actor, kind, exam_id, now=now, detail=detail))
    return Exam(**row)


async def archive(conn: Connection, actor: Actor, exam_id: UUID, *, now: datetime) -> Exam:
    """Close an exam for good; attempts that run go on. Raises NotFoundError, ForbiddenError."""
    async with conn.transaction():
        before = await _hold(conn, actor, exam_id)
        if before.archived_at is not None:
            return before
        row = await conn.fetchrow(QUERIES["archive_exam"], exam_id, now)
        assert row is not None, "the exam is held"
        await ledger.record(conn, ledger.by(actor, Kind.exam_archived, exam_id, now=now))
    return Exam(**row)


async def _hold(conn: Connection, actor: Actor, exam_id: UUID) -> Exam:
    await require_editable(conn, actor, exam_id)
    row = await conn.fetchrow(QUERIES["hold_exam"], exam_id)
    assert row is not None, "exams are never deleted"
    return Exam(**row)


def check_scale(passing_score: float, max_score: float) -> None:
    """Check that the passing score is on the exam's scale; raises InvalidInputError when it is above."""
    if passing_score > max_score:
        raise invalid("passing_score", f"at most max_score ({max_score:g})")


async def _check_groups(conn: Connection, actor: Actor, reference: UUID | None, focal: UUID | None) -> None:
    """Check that two groups may be compared; raises InvalidInputError, which names the one that may not."""
    if (reference is None) != (focal is None):
        raise invalid("focal_group_id", "both groups or neither")
    if reference is None:
        return
    if reference == focal:
        raise invalid("focal_group_id", "another group than reference_group_id")
    found = {
        row["id"]
        for row in await conn.fetch(QUERIES["list_compared"], [reference, focal], actor.organisation_id)
    }
    for name, group in (("reference_group_id", reference), ("focal_group_id", focal)):
        if group not in found:
            raise invalid(name, "no group of your organisation")


async def require_version(conn: Connection, actor: Actor, evaluation_version_id: UUID) -> None:
    """Check that the version is published and the caller may use it; raises InvalidInputError if not."""
    wanted = EVALUATIONS.bind("find_usable_version", id=evaluation_version_id, **actor.reach)
    if await conn.fetchval(*wanted) is None:
        raise invalid("evaluation_version_id", "no published evaluation that you may use")


async def fetch(conn: Connection, actor: Actor, exam_id: UUID) -> Exam:
    """Return an exam; raises NotFoundError when the caller may not see it."""
    return Exam(**await fetch_one(conn, "exam", *QUERIES.bind("fetch_exam", id=exam_id, **actor.reach)))


async def fetch_shown(conn: Connection, actor: Actor, exam_id: UUID) -> ShownExam:
    """Return an exam with what the caller may do; raises NotFoundError when they may not see it."""
    exam, allowed = await fetch(conn, actor, exam_id), await require_visible(conn, actor, exam_id)
    may = {name: allowed[name] for name in CAN}
    evaluation_id = None
    if may["can_edit"] and exam.evaluation_version_id is not None:
        evaluation_id = await conn.fetchval(EVALUATIONS["find_evaluation"], exam.evaluation_version_id)
    return ShownExam(**msgspec.structs.asdict(exam), evaluation_id=evaluation_id, **may)


async def list_visible(conn: Connection, actor: Actor, query: ListExams) -> Exams:
    """Return a page of the exams that the caller may see."""
    page, following = await fetch_page(conn, query, QUERIES, "list_exams", **actor.reach)
    return Exams([Exam(**row) for row in page], next_cursor=following)


async def require_visible(conn: Connection, actor: Actor, exam_id: UUID) -> asyncpg.Record:
    """Return an exam's row with what the caller may do; raises NotFoundError when they may not see it."""
    return await fetch_one(conn, "exam", *QUERIES.bind("fetch_exam_for_staff", id=exam_id, **actor.reach))


async def require_analysed(conn: Connection, actor: Actor, exam_id: UUID) -> asyncpg.Record:
    """
    Return an exam's row where the caller may see its analytics.

    Raises:
        NotFoundError: it is not visible to them.
        ForbiddenError: it is, without its analytics.
    """
    row = await require_visible(conn, actor, exam_id)
    if not row["can_view_analytics"]:
        raise ForbiddenError("You may look at this exam, but not at its analytics.")
    return row


async def require_editable(conn: Connection, actor: Actor, exam_id: UUID) -> None:
    """
    Check that the caller may edit the exam.

    Raises:
        NotFoundError: it is not visible to them.
        ForbiddenError: it is, and they may only look at it.
    """
    row = await require_visible(conn, actor, exam_id)
    if not row["can_edit"]:
        raise ForbiddenError("You may look at this exam, but not change it.")


async def require_students_managed(conn: Connection, actor: Actor, exam_id: UUID) -> None:
    """
    Check that the caller may say who takes the exam.

    Raises:
        NotFoundError: it is not visible to them.
        ForbiddenError: it is, and its students are not theirs to manage.
    """
    row = await require_visible(conn, actor, exam_id)
    if not row["can_manage_students"]:
        raise ForbiddenError("You may look at this exam, but not say who takes it.")
