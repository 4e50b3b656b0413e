"""
The sweep of claims: who has to act is reminded, once of each deadline; what was not answered in time moves by
itself (spec.md M-2).

A reminder is an event with its row of the outbox, in the transaction that says that it was sent. Any number
of processes may sweep: each claim is one transaction, and one that somebody holds is passed over.
"""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from core_api import sweeping
from core_api.claims import moving
from core_api.claims.moving import QUERIES
from core_api.claims.states import ClaimAct, ClaimState, Party
from core_api.database import Connection, Pool
from kernel.errors import UnavailableError
from kernel.ledger.kinds import Kind
from kernel.settings import Settings

log = structlog.get_logger(__name__)


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep did, in claims."""

    reminded: int = 0
    lapsed: int = 0


async def sweep(pool: Pool, settings: Settings, *, now: datetime) -> Swept:
    """Remind of what is due soon and move what has lapsed, all of it; raises UnavailableError."""

    async def remind(conn: Connection, claim_id: UUID) -> bool:
        return await _remind(conn, claim_id, now=now)

    async def lapse(conn: Connection, claim_id: UUID) -> bool:
        return await _lapse(conn, claim_id, settings, now=now)

    reminded, _ = await sweeping.each(pool, QUERIES, "list_due", remind, now=now, failed="claim_failed")
    lapsed, _ = await sweeping.each(pool, QUERIES, "list_lapsed", lapse, now=now, failed="claim_failed")
    return Swept(reminded=sum(reminded), lapsed=sum(lapsed))


async def _remind(conn: Connection, claim_id: UUID, *, now: datetime) -> bool:
    async with conn.transaction():
        claim = await conn.fetchrow(QUERIES["hold_due"], claim_id, now)
        if claim is None or claim["remind_at"] is None or claim["remind_at"] > now:
            return False
        await conn.execute(QUERIES["set_reminded"], claim_id)
        await moving.record(
            conn, claim, None, Kind.claim_reminded, now=now, state=claim["state"],
            deadline_at=claim["deadline_at"].isoformat(),
        )  # fmt: skip
        return True


async def _lapse(conn: Connection, claim_id: UUID, settings: Settings, *, now: datetime) -> bool:
    async with conn.transaction():
        claim = await conn.fetchrow(QUERIES["hold_due"], claim_id, now)
        if claim is None or not _has_lapsed(claim, now):
            return False
        if claim["state"] == ClaimState.asked:
            await moving.move(conn, claim, ClaimAct.expire, Party.system, settings=settings, now=now)
            await moving.record(conn, claim, None, Kind.claim_expired, now=now)
        else:
            await moving.dispute(conn, claim, Party.system, None, settings=settings, now=now)
            await moving.record(conn, claim, None, Kind.claim_disputed, now=now, raised="system")
        return True


def _has_lapsed(claim: asyncpg.Record, now: datetime) -> bool:
    waits = claim["state"] in {ClaimState.opened, ClaimState.acknowledged, ClaimState.asked}
    return waits and bool(claim["deadline_at"] <= now)


async def keep_sweeping(pool: Pool, settings: Settings) -> None:
    """Sweep for ever, until cancelled."""
    while True:
        try:
            swept = await sweep(pool, settings, now=datetime.now(UTC))
        except UnavailableError as error:
            log.warning("claims_wait", detail=error.detail)
        except Exception:
            log.exception("claims_failed")
        else:
            if swept.reminded or swept.lapsed:
                log.info("claims_swept", **msgspec.structs.asdict(swept))
        await asyncio.sleep(settings.claim_sweep_s)
