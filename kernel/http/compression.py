"""
Replies, compressed for clients that take that.

Small ones go as they are, and so does what is no text. Large ones are compressed beside the event loop; what
has an ETag is the same for everybody, and is compressed once. That a reply's length tells of what is in it
(BREACH) needs somebody who can have another's browser ask in their name: no cookie is read here, and a token
is sent by nobody but its owner's own page.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol

from aiohttp import web
from backports import zstd

from kernel.http.fields import coding

LEVEL: Final = 4  # of gzip: about as fast as what has to be sent less
AT_ONCE_BYTES: Final = 16 << 10  # what takes the event loop less than half a millisecond
KEPT: Final = 32  # compressed forms of what has an ETag
_TEXTS: Final = frozenset({"application/json", "application/problem+json", "application/javascript"})


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=31)
    return packer.compress(body) + packer.flush()


def _zstd(body: bytes) -> bytes:
    return zstd.compress(body, 3)


class Packer(Protocol):
    """What compresses a reply of which not all is there yet."""

    def compress(self, piece: bytes, /) -> bytes:
        """Return what can be sent after this piece, perhaps nothing."""

    def flush(self) -> bytes:
        """Return the rest."""


CODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"zstd": _zstd, "gzip": _gzip}  # the best one first
PACKERS: Final[Mapping[str, Callable[[], Packer]]] = {
    "zstd": lambda: zstd.ZstdCompressor(3),
    "gzip": lambda: zlib.compressobj(LEVEL, wbits=31),
}


@lru_cache(KEPT)
def _packed_once(name: str, body: bytes) -> bytes:
    return CODINGS[name](body)


async def compress(request: web.Request, response: web.StreamResponse, bytes_min: int) -> None:
    """
    Compress a reply of `bytes_min` and more, in the coding that its client likes best, if it takes any; say
    in `Vary` that others may get it in another form.
    """
    if response.status == 304:
        response.headers.add("Vary", "Accept-Encoding")
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(response, web.Response) or not isinstance(body, bytes) or len(body) < bytes_min:
        return
    kind = response.content_type
    if "Content-Encoding" in response.headers or not (kind in _TEXTS or kind.startswith("text/")):
        return
    response.headers.add("Vary", "Accept-Encoding")
    best = coding(",".join(request.headers.getall("Accept-Encoding", ())), tuple(CODINGS))
    if best is None:
        return
    etag = response.headers.get("ETag")
    if etag is not None:
        response.headers["ETag"] = f"W/{etag.removeprefix('W/')}"  # of both forms
        response.body = await asyncio.to_thread(_packed_once, best, body)
    elif len(body) > AT_ONCE_BYTES:
        response.body = await asyncio.to_thread(CODINGS[best], body)
    else:
        response.body = CODINGS[best](body)
    response.headers["Content-Encoding"] = best
