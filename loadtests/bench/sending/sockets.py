"""
Many idle WebSockets from one process: each opened with a token, its pings answered, nothing else said.

Raw connections in place of a client library: what ten thousand of these cost here must stay small beside what
they cost the server.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, cast

from loadtests.bench.sending.loads import LoadError
from loadtests.bench.sending.wire import Target

CONNECTING_MAX: Final = 64  # at a time
WITHIN_S: Final = 60.0  # for one connection
_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's own; nothing here caches
_PONG: Final = b"\x8a\x80\0\0\0\0"  # a masked, empty one
_PING: Final = 0x89
_TEXT: Final = 0x81


class _Socket(asyncio.Protocol):
    """One connection: counts the states that it is told."""

    def __init__(self, request: bytes, began: "asyncio.Future[None]") -> None:
        self.states = 0
        self.is_open = False
        self._request = request
        self._began = began
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if not self._began.done():
            self._began.set_exception(LoadError(f"a socket was closed before it began: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.is_open and not self._open():
            return
        while (found := frame(self._buffer)) is not None:
            kind, whole = found
            self._buffer = self._buffer[whole:]
            if kind == _PING and self._transport is not None:
                self._transport.write(_PONG)
            self.states += kind == _TEXT
            if self.states and not self._began.done():
                self._began.set_result(None)

    def _open(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if found and not head.startswith(b"HTTP/1.1 101 ") and not self._began.done():
            self._began.set_exception(LoadError(f"no socket: {self._buffer[:2000].decode(errors='replace')}"))
        self.is_open = bool(found)
        self._buffer = rest if found else self._buffer
        return self.is_open

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def frame(data: bytes) -> tuple[int, int] | None:
    """Return the first byte and the whole length of an unmasked frame; None while it is not all there."""
    if len(data) < 2:
        return None
    length, head = data[1], 2
    if length == 126:
        if len(data) < 4:
            return None
        length, head = int.from_bytes(data[2:4], "big"), 4
    return (data[0], head + length) if len(data) >= head + length else None


class Sockets:
    """The open ones."""

    def __init__(self) -> None:
        self._sockets: list[_Socket] = []
        self.opened_s = 0.0

    @property
    def open(self) -> int:
        """How many are."""
        return sum(each.is_open for each in self._sockets)

    async def connect(self, port: int, targets: Sequence[Target]) -> None:
        """Open one for each session's candidate; raises LoadError where one does not begin."""
        started, gate = time.monotonic(), asyncio.Semaphore(CONNECTING_MAX)

        async def connect(target: Target) -> None:
            loop = asyncio.get_running_loop()
            request = (
                f"GET /api/proctor/session/{target.key}/socket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Bearer {target.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n\r\n"
            ).encode()
            began = loop.create_future()
            async with gate, asyncio.timeout(WITHIN_S):
                _, socket = await loop.create_connection(lambda: _Socket(request, began), "127.0.0.1", port)
                self._sockets.append(socket)
                await began

        async with asyncio.TaskGroup() as group:
            for target in targets:
                group.create_task(connect(target))
        self.opened_s = time.monotonic() - started

    def close(self) -> None:
        """Break all off."""
        for each in self._sockets:
            each.close()
