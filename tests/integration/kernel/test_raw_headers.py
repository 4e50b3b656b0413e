"""Bytes that are no text, in every header that is read: a refusal like any other (spec.md X-1)."""

import asyncio
import re
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import core_api
import ingest
import kernel
from core_api.app import routes
from ingest.routes import ROUTES
from kernel.http.web import API_PREFIX
from tests.kits.core import Core
from tests.kits.ingest.api import Api, body_for

READ = re.compile(r'headers\.get(?:all)?\(\s*"([A-Za-z-]+)"')
VALUES = (b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\xa9", b"gzip\xff", b"\xff/\xff")


def headers_read() -> set[str]:
    """Return the names of the headers that the code looks at, and those that aiohttp does for it."""
    rooms = [Path(str(room.__file__)).parent for room in (core_api, ingest, kernel)]
    found = {name for room in rooms for file in room.rglob("*.py") for name in READ.findall(file.read_text())}
    return found | {"Content-Type", "Idempotency-Key", "Cookie", "Host"}


async def ask(url: str, method: str, path: str, headers: dict[str, bytes], body: bytes) -> bytes:
    """Send a request with headers of bytes; return the whole reply."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [
        f"{method} {path} HTTP/1.1".encode(),
        *(name.encode() + b": " + raw for name, raw in headers.items()),
    ]
    writer.write(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"Connection: close", b"", body]))
    async with asyncio.timeout(10):
        reply = await reader.read()
    writer.close()
    return reply


def wrong(reply: bytes) -> bool:
    """Tell whether a reply is none of ours: a failure, or a refusal in another form."""
    head, _, _ = reply.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    return status >= 500 or (status >= 400 and b"application/problem+json" not in head)


async def failures(url: str, token: str, asked: list[tuple[str, str, bytes]]) -> list[tuple[str, ...]]:
    """
    Ask for everything with each header and with each value, and for each header's value somewhere: the values
    take turns, as a header is read in one way wherever it is read.
    """
    gate = asyncio.Semaphore(16)
    turns = [
        (*each, name, VALUES[(m + n) % len(VALUES)])
        for m, each in enumerate(asked * -(-len(VALUES) // len(asked)))
        for n, name in enumerate(sorted(headers_read()))
    ]
    assert {(name, value) for *_, name, value in turns} == {*product(headers_read(), VALUES)}

    async def one(method: str, path: str, body: bytes, name: str, value: bytes) -> tuple[str, ...] | None:
        good = {
            "Host": b"x",
            "Authorization": f"Bearer {token}".encode(),
            "Content-Type": b"application/json",
        }
        async with gate:
            reply = await ask(url, method, path, good | {name: value}, body)
        return (method, path, name, repr(value), repr(reply[:80])) if wrong(reply) else None

    found = await asyncio.gather(*(one(*each) for each in turns))
    return [each for each in found if each is not None]


def test_the_headers_are_found() -> None:
    assert {"Authorization", "Content-Encoding", "Expect", "X-Request-Id", "User-Agent"} <= headers_read()


async def test_ingest_answers_bytes_that_are_no_text(api: Api) -> None:
    seat = api.world.seat()
    paths = [API_PREFIX + route.path for route in ROUTES]
    asked = [("POST", path, str(body_for(path, seat)).replace("'", '"').encode()) for path in paths]

    assert await failures(api.at.url, seat.token, asked) == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_the_core_api_answers_bytes_that_are_no_text(core: Core, method: str) -> None:
    async with core.school() as api:
        paths = [re.sub(r"\{\w+\}", "1", route.path) for route in routes() if route.method == method]
        asked = [(method, API_PREFIX + path, b"{}") for path in paths]
        if method == "GET":
            asked += [(method, path, b"") for path in ("/livez", "/readyz", "/metrics")]

        assert await failures(api.url, api.token("student"), asked) == []
