"""What identifies a hand-in, or an observation, as it is asked for over HTTP."""

from hashlib import sha256

from aiohttp import web

from core_api.submissions.submissions import Request
from core_api.wire import body_of
from kernel.http.web import idempotency_key


def asked_in(request: web.Request) -> Request:
    """Return what identifies a hand-in whose body was read; raises InvalidInputError: a key that is none."""
    body = body_of(request) or b"{}"
    return Request(idempotency_key=idempotency_key(request), body_sha256=sha256(body).digest())
