"""
Bodies of requests: bounded on the wire and decoded, and in the time that they may take.

Whoever is known may send compressed bodies. Public routes take small, plain ones: a few hundred bytes that
unpack to megabytes would cost everybody's time before anybody has said who they are.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError
from backports import zstd

from kernel.errors import MalformedError, ReadTimeoutError, TooLargeError, UnsupportedMediaError
from kernel.http.fields import CODING_OF
from kernel.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON_TYPES: Final = frozenset({"application/json", "application/octet-stream", "text/plain"})
CODINGS_MAX: Final = 2  # of one body, one around the other
_PUBLIC: Final = web.RequestKey("public", int)  # bytes at most of a body from who knows whom


def public(handler: Handler, settings: Settings) -> Handler:
    """
    Return the handler of a route that needs no token: `read_body` holds its bodies to less, and aiohttp reads
    no more of one that does not tell its length.
    """

    @wraps(handler)
    async def marked(request: web.Request) -> web.StreamResponse:
        return await handler(as_public(request, settings.public_body_bytes_max))

    return marked


def as_public(request: web.Request, bytes_max: int) -> web.Request:
    """Return the request for `read_body` to take a plain body of so many bytes at most, and no other."""
    bounded = request.clone(client_max_size=bytes_max)
    bounded[_PUBLIC] = bytes_max
    return bounded


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
    is_public = _PUBLIC in request
    most = request.get(_PUBLIC, settings.body_bytes_max)
    if (request.content_length or 0) > most:
        raise _too_large("on the wire", most)
    packed = _codings(",".join(request.headers.getall("Content-Encoding", ())))
    if is_public and packed:
        raise UnsupportedMediaError(
            "This address reads plain bodies only; send no Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )
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
    decoded_max = most if is_public else settings.decoded_bytes_max
    for name in reversed(packed):
        body = _unpacked(body, name, decoded_max, settings.body_members_max)
    if len(body) > decoded_max:
        raise _too_large("decoded", decoded_max)
    return body


def _codings(field: str) -> list[str]:
    """
    Return how a body was compressed, in the order in which that was done (RFC 9110, 8.4); raises
    UnsupportedMediaError.
    """
    named = [each.strip().lower() for each in field.split(",", CODINGS_MAX)]
    found = [CODING_OF.get(each, each) for each in named if each not in {"", "identity"}]
    if len(named) > CODINGS_MAX or not _UNPACKERS.keys() >= set(found):
        raise UnsupportedMediaError(
            f"This Content-Encoding is not read here; send gzip, zstd or none, at most {CODINGS_MAX} deep.",
            headers={"Accept-Encoding": ", ".join(_UNPACKERS)},
        )
    return found


def _too_large(where: str, limit: int) -> TooLargeError:
    return TooLargeError(f"The body is over {limit} bytes {where}.")


def _gzip() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=31)


def _zstd() -> zstd.ZstdDecompressor:
    # The window is bounded as well: a frame may ask for gigabytes of it.
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})


_UNPACKERS: "Final[Mapping[str, Callable[[], zlib._Decompress | zstd.ZstdDecompressor]]]" = {
    "gzip": _gzip,
    "zstd": _zstd,
}


def _unpacked(body: bytes, name: str, bytes_max: int, members_max: int) -> bytes:
    """
    Return what a body was before it was compressed, all its members one after the other (RFC 1952, RFC 8878).

    Raises:
        TooLargeError: it is over `bytes_max`, or has more members.
        MalformedError: it is not what it says, is cut short, or something else follows it.
    """
    parts, room = list[bytes](), bytes_max
    for _ in range(members_max):
        stream = _UNPACKERS[name]()
        try:
            parts.append(stream.decompress(body, room + 1))
        except (zlib.error, zstd.ZstdError) as error:
            raise MalformedError(f"The body is not valid {name}.") from error
        room -= len(parts[-1])
        if room < 0:
            raise _too_large("decoded", bytes_max)
        if not stream.eof:
            raise MalformedError(f"The {name} body is cut short.")
        body = stream.unused_data
        if not body:
            return b"".join(parts)
    raise TooLargeError(f"The body has over {members_max} members of {name}.")
