"""
Which teachers, reviewers and observers reach an exam that they did not create (spec.md A-4, A-5).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page
from core_api.ledger import entries as ledger
from core_api.wire import ListPage, Page, invalid
from kernel.events import Role
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("permissions")
ACCOUNTS: Final = named("accounts")
FLAGS: Final = ("can_view", "can_edit", "can_manage_students", "can_adjudicate", "can_view_analytics")


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Whom to let do what with an exam; a second grant to the same person replaces the first. A teacher with
    `can_manage_students` says who takes it: assigns it, takes it back, makes exceptions and launch links.
    Who has `can_edit` may do that as well, and changes the exam itself. A teacher or reviewer with
    `can_adjudicate` decides where two reviewers differ (the exam's `double_review`), and sees how far they
    agree.
    """

    user_id: UUID
    can_view: bool = True
    can_edit: bool = False
    can_manage_students: bool = False
    can_adjudicate: bool = False
    can_view_analytics: bool = False


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may do with an exam."""

    exam_id: UUID
    user_id: UUID
    email: str
    full_name: str
    role: Role
    can_view: bool
    can_edit: bool
    can_manage_students: bool
    can_adjudicate: bool
    can_view_analytics: bool
    granted_at: datetime


class Permissions(Page, frozen=True):
    """A page of an exam's permissions, by user id; `next_cursor` is null on the last page."""

    permissions: list[Permission]


async def list_of_exam(conn: Connection, actor: Actor, exam_id: UUID, query: ListPage) -> Permissions:
    """Return a page of who was granted an exam of the organisation; raises NotFoundError."""
    await _require_exam(conn, actor, exam_id)
    page, following = await fetch_page(
        conn, query, QUERIES, "list_permissions", exam_id=exam_id, key="user_id"
    )
    return Permissions([Permission(**row) for row in page], next_cursor=following)


async def grant(
    conn: Connection, actor: Actor, exam_id: UUID, command: Grant, *, now: datetime
) -> Permission:
    """
    Let a teacher, reviewer or observer of the organisation reach one of its exams.

    Raises:
        NotFoundError: no such exam.
        InvalidInputError: the user is no teacher, reviewer or observer here, or may not even look.
    """
    detail = {name: getattr(command, name) for name in FLAGS}
    if not command.can_view and any(detail.values()):
        raise invalid("can_view", "must be true for whoever may do anything else with the exam")
    async with conn.transaction():
        await _require_exam(conn, actor, exam_id)
        if await conn.fetchval(QUERIES["find_grantee"], command.user_id, actor.organisation_id) is None:
            raise invalid("user_id", "no teacher, reviewer or observer of your organisation")
        before = await conn.fetchrow(QUERIES["fetch_permission"], exam_id, command.user_id)
        await ACCOUNTS.run(conn.execute, "grant_exam", teacher_id=command.user_id, exam_id=exam_id, **detail)
        row = await conn.fetchrow(QUERIES["fetch_permission"], exam_id, command.user_id)
        if before is None or any(before[name] != value for name, value in detail.items()):
            whom, kind = command.user_id, Kind.permission_granted
            await ledger.record(
                conn, ledger.by(actor, kind, exam_id, now=now, subject_id=whom, detail=detail)
            )
    assert row is not None, "it was written in this transaction"
    return Permission(**row)


async def revoke(conn: Connection, actor: Actor, exam_id: UUID, user_id: UUID, *, now: datetime) -> None:
    """Take a permission back; raises NotFoundError when there is no such exam or permission."""
    async with conn.transaction():
        await _require_exam(conn, actor, exam_id)
        await fetch_one(conn, "permission", QUERIES["revoke_exam"], exam_id, user_id)
        await ledger.record(
            conn, ledger.by(actor, Kind.permission_revoked, exam_id, now=now, subject_id=user_id)
        )


async def _require_exam(conn: Connection, actor: Actor, exam_id: UUID) -> None:
    await fetch_one(conn, "exam", QUERIES["find_exam"], exam_id, actor.organisation_id)
