"""
Groups of people, to assign exams to (spec.md A-5).
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page
from core_api.ledger import entries as ledger
from core_api.wire import NO_NUL, ListPage, Page, Text1000
from kernel.errors import ConflictError, InvalidInputError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("groups")
MEMBERS_MAX: Final = 10_000

GroupName = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]


class NewGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group to create."""

    name: GroupName
    description: Text1000 = ""


class UpdateGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: GroupName | UnsetType = UNSET
    description: Text1000 | UnsetType = UNSET


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group, and how many belong to it."""

    id: UUID
    name: str
    description: str
    created_at: datetime
    members: int


class Groups(Page, frozen=True):
    """A page of groups, newest first; `next_cursor` is null on the last page."""

    groups: list[Group]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody of a group."""

    id: UUID
    email: str
    username: str
    full_name: str
    role: Role
    is_active: bool
    added_at: datetime


class Members(Page, frozen=True):
    """A page of members, by id; `next_cursor` is null on the last page."""

    members: list[Member]


class AddMembers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People to add; who is a member already stays one."""

    user_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MEMBERS_MAX)]


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """How many were no members before."""

    added: int


async def create(conn: Connection, actor: Actor, command: NewGroup, *, now: datetime) -> Group:
    """Create a group; raises ConflictError when the organisation has one of that name."""
    async with conn.transaction():
        group_id = await QUERIES.run(
            conn.fetchval,
            "insert_group",
            id=uuid7(),
            organisation=actor.organisation_id,
            **msgspec.structs.asdict(command),
            created_at=now,
        )
        if group_id is None:
            raise _taken()
        await ledger.record(conn, ledger.by(actor, Kind.group_created, group_id, now=now))
        return await fetch(conn, actor, group_id)


async def fetch(conn: Connection, actor: Actor, group_id: UUID) -> Group:
    """Return a group of the organisation; raises NotFoundError."""
    return Group(**await fetch_one(conn, "group", QUERIES["fetch_group"], group_id, actor.organisation_id))


async def list_of_organisation(conn: Connection, actor: Actor, query: ListPage) -> Groups:
    """Return a page of the organisation's groups."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_groups", organisation=actor.organisation_id
    )
    return Groups([Group(**row) for row in page], next_cursor=following)


async def update(
    conn: Connection, actor: Actor, group_id: UUID, command: UpdateGroup, *, now: datetime
) -> Group:
    """Rename or describe a group; raises NotFoundError, or ConflictError when the name is taken."""
    name = None if command.name is UNSET else command.name
    description = None if command.description is UNSET else command.description
    try:
        async with conn.transaction():
            await _hold(conn, actor, group_id)
            before = await fetch(conn, actor, group_id)
            await conn.execute(QUERIES["update_group"], group_id, name, description)
            after = await fetch(conn, actor, group_id)
            detail = {"renamed": name is not None, "described": description is not None}
            if after != before:
                await ledger.record(
                    conn, ledger.by(actor, Kind.group_updated, group_id, now=now, detail=detail)
                )
            return after
    except asyncpg.UniqueViolationError as error:
        raise _taken() from error


async def delete(conn: Connection, actor: Actor, group_id: UUID, *, now: datetime) -> None:
    """
    Delete a group with its memberships.

    Raises:
        NotFoundError: not of the organisation.
        ConflictError: something still refers to it.
    """
    try:
        async with conn.transaction():
            await _hold(conn, actor, group_id)
            members = await conn.fetch(QUERIES["remove_members"], group_id)
            await conn.execute(QUERIES["delete_group"], group_id)
            left = _of_each(members, actor, Kind.group_member_removed, group_id, now)
            await ledger.record(conn, *left, ledger.by(actor, Kind.group_deleted, group_id, now=now))
    except asyncpg.ForeignKeyViolationError as error:
        raise ConflictError(
            "An exam was assigned to the group or compares it, so it cannot be deleted."
        ) from error


async def list_members(conn: Connection, actor: Actor, group_id: UUID, query: ListPage) -> Members:
    """Return a page of a group's members; raises NotFoundError."""
    await fetch(conn, actor, group_id)
    page, following = await fetch_page(conn, query, QUERIES, "list_members", group_id=group_id)
    return Members([Member(**row) for row in page], next_cursor=following)


async def add_members(
    conn: Connection, actor: Actor, group_id: UUID, command: AddMembers, *, now: datetime
) -> Added:
    """
    Add people of the organisation to a group.

    Raises:
        NotFoundError: no such group.
        InvalidInputError: somebody is not of the organisation; nobody was added.
    """
    async with conn.transaction():
        await _hold(conn, actor, group_id)
        rows = await conn.fetch(QUERIES["find_members"], actor.organisation_id, command.user_ids)
        known = {row["id"] for row in rows}
        unknown = [n for n, user_id in enumerate(command.user_ids) if user_id not in known]
        if unknown:
            raise InvalidInputError(
                "Somebody is not of your organisation; nobody was added.",
                errors=[{"path": f"user_ids[{n}]", "message": "no such person"} for n in unknown[:100]],
            )
        added = await conn.fetch(QUERIES["add_members"], group_id, sorted(known), now)
        await ledger.record(conn, *_of_each(added, actor, Kind.group_member_added, group_id, now))
    return Added(added=len(added))


def _of_each(
    members: list[asyncpg.Record], actor: Actor, kind: str, group_id: UUID, now: datetime
) -> list[ledger.Entry]:
    return [ledger.by(actor, kind, group_id, now=now, subject_id=row["user_id"]) for row in members]


async def remove_member(
    conn: Connection, actor: Actor, group_id: UUID, user_id: UUID, *, now: datetime
) -> None:
    """Take somebody out of a group; raises NotFoundError when there is no such group or member."""
    async with conn.transaction():
        await _hold(conn, actor, group_id)
        await fetch_one(conn, "member", QUERIES["remove_member"], group_id, user_id)
        await ledger.record(
            conn, ledger.by(actor, Kind.group_member_removed, group_id, now=now, subject_id=user_id)
        )


async def _hold(conn: Connection, actor: Actor, group_id: UUID) -> None:
    await fetch_one(conn, "group", QUERIES["hold_group"], group_id, actor.organisation_id)


def _taken() -> ConflictError:
    return ConflictError("The organisation has a group of that name.")
