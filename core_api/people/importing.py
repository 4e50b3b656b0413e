"""
People in bulk: a school's files in, accounts and groups out (spec.md A-8).

First everything is read and held against what is there; a fault refuses the whole, named by file, line and
column, unless the caller asked for the good rows. Then it is written, a few hundred rows a transaction, each
with its event on the ledger: what is cut short is completed by the same files sent again, which change
nothing where nothing has changed. Nobody's password is hashed: people get invitations, or launch links.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api import csv_files
from core_api.actors import Actor
from core_api.csv_files import LineFault
from core_api.database import Connection, Pool, connection
from core_api.identity import invitations
from core_api.identity.invitations import Invitation
from core_api.ledger.viewings import Views
from core_api.people import enrolling, roster, users
from core_api.people.enrolling import Plan
from core_api.people.matching import (
    Known,
    KnownGroup,
    People,
    enrollable,
    match_groups,
    match_people,
    names_of,
)
from core_api.people.roster import Files, Roster
from core_api.wire import invalid
from kernel.events import Role
from kernel.revocation import Revocations
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("roster")
ACCOUNTS: Final = named("accounts")


class ImportPeople(Files, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A school's files, and what to do with them."""

    dry_run: Annotated[bool, Meta(description="Say what would be done, and do nothing.")] = False
    partial: Annotated[bool, Meta(description="Take the good rows where others are faulty.")] = False
    invite: Annotated[
        bool, Meta(description="Invite whoever of the files has no password and no invitation that holds.")
    ] = False
    renew: Annotated[
        bool, Meta(description="Invite those too whose earlier invitation holds; that one ends.")
    ] = False


class PeopleCounts(msgspec.Struct, frozen=True, kw_only=True):
    """
    People of the files: `left_out` are rows that make no account (parents, people who have left) or are
    about an admin or a service, whom a file leaves alone; `still_locked` are active in the file and locked
    here: an import unlocks nobody.
    """

    created: int
    updated: int
    unchanged: int
    locked: int
    still_locked: int
    left_out: int


class GroupCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of the files."""

    created: int
    updated: int


class MembershipCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Enrolments of the files: `left_out` are those of people or classes that were left out."""

    added: int
    removed: int
    unchanged: int
    left_out: int


