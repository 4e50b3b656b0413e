"""
Taking tokens back, the writing side: a row with the change itself, then the word to every process, which
`kernel.revocation` takes in and asks (spec.md A-2).

PostgreSQL is the truth. What a crash or a Redis that was away kept from being told is told by the sweep: what
was written lately, or everything that may still matter after a new connection, for that Redis may have
forgotten.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from aiohttp import web

from core_api.database import POOL, Connection, Pool, system_connection
from kernel.errors import DomainError, NotFoundError, UnavailableError
from kernel.revocation import REVOCATIONS, Revocation, Revocations, before
from kernel.running.tasks import WATCH
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("logins")
LAUNCHES: Final = named("launches")
THROTTLE: Final = named("throttle")
INVITATIONS: Final = named("invitations")
KEYS: Final = named("idempotency")
SWEEP_S: Final = 30.0
RETRY_S: Final = 1.0
KEYS_MAX: Final = 500  # of one statement: a reply may have 256 KiB
LATELY: Final = timedelta(minutes=5)
MINUTE: Final = timedelta(minutes=1)

log = structlog.get_logger(__name__)


async def record(conn: Connection, user_id: UUID, mark: str, *, life_s: int, now: datetime) -> Revocation:
    """Write down in the caller's transaction what is taken back; publish it after the commit."""
    expires_at = now + timedelta(seconds=life_s)
    await conn.execute(QUERIES["insert_revocation"], user_id, mark, now, expires_at)
    return Revocation(str(user_id), mark, int(expires_at.timestamp()) + 1)


async def sign_out_everywhere(
    conn: Connection, user_id: UUID, *, settings: Settings, now: datetime
) -> Revocation:
    """
    Take back every token of a user, in the caller's transaction; publish the result after the commit.

    Raises:
        NotFoundError: there is no such user.
    """
    generation = await conn.fetchval(QUERIES["raise_generation"], user_id)
    if generation is None:
        raise NotFoundError("There is no such user.")
    await conn.execute(QUERIES["revoke_logins"], user_id, now)
    return await record(conn, user_id, before(generation), life_s=settings.access_token_s, now=now)


async def end_launched_by(
    conn: Connection, issuer_id: UUID, *, settings: Settings, now: datetime
) -> list[Revocation]:
    """
    End every sign-in that came from somebody's launch links, in the caller's transaction; publish the result
    after the commit.
    """
    expires_at = now + timedelta(seconds=settings.access_token_s)
    rows = await conn.fetch(LAUNCHES["end_launched_by"], issuer_id, now, expires_at)
    return [Revocation(str(row["user_id"]), row["mark"], int(expires_at.timestamp()) + 1) for row in rows]


async def tell(pool: Pool, revocations: Revocations, *, since: datetime, now: datetime) -> int:
    """
    Publish again what was taken back since, and return how many; what is known already changes nothing.

    Raises:
        UnavailableError: PostgreSQL or Redis is away.
    """
    async with system_connection(pool) as conn:
        rows = await conn.fetch(QUERIES["list_revocations"], since, now)
    found = [
        Revocation(str(row["user_id"]), row["mark"], int(row["expires_at"].timestamp()) + 1) for row in rows
    ]
    if found and not await revocations.publish(found):
        raise UnavailableError("Redis did not take the revocations.")
    return len(found)


async def sweep(pool: Pool, settings: Settings, *, now: datetime) -> None:
    """
    Delete what no longer matters: revocations of dead tokens, uses of dead links, dead invitations, windows
    of failed sign-ins that are over, replies that no retry asks for any more.
    """
    window = timedelta(seconds=settings.login_window_s)
    forgotten = now - timedelta(seconds=settings.idempotency_window_s)
    async with system_connection(pool) as conn:
        await conn.execute(QUERIES["delete_expired_revocations"], now)
        await conn.execute(LAUNCHES["delete_expired_uses"], now)
        await conn.execute(INVITATIONS["delete_expired_invitations"], now)
        await conn.execute(THROTTLE["delete_old_attempts"], now - window)
        await conn.execute(THROTTLE["delete_old_networks"], now - MINUTE)
        while await conn.fetchval(KEYS["delete_old_keys"], forgotten, KEYS_MAX) == KEYS_MAX:
            pass


async def telling(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """Sweep while the application runs."""
    async with app[WATCH].kept(
        ("telling-revocations", lambda: _tell_for_ever(app[POOL], app[REVOCATIONS], settings))
    ):
        yield


async def _tell_for_ever(pool: Pool, revocations: Revocations, settings: Settings) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(revocations.connected.wait(), SWEEP_S)
        anew = revocations.connected.is_set()
        revocations.connected.clear()
        now = datetime.now(UTC)
        try:
            since = now - timedelta(seconds=settings.access_token_s) if anew else now - LATELY
            await tell(pool, revocations, since=since, now=now)
            await sweep(pool, settings, now=now)
        except (DomainError, asyncpg.PostgresError) as error:
            log.warning("revocations_not_told", error=error)
            if anew:
                revocations.connected.set()
            await asyncio.sleep(RETRY_S)
