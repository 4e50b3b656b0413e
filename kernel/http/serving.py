"""
Serving an application: a socket that several processes may share, and never more connections than there are
open files for.

Past the bound a connection is answered 503 and closed. Without that, `accept` itself would fail: every client
would wait, links to PostgreSQL and Redis could not be made again, and each try would be a line in the log.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, Final, cast

import orjson
import structlog
import uuid_utils
from aiohttp import web

from kernel.errors import OverloadedError
from kernel.http.connection import Connection
from kernel.http.health import ReadyCheck
from kernel.http.networks import hosts_of
from kernel.http.origins import UNREAD
from kernel.http.web import COMMON, SPOKEN, problem_document
from kernel.running.logs import configure_logging, constant_part, named
from kernel.running.process import connections_allowed, files_needed, give_large_blocks_back, raise_file_limit
from kernel.running.runtime import CONNECTIONS, CONNECTIONS_REFUSED
from kernel.running.tasks import WATCH
from kernel.settings import Settings, load

RETRY_AFTER_S: Final = 2
REFUSAL_S: Final = 1.0  # how long a refused connection may take to ask
REFUSALS_MAX: Final = 48  # refused connections that are waited for; more are answered unheard
KEEP_ALIVE_S: Final = 75.0
LINGER_S: Final = 10.0  # for which the rest of a body is read that nobody wanted, so that its reply arrives
UNREAD_BYTES: Final = 64 << 10  # of a body that wait for its reader; twice that is the most
REPEAT_S: Final = 60.0  # a failure of the loop is told once in so long

log = structlog.get_logger(__name__)


def _refusal() -> bytes:
    """Return the whole answer: a problem document like any other, written without a request."""
    error = OverloadedError("Too many people are connected; nothing was done.", retry_after_s=RETRY_AFTER_S)
    request_id = str(uuid_utils.uuid7())
    body = orjson.dumps({**problem_document(error), "requestId": request_id})
    headers = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Retry-After": str(RETRY_AFTER_S),
        "X-Request-Id": request_id,
        "Connection": "close",
        **COMMON,
        **UNREAD,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {error.status} {error.title}\r\n{lines}\r\n".encode() + body


class Refusal(asyncio.Protocol):
    """A connection over the bound: answered when it asks, or has been silent for a moment, and closed."""

    def __init__(self, refusing: "set[Refusal]") -> None:
        """Be one of those that are refused now."""
        self._refusing = refusing
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, which some clients must have sent before they read; not with too many."""
        self._transport = cast("asyncio.Transport", transport)
        if len(self._refusing) >= REFUSALS_MAX:
            self.data_received(b"")
            return
        self._refusing.add(self)
        asyncio.get_running_loop().call_later(REFUSAL_S, self.data_received, b"")

    def data_received(self, _: bytes) -> None:
        """Answer, whatever was asked."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_refusal())
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Make room for another refusal."""
        self._refusing.discard(self)


class BoundedSite(web.TCPSite):
    """A listening socket whose connections are the application's up to a bound, and refused past it."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, connections_max: int) -> None:
        """Listen later, on `start`."""
        super().__init__(runner, host, port, backlog=4096, reuse_port=True)
        self._connections_max = connections_max
        self._refusing: set[Refusal] = set()

    async def start(self) -> None:
        """Listen."""
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol, self._host, self._port, backlog=self._backlog, reuse_port=True
        )

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None, "the runner was set up before its site"
        open_now = len(server.connections)
        CONNECTIONS.set(open_now)
        if open_now < self._connections_max:
            return Connection(
                server,
                loop=asyncio.get_running_loop(),
                access_log=None,  # type: ignore[arg-type]  # declared too narrowly; no access log is written
                auto_decompress=False,
                keepalive_timeout=KEEP_ALIVE_S,
                lingering_time=LINGER_S,
                read_bufsize=UNREAD_BYTES,
            )
        CONNECTIONS_REFUSED.inc()
        return Refusal(self._refusing)


def bounded_reports(
    clock: Callable[[], float] = perf_counter,
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler for a loop that tells each kind of failure once in REPEAT_S seconds."""
    told_at: dict[tuple[str, str], float] = {}

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        message, error = constant_part(str(context.get("message", ""))), context.get("exception")
        # asyncio says one message of whatever ends a task: another error is another failure
        kind = (message, "" if error is None else named(error))
        now = clock()
        if now - told_at.get(kind, -REPEAT_S) >= REPEAT_S:
            told_at[kind] = now
            log.error("loop_failure", message=message, exc_info=error)

    return handle


async def _watch_silent(
    app: web.Application, runner: web.AppRunner, deadline_s: float
) -> AsyncIterator[None]:
    """Close connections on which no request came within the deadline; aiohttp itself would wait for ever."""
    spoken = app[SPOKEN]

    async def watch() -> None:
        since: dict[object, float] = {}
        while True:
            await asyncio.sleep(deadline_s / 4)
            now = perf_counter()
            connections = [] if runner.server is None else runner.server.connections
            spoken.intersection_update(connections)
            since = {each: since.get(each, now) for each in connections if each not in spoken}
            for each in connections:
                if now - since.get(each, now) > deadline_s:
                    each.force_close()

    async with app[WATCH].kept(("silent-connections", watch)):
        yield


async def serve(app: web.Application, settings: Settings, *, port: int | None = None) -> web.AppRunner:
    """
    Start serving and return the runner; the caller stops it with `cleanup()`.

    The port may be shared by several processes (SO_REUSEPORT).
    """
    give_large_blocks_back()
    limit = raise_file_limit()
    allowed = connections_allowed(settings, limit)
    if limit < files_needed(settings):
        log.warning("files_too_few", limit=limit, needed=files_needed(settings), connections_allowed=allowed)
    asyncio.get_running_loop().set_exception_handler(bounded_reports())
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=settings.shutdown_s)
    app.cleanup_ctx.append(lambda app: _watch_silent(app, runner, settings.read_deadline_s))
    await runner.setup()
    port = settings.http_port if port is None else port
    for host in hosts_of(settings.http_host):
        await BoundedSite(runner, host, port, allowed).start()
        port = runner.addresses[0][1]  # where any free one was asked for, the first host's is everybody's
    return runner


async def serve_until(
    stop: asyncio.Event, name: str, build: Callable[[Settings, ReadyCheck], Awaitable[web.Application]]
) -> None:
    """
    Serve until told to stop; then take no new connection, finish what is under way, and return.

    Args:
        stop: tells to.
        name: of the process in its log.
        build: makes the application, with a readiness check that fails while it stops.
    """
    settings = load()
    configure_logging(name, settings.log_level)

    async def stopping() -> str | None:
        return "the process is stopping" if stop.is_set() else None

    runner = await serve(await build(settings, stopping), settings)
    log.info("listening", host=settings.http_host, port=settings.http_port)
    await stop.wait()
    await runner.cleanup()
    log.info("stopped")
