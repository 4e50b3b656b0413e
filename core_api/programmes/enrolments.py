"""
Who is enrolled in a programme, and how far they are: as staff see it (spec.md M-3).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.ledger import entries as ledger
from core_api.programmes import programmes
from core_api.programmes.states import EnrolmentState, Party, require_enrolment_move
from core_api.wire import ListPage, Page, invalid
from kernel.ledger.kinds import Kind
from kernel.programmes import Met
from sql import named

QUERIES: Final = named("enrolments")
GROUPS: Final = named("assignments")
PEOPLE_MAX: Final = 10_000
GROUPS_MAX: Final = 100


class Enrol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Students to enrol, by themselves or with their groups; whoever is enrolled already stays so."""

    user_ids: Annotated[list[UUID], Meta(max_length=PEOPLE_MAX)] = []
    group_ids: Annotated[list[UUID], Meta(max_length=GROUPS_MAX)] = []


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """How many were enrolled, who were not before, in which version."""

    version: int
    enrolled: int


class ListEnrolments(ListPage, frozen=True, kw_only=True):
    """Which of a programme's enrolments."""

    state: Annotated[EnrolmentState, Meta(description="Only those in this state.")] | None = None
    user_id: Annotated[UUID, Meta(description="Only this person's.")] | None = None


class RequirementProgress(msgspec.Struct, frozen=True, kw_only=True):
    """
    How far somebody is with one requirement: how many exams count, of how many that it needs, the submissions
    that it rests on, and when the first of them lapses.
    """

    key: str
    state: Met
    counted: int
    needed: int
    submission_ids: list[UUID]
    lapses_at: datetime | None


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's enrolment; `progress` is empty until they were judged for the first time."""

    enrolment_id: UUID
    user_id: UUID
    version: int
    state: EnrolmentState
    enrolled_at: datetime
    state_at: datetime
    progress: list[RequirementProgress]


class Enrolments(Page, frozen=True, kw_only=True):
    """A page of enrolments, oldest first; `next_cursor` is null on the last page."""

    enrolments: list[Enrolment]


async def enrol(
    conn: Connection, actor: Actor, programme_id: UUID, command: Enrol, *, now: datetime
) -> Enrolled:
    """
    Enrol students in the published version.

    Raises:
        NotFoundError: not the caller's programme.
        ConflictError: no version of it is published.
        InvalidInputError: nobody named, somebody unknown, or too many at once.
    """
    async with conn.transaction():
        await programmes.require(conn, actor, programme_id)
        version = await programmes.published(conn, programme_id)
        people = await _people(conn, actor, command)
        made = await QUERIES.run(
            conn.fetch, "insert_enrolments", programme_id=programme_id, version=version,
            organisation=actor.organisation_id, enrolled_by=actor.user_id, now=now,
            ids=[uuid7() for _ in people], user_ids=people,
        )  # fmt: skip
        detail = {"programme_id": str(programme_id), "version": version}
        await ledger.record(
            conn,
            *(
                ledger.by(
                    actor,
                    Kind.programme_enrolment_created,
                    row["id"],
                    now=now,
                    subject_id=row["user_id"],
                    detail=detail,
                )
                for row in made
            ),
        )
        return Enrolled(version=version, enrolled=len(made))


async def withdraw(
    conn: Connection, actor: Actor, programme_id: UUID, enrolment_id: UUID, *, now: datetime
) -> Enrolment:
    """
    Withdraw an enrolment, for good; the same person may be enrolled anew.

    Raises:
        NotFoundError: not the caller's programme, or none of its enrolments.
        ConflictError: it was withdrawn.
    """
    async with conn.transaction():
        await programmes.require(conn, actor, programme_id)
        held = await fetch_one(conn, "enrolment", QUERIES["hold_enrolment"], enrolment_id, programme_id)
        before = EnrolmentState(held["state"])
        require_enrolment_move(before, EnrolmentState.withdrawn, Party.staff)
        await QUERIES.run(
            conn.execute, "set_enrolment_state", id=enrolment_id, state=EnrolmentState.withdrawn, now=now,
            due_at=None,
        )  # fmt: skip
        await ledger.record(
            conn,
            ledger.by(
                actor, Kind.programme_enrolment_withdrawn, enrolment_id, now=now, subject_id=held["user_id"],
                detail={"programme_id": str(programme_id), "version": held["version"], "was": before},
            ),
        )  # fmt: skip
        row = await fetch_one(conn, "enrolment", QUERIES["fetch_enrolment"], enrolment_id)
        return (await with_progress(conn, [row]))[0]


async def list_of_programme(
    conn: Connection, actor: Actor, programme_id: UUID, query: ListEnrolments
) -> Enrolments:
    """Return a page of who is enrolled; raises NotFoundError when the programme is not the caller's."""
    await programmes.require(conn, actor, programme_id)
    page, following = await fetch_page(
        conn, query, QUERIES, "list_enrolments", key="enrolment_id", programme_id=programme_id
    )
    return Enrolments(enrolments=await with_progress(conn, page), next_cursor=following)


async def with_progress(conn: Connection, rows: Sequence[Any]) -> list[Enrolment]:
    """Return enrolments of their rows, each with its progress."""
    found = await progress_of(conn, [row["enrolment_id"] for row in rows])
    return [of_row(row, Enrolment, progress=found.get(row["enrolment_id"], [])) for row in rows]


async def progress_of(conn: Connection, ids: list[UUID]) -> dict[UUID, list[RequirementProgress]]:
    """Return the progress of enrolments, in one round trip."""
    found: dict[UUID, list[RequirementProgress]] = {}
    for row in await conn.fetch(QUERIES["list_progress"], ids):
        found.setdefault(row["enrolment_id"], []).append(of_row(row, RequirementProgress))
    return found


async def _people(conn: Connection, actor: Actor, command: Enrol) -> list[UUID]:
    users, groups = sorted(set(command.user_ids)), sorted(set(command.group_ids))
    if not users and not groups:
        raise invalid("user_ids", "name somebody here, or a group in group_ids")
    if await conn.fetchval(GROUPS["count_groups"], actor.organisation_id, groups) != len(groups):
        raise invalid("group_ids", "a group is not there")
    rows = await QUERIES.run(
        conn.fetch, "find_enrollable", user_ids=users, group_ids=groups, limit=PEOPLE_MAX + 1
    )
    people = [row["id"] for row in rows]
    if len(people) > PEOPLE_MAX:
        raise invalid("group_ids", f"these are over {PEOPLE_MAX} people: enrol them group by group")
    if not set(users) <= set(people):
        raise invalid("user_ids", "somebody is no student of yours")
    return people
