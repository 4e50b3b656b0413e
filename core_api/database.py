"""
The process's PostgreSQL pool, as handlers borrow from it.

A wait for a connection is bounded, and what the database cannot do at the moment becomes a 503 that says when
to retry.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, TypeAlias

import asyncpg
from aiohttp import web

from kernel.errors import InvalidInputError, UnavailableError
from sql import named

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

POOL: "Final[web.AppKey[Pool]]" = web.AppKey("pool", asyncpg.Pool)
# Turns an inclusive bound into a half-open one: PostgreSQL's timestamps are whole microseconds.
TICK: Final = timedelta(microseconds=1)
ACQUIRE_S: Final = 5.0
READY_S: Final = 2.0
RETRY_AFTER_S: Final = 2
# PostgreSQL is away, full, or took longer than the role may; anything else is a fault of ours and stays a
# 500.
AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut in the middle of a message
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
)


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """
    Lend a connection.

    Raises:
        UnavailableError: none was free in time, or PostgreSQL went away or cancelled the statement meanwhile.
        InvalidInputError: a text holds what PostgreSQL cannot store (a NUL, half of a surrogate pair).
    """
    try:
        async with pool.acquire(timeout=ACQUIRE_S) as conn:
            yield conn
    except (
        asyncpg.CharacterNotInRepertoireError,
        asyncpg.UntranslatableCharacterError,
        UnicodeEncodeError,
    ) as error:
        raise InvalidInputError(
            "A text holds a character that cannot be stored.",
            errors=[{"path": "body", "message": "NUL or surrogate"}],
        ) from error
    except AWAY as error:
        raise UnavailableError(
            "The database does not answer in time.", retry_after_s=RETRY_AFTER_S
        ) from error


async def ping(pool: Pool) -> str | None:
    """Return None when PostgreSQL answers within two seconds, else a sentence for /readyz."""
    try:
        async with pool.acquire(timeout=READY_S) as conn:
            await conn.fetchval(named("accounts")["ping"], timeout=READY_S)
    except (*AWAY, asyncpg.PostgresError):
        return "PostgreSQL does not answer."
    return None
