"""Hostile bodies, paths, queries and headers on every route of the core API: never a 500 (spec.md X-1)."""

import asyncio
import gzip
import io
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import orjson
import pytest
from structlog.testing import capture_logs
from yarl import URL

from core_api.app import routes
from kernel.access import ACCESS
from kernel.http.web import API_PREFIX, Route
from tests.kits.access_matrix import MATRIX
from tests.kits.access_matrix_world import World, furnish
from tests.kits.core import Answer, DatabaseAs, core_api

AT_ONCE = 4  # each is a connection that plans all statements
OVERLOADED = b'"code":"overloaded"'
WITHIN_S = 20.0
RETRY_S = 0.02
GENEROUS = {"login_attempts_max": 10**6, "account_burst_requests": 10**9}  # else 429 is all that is met
DEEP = 20_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"a":',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b"[" * DEEP,
    "a huge number": b"9" * 5000,
    "a huge exponent": b"1e999999",
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "a raw NUL": b'{"a": "\x00"}',
    "only NULs": b"\x00" * 100,
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "an overlong slash": b'{"a": "\xc0\xaf"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "more behind it": b"{} {}",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a text": b'"x"',
    "names twice": b'{"' + b'a": 1, "' * 1000 + b'a": 1}',
    "a million names": b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}",
}
# What stands in for each value of a body that is right, in turn.
VALUES: dict[str, bytes] = {
    "NUL": b'"\\u0000"',
    "half a pair": b'"\\ud800"',
    "a huge number": b"9" * 400,
    "a huge float": b"1e308",
    "below zero": b"-9223372036854775809",
    "null": b"null",
    "a list": b"[[[]]]",
    "an object": b'{"": {"": {}}}',
    "a long text": b'"' + b"x" * 200_000 + b'"',
    "an id of nobody": b'"00000000-0000-0000-0000-000000000000"',
    "a date of no calendar": b'"99999-13-45T99:99:99Z"',
    "the last day": b'"9999-12-31T23:59:59.999999-23:59"',
    "the first day": b'"0001-01-01T00:00:00+23:59"',
    "right to left": '"\u202e\u0000\U0010ffff"'.encode().replace(b"\x00", b""),
}
BOMB_BYTES = 64 << 20
SEGMENTS = (
    "%00", "%ff", "..%2f..%2fetc%2fpasswd", "-1", "0", "9" * 400, "%F0%9F%92%A3", "'%20OR%201=1--", "{id}",
    "00000000-0000-0000-0000-00000000000g", "1%0d%0aX-Injected:%20yes", "a" * 4000, "%2e%2e", "1.0",
    "NaN", "%D9%A3",
)  # fmt: skip
QUERIES = (
    "limit=0", "limit=-1", f"limit={'9' * 400}", "limit=1e3", "limit=NaN", "limit=%D9%A3", "limit=1&limit=2",
    "cursor=%00", "cursor=%ff", "cursor=x", f"cursor={'9' * 4000}", "unknown=1", "=&=&=", "%00=%00", "%",
    "from=9999-12-31T23:59:59.999999-23:59", "from=0001-01-01T00:00:00%2b23:59", "before=yesterday",
    "kind=%00", "sort=%00", "mode=9", "status=-1", "page=999999999999999999999", "bucket_s=0",
    "cursor=%ed%a0%80",
)  # fmt: skip
HEADERS: dict[str, dict[str, str]] = {
    "a long header": {"X-Anything": "x" * 20_000},
    "many headers": {f"X-Anything-{n}": "x" for n in range(500)},
    "a long id": {"X-Request-Id": "x" * 4000},
    "a key that is no ASCII": {"Idempotency-Key": "ключ"},
    "a long key": {"Idempotency-Key": "k" * 4000},
    "an unknown encoding": {"Content-Encoding": "br"},
    "two encodings": {"Content-Encoding": "gzip, gzip"},
    "a lie about gzip": {"Content-Encoding": "gzip"},
    "a lie about zstd": {"Content-Encoding": "zstd"},
    "no JSON": {"Content-Type": "multipart/form-data; boundary=x"},
    "a strange charset": {"Content-Type": "application/json; charset=utf-7"},
    "no type at all": {"Content-Type": "\u00ff/\u00ff"},
    "strange languages": {"Accept-Language": ";q=,,*;q=9e999"},
    "forwarded": {"X-Forwarded-For": ",".join(["x"] * 1000)},
}


def address(world: World, route: Route) -> str:
    path = route.path
    for name, value in world.parameters.items():
        path = path.replace(f"{{{name}}}", value)
    return API_PREFIX + path


def entitled(route: Route) -> str | None:
    """Return somebody whom the route is for, as close to the world's things as there is."""
    roles = [] if route.action is None else ACCESS[route.action]
    return next((name for name in ("admin", "student", "teacher", "observer") if name in roles), None)


def with_each_value_replaced(kind: Any, body: Any) -> Iterator[tuple[str, bytes]]:
    """Give the body again and again, one value of it, or of what it leaves out, replaced by a hostile one."""
    marker = "replaced-here"
    names = [each.encode_name for each in msgspec.structs.fields(kind)]
    left_out = [{**body, name: marker} for name in names if name not in body]
    for altered in [*_marked(body, marker), *left_out]:
        text = orjson.dumps(altered)
        for name, value in VALUES.items():
            yield name, text.replace(b'"%s"' % marker.encode(), value)


