"""
The sweep of pauses that have lasted as long as they may: the clock runs again already, and this says so, to
the client, among the session's events and on the ledger (spec.md P-4).

Any number of processes may sweep: each pause is one transaction, which finds it ended or ends it.
"""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import structlog

from core_api import sweeping
from core_api.database import Connection, Pool
from core_api.sittings import acts, timing
from core_api.sittings.acts import Act
from kernel.commands import SessionAction
from kernel.errors import ConflictError, StoredSpoiltError, UnavailableError
from kernel.settings import Settings

log = structlog.get_logger(__name__)


async def end_lapsed(pool: Pool, settings: Settings, *, now: datetime) -> int:
    """Record the end of pauses that are over, and return of how many; raises UnavailableError."""

    async def end(conn: Connection, attempt_id: UUID) -> bool:
        return await _end(conn, attempt_id, settings, now=now)

    ended, _ = await sweeping.each(pool, acts.QUERIES, "list_lapsed", end, now=now, failed="pause_failed")
    return sum(ended)


async def _end(conn: Connection, attempt_id: UUID, settings: Settings, *, now: datetime) -> bool:
    """Return whether there was one to end."""
    async with conn.transaction():
        try:
            attempt = await timing.hold(conn, attempt_id, now=now)
            clock = await timing.resume(conn, attempt, by=None, settings=settings, now=now)
        except StoredSpoiltError:
            raise
        except ConflictError:  # somebody else was here, or it was handed in
            return False
        sessions = await conn.fetch(acts.QUERIES["list_active_sessions"], attempt_id)
        done = Act(action=SessionAction.resume, clock=clock)
        await acts.note(conn, sessions, done, by=None, organisation_id=attempt["organisation_id"], now=now)
    return True


async def keep_ending(pool: Pool, settings: Settings) -> None:
    """Sweep for ever, until cancelled."""
    while True:
        try:
            ended = await end_lapsed(pool, settings, now=datetime.now(UTC))
        except UnavailableError as error:
            log.warning("pauses_wait", detail=error.detail)
        except Exception:
            log.exception("pauses_failed")
        else:
            if ended:
                log.info("pauses_ended", count=ended)
        await asyncio.sleep(settings.expiry_sweep_s)
