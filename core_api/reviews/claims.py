"""
Who is at work on a session: a lease, so that two reviewers do not take the same one.

It begins with a claim or with a decision, lasts `review_claim_s` from the last thing that its holder did
about the session, and ends with the decision, by hand, or by itself.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import Connection, of_row
from core_api.ledger import entries as ledger
from core_api.reviews import reaching, stages
from kernel.errors import ConflictError, ForbiddenError
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("claims")


class Claim(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who is at work on a session, and until when nobody else takes it."""

    proctor_session_id: int
    claimed_by: UUID
    claimed_by_name: str
    claimed_at: datetime
    expires_at: datetime


async def claim(
    conn: Connection, actor: Actor, session_id: int, *, settings: Settings, now: datetime
) -> Claim:
    """
    Take a session that nobody is at work on, or keep it: a claim that is asked for again lasts longer.

    Raises:
        NotFoundError: the session is not visible to the caller.
        ForbiddenError: it is, and they may only look at its exam, or it is their own, or an adjudicator's.
        ConflictError: the attempt has not ended, somebody else is at work on it, they have given their review
            of it, or its decision is final.
    """
    async with conn.transaction():
        session = await reaching.hold(conn, actor, session_id)
        if await conn.fetchval(QUERIES["is_final"], session_id):
            raise ConflictError("The decision on this session is final: there is nothing to review.")
        stages.check_claims(await stages.read(conn, actor, session))
        if await take(conn, actor, session, settings=settings, now=now):
            await _record(conn, actor, session, Kind.review_claimed, now=now)
        row = await conn.fetchrow(QUERIES["fetch_claim"], session_id, now)
        assert row is not None, "taken above"
    return of_row(row, Claim)


async def release(conn: Connection, actor: Actor, session_id: int, *, now: datetime) -> None:
    """
    Give a session back for others to take; an admin gives back what somebody else holds. Nothing is done
    where nobody holds it.

    Raises:
        NotFoundError: the session is not visible to the caller.
        ForbiddenError: somebody else is at work on it.
    """
    async with conn.transaction():
        session = await reaching.require_visible(conn, actor, session_id)
        await reaching.lock(conn, session)
        row = await conn.fetchrow(QUERIES["fetch_claim"], session_id, now)
        if row is None:
            return
        if row["claimed_by"] != actor.user_id and not actor.sees_organisation:
            raise ForbiddenError(f"{row['claimed_by_name']} is at work on this session.")
        await end(conn, session_id)
        await _record(conn, actor, session, Kind.review_released, now=now)


async def take(
    conn: Connection, actor: Actor, session: asyncpg.Record, *, settings: Settings, now: datetime
) -> bool:
    """
    Begin or renew the caller's claim of a session that they hold, in their transaction; return whether it
    was not theirs before.

    Raises:
        ConflictError: somebody else is at work on it; who, and until when.
    """
    row = await QUERIES.run(
        conn.fetchrow,
        "take_claim",
        session_id=session["id"],
        exam_id=session["exam_id"],
        organisation_id=session["organisation_id"],
        user_id=actor.user_id,
        now=now,
        expires_at=now + timedelta(seconds=settings.review_claim_s),
    )
    if row is None:
        held = await conn.fetchrow(QUERIES["fetch_claim"], session["id"], now)
        assert held is not None, "the claim that stands in the way, under the attempt's lock"
        until = f"{held['expires_at']:%Y-%m-%d %H:%M}"
        raise ConflictError(f"{held['claimed_by_name']} is at work on this session until {until} UTC.")
    return bool(row["is_new"])


async def end(conn: Connection, session_id: int) -> None:
    """End whatever claim of a session there is, in the caller's transaction."""
    await conn.execute(QUERIES["delete_claim"], session_id)


async def _record(
    conn: Connection, actor: Actor, session: asyncpg.Record, kind: Kind, *, now: datetime
) -> None:
    detail = {"attempt_id": str(session["attempt_id"])}
    await ledger.record(conn, ledger.by(actor, kind, session["id"], now=now, detail=detail))
