"""
An exam as it changes, told to those who watch: as events of a stream, or as messages of a WebSocket.

Both send the same: first `snapshot`, or to who comes back with an id `delta` at once; then a `delta` for each
change, numbered; `ping` when nothing happens for a while; `end`, before a watch is ended from here. Browsers
can set no header for either: a ticket in the address does it (`core_api.proctoring.tickets`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Meta

from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.exams import exams
from core_api.ledger.viewings import note_view
from core_api.proctoring.live_feed import FEEDS
from core_api.proctoring.live_messages import LivePing
from core_api.proctoring.live_watching import Message, Position, Watcher, position_of
from core_api.proctoring.sockets import End, Ending, socket_for, talk
from core_api.wire import uuid_in_path
from kernel.errors import (
    DomainError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
)
from kernel.http.origins import CLAIMS
from kernel.http.web import REQUEST_ID, SETTINGS, Shows, decode_query, dress

REFUSES: Final[dict[type[DomainError], str]] = {
    NotFoundError: "The caller may not see the exam.",
    RateLimitedError: "The account watches as often as it may at once.",
    OverloadedError: "Too many people watch.",
}
LIVE: Final = Shows("exam_live", "examId")
RETRY_MS: Final = 2000  # after so long a browser connects again
SLICE_BYTES: Final = 64 << 10  # of a long message, so that no watcher's buffer holds all of it
LOOK_S: Final = 1.0  # so often it is seen whether a silent watcher has gone
_encode: Final = msgspec.json.Encoder().encode


class Watch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How a watch begins."""

    ticket: Annotated[str, Meta(description="In place of the Authorization header.")] | None = None
    last_event_id: (
        Annotated[
            str,
            Meta(
                description="Go on after the message of this id, as the header Last-Event-ID does. One that "
                "is too old, or unknown, begins with a snapshot."
            ),
        ]
        | None
    ) = None


@asynccontextmanager
async def watching(request: web.Request, exam_id: UUID, after: Position | None) -> AsyncIterator[Watcher]:
    """
    Let whoever asks watch an exam while the block runs, as an event on the ledger.

    Raises:
        NotFoundError: they may not see the exam.
        OverloadedError, RateLimitedError, UnavailableError: as `Feeds.watch` says.
    """
    actor, transport = actor_of(request), request.transport
    async with connection(request.app[POOL], actor) as conn:
        await exams.require_visible(conn, actor, exam_id)
    watcher = Watcher(
        actor,
        request[CLAIMS],
        exam_id,
        waiting_max=request.app[SETTINGS].live_waiting_max,
        abort=lambda: None if transport is None else transport.abort(),
    )
    async with request.app[FEEDS].watch(watcher, after):
        yield watcher


async def stream(request: web.Request) -> web.StreamResponse:
    """
    Tell what changes in an exam, as server-sent events.

    The first event is a `snapshot` of all sessions that run; each `delta` after it has those that have
    changed, as they are now, and the alerts: events of severity 4 and 5, and sessions whose peak score rose
    into a higher band. A session whose status is no longer 1 has left the wall. The `number`s of one
    connection have no holes. Who connects again with the id of the last event that they saw, in the header or
    the query, gets what has changed since as one `delta`, in whichever process they were before; with an id
    that is too old, a new `snapshot`. `ping` comes when nothing happens, and `end` says why a watch is ended:
    too slow, signed out, permission taken back, the service stops.

    `EventSource` can set no header: give it a ticket (`create_live_ticket`) in the address, and a new one
    whenever it connects again.
    """
    query = decode_query(request, Watch)
    after = position_of(request.headers.get("Last-Event-ID") or query.last_event_id)
    exam_id = uuid_in_path(request, "examId")
    async with watching(request, exam_id, after) as watcher:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        dress(response, request[REQUEST_ID])
        note_view(request, LIVE)
        await response.prepare(request)
        if request.method != "HEAD":
            with suppress(ConnectionResetError):
                await _stream(request, response, watcher)
    return response


async def _stream(request: web.Request, response: web.StreamResponse, watcher: Watcher) -> None:
    await response.write(b"retry: %d\n\n" % RETRY_MS)
    quiet_s, ping_s = 0.0, request.app[SETTINGS].live_ping_s
    while not watcher.has_ended():
        message = await watcher.next(min(ping_s, LOOK_S))
        if request.transport is None or request.transport.is_closing():
            return
        quiet_s = 0.0 if message is not None else quiet_s + LOOK_S
        if message is None and not watcher.has_ended() and quiet_s < ping_s:
            continue
        quiet_s = 0.0
        event, head, data = _told(message, watcher.ending)
        ident = f"id: {head}\n" if head else ""
        await response.write(f"event: {event}\n{ident}data: ".encode())
        for start in range(0, len(data), SLICE_BYTES):
            await response.write(data[start : start + SLICE_BYTES])
        await response.write(b"\n\n")
    await response.write_eof()


def _told(message: Message | None, ending: Ending | None) -> tuple[str, str, bytes]:
    """Return what is sent: its name, its id (empty: none) and its JSON; a ping where nothing has come."""
    if message is not None:
        return message.event, message.id, message.data
    if ending is not None:
        return "end", "", _encode(End(code=ending.code, detail=ending.sentence))
    return "ping", "", _encode(LivePing(server_time=datetime.now(UTC)))


async def socket(request: web.Request) -> web.StreamResponse:
    """
    Tell what changes in an exam, as messages of a WebSocket.

    The same as the stream, each a JSON text `{"event": "snapshot", "id": "…", "data": {…}}`. Whoever watches
    has nothing to say: messages of theirs are passed over. Ended from here, it closes with 1013 (too slow),
    1012 (the service stops), 4401 (signed out) or 4404 (permission taken back).
    """
    query = decode_query(request, Watch)
    after = position_of(request.headers.get("Last-Event-ID") or query.last_event_id)
    exam_id = uuid_in_path(request, "examId")
    async with watching(request, exam_id, after) as watcher:
        ws = socket_for(request)
        note_view(request, LIVE)
        await ws.prepare(request)
        with suppress(ConnectionResetError):
            await talk(_send(ws, watcher, request.app[SETTINGS].live_ping_s), _listen(ws))
        if watcher.ending is not None:
            await ws.close(code=watcher.ending.close_code, message=watcher.ending.code.encode())
    return ws


async def _send(ws: web.WebSocketResponse, watcher: Watcher, ping_s: float) -> None:
    while not (watcher.has_ended() or ws.closed):
        message = await watcher.next(ping_s)
        if message is not None:
            text = message.text
        else:
            event, _, data = _told(None, watcher.ending)
            text = b'{"event":"%b","data":%b}' % (event.encode(), data)
        await ws.send_frame(text, WSMsgType.TEXT)


async def _listen(ws: web.WebSocketResponse) -> None:
    async for message in ws:
        if message.type is WSMsgType.ERROR:
            return
