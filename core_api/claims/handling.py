"""
Claims as staff handle them: the list of what is due, one claim, acknowledging it, answering, asking, and
having somebody else look (spec.md M-2).
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.claims import moving
from core_api.claims.moving import Consequence, Side, Statement, Subject
from core_api.claims.states import OPEN, ClaimAct, ClaimState, Party
from core_api.database import TICK as MICROSECOND
from core_api.database import Connection, fetch_one, of_row, page_of
from core_api.wire import LIMIT_DEFAULT, MOMENT_MIN, Limit, Moment, check_moments, invalid
from kernel.errors import ConflictError, ForbiddenError
from kernel.events import DecisionStatus
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("staff_claims")


class StaffStatement(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What staff say to the candidate; where it `asks` them something, the claim waits for their answer, and
    expires without one.
    """

    asks: bool = False


class ListClaims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which claims; those that are open where nothing says so."""

    is_open: Annotated[bool, Meta(description="Those that are open, or those that are over.")] = True
    exam_id: Annotated[UUID, Meta(description="Only this exam's.")] | None = None
    state: Annotated[ClaimState, Meta(description="Only those in this state.")] | None = None
    subject: Annotated[Subject, Meta(description="Only those about this.")] | None = None
    due_before: Annotated[Moment, Meta(description="Only those with a deadline before this.")] | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            str,
            Meta(
                pattern=r"^\d{1,17}\.[0-9a-f-]{36}$(?!\n)",
                description="`next_cursor` of the page before.",
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Hold the moment to what can be counted with."""
        check_moments(self.due_before)


class ListedClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim in the list. `deadline_at` is until when it is to leave its state; null: it is over."""

    claim_id: UUID
    submission_id: UUID
    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    candidate_id: UUID
    candidate_name: str
    subject: Subject
    state: ClaimState
    opened_at: datetime
    state_at: datetime
    deadline_at: datetime | None
    acknowledged_by: UUID | None


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """
    A page of claims, the first to be due first; `next_cursor` is null on the last page. One that gets another
    deadline meanwhile may be met twice, or where it was; no other is passed over for it.
    """

    claims: list[ListedClaim]
    next_cursor: str | None


class ClaimStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What one side has said, and who of it."""

    number: int
    side: Side
    author_id: UUID
    text: str
    evidence_ids: list[int]
    said_at: datetime


class ClaimedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided on a proctor session of the attempt."""

    decision_id: int
    proctor_session_id: int
    status: DecisionStatus
    is_finalized: bool


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """Who wanted somebody else to look; the `system` where the answer was overdue."""

    raised: Literal["candidate", "staff", "system"]
    raised_by: UUID | None
    raised_at: datetime


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """How a claim was resolved, and what came of it: another decision, another score, another key."""

    number: int
    outcome: Literal["upheld", "rejected"]
    led_to: Consequence
    decision_id: int | None
    graded_as: int | None
    remediation_id: UUID | None
    text_en: str | None
    text_ar: str | None
    resolved_by: UUID
    resolved_at: datetime


class ClaimForStaff(ListedClaim, frozen=True, kw_only=True):
    """
    A claim with all about it. `may_resolve`: the caller may, as it stands; whoever judged, graded or
    proctored the attempt (`had_hand`), or handled a claim that is disputed, never may.
    """

    had_hand: bool
    may_resolve: bool
    decisions: list[ClaimedDecision]
    statements: list[ClaimStatement]
    dispute: Dispute | None
    resolutions: list[Resolution]


async def list_visible(conn: Connection, actor: Actor, query: ListClaims) -> Claims:
    """Return a page of the claims about exams that the caller may see."""
    due_at, after = _after(query.cursor)
    rows = await QUERIES.run(
        conn.fetch,
        "list_claims",
        is_open=query.is_open,
        exam_id=query.exam_id,
        state=query.state,
        subject=query.subject,
        due_before=query.due_before,
        due_at=due_at,
        after=after,
        limit=query.limit + 1,
        **actor.reach,
    )
    page, last = page_of(rows, query.limit)
    return Claims(
        claims=[of_row(row, ListedClaim) for row in page], next_cursor=None if last is None else _cursor(last)
    )


def _cursor(row: asyncpg.Record) -> str:
    return f"{(row['due_at'] - MOMENT_MIN) // MICROSECOND}.{row['claim_id']}"


def _after(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """Return what a page follows; raises InvalidInputError."""
    if cursor is None:
        return None, None
    due_us, claim_id = cursor.split(".")
    try:
        return MOMENT_MIN + int(due_us) * MICROSECOND, UUID(claim_id)
    except (ValueError, OverflowError) as error:
        raise invalid("cursor", "Expected `next_cursor` of the page before") from error


async def fetch(conn: Connection, actor: Actor, claim_id: UUID) -> ClaimForStaff:
    """Return a claim; raises NotFoundError when its exam is not visible to the caller."""
    row = await find(conn, actor, claim_id)
    state = ClaimState(row["state"])
    may = row["may_settle"] if state is ClaimState.under_dispute else row["may_handle"]
    resolvable = state in {ClaimState.acknowledged, ClaimState.under_dispute}
    return of_row(
        row,
        ClaimForStaff,
        may_resolve=resolvable and may and not row["had_hand"],
        decisions=[
            of_row(each, ClaimedDecision)
            for each in await conn.fetch(QUERIES["list_decisions"], row["attempt_id"])
        ],
        statements=[
            of_row(each, ClaimStatement)
            for each in await conn.fetch(moving.QUERIES["list_statements"], claim_id)
        ],
        dispute=None if row["raised"] is None else of_row(row, Dispute),
        resolutions=[
            of_row(each, Resolution)
            for each in await conn.fetch(moving.QUERIES["list_resolutions"], claim_id)
        ],
    )


async def acknowledge(
    conn: Connection, actor: Actor, claim_id: UUID, *, settings: Settings, now: datetime
) -> ClaimForStaff:
    """
    Take a claim on: the candidate sees that it is being examined.

    Raises:
        NotFoundError: its exam is not visible to the caller.
        ForbiddenError: it is, and they may only look at it, or the claim is their own.
        ConflictError: it was acknowledged, disputed or withdrawn.
    """
    async with conn.transaction():
        claim = await hold(conn, actor, claim_id)
        await moving.move(
            conn, claim, ClaimAct.acknowledge, Party.staff, settings=settings, now=now,
            acknowledged_by=actor.user_id,
        )  # fmt: skip
        await moving.record(conn, claim, actor, Kind.claim_acknowledged, now=now)
        return await fetch(conn, actor, claim_id)


async def say(
    conn: Connection,
    actor: Actor,
    claim_id: UUID,
    command: StaffStatement,
    *,
    settings: Settings,
    now: datetime,
) -> ClaimForStaff:
    """
    Say something to the candidate about their claim, or ask them something.

    Raises:
        NotFoundError: its exam is not visible to the caller.
        ForbiddenError: it is, and they may only look at it, or the claim is their own.
        ConflictError: it is over; or nothing is asked of it as it stands; or it has all its statements.
        InvalidInputError: evidence that is none of the attempt's.
    """
    async with conn.transaction():
        claim = await hold(conn, actor, claim_id)
        if claim["state"] not in OPEN:
            raise ConflictError(f"The claim is {claim['state']}: nothing is said about it any more.")
        number = await moving.say(conn, claim, actor, "staff", command, settings=settings, now=now)
        if command.asks:
            await moving.move(conn, claim, ClaimAct.ask, Party.staff, settings=settings, now=now)
        kind = Kind.claim_asked if command.asks else Kind.claim_stated
        await moving.record(conn, claim, actor, kind, now=now, statement=number)
        return await fetch(conn, actor, claim_id)


async def escalate(
    conn: Connection, actor: Actor, claim_id: UUID, *, settings: Settings, now: datetime
) -> ClaimForStaff:
    """
    Have somebody else look at a claim: an admin, or who adjudicates the exam.

    Raises:
        NotFoundError: its exam is not visible to the caller.
        ForbiddenError: it is, and they may only look at it, or the claim is their own.
        ConflictError: it is disputed already, waits for its candidate, or is over.
    """
    async with conn.transaction():
        claim = await hold(conn, actor, claim_id)
        await moving.dispute(conn, claim, Party.staff, actor, settings=settings, now=now)
        await moving.record(conn, claim, actor, Kind.claim_disputed, now=now, raised="staff")
        return await fetch(conn, actor, claim_id)


async def find(conn: Connection, actor: Actor, claim_id: UUID) -> asyncpg.Record:
    """Return a claim's row for staff; raises NotFoundError when its exam is not visible to the caller."""
    return await fetch_one(conn, "claim", *QUERIES.bind("find_claim", id=claim_id, **actor.reach))


async def hold(conn: Connection, actor: Actor, claim_id: UUID) -> asyncpg.Record:
    """
    Lock a claim for staff who may handle it.

    Raises:
        NotFoundError: its exam is not visible to the caller.
        ForbiddenError: it is, and they may only look at it, or the claim is their own.
    """
    found = await find(conn, actor, claim_id)
    if not found["may_handle"]:
        raise ForbiddenError("You may look at this exam's claims, but not handle them.")
    if found["candidate_id"] == actor.user_id:
        raise ForbiddenError("This claim is your own: somebody else has to handle it.")
    return await moving.hold(conn, claim_id)