def _marked(value: Any, marker: str) -> Iterator[Any]:
    yield marker
    if isinstance(value, dict):
        for name, each in value.items():
            yield from ({**value, name: altered} for altered in _marked(each, marker))
    if isinstance(value, list):
        for n, each in enumerate(value[:2]):
            yield from ([*value[:n], altered, *value[n + 1 :]] for altered in _marked(each, marker))


class Tried(msgspec.Struct, frozen=True):
    """One request, and what it is called in a failure's message."""

    name: str
    method: str
    url: str
    by: str | None
    body: bytes | None = None
    headers: dict[str, str] = {}


async def send(world: World, each: Tried) -> Answer:
    url: Any = URL(world.api.url + each.url, encoded=True)
    headers = dict(each.headers)
    if each.by is not None:
        headers["Authorization"] = f"Bearer {world.api.token(each.by)}"
    body = None if each.body is None else io.BytesIO(each.body)
    async with world.api.http.request(each.method, url, data=body, headers=headers) as response:
        goes_on = response.content_type == "text/event-stream"
        raw = await (response.content.readany() if goes_on else response.read())
        return Answer(response.status, raw, response.headers)


def is_busy(answer: Answer) -> bool:
    return answer.status == 503 and OVERLOADED in answer.body


async def check_all(world: World, tried: Iterator[Tried]) -> int:
    """
    Send everything, some at once; nothing is a 500 or in the log as one. Return how many there were.

    What is done one at a time, imports say, is asked for again in turn: those that wait keep their places, so
    there are soon none left who might come between.
    """
    gate, turn = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def one(each: Tried) -> Answer:
        async with gate:
            answer = await send(world, each)
            if not is_busy(answer):
                return answer
            async with turn:
                deadline = time.monotonic() + WITHIN_S
                while is_busy(answer) and time.monotonic() < deadline:
                    await asyncio.sleep(RETRY_S)
                    answer = await send(world, each)
                return answer

    sent = list(tried)
    with capture_logs() as logs:
        answers = await asyncio.gather(*(one(each) for each in sent))
    wrong = [
        (each.name, each.method, each.url[:120], answer.status, answer.body[:200])
        for each, answer in zip(sent, answers, strict=True)
        if answer.status >= 500 or b"Traceback" in answer.body or "X-Injected" in answer.headers
    ]
    assert wrong == []
    assert [each for each in logs if each["event"] == "request_failed"] == []
    for each, answer in zip(sent, answers, strict=True):
        if answer.status >= 400 and "X-Request-Id" in answer.headers:
            assert (answer.headers["Content-Type"], each.name) == ("application/problem+json", each.name)
    return len(sent)


def hostile_bodies(world: World) -> Iterator[Tried]:
    bomb = gzip.compress(b" " * BOMB_BYTES)
    for route in routes():
        if route.body is None:
            continue
        at, by = address(world, route), entitled(route)
        for name, body in BODIES.items():
            yield Tried(name, route.method, at, by, body)
        key = (route.method, route.path)
        good = MATRIX[key].body(world) if key in MATRIX else {"email": "a@b.example", "password": "wrong"}
        for name, body in with_each_value_replaced(route.body, good or {}):
            yield Tried(name, route.method, at, by, body)
        yield Tried("a bomb", route.method, at, by, bomb, {"Content-Encoding": "gzip"})
        yield Tried("too large", route.method, at, by, b" " * (2 << 20))


def hostile_addresses(world: World) -> Iterator[Tried]:
    for route in routes():
        by, at = entitled(route), address(world, route)
        for segment in SEGMENTS if "{" in route.path else ():
            path = API_PREFIX + "/".join(
                segment if part.startswith("{") else part for part in route.path.split("/")
            )
            yield Tried(segment[:20], route.method, path, by, b"{}")
        for query in QUERIES if route.method == "GET" else ("everywhere=maybe", "%00"):
            yield Tried(query[:20], route.method, f"{at}?{query}", by, b"{}" if route.body else None)


def hostile_headers(world: World) -> Iterator[Tried]:
    for route in routes():
        for name, headers in HEADERS.items():
            sent = {header: quote(value, safe="/;=,*") if header != "Idempotency-Key" else value
                    for header, value in headers.items()}  # fmt: skip
            yield Tried(name, route.method, address(world, route), entitled(route), b"{}", sent)


@pytest.mark.slow("every body to every route")
async def test_no_body_makes_any_route_fail_x1(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as, **GENEROUS) as api:
        world = await furnish(api)

        assert await check_all(world, hostile_bodies(world)) > 3000


async def test_no_path_and_no_query_makes_any_route_fail_x1(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as, **GENEROUS) as api:
        world = await furnish(api)

        assert await check_all(world, hostile_addresses(world)) > 1000


async def test_no_header_makes_any_route_fail_x1(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as, **GENEROUS) as api:
        world = await furnish(api)

        assert await check_all(world, hostile_headers(world)) > 500
