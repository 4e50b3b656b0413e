"""
Bodies of requests: bounded on the wire and decoded, and in the time that they may take.

Whoever is known may send compressed bodies. Public routes take small, plain ones: a few hundred bytes that
unpack to megabytes would cost everybody's time before anybody has said who they are.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError
from backports import zstd

from kernel.errors import MalformedError, ReadTimeoutError, TooLargeError, UnsupportedMediaError
from kernel.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON_TYPES: Final = frozenset({"application/json", "application/octet-stream", "text/plain"})
_PUBLIC: Final = web.RequestKey("public", bool)


def public(handler: Handler, settings: Settings) -> Handler:
    """
    Return the handler of a route that needs no token: `read_body` holds its bodies to less, and aiohttp reads
    no more of one that does not tell its length.
    """

    @wraps(handler)
    async def marked(request: web.Request) -> web.StreamResponse:
        bounded = request.clone(client_max_size=settings.public_body_bytes_max)
        bounded[_PUBLIC] = True
        return await handler(bounded)

    return marked


async def read_body(request: web.Request, settings: Settings) -> bytes:
    """
    Return the whole body, decompressed.

    Raises:
        TooLargeError: over `body_bytes_max` on the wire or `decoded_bytes_max` decompressed, or over
            `public_body_bytes_max` on a public route.
        ReadTimeoutError: it did not arrive within `read_deadline_s`.
        UnsupportedMediaError: a content type that is not JSON, or an unknown encoding.
        MalformedError: the compression or the framing (chunks, length) is broken.
    """
    if request.content_type not in _JSON_TYPES:
        raise UnsupportedMediaError("This Content-Type is not read here; send application/json.")
    is_public = request.get(_PUBLIC, False)
    most = settings.public_body_bytes_max if is_public else settings.body_bytes_max
    if (request.content_length or 0) > most:
        raise _too_large("on the wire", most)
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _DECOMPRESSORS:
        raise UnsupportedMediaError("This Content-Encoding is not read here; send gzip, zstd or none.")
    if is_public and _DECOMPRESSORS[encoding] is not _identity:
        raise UnsupportedMediaError("This address reads plain bodies only; send no Content-Encoding.")
    try:
        # Bounded by client_max_size, which `new_app` and `public` set. A body that is here needs no timer.
        if request.content.is_eof():
            body = await request.read()
        else:
            async with asyncio.timeout(settings.read_deadline_s):
                body = await request.read()
    except TimeoutError as error:
        message = f"The body did not arrive within {settings.read_deadline_s:g} s."
        raise ReadTimeoutError(message) from error
    except RequestPayloadError as error:
        raise MalformedError("The body is not framed as its header says.") from error
    return _DECOMPRESSORS[encoding](body, most if is_public else settings.decoded_bytes_max)


def _too_large(where: str, limit: int) -> TooLargeError:
    return TooLargeError(f"The body is over {limit} bytes {where}.")


def _identity(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large("decoded", limit)
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    return _unpack(zlib.decompressobj(wbits=31), "gzip", body, limit)


def _unzstd(body: bytes, limit: int) -> bytes:
    # The window is bounded as well: a frame may ask for gigabytes of it.
    stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
    return _unpack(stream, "zstd", body, limit)


def _unpack(stream: "zlib._Decompress | zstd.ZstdDecompressor", name: str, body: bytes, limit: int) -> bytes:
    try:
        decoded = stream.decompress(body, limit + 1)
    except (zlib.error, zstd.ZstdError) as error:
        raise MalformedError(f"The body is not valid {name}.") from error
    if len(decoded) > limit:
        raise _too_large("decoded", limit)
    if not stream.eof or stream.unused_data:
        raise MalformedError(f"The {name} body is cut short, or more follows it.")
    return decoded


_DECOMPRESSORS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "identity": _identity,
    "": _identity,
    "gzip": _gunzip,
    "zstd": _unzstd,
}
