"""
The sweep: attempts past their end are finalised with what was saved, or abandoned (spec.md D-2).

Any number of processes may sweep: each attempt is one transaction, and one that another process holds is
passed over.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
import structlog

from core_api import sweeping
from core_api.database import Connection, Pool
from core_api.submissions import submissions
from kernel.errors import UnavailableError
from sql import named

log = structlog.get_logger(__name__)

QUERIES: Final = named("submissions")


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep did, in attempts."""

    finalised: int
    abandoned: int
    failed: int


async def sweep(pool: Pool, *, now: datetime) -> Swept:
    """
    Close every attempt that is past its end.

    One that cannot be finalised is logged and does not hold up the others; the next sweep tries it again.

    Raises:
        UnavailableError: PostgreSQL is away.
    """

    async def close(conn: Connection, attempt_id: UUID) -> bool | None:
        return await _close(conn, attempt_id, now=now)

    done, failed = await sweeping.each(pool, QUERIES, "list_expired", close, now=now, failed="expiry_failed")
    return Swept(finalised=done.count(True), abandoned=done.count(False), failed=failed)


async def _close(conn: Connection, attempt_id: UUID, *, now: datetime) -> bool | None:
    """Return True for a submission, False for an abandoned attempt, None where somebody else is at it."""
    async with conn.transaction():
        attempt = await conn.fetchrow(QUERIES["hold_expired"], attempt_id, now)
        if attempt is None:
            return None
        return await submissions.finalise(conn, attempt, "expiry", None, now=now) is not None


async def keep_sweeping(pool: Pool, every_s: float) -> None:
    """Sweep for ever, until cancelled."""
    while True:
        try:
            swept = await sweep(pool, now=datetime.now(UTC))
        except UnavailableError as error:
            log.warning("expiry_waits", detail=error.detail)
        except Exception:
            log.exception("expiry_failed")  # a database that is not migrated yet, say: the next sweep may do
        else:
            if swept.finalised or swept.abandoned or swept.failed:
                log.info("attempts_expired", **msgspec.structs.asdict(swept))
        await asyncio.sleep(every_s)
