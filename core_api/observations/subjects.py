"""
What is observed and is no person: rooms, machines, teams, in the organisation's own words (spec.md M-4).

An administrator keeps them; observers find them. One that is not active any more is named by no new
observation, and stays in the old ones.
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
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("subjects")

SubjectName = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
Category = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]


class NewSubject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subject to create; `category` says what it is: a room, a machine, a team."""

    name: SubjectName
    category: Category
    description: Text1000 = ""


class UpdateSubject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: SubjectName | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    description: Text1000 | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class ObservableSubject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject that is no person."""

    id: UUID
    name: str
    category: str
    description: str
    is_active: bool
    created_at: datetime


class ObservableSubjects(Page, frozen=True):
    """A page of subjects, newest first; `next_cursor` is null on the last page."""

    subjects: list[ObservableSubject]


class ListSubjects(ListPage, frozen=True):
    """Which subjects."""

    category: Annotated[Category, Meta(description="Only those of this category, any case.")] | None = None
    active: Annotated[bool, Meta(description="Only those that are active, or are not.")] | None = None


async def create(conn: Connection, actor: Actor, command: NewSubject, *, now: datetime) -> ObservableSubject:
    """Create a subject; raises ConflictError when the organisation has one of that category and name."""
    async with conn.transaction():
        subject_id = await QUERIES.run(
            conn.fetchval,
            "insert_subject",
            id=uuid7(),
            organisation=actor.organisation_id,
            **msgspec.structs.asdict(command),
            created_by=actor.user_id,
            created_at=now,
        )
        if subject_id is None:
            raise _taken()
        await ledger.record(conn, ledger.by(actor, Kind.subject_created, subject_id, now=now))
        return await fetch(conn, actor, subject_id)


async def fetch(conn: Connection, actor: Actor, subject_id: UUID) -> ObservableSubject:
    """Return a subject of the organisation; raises NotFoundError."""
    wanted = QUERIES["fetch_subject"], subject_id, actor.organisation_id
    return ObservableSubject(**await fetch_one(conn, "subject", *wanted))


async def list_of_organisation(conn: Connection, actor: Actor, query: ListSubjects) -> ObservableSubjects:
    """Return a page of the organisation's subjects that are no people."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_subjects", organisation=actor.organisation_id
    )
    return ObservableSubjects([ObservableSubject(**row) for row in page], next_cursor=following)


async def update(
    conn: Connection, actor: Actor, subject_id: UUID, command: UpdateSubject, *, now: datetime
) -> ObservableSubject:
    """Change a subject; raises NotFoundError, or ConflictError when the name is taken."""
    given = msgspec.structs.asdict(command)
    changes = {name: None if value is UNSET else value for name, value in given.items()}
    try:
        async with conn.transaction():
            await fetch_one(conn, "subject", QUERIES["hold_subject"], subject_id, actor.organisation_id)
            before = await fetch(conn, actor, subject_id)
            await QUERIES.run(conn.execute, "update_subject", id=subject_id, **changes)
            after = await fetch(conn, actor, subject_id)
            if after != before:
                await ledger.record(conn, ledger.by(actor, Kind.subject_updated, subject_id, now=now))
            return after
    except asyncpg.UniqueViolationError as error:
        raise _taken() from error


def _taken() -> ConflictError:
    return ConflictError("The organisation has a subject of that category and name.")
