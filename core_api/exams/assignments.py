"""
Assignments: who may take an exam, and on what terms (spec.md E-3).

An exam without any assignment is open to its organisation's students. With the first one it is open to whom
an assignment reaches, and stays so when all are revoked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, as_system, fetch_one, fetch_page
from core_api.exams import exams, extending, policy, reach
from core_api.exams.exams import MINUTES_MAX, Minutes
from core_api.exams.extending import Extended
from core_api.exams.policy import Defaults, Grant, Policy
from core_api.exams.policy import Terms as PolicyTerms
from core_api.exams.reach import Reach
from core_api.ledger import entries as ledger
from core_api.wire import NO_NUL, ListPage, Moment, Page, check_moments, invalid
from kernel.errors import ConflictError
from kernel.events import Mode
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("assignments")
ACCOUNTS: Final = named("accounts")
TARGETS_MAX: Final = 10_000
LISTED_MAX: Final = 1000
RECORDED_MAX: Final = 1000  # assignments in one event of the ledger

ExtraMinutes = Annotated[
    int, Meta(ge=0, le=MINUTES_MAX, description="Minutes on top of the duration, up to 30 days.")
]
Rule = Annotated[int, Meta(ge=1, le=2**53)]


class AssignmentTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What holds for those assigned; what is null is as the exam says. `monitoring_mode`: 0 none, 1 Soft, 2
    Advanced.
    """

    opens_at: Moment | None = None
    closes_at: Moment | None = None
    duration_minutes: Minutes | None = None
    extra_minutes: ExtraMinutes | None = None
    attempts_allowed: Annotated[int, Meta(ge=1, le=100)] | None = None
    monitoring_mode: Annotated[int, Meta(ge=0, le=2)] | None = None
    rule_exemptions: Annotated[list[Rule], Meta(max_length=100)] | None = None

    def __post_init__(self) -> None:
        """Bound the moments; msgspec turns the ValueError into a refusal."""
        check_moments(self.opens_at, self.closes_at)


class Assign(AssignmentTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom to assign an exam, and on what terms; who has an assignment already gets the new terms."""

    user_ids: Annotated[list[UUID], Meta(max_length=TARGETS_MAX)] = []
    group_ids: Annotated[list[UUID], Meta(max_length=TARGETS_MAX)] = []


class Override(AssignmentTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One candidate's exception to one assignment, and why."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000, pattern=NO_NUL)]


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One assignment, to a user or to a group, and that one's name."""

    id: UUID
    exam_id: UUID
    user_id: UUID | None
    group_id: UUID | None
    name: str
    opens_at: datetime | None
    closes_at: datetime | None
    duration_minutes: int | None
    extra_minutes: int | None
    attempts_allowed: int | None
    monitoring_mode: int | None
    rule_exemptions: list[int] | None
    created_by: UUID
    created_at: datetime
    revoked_at: datetime | None


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """What an assignment did: how many, the first thousand of them, and whom their terms reach now."""

    count: int
    assignments: list[Assignment]
    reach: Reach


class Assignments(Page, frozen=True):
    """A page of assignments, newest first; `next_cursor` is null on the last page."""

    assignments: list[Assignment]


class StoredOverride(msgspec.Struct, frozen=True, kw_only=True):
    """An override as it stands."""

    assignment_id: UUID
    user_id: UUID
    opens_at: datetime | None
    closes_at: datetime | None
    duration_minutes: int | None
    extra_minutes: int | None
    attempts_allowed: int | None
    monitoring_mode: int | None
    rule_exemptions: list[int] | None
    reason: str
    created_by: UUID
    created_at: datetime


class SetOverride(StoredOverride, frozen=True, kw_only=True):
    """
    An override, whom it reaches now, and what holds for an attempt that they begin now: with everything else
    that was assigned to them, or to a group of theirs. `extended` is their attempt under way where it got
    longer by this; null where none is, or where it ends no later.
    """

    policy: Policy
    reach: Reach
    extended: Extended | None


class Overrides(Page, frozen=True):
    """A page of an assignment's overrides, by user; `next_cursor` is null on the last page."""

    overrides: list[StoredOverride]


async def assign(
    conn: Connection, actor: Actor, exam_id: UUID, command: Assign, *, now: datetime
) -> Assigned:
    """
    Assign an exam to users and groups of the organisation; whoever has it with these terms keeps it.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, and its students are not theirs to manage.
        InvalidInputError: nobody named, too many, somebody unknown, or a window that ends before it begins.
    """
    users, groups = list(dict.fromkeys(command.user_ids)), list(dict.fromkeys(command.group_ids))
    if not 0 < len(users) + len(groups) <= TARGETS_MAX:
        raise invalid("user_ids", f"1 to {TARGETS_MAX} users and groups in all")
    check_window(command.opens_at, command.closes_at)
    async with conn.transaction():
        await exams.require_students_managed(conn, actor, exam_id)
        await _require_targets(conn, actor, users, groups)
        changed = []
        for statement, targets in (
            ("upsert_users_assignments", users),
            ("upsert_groups_assignments", groups),
        ):
            ids = [uuid7() for _ in targets]
            changed += await QUERIES.run(
                conn.fetch,
                statement,
                exam_id=exam_id,
                ids=ids,
                targets=targets,
                **_columns(command),
                created_by=actor.user_id,
                created_at=now,
            )
        rows = await conn.fetch(QUERIES["fetch_assigned"], exam_id, users, groups)
        for first in range(0, len(changed), RECORDED_MAX):
            made = {"assignment_ids": [str(row["id"]) for row in changed[first : first + RECORDED_MAX]]}
            entry = ledger.by(actor, Kind.assignment_created, exam_id, now=now, detail=made)
            await ledger.record(conn, entry)
        reached = await reach.of(conn, actor, exam_id, users=users, groups=groups, now=now)
    shown = [Assignment(**row) for row in rows[:LISTED_MAX]]
    return Assigned(count=len(rows), assignments=shown, reach=reached)


def check_window(opens_at: datetime | None, closes_at: datetime | None) -> None:
    """Check that a window does not end before it begins; raises InvalidInputError when it does."""
    if opens_at is not None and closes_at is not None and closes_at <= opens_at:
        raise invalid("closes_at", "must be later than opens_at")


def _columns(terms: AssignmentTerms) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in AssignmentTerms.__struct_fields__}


