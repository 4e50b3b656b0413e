"""
The process's PostgreSQL pool, as handlers borrow from it: always for somebody.

Row security shows a connection what its asker may see (sql/migrations/0011_row_security.sql): nothing where
nobody asks. What runs without a person borrows a `system_connection`, which sees everything; it has a name of
its own so that a review finds every place.

A wait for a connection is bounded, and what the database cannot do at the moment becomes a 503 that says when
to retry.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import structlog
from aiohttp import web

from core_api.actors import Actor
from core_api.wire import ListPage
from kernel.access import Scope
from kernel.errors import ForbiddenError, InvalidInputError, NotFoundError
from kernel.events import Role
from kernel.postgres import ACQUIRE_S, AWAY, nothing_done, unknown
from sql import Statements, named

log = structlog.get_logger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

Row: TypeAlias = "asyncpg.Record | Mapping[str, Any]"  # of a table, or of the archive

ASKING: Final = named("asking")
POOL: "Final[web.AppKey[Pool]]" = web.AppKey("pool", asyncpg.Pool)
# Turns an inclusive bound into a half-open one: PostgreSQL's timestamps are whole microseconds.
TICK: Final = timedelta(microseconds=1)
READY_S: Final = 2.0


class Asker(StrEnum):
    """Who asks, as row security tells them apart: `asker_view()` in the migrations, with the rows of each."""

    candidate = "candidate"
    staff = "staff"
    organisation = "organisation"
    observer = "observer"
    person = "person"
    system = "system"


_ASKERS: Final = {
    Role.student: Asker.candidate,
    Role.teacher: Asker.staff,
    Role.reviewer: Asker.staff,
    Role.observer: Asker.observer,
}


def asker_of(actor: Actor) -> Asker:
    """Return as whom an actor asks, by their role and the scope of the action that they do."""
    if actor.scope is Scope.organisation and actor.role is not Role.student:
        return Asker.organisation
    return _ASKERS.get(actor.role, Asker.person)


_LENDER: "Final[ContextVar[Callable[[], Awaitable[Connection]] | None]]" = ContextVar("lender", default=None)


@contextmanager
def lent_by(lender: Callable[[], Awaitable[Connection]]) -> Iterator[None]:
    """
    Let whoever borrows for the same actor meanwhile, in the same task, get what the lender gives; it is asked
    when they borrow, and keeps what it gave.
    """
    token = _LENDER.set(lender)
    try:
        yield
    finally:
        _LENDER.reset(token)


@asynccontextmanager
async def connection(pool: Pool, actor: Actor) -> AsyncIterator[Connection]:
    """
    Lend a connection that sees what the actor may see.

    Raises:
        UnavailableError: none was free in time, or PostgreSQL went away or cancelled what was under way; an
            OutcomeUnknownError where that may have been done (a GET does nothing).
        InvalidInputError: a text holds what PostgreSQL cannot store (a NUL, half of a surrogate pair).
    """
    lender = _LENDER.get()
    if lender is not None:
        yield await lender()
        return
    async with own_connection(pool, actor) as conn:
        yield conn


@asynccontextmanager
async def own_connection(pool: Pool, actor: Actor) -> AsyncIterator[Connection]:
    """
    Lend as `connection` does, whoever else lends.

    What it was told is forgotten when it is given back: the pool resets every setting.
    """
    async with _borrowed(pool) as conn:
        await _ask_for(conn, actor)
        yield conn


@asynccontextmanager
async def system_connection(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection that sees every row, for what runs without a person; raises as `connection` does."""
    async with _borrowed(pool) as conn:
        await ask_as_system(conn)
        yield conn


@asynccontextmanager
async def as_system(conn: Connection, actor: Actor) -> AsyncIterator[None]:
    """
    Let an actor's connection see and change every row meanwhile, for an act that was found to be theirs to
    do, in its transaction. What fails in it must roll that back, and with it whom the connection answers.
    """
    assert conn.is_in_transaction(), "a rollback is the way back"
    await ask_as_system(conn)
    yield
    await _ask_for(conn, actor)


