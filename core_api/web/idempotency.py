"""
A retry gets the first reply: one mechanism in front of every route that changes something (spec.md S-1, I-2).

With an `Idempotency-Key` all that the handler does is one transaction with the key's row, which takes the
reply: what was done and what was answered are both there, or neither is. It begins when the handler first
borrows a connection: what is worked out before, a password's hash say, holds none. The same key with another
request is a 409. A sign-in that is bound to an exam has keys of its own, and meets none of the person's. A
hand-in and an observation, whose rows carry the key themselves, have their own way (submissions.py,
observations.py).
"""

import hashlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Final

import msgspec
from aiohttp import web

from core_api.actors import Actor, actor_of
from core_api.database import POOL, Connection, lent_by, own_connection
from core_api.wire import read_bytes
from kernel.errors import ConflictError, IdempotencyKeyReusedError, RateLimitedError
from kernel.http.headers import IDEMPOTENCY_KEY
from kernel.http.web import SETTINGS, Retry, Route, idempotency_key
from sql import named

QUERIES: Final = named("idempotency")
REPLY_BYTES_MAX: Final = 262_144
RETRY_S: Final = 60


def repeatable(route: Route) -> Route:
    """Return the route with the mechanism in front of its handler; routes that only read as they are."""
    handler = route.handler
    if route.method == "GET" or route.action is None or route.retry is Retry.own_way:
        return route

    @wraps(handler)
    async def once(request: web.Request) -> web.StreamResponse:
        key = idempotency_key(request)
        if key is None:
            return await handler(request)
        claim = _Claim(request.app, actor_of(request), key, await _hash_of(request))
        async with own_connection(request.app[POOL], claim.actor) as conn:
            first = await claim.look(conn)
        if first is not None:
            return first
        try:
            async with AsyncExitStack() as held:
                claim.held = held
                with lent_by(claim.hold):
                    response = await handler(request)
                await claim.hold()
                if route.retry is Retry.first_reply and isinstance(response, web.Response):
                    await claim.keep(response)
        except _AnsweredError as answered:
            return answered.response
        return response

    return msgspec.structs.replace(
        route,
        handler=once,
        reads=(*route.reads, IDEMPOTENCY_KEY),
        refuses={ConflictError: "", IdempotencyKeyReusedError: "", RateLimitedError: "", **route.refuses},
    )


async def _hash_of(request: web.Request) -> bytes:
    """Return what a retry is known by: the hash of method, address and body."""
    body = await read_bytes(request) if request.can_read_body else b""
    return hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + body).digest()


class _AnsweredError(Exception):
    """Somebody did the same meanwhile; carries the reply to them."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


class _Claim:
    """A key of somebody's, from the first look at it to the reply."""

    def __init__(self, app: web.Application, actor: Actor, key: str, asked: bytes) -> None:
        self.actor = actor
        self.held = AsyncExitStack()
        self._app = app
        self._asked = asked
        self._named = {"user_id": actor.user_id, "key": key, "exam_id": actor.exam_id}
        self._conn: Connection | None = None

    async def look(self, conn: Connection) -> web.Response | None:
        """
        Return the first reply under the key, or None where nothing was done under it.

        Raises:
            IdempotencyKeyReusedError: the key came with another request.
            ConflictError: it was done, and its reply is not kept.
        """
        before = datetime.now(UTC) - timedelta(seconds=self._app[SETTINGS].idempotency_window_s)
        await conn.execute(QUERIES["forget_keys"], self.actor.user_id, before)
        row = await QUERIES.run(conn.fetchrow, "fetch_key", **self._named)
        if row is None:
            return None
        if row["request"] != self._asked:
            raise IdempotencyKeyReusedError("The Idempotency-Key was used for another request.")
        if row["status"] is None:
            raise ConflictError("This was done already; its reply is no longer kept.")
        return web.Response(body=row["reply"], status=row["status"], content_type="application/json")

    async def hold(self) -> Connection:
        """
        Return the connection of the transaction that holds the key, begun when it is first asked for.

        Raises:
            RateLimitedError: the account has as many keys as it may.
            _AnsweredError: another request was done under the key since the look; or as `look` raises.
        """
        if self._conn is not None:
            return self._conn
        conn = await self.held.enter_async_context(own_connection(self._app[POOL], self.actor))
        await self.held.enter_async_context(conn.transaction())
        most, now = self._app[SETTINGS].account_idempotency_keys_max, datetime.now(UTC)
        claim = QUERIES.bind("claim_key", **self._named, request=self._asked, now=now, keys_max=most)
        if await conn.fetchval(*claim) is None:
            first = await self.look(conn)
            if first is not None:
                raise _AnsweredError(first)
            raise RateLimitedError(
                "Too many requests with an Idempotency-Key; nothing was done.", retry_after_s=RETRY_S
            )
        self._conn = conn
        return conn

    async def keep(self, response: web.Response) -> None:
        """Write the reply into the key's row, unless it is too long."""
        body = response.body if isinstance(response.body, bytes) else b""
        if len(body) <= REPLY_BYTES_MAX:
            reply = QUERIES.bind("keep_reply", **self._named, status=response.status, reply=body)
            await (await self.hold()).execute(*reply)