async def _require_targets(
    conn: Connection, actor: Actor, users: Sequence[UUID], groups: Sequence[UUID]
) -> None:
    found = await conn.fetch(ACCOUNTS["find_students"], actor.organisation_id, users)
    if len(found) != len(users):
        raise invalid("user_ids", "somebody is no active student of your organisation")
    if await conn.fetchval(QUERIES["count_groups"], actor.organisation_id, groups) != len(groups):
        raise invalid("group_ids", "no such group in your organisation")


async def list_of_exam(conn: Connection, actor: Actor, exam_id: UUID, query: ListPage) -> Assignments:
    """Return a page of an exam's assignments; raises NotFoundError, ForbiddenError when it is not theirs."""
    await exams.require_students_managed(conn, actor, exam_id)
    page, following = await fetch_page(conn, query, QUERIES, "list_assignments", exam_id=exam_id)
    return Assignments([Assignment(**row) for row in page], next_cursor=following)


async def fetch(conn: Connection, actor: Actor, exam_id: UUID, assignment_id: UUID) -> Assignment:
    """Return one of an exam's assignments, a revoked one too; raises NotFoundError, ForbiddenError."""
    await exams.require_students_managed(conn, actor, exam_id)
    row = await fetch_one(conn, "assignment", QUERIES["fetch_assignment"], assignment_id, exam_id)
    return Assignment(**row)


async def revoke(
    conn: Connection, actor: Actor, exam_id: UUID, assignment_id: UUID, *, now: datetime
) -> Assignment:
    """Take an assignment back; attempts that run go on. Raises NotFoundError, ForbiddenError."""
    async with conn.transaction():
        held = await _hold(conn, actor, exam_id, assignment_id)
        if held.revoked_at is not None:
            return held
        revoked_at = await conn.fetchval(QUERIES["revoke_assignment"], assignment_id, now)
        await ledger.record(conn, ledger.by(actor, Kind.assignment_revoked, assignment_id, now=now))
    return msgspec.structs.replace(held, revoked_at=revoked_at)


