"""What a caller is told when PostgreSQL goes away: nothing was done, or nobody knows (spec.md X-1)."""

from collections.abc import AsyncIterator, Awaitable

import asyncpg
import pytest

from core_api.database import Pool, system_connection
from kernel.errors import OutcomeUnknownError, UnavailableError
from kernel.postgres import AWAY, open_pool
from kernel.settings import load

KEEP = "CREATE TABLE kept (n int)"
ADD = "INSERT INTO kept VALUES ($1)"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(load({}, database_url=database)) as opened:
        async with opened.acquire() as conn:
            await conn.execute(KEEP)
        yield opened


async def kill(database: str) -> None:
    """Terminate every other connection to the database."""
    other = await asyncpg.connect(database)
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await other.close()


async def kept(database: str) -> list[int]:
    conn = await asyncpg.connect(database)
    rows = await conn.fetch("SELECT n FROM kept ORDER BY n")
    await conn.close()
    return [row["n"] for row in rows]


async def told(work: Awaitable[None]) -> tuple[type[Exception], str, int | None]:
    """Return what the caller is told of the work: the kind of error, its code, when to retry."""
    try:
        await work
    except UnavailableError as error:
        return type(error), error.code, error.retry_after_s
    return AssertionError, "done", None


NOTHING_DONE = (UnavailableError, "unavailable", 2)
UNKNOWN = (OutcomeUnknownError, "outcome_unknown", 2)


async def test_what_breaks_before_the_commit_was_not_done(pool: Pool, database: str) -> None:
    async def work() -> None:
        async with system_connection(pool) as conn, conn.transaction():
            await conn.execute(ADD, 1)
            await kill(database)
            await conn.execute(ADD, 2)

    assert await told(work()) == NOTHING_DONE
    assert await kept(database) == []


async def test_what_breaks_in_a_savepoint_was_not_done_either(pool: Pool, database: str) -> None:
    async def work() -> None:
        async with system_connection(pool) as conn, conn.transaction(), conn.transaction():
            await conn.execute(ADD, 1)
            await kill(database)

    assert await told(work()) == NOTHING_DONE
    assert await kept(database) == []


async def test_a_commit_whose_reply_is_lost_is_unknown(pool: Pool, database: str) -> None:
    """The connection is gone when COMMIT is sent; the next borrower's is another matter."""

    async def work(number: int, *, breaks: bool) -> None:
        async with system_connection(pool) as conn, conn.transaction():
            await conn.execute(ADD, number)
            if breaks:
                await kill(database)

    assert await told(work(1, breaks=True)) == UNKNOWN
    await work(2, breaks=False)
    assert await kept(database) == [2]


async def test_after_a_commit_nobody_says_that_nothing_was_done(pool: Pool, database: str) -> None:
    async def work() -> None:
        async with system_connection(pool) as conn:
            async with conn.transaction():
                await conn.execute(ADD, 1)
            async with conn.transaction():
                await conn.execute(ADD, 2)
                await kill(database)
                await conn.execute(ADD, 3)

    assert await told(work()) == UNKNOWN
    assert await kept(database) == [1]


async def test_a_statement_of_its_own_is_unknown_and_a_refused_connection_is_not(
    pool: Pool, database: str
) -> None:
    async def work(of: Pool, *, breaks: bool) -> None:
        async with system_connection(of) as conn:
            if breaks:
                await kill(database)
            await conn.execute(ADD, 1)

    assert await told(work(pool, breaks=True)) == UNKNOWN
    async with await open_pool(load({}, database_url="postgresql://nobody@127.0.0.1:1/none")) as nowhere:
        assert await told(work(nowhere, breaks=False)) == NOTHING_DONE


@pytest.mark.parametrize(
    "kind", [asyncpg.InternalClientError, asyncpg.ConnectionDoesNotExistError, asyncpg.CannotConnectNowError]
)
def test_what_the_driver_says_of_a_dying_server_is_away(kind: type[Exception]) -> None:
    assert issubclass(kind, AWAY)
