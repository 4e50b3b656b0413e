"""Routes that need no token take small, plain bodies: found from the list of routes (spec.md I-4)."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from backports import zstd

from core_api.app import routes
from ingest.routes import ROUTES
from kernel.http.web import API_PREFIX, Route
from tests.kits.core import Api, Core


@pytest.fixture
async def at(core: Core) -> AsyncIterator[Api]:
    async with core.school() as api:
        yield api


PUBLIC = [route for route in [*routes(), *ROUTES] if route.action is None and route.body is not None]
ANSWER_S = 5.0  # less than a body may take
LARGE = b'{"email": "' + b" " * (4 << 20) + b'"}'


def gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


async def answered(api: Api, route: Route, body: bytes, encoding: str | None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} | (
        {} if encoding is None else {"Content-Encoding": encoding}
    )
    address = api.url + API_PREFIX + route.path
    async with api.http.request(route.method, address, data=body, headers=headers) as response:
        return response.status, (await response.json())["code"]


@pytest.mark.parametrize("route", PUBLIC, ids=lambda route: route.path)
async def test_nobody_unknown_has_anything_unpacked(at: Api, route: Route) -> None:
    for encoding, body in (("zstd", zstd.compress(LARGE)), ("gzip", gzipped(LARGE))):
        assert len(body) < 16 << 10, "small on the wire"
        assert await answered(at, route, body, encoding) == (415, "unsupported_media_type")


@pytest.mark.parametrize("route", PUBLIC, ids=lambda route: route.path)
async def test_nobody_unknown_has_a_large_body_read(at: Api, route: Route) -> None:
    assert await answered(at, route, b"{}" + b" " * (17 << 10), None) == (413, "too_large")
    assert (await answered(at, route, b"{}", None))[0] not in {413, 415}


@pytest.mark.parametrize("route", PUBLIC, ids=lambda route: route.path)
async def test_no_more_of_a_body_without_a_length_is_read_than_somebody_unknown_may_send(
    at: Api, route: Route
) -> None:
    """It is refused while the rest is still to come."""
    where = urlsplit(at.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"{route.method} {API_PREFIX}{route.path} HTTP/1.1\r\nHost: veritas\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode() + b"%x\r\n%b\r\n" % (17 << 10, b" " * (17 << 10)))
    async with asyncio.timeout(ANSWER_S):
        answer = await reader.readuntil(b"\r\n")
    writer.write(b"0\r\n\r\n")  # it is waited for even so, to be passed over
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_there_are_public_routes_with_bodies() -> None:
    assert len(PUBLIC) >= 3