async def set_override(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    assignment_id: UUID,
    user_id: UUID,
    command: Override,
    *,
    now: datetime,
) -> SetOverride:
    """
    Make or replace one candidate's exception to an assignment that reaches them. An attempt of theirs that is
    under way gets the time that it would have had under the new terms, and no less than it has; for
    everything else it keeps the policy that it began under.

    Raises:
        InvalidInputError: the assignment does not reach them, or the resulting window ends before it begins.
        ConflictError: the assignment was revoked.
        NotFoundError, ForbiddenError: the exam's students are not theirs, or it has no such assignment.
    """
    async with conn.transaction():
        held = await _hold(conn, actor, exam_id, assignment_id)
        if held.revoked_at is not None:
            raise ConflictError("The assignment was taken back; assign the exam again first.")
        if not await conn.fetchval(QUERIES["reaches"], assignment_id, user_id):
            raise invalid("user_id", "this assignment does not include this person")
        check_window(command.opens_at or held.opens_at, command.closes_at or held.closes_at)
        row = await QUERIES.run(
            conn.fetchrow,
            "upsert_override",
            assignment_id=assignment_id,
            user_id=user_id,
            **_columns(command),
            reason=command.reason,
            created_by=actor.user_id,
            created_at=now,
        )
        if row is None:  # it stands with these very values
            row = await conn.fetchrow(QUERIES["fetch_override"], assignment_id, user_id)
            assert row is not None, "the assignment is held"
        else:
            await ledger.record(
                conn, _about(actor, Kind.assignment_override_set, assignment_id, user_id, now)
            )
        exam = await exams.fetch(conn, actor, exam_id)
        grants = (await grants_of(conn, [exam_id], user_id)).get(exam_id, [])

        def holds(at: datetime) -> Policy:
            return policy_of(exam.duration_minutes, monitored=exam.enable_monitoring, grants=grants, now=at)

        async with as_system(conn, actor):
            extended = await extending.extend(
                conn, actor, exam_id, user_id, holds, reason=command.reason, by=assignment_id, now=now
            )
        reached = await reach.of(conn, actor, exam_id, users=[user_id], now=now)
    return SetOverride(**row, policy=holds(now), reach=reached, extended=extended)


async def remove_override(
    conn: Connection, actor: Actor, exam_id: UUID, assignment_id: UUID, user_id: UUID, *, now: datetime
) -> None:
    """Take an exception back; raises NotFoundError when there is none, and ForbiddenError."""
    async with conn.transaction():
        await _hold(conn, actor, exam_id, assignment_id)
        await fetch_one(conn, "override", QUERIES["delete_override"], assignment_id, user_id)
        await ledger.record(
            conn, _about(actor, Kind.assignment_override_removed, assignment_id, user_id, now)
        )


def _about(actor: Actor, kind: str, assignment_id: UUID, user_id: UUID, now: datetime) -> ledger.Entry:
    return ledger.by(actor, kind, assignment_id, now=now, detail={"user_id": str(user_id)})


async def list_overrides(
    conn: Connection, actor: Actor, exam_id: UUID, assignment_id: UUID, query: ListPage
) -> Overrides:
    """Return a page of an assignment's overrides; raises NotFoundError, ForbiddenError."""
    async with conn.transaction():
        await _hold(conn, actor, exam_id, assignment_id)
        page, following = await fetch_page(
            conn, query, QUERIES, "list_overrides", assignment_id=assignment_id, key="user_id"
        )
    return Overrides([StoredOverride(**row) for row in page], next_cursor=following)


async def _hold(conn: Connection, actor: Actor, exam_id: UUID, assignment_id: UUID) -> Assignment:
    """Hold an assignment of an exam whose students are the caller's; raises NotFoundError, ForbiddenError."""
    await exams.require_students_managed(conn, actor, exam_id)
    await conn.execute(QUERIES["hold_assignment"], assignment_id, exam_id)
    row = await fetch_one(conn, "assignment", QUERIES["fetch_assignment"], assignment_id, exam_id)
    return Assignment(**row)


def policy_of(duration_minutes: int, *, monitored: bool, grants: Iterable[Grant], now: datetime) -> Policy:
    """Return a candidate's policy at an exam of that duration, by what reaches them."""
    mode = Mode.Soft if monitored else 0
    defaults = Defaults(duration_minutes=duration_minutes, monitoring_mode=int(mode))
    return policy.effective(defaults, grants, now=now)


async def grants_of(conn: Connection, exam_ids: Iterable[UUID], student_id: UUID) -> dict[UUID, list[Grant]]:
    """Return what reaches a student, by exam; exams without a grant are not in it."""
    found: dict[UUID, list[Grant]] = {}
    for row in await conn.fetch(QUERIES["list_grants"], list(exam_ids), student_id):
        grant = Grant(
            to_group=row["to_group"],
            terms=_terms(row, ""),
            override=_terms(row, "o_") if row["is_overridden"] else None,
        )
        found.setdefault(row["exam_id"], []).append(grant)
    return found


def _terms(row: asyncpg.Record, prefix: str) -> PolicyTerms:
    exemptions = row[f"{prefix}rule_exemptions"]
    plain = {name: row[prefix + name] for name in PolicyTerms.__struct_fields__ if name != "rule_exemptions"}
    return PolicyTerms(**plain, rule_exemptions=None if exemptions is None else tuple(exemptions))
