"""
A candidate's claims: opened within the exam's window, said more about, withdrawn, disputed (spec.md M-2).

What they are told names nobody and nothing that was computed of them (decision 6): the state, until when,
what both sides have said, and the resolution with its reasons.
"""

from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.claims import moving, policies
from core_api.claims.moving import Consequence, EvidenceIds, Side, Statement, Subject, Text
from core_api.claims.states import ClaimAct, ClaimState, Party, timing
from core_api.claims.texts import STATES
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.wire import ListPage, Page
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("own_claims")


class OpenClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong, and why; with evidence of the attempt's own proctor sessions."""

    subject: Subject
    text: Text
    evidence_ids: EvidenceIds = []


class OwnStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What one side has said."""

    number: int
    side: Side
    text: str
    evidence_ids: list[int]
    said_at: datetime


class OwnResolution(msgspec.Struct, frozen=True, kw_only=True):
    """How a claim was resolved, the first time or, disputed, the second; what that has changed, and why."""

    number: int
    outcome: Literal["upheld", "rejected"]
    led_to: Consequence
    text_en: str | None
    text_ar: str | None
    resolved_at: datetime


class ListedOwnClaim(msgspec.Struct, frozen=True, kw_only=True):
    """
    A claim of the candidate's. `deadline_at` is until when its state lasts: of one that is `asked` until when
    to answer, of one that is `resolved` until when it may be disputed; null: that is the end.
    """

    claim_id: UUID
    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    subject: Subject
    state: ClaimState
    state_text_en: str
    state_text_ar: str
    opened_at: datetime
    state_at: datetime
    deadline_at: datetime | None
    is_disputed: bool


class OwnClaim(ListedOwnClaim, frozen=True, kw_only=True):
    """The same, with all that was said and how it was resolved."""

    statements: list[OwnStatement]
    resolutions: list[OwnResolution]


class OwnClaims(Page, frozen=True, kw_only=True):
    """A page of claims, newest first; `next_cursor` is null on the last page."""

    claims: list[ListedOwnClaim]


async def open_claim(
    conn: Connection,
    actor: Actor,
    attempt_id: UUID,
    command: OpenClaim,
    *,
    settings: Settings,
    now: datetime,
) -> OwnClaim:
    """
    Claim that the result of an own attempt is wrong, or that it is void wrongly.

    Raises:
        NotFoundError: nothing of the caller's was handed in there.
        ConflictError: there is no such result yet, the time for it is over, or it was claimed against before.
        InvalidInputError: evidence that is none of the attempt's.
    """
    async with conn.transaction():
        await conn.execute(QUERIES["hold_claimable"], attempt_id)
        found = await fetch_one(
            conn,
            "submission",
            *QUERIES.bind(
                "find_claimable", attempt_id=attempt_id, user_id=actor.user_id, subject=command.subject
            ),
        )
        days = (await policies.of_exam(conn, found["exam_id"], settings)).window_days
        _check_open(found, command.subject, days, now)
        claim = {
            "id": uuid7(),
            **{each: found[each] for each in ("submission_id", "attempt_id", "exam_id", "candidate_id")},
            "organisation_id": found["organisation_id"],
            "subject": command.subject,
        }
        times = timing(ClaimState.opened, settings, now=now)
        try:
            await moving.QUERIES.run(
                conn.execute, "insert_claim", **claim, now=now, **msgspec.structs.asdict(times)
            )
        except asyncpg.UniqueViolationError as error:
            raise ConflictError("You have claimed that already, and the claim is open.") from error
        said = Statement(text=command.text, evidence_ids=command.evidence_ids)
        await moving.say(conn, claim, actor, "candidate", said, settings=settings, now=now)
        await moving.record(conn, claim, actor, Kind.claim_opened, now=now, subject=command.subject)
        return await fetch(conn, actor, UUID(str(claim["id"])))


def _check_open(found: asyncpg.Record, subject: str, window_days: int, now: datetime) -> None:
    """Check that what is claimed is there, not too old, and was not claimed before; raises ConflictError."""
    shown_at = found["void_at"] if subject == "decision" else found["scored_at"]
    if subject == "decision" and shown_at is None:
        raise ConflictError("The result counts: there is nothing to claim against but the result itself.")
    if subject == "result" and found["void_at"] is not None:
        raise ConflictError("The result is void: claim against that (`decision`).")
    if shown_at is None:
        raise ConflictError("The result is not final yet: somebody has to grade it first.")
    if now >= shown_at + timedelta(days=window_days):
        raise ConflictError(
            f"The time to claim is over: {window_days} days after {shown_at:%Y-%m-%d %H:%M} UTC."
        )
    if found["claimed_at"] is not None and found["claimed_at"] >= shown_at:
        raise ConflictError("You have claimed that already; once for each result.")


async def list_own(conn: Connection, actor: Actor, query: ListPage) -> OwnClaims:
    """Return a page of the caller's claims."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_own_claims", user_id=actor.user_id, key="claim_id"
    )
    return OwnClaims(
        claims=[of_row(row, ListedOwnClaim, **_texts(row)) for row in page], next_cursor=following
    )


