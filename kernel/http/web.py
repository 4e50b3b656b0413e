"""
HTTP as every process speaks it: routes as data, bounded bodies, JSON replies, problems.

One middleware turns whatever escapes a handler into RFC 9457 `application/problem+json`; no handler builds an
error reply. Compressed bodies are decompressed by `bodies`, in bounds: `serve` has `auto_decompress` off.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum, auto
from functools import cache
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec
import orjson
import structlog
import uuid_utils
from aiohttp import HttpVersion10, HttpVersion11, web

from kernel.access import Action
from kernel.errors import (
    DomainError,
    InvalidInputError,
    MalformedError,
    MethodNotAllowedError,
    NotFoundError,
    OutcomeUnknownError,
    TooLargeError,
    UnavailableError,
)
from kernel.http import headers
from kernel.http.bodies import public
from kernel.http.compression import compress
from kernel.http.faults import refused
from kernel.http.headers import IDEMPOTENCY_KEY, KEY_LENGTH_MAX
from kernel.http.networks import Address, Networks, client_address, networks_of
from kernel.http.origins import ORIGINS, Origins, say_origin
from kernel.running.runtime import FORWARDED_UNBELIEVED, HTTP_REQUESTS, HTTP_SECONDS
from kernel.running.tasks import WATCH, Watch
from kernel.settings import Settings
from kernel.values import wrong_text

T = TypeVar("T")
Query = TypeVar("Query", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)

SETTINGS: Final = web.AppKey("settings", Settings)
SPOKEN: Final = web.AppKey("spoken", set[object])  # open connections on which a request has come
TRUSTED_PROXIES: "Final[web.AppKey[Networks]]" = web.AppKey("trusted_proxies", tuple)
REQUEST_ID: Final = web.RequestKey("request_id", str)
STOPS: Final = web.RequestKey("stops", bool)  # when its client leaves (`kernel.http.connection`)
API_PREFIX: Final = "/api"
_REQUEST_ID_FORM: Final = re.compile(headers.REQUEST_ID_FORM)
# What the header of every reply holds, unless it says something else itself. Nobody keeps what is somebody's.
COMMON: Final = {
    "Cache-Control": "no-store",
    "Server": "Veritas",
    "X-Content-Type-Options": "nosniff",
}
_VERSIONS: Final = frozenset({HttpVersion10, HttpVersion11})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Path parameters that are numbers of ours, by what they number.
NUMBERED: Final = {"commandId": "command", "evidence_id": "piece of evidence", "rule_id": "rule"}


class Shows(msgspec.Struct, frozen=True):
    """
    Whose data a route shows, which leaves a view on the ledger: `noun` of what is seen; the path parameter
    that names it (a whole organisation's where there is none) and the one that names the person, if one does.
    What somebody sees of themselves is a view where `of_oneself` says so.
    """

    noun: str
    by: str = ""
    subject: str = ""
    of_oneself: bool = False


class Retry(Enum):
    """What somebody gets who sends an act again under its Idempotency-Key."""

    first_reply = auto()
    told = auto()  # that it was done: the reply holds what signs somebody in, and is never kept
    own_way = auto()  # what the act has for it; or the retry comes with a token that the first one took back


OWN: Final = Shows("own")  # whoever asks, their own alone
NOBODY: Final = Shows("nobody")  # no person's data


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """
    One operation: what the router, the access test and the OpenAPI document all read.

    `path` is below /api. `name` is the operation's in the document, and with it the name of its function in
    every client that was generated from it: a verb first, and never changed. `action` is None for operations
    that need no token. `body`, `query` and `reply` are the msgspec types of what comes and goes; a request
    that is `bodiless` may come without one; one that `takes_file` has a file's bytes as its body; a reply is
    `media_type`; `also_status` are further successes with the same reply; `also_bare` serves the path without
    the /api prefix too (spec.md, decision 3). `shows` says whose data a reply shows; `retry` what one gets,
    where the route changes something. The docstring of the handler is the operation's description.

    What else the document says follows from this (`kernel.http.openapi`), but for what is special: `refuses`
    are further errors, with when they come; `reads` and `requires` are headers of requests, `sends` of
    replies that are no refusal, `always_sends` of all; a `ticketed` one takes a ticket in its address. Of a
    connection that stays, `tells` and `hears` are the messages that its client gets and sends.
    """

    method: str
    path: str
    name: str
    handler: Handler
    action: Action | None
    tag: str
    reply: Any = None
    body: Any = None
    takes_file: bool = False
    query: Any = None
    status: int = 200
    also_status: tuple[int, ...] = ()
    also_bare: bool = False
    shows: Shows | None = None
    retry: Retry = Retry.first_reply
    media_type: str = "application/json"
    bodiless: bool = False
    refuses: dict[type[DomainError], str] = {}
    reads: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    always_sends: tuple[str, ...] = ()
    deprecated: bool = False
    ticketed: bool = False
    tells: Any = None
    hears: Any = None


def mount(app: web.Application, routes: Iterable[Route]) -> None:
    """
    Add the routes to the application, under /api and, where asked, bare. HEAD is GET without the body: the
    same handler answers, and what it shows is as much a view.
    """
    for route in routes:
        handler = public(route.handler, app[SETTINGS]) if route.action is None else route.handler
        for prefix in (API_PREFIX, "") if route.also_bare else (API_PREFIX,):
            resource = app.router.add_resource(prefix + route.path)
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                resource.add_route(method, handler, expect_handler=expected)


async def expected(request: web.Request) -> None:
    """
    Tell a client that waits for it to send its body. What else somebody expects is passed over (RFC 9110,
    10.1.1): aiohttp would answer outside of `problems`, with what they sent in it, and fail on some of that.
    """
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the reply itself has not begun


def send_json(
    payload: object,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> web.Response:
    """
    Return a JSON response; structs, UUIDs and datetimes are written as the documents show them, bytes are
    stored JSON and stand in it as they are.
    """
    body = orjson.dumps(payload, default=_builtins, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)
    return web.Response(body=body, status=status, headers=headers, content_type=content_type)


def _builtins(value: object) -> object:
    if isinstance(value, bytes):
        return orjson.Fragment(value)
    return msgspec.to_builtins(value, builtin_types=(bytes,))


def dress(response: web.StreamResponse, request_id: str) -> None:
    """Put into a reply's header what every one of them holds."""
    response.headers["X-Request-Id"] = request_id
    for name, value in COMMON.items():
        response.headers.setdefault(name, value)


def problem_document(error: DomainError) -> dict[str, Any]:
    """Return what an error says, as `application/problem+json` has it (spec.md, decision 4)."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "success": False,
        "code": error.code,
    }
    if error.errors is not None:
        document["errors"] = error.errors
    return document | error.beside


def problem(error: DomainError, request_id: str) -> web.Response:
    """Return the error as a reply to the request of that id."""
    document = {**problem_document(error), "requestId": request_id}
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = send_json(
        document, status=error.status, headers=headers, content_type="application/problem+json"
    )
    if error.status == 408:
        response.force_close()  # the rest of the body is not waited for
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """
    Give the request an id, count it, and answer every escaping error as a problem. A query that holds what
    PostgreSQL cannot store reaches no handler, whether that reads it or only writes down that it came.
    """
    started = perf_counter()
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID_FORM.fullmatch(given) else str(uuid_utils.uuid7())
    request[REQUEST_ID] = request_id
    request.app[SPOKEN].add(request.protocol)
    try:
        _check_version(request)
        _check_query(request)
        response = _of_the_server(request) or await handler(request)
    except DomainError as raised:
        error = _certain(raised, request.method)
        response = problem(error, request_id)
        if error.status >= 500:
            log.warning(
                "request_refused",
                request_id=request_id,
                code=error.code,
                detail=error.detail,
                # its name alone: a message may quote what a person sent
                cause=type(raised.__cause__).__name__ if raised.__cause__ else None,
            )
    except web.HTTPMethodNotAllowed as error:
        response = _other_methods(error, request_id)
    except web.HTTPException as error:
        response = problem(_from_aiohttp(error), request_id) if error.status >= 400 else error
    except (ConnectionResetError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("request_failed", request_id=request_id, method=request.method)
        response = problem(
            DomainError("Something failed on our side; the request id tells us what."), request_id
        )
    if not response.prepared:
        await compress(request, response, request.app[SETTINGS].compress_bytes_min)
        dress(response, request_id)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    _requests(request.method if resource is not None else "any", route, response.status).inc()
    _seconds(route).observe(perf_counter() - started)
    return response


def reply_in_ours(request: web.BaseRequest) -> None:
    """Let the reply be in HTTP/1.1, whatever the request is in, or the parser made up for it."""
    request._cache["version"] = HttpVersion11  # noqa: SLF001


def _check_version(request: web.Request) -> None:
    if request.version not in _VERSIONS:
        reply_in_ours(request)
        request.protocol.close()
        raise MalformedError("The request is in a version of HTTP that is not spoken here; use HTTP/1.1.")


def _check_query(request: web.Request) -> None:
    if (wrong := wrong_text(request.query_string)) is not None:
        raise InvalidInputError("The query is not allowed.", errors=[{"path": "query", "message": wrong}])


def _certain(error: DomainError, method: str) -> DomainError:
    """Return the error; where its outcome is unknown and nothing can have been done, the one that says so."""
    if isinstance(error, OutcomeUnknownError) and method in _SAFE:
        return UnavailableError("It cannot be read now; try again soon.", retry_after_s=error.retry_after_s)
    return error


_requests: Final = cache(HTTP_REQUESTS.labels)  # the look-up itself takes longer than the count
_seconds: Final = cache(HTTP_SECONDS.labels)


def _of_the_server(request: web.Request) -> web.Response | None:
    """Answer `OPTIONS *`, which asks whether the server is there; None for any other request."""
    asked = request.method == "OPTIONS" and request.raw_path == "*"
    return web.Response(status=204) if asked else None


def _other_methods(error: web.HTTPMethodNotAllowed, request_id: str) -> web.Response:
    """Say which methods an address takes: to OPTIONS as an answer, to any other as a refusal."""
    allow = {"Allow": ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))}
    if error.method == "OPTIONS":
        return web.Response(status=204, headers=allow)
    message = f"This address takes {allow['Allow']}."
    return problem(MethodNotAllowedError(message, headers=allow), request_id)


def _from_aiohttp(error: web.HTTPException) -> DomainError:
    match error.status:
        case 404:
            return NotFoundError("There is no such address.")
        case 413:
            return TooLargeError("The request body is too large.")
        case _:
            return MalformedError(error.reason or "The request cannot be read.")


def decode(body: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    """
    Return the body as the decoder's type.

    Raises:
        MalformedError: it is not JSON.
        InvalidInputError: it is, and a value is missing or not allowed; the path is named.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refused("A value is not allowed.", error, decoder.type, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        sentence = "The body is not valid JSON." if bytes(body) else "There is no body: JSON is expected."
        raise MalformedError(sentence) from error


def decode_query(request: web.Request, query: type[Query]) -> Query:
    """
    Return the query string as a struct; unknown and repeated names are refused, and so is `null` for what is
    no text: leaving a parameter out is how it has no value.
    """
    raw = dict(request.query)
    if len(raw) != len(request.query):
        raise InvalidInputError("A query parameter is given more than once.", errors=[])
    try:
        decoded = msgspec.convert(raw, query, strict=False)
    except msgspec.ValidationError as error:
        raise refused("A query parameter is not allowed.", error, query, "query") from error
    names = dict(zip(query.__struct_encode_fields__, query.__struct_fields__, strict=True))
    if nulls := [name for name in raw if getattr(decoded, names[name]) is None]:
        errors = [{"path": name, "message": "Expected a value, got null"} for name in nulls]
        raise InvalidInputError("A query parameter is not allowed.", errors=errors)
    return decoded


def address_of(request: web.Request) -> Address | None:
    """Return the client's address, as far as our own proxies tell (`trusted_proxies`); None if unknown."""
    forwarded = request.headers.getall("X-Forwarded-For", ())
    if forwarded and not request.app[TRUSTED_PROXIES]:
        FORWARDED_UNBELIEVED.inc()
    return client_address(request.remote, forwarded, request.app[TRUSTED_PROXIES])


def idempotency_key(request: web.Request) -> str | None:
    """
    Return the Idempotency-Key of a request; None where none was sent.

    Raises:
        InvalidInputError: it is empty, too long, or not of printable ASCII (what proxies pass on).
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        message = f"Expected 1 to {KEY_LENGTH_MAX} printable ASCII characters"
        raise InvalidInputError(
            "The Idempotency-Key is not allowed.", errors=[{"path": IDEMPOTENCY_KEY, "message": message}]
        )
    return key


def new_app(settings: Settings) -> web.Application:
    """
    Return an application with the problem middleware and the body bound; raises ValueError when
    `trusted_proxies` or `allowed_origins` is malformed.
    """
    app = web.Application(middlewares=[problems], client_max_size=settings.body_bytes_max)
    app[SETTINGS] = settings
    app[SPOKEN] = set()
    app[WATCH] = Watch()
    app[TRUSTED_PROXIES] = networks_of(settings.trusted_proxies)
    app[ORIGINS] = Origins(settings)
    app.on_response_prepare.append(say_origin)
    return app
