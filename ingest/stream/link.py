"""
Pipelined connections to one Redis primary, for the append path.

What a general client library does well elsewhere is wrong here: a retry of its own after a cut reply would
append twice. So a call is written once, and a lost connection fails it: the caller's client decides, with its
sequence numbers. Several connections carry the load, because Redis reads a bounded piece of each per turn and
syncs once a turn. Each connection knows which incarnation of Redis answered it; a call goes only to the one
it is meant for.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

import hiredis
import structlog

from ingest.stream.protocol import Incarnation, incarnation, parse_info
from kernel.errors import OutcomeUnknownError, UnavailableError

log = structlog.get_logger(__name__)
RECONNECT_S: Final = 0.1
HANDSHAKE_S: Final = 5.0


def _pack(*command: bytes | str | int) -> bytes:
    packed: bytes = hiredis.pack_command(cast("tuple[Any]", command))  # the stub knows tuples of one only
    return packed


class RedisReplyError(Exception):
    """Redis answered with an error; nothing was written by the call."""


class _Connection(asyncio.Protocol):
    """One connection: replies come in the order of the calls."""

    def __init__(self, on_lost: Callable[["_Connection"], None]) -> None:
        self.incarnation: Incarnation | None = None
        self.pending: deque[asyncio.Future[Any]] = deque()
        self.busy_since = 0.0  # loop time at which the oldest unanswered call became the oldest
        self.gone = asyncio.Event()
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have no common base with asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for future in self.pending:
            if not future.done():
                future.set_exception(
                    OutcomeUnknownError(
                        "The events may be stored or not: send the same request again to learn which.",
                        retry_after_s=1,
                    )
                )
        self.pending.clear()
        self._on_lost(self)
        log.warning("redis_connection_lost", error=exc)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        self.busy_since = self._loop.time()
        while (reply := self._reader.gets()) is not False:
            future = self.pending.popleft()
            if future.done():
                continue
            if isinstance(reply, hiredis.ReplyError):
                future.set_exception(RedisReplyError(str(reply)))
            else:
                future.set_result(reply)

    def call(self, packed: bytes) -> "asyncio.Future[Any]":
        """Write one command, together with whatever else this turn of the loop writes."""
        if self._transport is None:
            raise UnavailableError("Events cannot be kept now; nothing was stored.", retry_after_s=1)
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.pending:
            self.busy_since = self._loop.time()
        self.pending.append(future)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        return future

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.writelines(self._out)
        self._out.clear()

    def close(self) -> None:
        """Drop the connection; calls on their way fail."""
        if self._transport is not None:
            self._transport.abort()


class RedisLink:
    """A fixed number of connections that come back by themselves, each verified before it carries a call."""

    def __init__(self, url: str, connections: int, deadline_s: float) -> None:
        """
        Remember where; the `loops` connect.

        Args:
            url: redis://, rediss:// or unix://.
            connections: how many carry calls.
            deadline_s: a connection that is silent so long with calls unanswered is dropped; they fail.
        """
        self._url = urlsplit(url)
        self._size = connections
        self._deadline_s = deadline_s
        self._ready: list[_Connection] = []
        self.connected = asyncio.Event()

    def loops(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """Return the loops that keep the connections: one each, and one that drops those that are silent."""
        kept = [(f"stream-{number}", self._keep_one) for number in range(self._size)]
        return [*kept, ("stream-silence", self._drop_silent)]

    @property
    def incarnation(self) -> Incarnation | None:
        """The incarnation that the newest connection speaks to; None while there is none."""
        return self._ready[-1].incarnation if self._ready else None

    def call(self, meant_for: Incarnation | None, *command: bytes | str | int) -> "asyncio.Future[Any]":
        """
        Send one command over the least busy connection to the incarnation it is meant for (None: any).

        Raises:
            UnavailableError: there is no such connection; nothing was sent.
            OutcomeUnknownError: it breaks before the reply.
        """
        best: _Connection | None = None
        for connection in self._ready:
            if meant_for is not None and connection.incarnation != meant_for:
                continue
            if best is None or len(connection.pending) < len(best.pending):
                best = connection
        if best is None:
            raise UnavailableError("Events are not taken at the moment; nothing was stored.", retry_after_s=1)
        return best.call(_pack(*command))

    def _lost(self, connection: _Connection) -> None:
        connection.gone.set()
        if connection in self._ready:
            self._ready.remove(connection)
        if not self._ready:
            self.connected.clear()

    async def _drop_silent(self) -> None:
        """One timer for all calls instead of one for each."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._deadline_s / 5)
            for connection in list(self._ready):
                if connection.pending and loop.time() - connection.busy_since > self._deadline_s:
                    log.warning("redis_connection_silent", calls=len(connection.pending))
                    connection.close()

    async def _keep_one(self) -> None:
        """Have one connection, for ever: connect, verify, serve until it is lost."""
        while True:
            connection: _Connection | None = None
            try:
                async with asyncio.timeout(HANDSHAKE_S):
                    connection = await self._dial()
                    await self._handshake(connection)
                self._ready.append(connection)
                self.connected.set()
                await connection.gone.wait()
            except (OSError, TimeoutError, UnavailableError, RedisReplyError) as error:
                log.debug("redis_connect_failed", error=error)
                await asyncio.sleep(RECONNECT_S)
            finally:
                if connection is not None:
                    connection.close()

    async def _dial(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._url.scheme == "unix":
            _, connection = await loop.create_unix_connection(lambda: _Connection(self._lost), self._url.path)
        else:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._lost),
                self._url.hostname or "127.0.0.1",
                self._url.port or 6379,
                ssl=self._url.scheme == "rediss" or None,
            )
        return connection

    async def _handshake(self, connection: _Connection) -> None:
        if self._url.password:
            secret = unquote(self._url.password)
            login = ("AUTH", unquote(self._url.username), secret) if self._url.username else ("AUTH", secret)
            await connection.call(_pack(*login))
        database = self._url.path.strip("/") if self._url.scheme != "unix" else ""
        if database and database != "0":
            await connection.call(_pack("SELECT", database))
        info = parse_info(await connection.call(_pack("INFO")))
        if info.get("role") != "master" or info.get("loading") == "1":
            raise UnavailableError("Redis is loading, or a replica.")
        connection.incarnation = incarnation(info)