async def fetch(conn: Connection, actor: Actor, claim_id: UUID) -> OwnClaim:
    """Return one of the caller's claims; raises NotFoundError when there is none of theirs."""
    row = await fetch_one(conn, "claim", QUERIES["fetch_own_claim"], claim_id, actor.user_id)
    statements = await conn.fetch(moving.QUERIES["list_statements"], claim_id)
    resolutions = await conn.fetch(moving.QUERIES["list_resolutions"], claim_id)
    return of_row(
        row,
        OwnClaim,
        **_texts(row),
        statements=[of_row(each, OwnStatement) for each in statements],
        resolutions=[of_row(each, OwnResolution) for each in resolutions],
    )


async def say(
    conn: Connection, actor: Actor, claim_id: UUID, command: Statement, *, settings: Settings, now: datetime
) -> OwnClaim:
    """
    Say more about an own claim; where the candidate was asked, this is the answer.

    Raises:
        NotFoundError: there is no such claim of theirs.
        ConflictError: it is over, or has all the statements that it takes.
        InvalidInputError: evidence that is none of the attempt's.
    """
    async with conn.transaction():
        claim = await _hold(conn, actor, claim_id)
        if claim["state"] not in {"opened", "acknowledged", "asked", "under_dispute"}:
            raise ConflictError(f"The claim is {claim['state']}: nothing is said about it any more.")
        number = await moving.say(conn, claim, actor, "candidate", command, settings=settings, now=now)
        kind = Kind.claim_stated
        if claim["state"] == ClaimState.asked:
            kind = Kind.claim_answered
            await moving.move(conn, claim, ClaimAct.answer, Party.candidate, settings=settings, now=now)
        await moving.record(conn, claim, actor, kind, now=now, statement=number)
        return await fetch(conn, actor, claim_id)


async def withdraw(
    conn: Connection, actor: Actor, claim_id: UUID, *, settings: Settings, now: datetime
) -> OwnClaim:
    """
    Take an own claim back, for good.

    Raises:
        NotFoundError: there is no such claim of theirs.
        ConflictError: it is over.
    """
    async with conn.transaction():
        claim = await _hold(conn, actor, claim_id)
        await moving.move(conn, claim, ClaimAct.withdraw, Party.candidate, settings=settings, now=now)
        await moving.record(conn, claim, actor, Kind.claim_withdrawn, now=now)
        return await fetch(conn, actor, claim_id)


async def dispute(
    conn: Connection, actor: Actor, claim_id: UUID, command: Statement, *, settings: Settings, now: datetime
) -> OwnClaim:
    """
    Dispute the first resolution of an own claim: somebody else looks at it, for the last time.

    Raises:
        NotFoundError: there is no such claim of theirs.
        ConflictError: it was not resolved, the time for it is over, or it was disputed before.
        InvalidInputError: evidence that is none of the attempt's.
    """
    async with conn.transaction():
        claim = await _hold(conn, actor, claim_id)
        deadline_at = claim["deadline_at"]
        if claim["state"] == ClaimState.resolved and deadline_at is not None and now >= deadline_at:
            raise ConflictError(f"The time to dispute was over at {deadline_at:%Y-%m-%d %H:%M} UTC.")
        await moving.dispute(conn, claim, Party.candidate, actor, settings=settings, now=now)
        await moving.say(conn, claim, actor, "candidate", command, settings=settings, now=now)
        await moving.record(conn, claim, actor, Kind.claim_disputed, now=now, raised="candidate")
        return await fetch(conn, actor, claim_id)


async def _hold(conn: Connection, actor: Actor, claim_id: UUID) -> asyncpg.Record:
    await fetch_one(conn, "claim", QUERIES["fetch_own_claim"], claim_id, actor.user_id)
    return await moving.hold(conn, claim_id)


def _texts(row: asyncpg.Record) -> dict[str, str]:
    english, arabic = STATES[ClaimState(row["state"])]
    return {"state_text_en": english, "state_text_ar": arabic}