async def narrow(conn: Connection, exam_id: UUID) -> None:
    """
    Let a connection see of exams this one alone, and of that what its asker may see, to the end of its
    transaction: for whoever has very many exams, row security costs less by far.
    """
    assert conn.is_in_transaction(), "its end is the way back"
    await conn.execute(ASKING["narrow"], str(exam_id))


async def ask_as_system(conn: Connection) -> None:
    """Let a connection that is nobody's see every row, until it is closed or given back."""
    await _ask_as(conn, Asker.system, "", "", "")


async def _ask_for(conn: Connection, actor: Actor) -> None:
    bound = "" if actor.exam_id is None else str(actor.exam_id)
    await _ask_as(conn, asker_of(actor), str(actor.user_id), str(actor.organisation_id), bound)


async def _ask_as(conn: Connection, asker: Asker, user_id: str, organisation_id: str, exam_id: str) -> None:
    await conn.execute(ASKING["ask_as"], asker, user_id, organisation_id, exam_id)


async def fetch_one(conn: Connection, what: str, statement: str, *values: object) -> asyncpg.Record:
    """Return a statement's row; raises NotFoundError ("There is no such …, or …") where there is none."""
    row = await conn.fetchrow(statement, *values)
    if row is None:
        raise NotFoundError(f"There is no such {what}, or none that you may see.")
    return row


def of_row(row: Row, kind: type[S], **further: object) -> S:
    """Return a struct: its fields are the row's columns of their names, but for those that are given."""
    return kind(**{each: row[each] for each in kind.__struct_fields__ if each not in further}, **further)


async def fetch_page(
    conn: Connection, query: ListPage, statements: Statements, name: str, *, key: str = "id", **given: object
) -> tuple[list[asyncpg.Record], UUID | None]:
    """
    Return the page that a query asks for, and the cursor of the next one; None after the last.

    Args:
        conn: a connection.
        query: how many rows, after which; its other fields are filters, arguments of the same names.
        statements: with the list's.
        name: of that; it takes what is given, a `cursor` and a `limit`; its rows are in the order of `key`.
        key: the column that the cursor is of.
        given: its other arguments.
    """
    asked = msgspec.structs.asdict(query) | {"limit": query.limit + 1}
    rows = await statements.run(conn.fetch, name, **asked, **given)
    page, last = page_of(rows, query.limit)
    return page, None if last is None else last[key]


def page_of(found: list[T], limit: int) -> tuple[list[T], T | None]:
    """Return a page of what was found with one more than it holds, and its last one where there are more."""
    return found[:limit], found[limit - 1] if len(found) > limit else None


@asynccontextmanager
async def _borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection that sees nothing yet; raises UnavailableError, InvalidInputError."""
    borrowed = False
    try:
        async with pool.acquire(timeout=ACQUIRE_S) as conn:
            borrowed = True
            yield conn
    except (
        asyncpg.CharacterNotInRepertoireError,
        asyncpg.UntranslatableCharacterError,
        UnicodeEncodeError,
    ) as error:
        raise InvalidInputError(
            "A text holds a character that cannot be stored.",
            errors=[{"path": "body", "message": "a character that no text holds (NUL, or half of a pair)"}],
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        if "row-level security" not in str(error):
            raise
        # What the use case had found allowed is so no more: a grant was taken away meanwhile, say.
        log.warning("refused_by_row_security", table=error.table_name)
        raise ForbiddenError("You may not do this, or not any more.") from error
    except AWAY as error:
        raise (unknown() if borrowed else nothing_done()) from error


async def ping(pool: Pool) -> str | None:
    """Return None when PostgreSQL answers within two seconds, else a sentence for /readyz."""
    try:
        async with pool.acquire(timeout=READY_S) as conn:
            await conn.fetchval(named("accounts")["ping"], timeout=READY_S)
    except (*AWAY, asyncpg.PostgresError):
        return "PostgreSQL does not answer."
    return None
