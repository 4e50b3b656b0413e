"""Replies as clients take them: compressed from a size on, the same in every coding (RFC 9110, 12.5.3)."""

import gzip
from collections.abc import AsyncIterator, Callable

import aiohttp
import msgspec
import pytest
from aiohttp import web
from backports import zstd

from kernel.http.serving import serve
from kernel.http.web import new_app, send_json
from kernel.settings import load
from tests.kits.core import url_of

LEAST = 1024
UNPACK: dict[str, Callable[[bytes], bytes]] = {"zstd": zstd.decompress, "gzip": gzip.decompress, "": bytes}
TAKEN = {
    "": "",
    "gzip": "gzip",
    "gzip, deflate, br, zstd": "zstd",
    "x-gzip;q=0.9, zstd;q=0.1": "gzip",
    "*": "zstd",
    "gzip;q=0": "",
    "br": "",
    ";;q=,": "",
}


class Got(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Shop:
    """A small server: `/N` is N bytes of JSON, `/kept` what has an ETag, `/picture` what is no text."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def get(self, path: str, method: str = "GET", **header: str) -> Got:
        sent = {"X-Request-Id": "told-by-us"} | {
            name.replace("_", "-"): value for name, value in header.items()
        }
        async with self.http.request(method, f"{self.url}/{path}", headers=sent) as reply:
            told = {name.lower(): value for name, value in reply.headers.items() if name != "Date"}
            told["vary"] = ", ".join(reply.headers.getall("Vary", ()))
            return Got(reply.status, told, await reply.read())


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async def sized(request: web.Request) -> web.Response:
        return send_json("x" * (int(request.match_info["size"]) - 2))

    async def kept(_: web.Request) -> web.Response:
        response = web.Response(text="kept " * LEAST)
        response.etag = "version"
        return response

    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=bytes(2 * LEAST), content_type="image/png")

    async def packed(_: web.Request) -> web.Response:
        body = gzip.compress(bytes(range(256)) * LEAST)
        return web.Response(body=body, content_type="text/plain", headers={"Content-Encoding": "gzip"})

    settings = load({}, compress_bytes_min=LEAST)
    app = new_app(settings)
    app.router.add_get(r"/{size:\d+}", sized)
    app.router.add_get("/kept", kept)
    app.router.add_get("/picture", picture)
    app.router.add_get("/packed", packed)
    runner = await serve(app, settings, port=0)
    async with aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as http:
        yield Shop(url_of(runner), http)
    await runner.cleanup()


@pytest.mark.parametrize("accepted", TAKEN)
@pytest.mark.parametrize("size", [2, LEAST - 1, LEAST, 200 * LEAST])
async def test_a_reply_is_the_same_in_every_coding(shop: Shop, accepted: str, size: int) -> None:
    got = await shop.get(str(size), Accept_Encoding=accepted)
    head = await shop.get(str(size), "HEAD", Accept_Encoding=accepted)
    expected = TAKEN[accepted] if size >= LEAST else ""

    assert got.headers.get("content-encoding", "") == expected
    assert UNPACK[expected](got.body) == b'"' + b"x" * (size - 2) + b'"'
    assert ("Accept-Encoding" in got.headers["vary"]) == (size >= LEAST)
    assert int(got.headers["content-length"]) == len(got.body)
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


async def test_what_is_compressed_or_no_text_goes_as_it_is(shop: Shop) -> None:
    picture = await shop.get("picture", Accept_Encoding="gzip")
    packed = await shop.get("packed", Accept_Encoding="zstd")

    assert (len(picture.body), "content-encoding" in picture.headers) == (2 * LEAST, False)
    assert gzip.decompress(packed.body) == bytes(range(256)) * LEAST


async def test_what_may_be_kept_has_one_version_in_every_coding(shop: Shop) -> None:
    plain, small = await shop.get("kept"), await shop.get("kept", Accept_Encoding="gzip")

    assert gzip.decompress(small.body) == plain.body
    assert small.headers["etag"].removeprefix("W/") == plain.headers["etag"] == '"version"'
    assert small.headers["etag"].startswith("W/"), "the bytes are others"
    assert plain.headers["vary"] == small.headers["vary"]
    assert "Accept-Encoding" in plain.headers["vary"]
