"""
What a good engineer would build first: aiohttp, msgspec, asyncpg, and a commit before each reply.

A bulk is one statement, which takes the next sequence numbers from the session's row and inserts the events
with `unnest`; it commits synchronously. The table is the product's own, in a migrated database of its own.
What is left out is to its advantage: it checks no token, knows no duplicates, no late or back-filled events,
and bounds nothing. One process under uvloop, a pool of 16 connections, no access log.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import asyncpg
import msgspec
import uvloop
from aiohttp import web

from kernel.events import is_violation
from kernel.settings import load
from sql import named
from sql.running import Connection, run

POOL_CONNECTIONS: Final = 16
CLIENT: Final = 0x62656E6368  # a client instance's hash, as the product stores one
QUERIES: Final = named("bench")
POOL: "Final[web.AppKey[asyncpg.Pool[asyncpg.Record]]]" = web.AppKey("pool", asyncpg.Pool)


class Event(msgspec.Struct, rename="camel"):
    """One event of a bulk, as the proctor API's clients send it."""

    event_type: int
    severity: int
    metadata_json: str
    client_timestamp: datetime


class Bulk(msgspec.Struct, rename="camel"):
    """The body of a request."""

    proctor_session_id: int
    client_sequence: int
    events: list[Event]


class Stored(msgspec.Struct, rename="camel"):
    """The reply, once the events are committed: the first one's sequence number."""

    first_sequence: int


_decoder: Final = msgspec.json.Decoder(Bulk)
_encode: Final = msgspec.json.Encoder().encode


async def store(request: web.Request) -> web.Response:
    """Commit the bulk, then answer."""
    bulk = _decoder.decode(await request.read())
    events = bulk.events
    async with request.app[POOL].acquire() as conn:
        before: int | None = await QUERIES.run(
            conn.fetchval,
            "store_bulk",
            session_id=bulk.proctor_session_id,
            client=CLIENT,
            first=bulk.client_sequence,
            times=[event.client_timestamp for event in events],
            types=[event.event_type for event in events],
            severities=[event.severity for event in events],
            violations=[is_violation(event.event_type, event.severity) for event in events],
            payloads=[event.metadata_json for event in events],
        )
    if before is None:
        raise web.HTTPNotFound
    return web.Response(body=_encode(Stored(before + 1)), status=202, content_type="application/json")


async def alive(_: web.Request) -> web.Response:
    """Answer."""
    return web.Response()


async def _open_pool(app: web.Application) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        load().database_url, min_size=POOL_CONNECTIONS, max_size=POOL_CONNECTIONS
    ) as pool:
        app[POOL] = pool
        yield


def create_app() -> web.Application:
    """Return the application; it opens its pool when it starts."""
    app = web.Application()
    app.router.add_post("/api/proctor/events/bulk", store)
    app.router.add_get("/livez", alive)
    app.cleanup_ctx.append(_open_pool)
    return app


def empty(owner: Connection, sessions: list[int]) -> None:
    """Begin anew: no events, and each session's row at sequence 0. `owner` is an autocommit connection."""
    run(owner, QUERIES["empty_events"])
    run(owner, QUERIES["reset_progress"], sessions)


if __name__ == "__main__":
    uvloop.install()
    web.run_app(create_app(), host="127.0.0.1", port=load().http_port, access_log=None, print=None)
