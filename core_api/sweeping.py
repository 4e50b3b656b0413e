"""
A sweep over what waits: page by page to its end, each row in a transaction of its own.

One that fails is logged and holds up no other, however many there are; the next sweep tries it again. Any
number of processes may sweep: the act finds what somebody else has done.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

import structlog

from core_api.database import Connection, Pool, system_connection
from kernel.errors import UnavailableError
from sql import Statements

T = TypeVar("T")

log = structlog.get_logger(__name__)

PAGE: Final = 200
_FIRST: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


async def each(
    pool: Pool,
    statements: Statements,
    name: str,
    act: Callable[[Connection, UUID], Awaitable[T]],
    *,
    now: datetime,
    failed: str,
) -> tuple[list[T], int]:
    """
    Do something about each row that a statement lists; return what that came to, and how many failed.

    Args:
        pool: where to borrow; a page and each row are asked for over connections of their own.
        statements: with the list's.
        name: of that; it takes now, `at` and `id` of the row before, and how many; in the order of these.
        act: about the row of an id.
        now: the moment.
        failed: what the log calls one that failed.

    Raises:
        UnavailableError: PostgreSQL is away.
    """
    done: list[T] = []
    faults, after = 0, _FIRST
    while True:
        async with system_connection(pool) as conn:
            rows = await conn.fetch(statements[name], now, *after, PAGE)
        for row in rows:
            try:
                async with system_connection(pool) as conn:
                    done.append(await act(conn, row["id"]))
            except UnavailableError:
                raise
            except Exception:
                faults += 1
                log.exception(failed, id=str(row["id"]))
        if len(rows) < PAGE:
            return done, faults
        after = (rows[-1]["at"], rows[-1]["id"])
