"""
Sending what is as long as an exam is large: a piece at a time, never all of it in memory.

The rows come by a cursor, in one snapshot, as whoever asks may see them. A client that reads slowly is waited
for, and one that does not read at all, or takes too long in all, is cut off; whoever leaves ends the work
with the next piece. What fails once the reply has begun ends the connection in the middle: a file that came
to its end is whole.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, Protocol
from uuid import UUID

import asyncpg
import structlog
from aiohttp import web

from core_api.actors import actor_of
from core_api.database import POOL, Connection, connection
from kernel.errors import DomainError, OverloadedError, RateLimitedError
from kernel.http.compression import PACKERS, Packer
from kernel.http.fields import coding
from kernel.http.web import REQUEST_ID, SETTINGS, dress
from kernel.postgres import AWAY

ROWS: Final = 1000  # that a fetch has: a few milliseconds of the event loop
STALL_S: Final = 20.0  # that a client may take for one piece; PostgreSQL ends an idle snapshot after 30 s
RETRY_S: Final = 15
SWITCH_S: Final = 0.0005  # that a thread makes bytes before it gives way; 5 ms each time add up for others

log = structlog.get_logger(__name__)


class Form(Protocol):
    """What makes bytes of rows; both calls take a while, and run beside the event loop."""

    def piece(self, rows: Sequence[asyncpg.Record]) -> bytes:
        """Return what comes next; it may hold rows back."""

    def end(self) -> bytes:
        """Return what stands after the last row."""


class Exports:
    """How many exports a process has under way, and whose; who comes too many waits for a while."""

    def __init__(self, exports_max: int, account_exports_max: int, wait_s: float) -> None:
        """Have none."""
        self._exports_max, self._account_exports_max, self._wait_s = exports_max, account_exports_max, wait_s
        self._of: Counter[UUID] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def place(self, user_id: UUID) -> AsyncIterator[None]:
        """
        Count an export while the block runs, once there is room for it.

        Raises:
            RateLimitedError: the account has as many under way as it may, and none ended in time.
            OverloadedError: the process has.
        """
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s):
                    await self._changed.wait_for(lambda: self._refusal(user_id) is None)
            refusal = self._refusal(user_id)
            if refusal is not None:
                raise refusal
            self._of[user_id] += 1
        try:
            yield
        finally:
            self._of[user_id] -= 1
            self._of += Counter()  # forgets whoever has none
            async with self._changed:
                self._changed.notify_all()

    def _refusal(self, user_id: UUID) -> DomainError | None:
        """Return why there is no room; None where there is."""
        if self._of[user_id] >= self._account_exports_max:
            return RateLimitedError("Another export of yours is under way.", retry_after_s=RETRY_S)
        if self._of.total() >= self._exports_max:
            return OverloadedError("Others are exporting; nothing was sent.", retry_after_s=RETRY_S)
        return None


EXPORTS: Final = web.AppKey("exports", Exports)


async def giving_way(_: web.Application) -> AsyncIterator[None]:
    """Let threads that make bytes give way to the event loop soon, while an application serves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    yield
    sys.setswitchinterval(before)


@asynccontextmanager
async def reading(request: web.Request) -> AsyncIterator[Connection]:
    """
    Lend a connection in one snapshot, for whoever asks, to export from.

    Raises:
        RateLimitedError, OverloadedError: as `Exports.place` says.
        UnavailableError: as `connection` says.
    """
    actor = actor_of(request)
    async with (
        request.app[EXPORTS].place(actor.user_id),
        connection(request.app[POOL], actor) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield conn


async def send(
    request: web.Request,
    conn: Connection,
    statement: str,
    *values: object,
    form: Form,
    name: str,
    media_type: str,
    rows: int = ROWS,
    seen: Callable[[], None] = lambda: None,
    more: AsyncGenerator[bytes, None] | None = None,
) -> web.StreamResponse:
    """
    Send a statement's rows in a form, as a file of that name, but for the reply's end: that goes when the
    handler returns, so that whoever has the whole of one export has room for the next.

    Args:
        request: who asks.
        conn: of `reading`.
        statement: in the order of its rows.
        values: its arguments.
        form: what makes bytes of them; bytes that are packed already are not packed again.
        name: of the file, in ASCII.
        media_type: of it.
        rows: that a fetch has.
        seen: is called when the first rows are there, before anything of them leaves.
        more: what stands between the last row and the end, as the form makes it.
    """
    response = web.StreamResponse()
    response.content_type = media_type
    if media_type.startswith("text/"):
        response.charset = "utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    packer = _packer(request, response)
    dress(response, request[REQUEST_ID])
    cursor = await conn.cursor(statement, *values)
    found = await cursor.fetch(rows)
    seen()
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        async with asyncio.timeout(request.app[SETTINGS].export_s_max):
            while found:
                await _write(response, await asyncio.to_thread(_packed, form.piece, packer, found))
                found = await cursor.fetch(rows)
            async with aclosing(more or _nothing()) as pieces:
                async for piece in pieces:
                    await _write(response, piece)
            await _write(response, await asyncio.to_thread(_ended, form, packer))
    except ConnectionResetError:  # the client has left
        return response
    except (*AWAY, DomainError, asyncpg.PostgresError) as error:
        log.warning("export_cut_off", request_id=request[REQUEST_ID], cause=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _nothing() -> AsyncGenerator[bytes, None]:
    yield b""  # which is not sent


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    if piece:
        async with asyncio.timeout(STALL_S):
            await response.write(piece)


def _packer(request: web.Request, response: web.StreamResponse) -> Packer | None:
    """Return what compresses the reply, where its client takes that and it is a text."""
    if not response.content_type.startswith("text/"):
        return None  # is compressed by itself
    response.headers.add("Vary", "Accept-Encoding")
    best = coding(",".join(request.headers.getall("Accept-Encoding", ())), tuple(PACKERS))
    if best is None:
        return None
    response.headers["Content-Encoding"] = best
    return PACKERS[best]()


def _packed(
    make: Callable[[Sequence[asyncpg.Record]], bytes], packer: Packer | None, rows: Sequence[asyncpg.Record]
) -> bytes:
    piece = make(rows)
    return piece if packer is None else packer.compress(piece)


def _ended(form: Form, packer: Packer | None) -> bytes:
    rest = form.end()
    return rest if packer is None else packer.compress(rest) + packer.flush()
