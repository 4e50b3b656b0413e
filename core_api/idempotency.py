"""
A retry gets the first reply: one mechanism in front of every route that changes something (spec.md S-1, I-2).

With an `Idempotency-Key` the handler runs in one transaction with the key's row, which takes the reply: what
was done and what was answered are both there, or neither is. The same key with another request is a 409. A
sign-in that is bound to an exam has keys of its own, and meets none of the person's. A hand-in and an
observation, whose rows carry the key themselves, have their own way (submissions.py, observations.py).
"""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Final

import msgspec
from aiohttp import web

from core_api.actors import Actor, actor_of
from core_api.database import POOL, Connection, connection, lent
from kernel.bodies import read_body
from kernel.errors import ConflictError, IdempotencyKeyReusedError, InvalidInputError, RateLimitedError
from kernel.web import SETTINGS, Route
from sql import named

QUERIES: Final = named("idempotency")
HEADER: Final = "Idempotency-Key"
KEY_LENGTH_MAX: Final = 200
REPLY_BYTES_MAX: Final = 262_144
RETRY_S: Final = 60
# The reply holds what signs somebody in: it is never kept, and a retry is told that it was done.
SECRET: Final = frozenset({"/teacher/exams/{exam_id}/launch-links"})
# They have a way of their own; or a retry comes with a token that the first one took back.
APART: Final = frozenset(
    {
        "/auth/logout",
        "/me/password",
        "/student/attempts/{attempt_id}/answers",
        "/student/attempts/{attempt_id}/submit",
        "/student/exams/{attempt_id}/submit",
        "/observer/exams/{exam_id}/observations",
    }
)


def repeatable(route: Route) -> Route:
    """Return the route with the mechanism in front of its handler; routes that only read as they are."""
    handler = route.handler
    if route.method == "GET" or route.action is None or route.path in APART:
        return route

    @wraps(handler)
    async def once(request: web.Request) -> web.StreamResponse:
        key = request.headers.get(HEADER)
        if key is None:
            return await handler(request)
        if not (0 < len(key) <= KEY_LENGTH_MAX and key.isprintable()):
            message = f"1 to {KEY_LENGTH_MAX} printable characters"
            raise InvalidInputError(
                "The Idempotency-Key is not allowed.", errors=[{"path": HEADER, "message": message}]
            )
        actor, asked = actor_of(request), await _hash_of(request)
        async with connection(request.app[POOL], actor) as conn, conn.transaction():
            first = await _first(conn, actor, key, asked, request)
            if first is not None:
                return first
            with lent(conn):
                response = await handler(request)
            if route.path not in SECRET and isinstance(response, web.Response):
                await _keep(conn, actor, key, response)
        return response

    return msgspec.structs.replace(route, handler=once)


async def _hash_of(request: web.Request) -> bytes:
    """Return what a retry is known by: the hash of method, address and body."""
    body = await read_body(request, request.app[SETTINGS]) if request.can_read_body else b""
    return hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + body).digest()


async def _first(
    conn: Connection, actor: Actor, key: str, asked: bytes, request: web.Request
) -> web.Response | None:
    """
    Return the first reply under a key, or None where this is the first request, which then holds the key.

    Raises:
        IdempotencyKeyReusedError: the key came with another request.
        ConflictError: it was done, and its reply is not kept.
        RateLimitedError: the account has as many keys as it may.
    """
    settings, now = request.app[SETTINGS], datetime.now(UTC)
    window = timedelta(seconds=settings.idempotency_window_s)
    await conn.execute(QUERIES["forget_keys"], actor.user_id, now - window)
    most = settings.account_idempotency_keys_max
    if (
        await conn.fetchval(QUERIES["claim_key"], actor.user_id, key, actor.exam_id, asked, now, most)
        is not None
    ):
        return None
    row = await conn.fetchrow(QUERIES["fetch_key"], actor.user_id, key, actor.exam_id)
    if row is None:
        raise RateLimitedError("The account has too many Idempotency-Keys at once.", retry_after_s=RETRY_S)
    if row["request"] != asked:
        raise IdempotencyKeyReusedError("The Idempotency-Key was used for another request.")
    if row["status"] is None:
        raise ConflictError("It was done under this Idempotency-Key; its reply is not kept.")
    return web.Response(body=row["reply"], status=row["status"], content_type="application/json")


async def _keep(conn: Connection, actor: Actor, key: str, response: web.Response) -> None:
    body = response.body if isinstance(response.body, bytes) else b""
    if len(body) <= REPLY_BYTES_MAX:
        await conn.execute(QUERIES["keep_reply"], actor.user_id, key, actor.exam_id, response.status, body)
