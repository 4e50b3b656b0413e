"""
What was planned for a school's people, written: a few hundred rows a transaction, each with its event.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.csv_files import LineFault
from core_api.database import Connection
from core_api.identity.accounts import username_of
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Personal
from core_api.people.matching import Groups, Membership, Named, People, Profile
from core_api.people.roster import Person
from kernel.errors import ConflictError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from sql import named

T = TypeVar("T")

QUERIES: Final = named("roster")
HELD: Final = named("users")
ROWS: Final = 250  # of one transaction: each has its event, and the loop turns between two of them


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done."""

    people: People
    groups: Groups
    joined: list[Membership]
    parted: list[Membership]
    faults: list[LineFault]


async def insert_people(
    conn: Connection, actor: Actor, people: Sequence[tuple[UUID, Person]], *, now: datetime
) -> list[asyncpg.Record]:
    """Insert people under the ids given; return the ids of those whose address and sourcedId were free."""
    return await QUERIES.run(
        conn.fetch,
        "insert_people",
        organisation=actor.organisation_id,
        ids=[user_id for user_id, _ in people],
        emails=[each.email for _, each in people],
        usernames=[username_of(each.email, user_id) for user_id, each in people],
        full_names=[each.full_name for _, each in people],
        roles=[_role_of(each).value for _, each in people],
        sources=[each.source_id for _, each in people],
        created_at=now,
    )


def _role_of(person: Person) -> Role:
    return person.role or Role.student


@asynccontextmanager
async def held(conn: Connection, actor: Actor) -> AsyncIterator[None]:
    """Begin a transaction that alone writes the organisation's people in bulk, until it ends."""
    async with conn.transaction():
        await conn.execute(HELD["hold_organisation"], actor.organisation_id)
        yield


async def write(conn: Connection, actor: Actor, plan: Plan, *, now: datetime) -> None:
    """Do what is planned, some rows a transaction; raises ConflictError where somebody was faster."""
    try:
        for made in parts(plan.people.created):
            async with held(conn, actor):
                await _create(conn, actor, made, now=now)
        for changed in parts(plan.people.updated):
            async with held(conn, actor):
                await _rename(conn, actor, changed, "update_people", Kind.user_updated, now=now)
        for profiles in parts(plan.people.profiles):
            async with held(conn, actor):
                await _keep_profiles(conn, actor, profiles, now=now)
        for groups in parts(plan.groups.created):
            async with held(conn, actor):
                await _create_groups(conn, actor, groups, now=now)
        for groups in parts(plan.groups.updated):
            async with held(conn, actor):
                await _rename(conn, actor, groups, "update_classes", Kind.group_updated, now=now)
        for pairs in parts(sorted(plan.joined)):
            async with held(conn, actor):
                joined = await QUERIES.run(
                    conn.fetch,
                    "insert_memberships",
                    groups=[group_id for group_id, _ in pairs],
                    users=[user_id for _, user_id in pairs],
                    added_at=now,
                )
                await _record_members(conn, actor, Kind.group_member_added, joined, now=now)
        for pairs in parts(plan.parted):
            async with held(conn, actor):
                parted = await conn.fetch(
                    QUERIES["delete_memberships"], [each for each, _ in pairs], [each for _, each in pairs]
                )
                await _record_members(conn, actor, Kind.group_member_removed, parted, now=now)
    except (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError) as error:
        raise _faster() from error


def _faster() -> ConflictError:
    return ConflictError("Somebody else changed the same meanwhile; send the files again to complete it.")


def parts(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    """Return the rows in parts, each for one transaction."""
    return (rows[first : first + ROWS] for first in range(0, len(rows), ROWS))


async def _create(
    conn: Connection, actor: Actor, made: Sequence[tuple[UUID, Person]], *, now: datetime
) -> None:
    if len(await insert_people(conn, actor, made, now=now)) < len(made):
        raise _faster()
    students = [
        Profile(user_id=user_id, enrollment_id=each.enrollment_id, cohort=each.cohort)
        for user_id, each in made
        if _role_of(each) is Role.student
    ]
    await _upsert_profiles(conn, students)
    created = [
        ledger.by(
            actor,
            Kind.user_created,
            user_id,
            now=now,
            subject_id=user_id,
            detail={"role": _role_of(each), "imported": True},
            personal={"email": Personal(each.email, user_id)},
        )
        for user_id, each in made
    ]
    told = [each for each in students if each.enrollment_id or each.cohort]
    await ledger.record(conn, *created, *_about_profiles(actor, told, now))


async def _keep_profiles(
    conn: Connection, actor: Actor, profiles: Sequence[Profile], *, now: datetime
) -> None:
    await _upsert_profiles(conn, profiles)
    await ledger.record(conn, *_about_profiles(actor, profiles, now))


async def _upsert_profiles(conn: Connection, profiles: Sequence[Profile]) -> None:
    await QUERIES.run(
        conn.execute,
        "upsert_student_profiles",
        new_ids=[uuid7() for _ in profiles],
        user_ids=[each.user_id for each in profiles],
        enrollment_ids=[each.enrollment_id for each in profiles],
        cohorts=[each.cohort for each in profiles],
    )


def _about_profiles(actor: Actor, profiles: Sequence[Profile], now: datetime) -> list[ledger.Entry]:
    fields = ("cohort", "enrollment_id")
    return [
        ledger.by(
            actor,
            Kind.student_profile_updated,
            each.user_id,
            now=now,
            subject_id=each.user_id,
            detail={"fields": [name for name in fields if getattr(each, name)]},
        )
        for each in profiles
    ]


async def _create_groups(conn: Connection, actor: Actor, made: Sequence[Named], *, now: datetime) -> None:
    rows = await QUERIES.run(conn.fetch, "insert_classes", **_columns(actor, made, "names"), created_at=now)
    if len(rows) < len(made):
        raise _faster()
    await ledger.record(conn, *(ledger.by(actor, Kind.group_created, each.id, now=now) for each in made))


async def _rename(
    conn: Connection, actor: Actor, changed: Sequence[Named], statement: str, kind: Kind, *, now: datetime
) -> None:
    """Give people or groups their names and sourcedIds."""
    of_people = kind is Kind.user_updated
    names = _columns(actor, changed, "full_names" if of_people else "names")
    await conn.execute(*QUERIES.bind(statement, **names))
    detail: dict[str, Any] = {"fields": ["full_name"]} if of_people else {"renamed": True}
    entries = [
        ledger.by(actor, kind, each.id, now=now, subject_id=each.id if of_people else None, detail=detail)
        for each in changed
    ]
    await ledger.record(conn, *entries)


def _columns(actor: Actor, rows: Sequence[Named], names: str) -> dict[str, Any]:
    return {
        "organisation": actor.organisation_id,
        "ids": [each.id for each in rows],
        names: [each.name for each in rows],
        "sources": [each.source_id for each in rows],
    }


async def _record_members(
    conn: Connection, actor: Actor, kind: Kind, rows: Sequence[asyncpg.Record], *, now: datetime
) -> None:
    entries = [ledger.by(actor, kind, row["group_id"], now=now, subject_id=row["user_id"]) for row in rows]
    await ledger.record(conn, *entries)
