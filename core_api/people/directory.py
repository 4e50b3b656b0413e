"""
The organisation's directory: students and groups, for whoever assigns an exam to them (spec.md A-8).

It shows what telling one from another takes: name, address, groups. Locked accounts, who is no student, and
what else is kept of a person are not in it.
"""

from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_page
from core_api.people import groups
from core_api.wire import NO_NUL, ListPage, Page
from sql import named

QUERIES: Final = named("directory")

Beginnings = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=NO_NUL,
        description="Each word begins a word of the name, or the address; any case, with or without accents.",
    ),
]


class GroupOf(msgspec.Struct, frozen=True, kw_only=True):
    """A group that somebody belongs to."""

    id: UUID
    name: str


class Student(msgspec.Struct, frozen=True, kw_only=True):
    """A student who can be assigned an exam, with their first twenty groups by name."""

    id: UUID
    full_name: str
    email: str
    groups: list[GroupOf]


class Students(Page, frozen=True):
    """A page of students, by name; `next_cursor` is null on the last page."""

    students: list[Student]


class FindStudents(ListPage, frozen=True):
    """Which students."""

    q: Beginnings | None = None
    group: Annotated[UUID, Meta(description="Only members of this group.")] | None = None


class FindInGroup(ListPage, frozen=True):
    """Which students of a group."""

    q: Beginnings | None = None


class GroupToAssign(msgspec.Struct, frozen=True, kw_only=True):
    """A group, and how many active students an assignment to it reaches."""

    id: UUID
    name: str
    description: str
    students: int


class GroupsToAssign(Page, frozen=True):
    """A page of groups, by name; `next_cursor` is null on the last page."""

    groups: list[GroupToAssign]


class FindGroups(ListPage, frozen=True):
    """Which groups."""

    q: (
        Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL, description="In the name.")] | None
    ) = None


async def find_students(conn: Connection, actor: Actor, query: FindStudents) -> Students:
    """Return a page of the organisation's active students."""
    page, following = await page_of_students(conn, actor, query, q=query.q, group=query.group)
    return Students([_student(row) for row in page], next_cursor=following)


async def students_of_group(conn: Connection, actor: Actor, group_id: UUID, query: FindInGroup) -> Students:
    """Return a page of a group's active students; raises NotFoundError."""
    await groups.fetch(conn, actor, group_id)
    page, following = await page_of_students(conn, actor, query, q=query.q, group=group_id)
    return Students([_student(row) for row in page], next_cursor=following)


async def page_of_students(
    conn: Connection, actor: Actor, query: ListPage, *, q: str | None, group: UUID | None
) -> tuple[list[asyncpg.Record], UUID | None]:
    """Return rows of active students, and the next page's cursor; each filter has the plan that it needs."""
    page = ListPage(limit=query.limit, cursor=query.cursor)
    given: dict[str, Any] = {"organisation": actor.organisation_id}
    if q is not None and q.strip():
        return await fetch_page(conn, page, QUERIES, "search_students", **given, q=q, group=group)
    if group is not None:
        return await fetch_page(conn, page, QUERIES, "list_students_of_group", **given, group=group)
    return await fetch_page(conn, page, QUERIES, "list_students", **given)


def _student(row: asyncpg.Record) -> Student:
    of = zip(row["group_ids"], row["group_names"], strict=True)
    return Student(
        id=row["id"],
        full_name=row["full_name"],
        email=row["email"],
        groups=[GroupOf(id=group_id, name=name) for group_id, name in of],
    )


async def find_groups(conn: Connection, actor: Actor, query: FindGroups) -> GroupsToAssign:
    """Return a page of the organisation's groups."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_groups_to_assign", organisation=actor.organisation_id
    )
    return GroupsToAssign([GroupToAssign(**row) for row in page], next_cursor=following)