class ImportedPeople(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was done, or would be done in a dry run. `faults` are the first hundred of `faulty`; the tokens of
    the invitations are shown this once.
    """

    dry_run: bool
    people: PeopleCounts
    groups: GroupCounts
    memberships: MembershipCounts
    faulty: int
    faults: list[LineFault]
    invitations: list[Invitation]


class _UndoneError(Exception):
    """Nothing of what was tried is to stay."""


async def import_people(
    pool: Pool,
    actor: Actor,
    command: ImportPeople,
    *,
    revocations: Revocations,
    settings: Settings,
    views: Views,
    now: datetime,
) -> ImportedPeople:
    """
    Make and change the organisation's people and groups as the files say. Whoever is told which addresses are
    taken, and gets no account for them, has had a look.

    Raises:
        InvalidInputError: no file, one that cannot be read, or rows that are faulty; nothing was written.
        ConflictError: somebody else wrote the same meanwhile; the same files sent again complete it.
    """
    if command.users is None and command.classes is None and command.enrollments is None:
        raise invalid("users", "give users, classes or enrollments")
    csv_files.check_columns(command.columns, roster.FIELDS)
    limits = csv_files.Limits(lines=settings.import_lines_max, characters=settings.import_field_chars_max)
    read = await asyncio.to_thread(roster.parse, command, limits)
    async with connection(pool, actor) as conn:
        plan = await _plan(conn, actor, read, now=now)
        refused = bool(plan.faults) and not (command.dry_run or command.partial)
        told = plan.people.taken + (len(plan.people.created) if command.dry_run or refused else 0)
        if told:
            views.note(
                actor, users.NAMES_TAKEN, actor.organisation_id,
                now=now, looked_up=told, taken=plan.people.taken,
            )  # fmt: skip
        if refused:
            raise csv_files.refusal(plan.faults)
        if not command.dry_run:
            await enrolling.write(conn, actor, plan, now=now)
    invited: list[Invitation] = []
    if not command.dry_run:
        for user_id in plan.people.locked:
            await users.set_active(
                pool, actor, user_id, active=False, revocations=revocations, settings=settings, now=now
            )
        if command.invite or command.renew:
            invited = await _invite(pool, actor, command, plan, settings=settings, now=now)
    return _report(command, read, plan, invited)


async def _plan(conn: Connection, actor: Actor, read: Roster, *, now: datetime) -> Plan:
    """Hold the files against what is there."""
    folded = await _fold(conn, read)
    for person in read.people:
        person.folded = folded[person.email]
    wanted = await QUERIES.run(
        conn.fetch,
        "find_people",
        organisation=actor.organisation_id,
        sources=[*{each.source_id for each in read.people}, *{each.user_id for each in read.enrolments}],
        folded=[*{folded[each.email] for each in read.people}, *{folded[e.user_id] for e in read.enrolments}],
    )
    known = [Known(**row | {"role": Role(row["role"])}) for row in map(dict, wanted)]
    people = await asyncio.to_thread(match_people, read, known, uuid7)
    people = await _without_taken(conn, actor, people, read, now=now)
    names = [name for each in read.classes for name in names_of(each)]
    rows = await QUERIES.run(
        conn.fetch,
        "find_classes",
        organisation=actor.organisation_id,
        sources=[*{each.source_id for each in read.classes}, *{each.class_id for each in read.enrolments}],
        folded=[*{folded[each] for each in (*names, *(each.class_id for each in read.enrolments))}],
    )
    classes = [KnownGroup(**row) for row in rows]
    groups = await asyncio.to_thread(
        match_groups, read, classes, enrollable(known) | people.ids, folded, uuid7
    )
    held = {
        (row["group_id"], row["user_id"])
        for row in await conn.fetch(
            QUERIES["find_memberships"],
            [each.id for each in classes],
            [*{user_id for _, user_id in (*groups.joined, *groups.parted)}],
        )
    }
    return Plan(
        people=people,
        groups=groups,
        joined=[each for each in groups.joined if each not in held],
        parted=[each for each in groups.parted if each in held],
        faults=[*read.faults, *people.faults, *groups.faults],
    )


async def _fold(conn: Connection, read: Roster) -> dict[str, str]:
    """Return every address and name of the files as the database looks it up."""
    texts = {each.email for each in read.people}
    texts |= {name for each in read.classes for name in names_of(each)}
    texts |= {text for each in read.enrolments for text in (each.user_id, each.class_id)}
    given = list(texts)
    return dict(zip(given, await conn.fetchval(ACCOUNTS["fold_emails"], given), strict=True))


async def _without_taken(
    conn: Connection, actor: Actor, people: People, read: Roster, *, now: datetime
) -> People:
    """
    Return the people without those whose address is somebody's elsewhere, who become faults.

    Nobody sees who that is: the rows are tried, and taken back.
    """
    if not people.created:
        return people
    free: set[UUID] = set()
    with suppress(_UndoneError):
        async with enrolling.held(conn, actor):
            rows = await enrolling.insert_people(conn, actor, people.created, now=now)
            free = {row["id"] for row in rows}
            raise _UndoneError
    taken = {user_id: person for user_id, person in people.created if user_id not in free}
    for person in taken.values():
        read.leave_out(person.row)
    faults = [each.row.fault("email", "the address is taken") for each in taken.values()]
    return msgspec.structs.replace(
        people,
        created=[(user_id, person) for user_id, person in people.created if user_id in free],
        active=[each for each in people.active if each not in taken],
        ids={key: user_id for key, user_id in people.ids.items() if user_id not in taken},
        faults=[*people.faults, *faults],
        taken=len(taken),
    )


async def _invite(
    pool: Pool, actor: Actor, command: ImportPeople, plan: Plan, *, settings: Settings, now: datetime
) -> list[Invitation]:
    """Invite people at the very end and all or none: a token that is not answered is worth nothing."""
    made: list[Invitation] = []
    async with connection(pool, actor) as conn, enrolling.held(conn, actor):
        for part in enrolling.parts(plan.people.active):
            made += await invitations.issue(
                conn, actor, part, renewed=command.renew, settings=settings, now=now
            )
    return made


def _report(command: ImportPeople, read: Roster, plan: Plan, invited: list[Invitation]) -> ImportedPeople:
    people, groups = plan.people, plan.groups
    touched = {each.id for each in people.updated} | {each.user_id for each in people.profiles}
    return ImportedPeople(
        dry_run=command.dry_run,
        people=PeopleCounts(
            created=len(people.created),
            updated=len(touched - {*people.locked}),
            unchanged=people.unchanged,
            locked=len(people.locked),
            still_locked=people.still_locked,
            left_out=len(read.passed_over),
        ),
        groups=GroupCounts(created=len(groups.created), updated=len(groups.updated)),
        memberships=MembershipCounts(
            added=len(plan.joined),
            removed=len(plan.parted),
            unchanged=len(groups.joined) - len(plan.joined),
            left_out=groups.left_out,
        ),
        faulty=len(plan.faults),
        faults=csv_files.shown_of(plan.faults),
        invitations=invited,
    )
