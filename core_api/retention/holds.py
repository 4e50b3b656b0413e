"""
Legal holds: people, exams and claims of which nothing goes, whatever the policy says, until somebody lifts
them (spec.md G-1).
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page
from core_api.ledger import entries as ledger
from core_api.wire import NO_NUL, ListPage, Page
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("legal_holds")
Reason = Annotated[str, Meta(min_length=1, max_length=2000, pattern=NO_NUL)]


class HoldKind(StrEnum):
    """What is held: everything of a person, of an exam, or of the attempt that a claim is about."""

    person = "person"
    exam = "exam"
    claim = "claim"


class HoldStatus(StrEnum):
    """Where a hold stands."""

    placed = "placed"
    lifted = "lifted"


FINDS: Final[Mapping[HoldKind, str]] = {
    HoldKind.person: "find_person",
    HoldKind.exam: "find_exam",
    HoldKind.claim: "find_claim",
}
TRANSITIONS: Final[Mapping[HoldStatus, frozenset[HoldStatus]]] = {
    HoldStatus.placed: frozenset({HoldStatus.lifted}),
    HoldStatus.lifted: frozenset(),
}


class PlaceHold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom or what to hold, and why."""

    kind: HoldKind
    target_id: Annotated[UUID, Meta(description="The person, the exam or the claim.")]
    reason: Reason


class LiftHold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is over."""

    reason: Reason


class LegalHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold; what says who lifted it, when and why is null while it is `placed`."""

    id: UUID
    kind: HoldKind
    target_id: UUID
    reason: str
    status: HoldStatus
    placed_by: UUID
    placed_at: datetime
    lifted_by: UUID | None
    lifted_at: datetime | None
    lift_reason: str | None


class LegalHolds(Page, frozen=True):
    """A page of holds, newest first; `next_cursor` is null on the last page."""

    holds: list[LegalHold]


class ListHolds(ListPage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which holds, and which page of them."""

    status: Annotated[HoldStatus, Meta(description="Only those that stand so.")] | None = None


async def list_of_organisation(conn: Connection, actor: Actor, query: ListHolds) -> LegalHolds:
    """Return a page of the organisation's holds."""
    page, following = await fetch_page(conn, query, QUERIES, "list_holds", organisation=actor.organisation_id)
    return LegalHolds([_hold(row) for row in page], next_cursor=following)


async def place(conn: Connection, actor: Actor, command: PlaceHold, *, now: datetime) -> LegalHold:
    """
    Hold what is there of a person, an exam or a claim; a step of a sweep that is under way is waited for.

    Raises:
        NotFoundError: the organisation has no such person, exam or claim.
    """
    async with conn.transaction():
        await fetch_one(
            conn,
            command.kind.value,
            QUERIES[FINDS[command.kind]],
            command.target_id,
            actor.organisation_id,
        )
        hold_id = uuid7()
        await QUERIES.run(
            conn.execute,
            "insert_hold",
            id=hold_id,
            organisation=actor.organisation_id,
            kind=command.kind,
            user_id=command.target_id if command.kind is HoldKind.person else None,
            exam_id=command.target_id if command.kind is HoldKind.exam else None,
            claim_id=command.target_id if command.kind is HoldKind.claim else None,
            reason=command.reason,
            placed_by=actor.user_id,
            placed_at=now,
        )
        await _record(conn, actor, Kind.legal_hold_placed, hold_id, command.kind, command.target_id, now)
        return await _fetch(conn, actor, hold_id)


async def lift(
    conn: Connection, actor: Actor, hold_id: UUID, command: LiftHold, *, now: datetime
) -> LegalHold:
    """
    Lift a hold for good; what is past its policy goes with the next sweep.

    Raises:
        NotFoundError: the organisation has no such hold.
        ConflictError: it was lifted.
    """
    async with conn.transaction():
        await conn.execute(QUERIES["lock_hold"], hold_id, actor.organisation_id)
        hold = await _fetch(conn, actor, hold_id)
        if HoldStatus.lifted not in TRANSITIONS[hold.status]:
            raise ConflictError("The hold was lifted before.")
        await conn.execute(QUERIES["lift_hold"], hold_id, actor.user_id, now, command.reason)
        await _record(conn, actor, Kind.legal_hold_lifted, hold_id, hold.kind, hold.target_id, now)
        return await _fetch(conn, actor, hold_id)


async def _fetch(conn: Connection, actor: Actor, hold_id: UUID) -> LegalHold:
    row = await fetch_one(conn, "hold", QUERIES["fetch_hold"], hold_id, actor.organisation_id)
    return _hold(row)


async def _record(
    conn: Connection, actor: Actor, kind: Kind, hold_id: UUID, held: HoldKind, target_id: UUID, now: datetime
) -> None:
    """Record an act; the person is its subject, the reason stands in the row that the event commits to."""
    subject = target_id if held is HoldKind.person else None
    detail = {"kind": held.value, "target_id": str(target_id)}
    await ledger.record(conn, ledger.by(actor, kind, hold_id, now=now, subject_id=subject, detail=detail))


def _hold(row: asyncpg.Record) -> LegalHold:
    return LegalHold(**{**row, "kind": HoldKind(row["kind"]), "status": HoldStatus(row["status"])})
