"""
Evidence as staff look at it: an address is granted, which is on the ledger, and good for a while; what is
fetched by it is a view, which is on the ledger too (spec.md V-3).
"""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import quote

import asyncpg
import msgspec
from aiohttp import web
from msgspec import Meta

from core_api.actors import KEYRING, Actor, origin_of
from core_api.database import POOL, Connection, connection
from core_api.evidence import arrivals, media, pieces
from core_api.evidence.chunks import CHUNK_NUMBER_MAX
from core_api.evidence.grants import WHOLE, WithGrant, address_of, granted, opened
from core_api.evidence.pieces import QUERIES
from core_api.evidence.storage import STORAGE, Storage
from core_api.ledger import entries as ledger
from core_api.ledger.viewings import VIEWS
from core_api.wire import SEQUENCE_63_MAX, number_in_path
from kernel.errors import ConflictError, GoneError, NotFoundError, RangeError
from kernel.http.web import REQUEST_ID, decode_query, dress
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from kernel.tokens import Keyring

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
DIRECT_S: Final = 60  # life of the object store's own address, to which a browser goes at once


class DownloadUrl(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Where to GET the file until `expiresAt`, without a token; of a recording its chunks one after the other.
    `checksum` is as in the list; null while it is pending.
    """

    evidence_id: int
    download_url: str
    expires_at: datetime
    file_name: str
    content_type: str
    file_size: int | None
    checksum: str | None


class WhichPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole, or one chunk."""

    chunk: (
        Annotated[int, Meta(ge=1, le=CHUNK_NUMBER_MAX, description="Only this chunk of a recording.")] | None
    ) = None


async def grant_download(
    conn: Connection,
    actor: Actor,
    evidence_id: int,
    query: WhichPart,
    *,
    settings: Settings,
    keyring: Keyring,
    now: datetime,
) -> DownloadUrl:
    """
    Give an address from which the evidence is fetched; that it was given is on the ledger.

    Raises:
        NotFoundError: the evidence is not there for the caller, or has no such chunk.
        ConflictError: nothing of it has arrived.
        GoneError: its file went by the organisation's policy.
    """
    row = await pieces.require_visible(conn, actor, evidence_id)
    _check_kept(row)
    stored = await conn.fetch(QUERIES["list_stored"], evidence_id)
    if not stored:
        raise ConflictError("Nothing of it has arrived.")
    if query.chunk is not None and all(each["number"] != query.chunk for each in stored):
        raise NotFoundError("There is no such chunk.")
    until = now + timedelta(seconds=settings.evidence_url_s)
    detail = {"until": until.isoformat()} | ({} if query.chunk is None else {"chunk": query.chunk})
    await ledger.record(conn, arrivals.told(actor, Kind.evidence_granted, row, now=now, detail=detail))
    grant = granted(actor, "GET", evidence_id, until=until, chunk=query.chunk or WHOLE)
    shown = pieces.shown(row)
    return DownloadUrl(
        evidence_id=evidence_id,
        download_url=address_of(grant, keyring),
        expires_at=until,
        file_name=shown.file_name,
        content_type=shown.content_type,
        file_size=shown.file_size,
        checksum=shown.checksum,
    )


async def download(request: web.Request) -> web.StreamResponse:
    """
    Fetch evidence, from the address that was given for it; that it was fetched is on the ledger.

    A part is asked for by `Range`, as players of video do. Where an object store keeps it the reply may lead
    there.
    """
    query = decode_query(request, WithGrant)
    evidence_id = number_in_path(request, "evidence_id", SEQUENCE_63_MAX)
    now = datetime.now(UTC)
    grant = opened(query.grant, request.app[KEYRING], method="GET", evidence_id=evidence_id, now=now)
    actor = grant.actor(msgspec.json.encode(origin_of(request).told()).decode())
    async with connection(request.app[POOL], actor) as conn:
        row = await pieces.require_visible(conn, actor, evidence_id)
        _check_kept(row)
        stored = await conn.fetch(QUERIES["list_stored"], evidence_id)
    wanted = [each for each in stored if grant.chunk in {WHOLE, each["number"]}]
    subject = None if row["session_id"] is None else row["uploader_id"]
    request.app[VIEWS].note(actor, "evidence", evidence_id, now=now, subject_id=subject)
    storage = request.app[STORAGE]
    if len(wanted) == 1:
        direct = storage.tiers[row["tier"]].download_url(wanted[0]["object_key"], DIRECT_S)
        if direct is not None:
            return web.Response(status=302, headers={"Location": direct})
    return await _send(request, storage, row, wanted)


def _check_kept(row: asyncpg.Record) -> None:
    """Raise GoneError where a piece's file went by policy."""
    if row["gone_at"] is not None:
        raise GoneError(
            f"The file went by the organisation's policy, at {row['gone_at']:%Y-%m-%d %H:%M} UTC."
        )


async def _send(
    request: web.Request, storage: Storage, row: asyncpg.Record, wanted: list[asyncpg.Record]
) -> web.StreamResponse:
    """Stream chunks one after the other, from and to the bytes that are asked for."""
    size = sum(each["size_bytes"] for each in wanted)
    start, end = _range(request.headers.get("Range"), size)
    response = web.StreamResponse(status=200 if (start, end) == (0, size) else 206)
    response.content_type = media.essence(row["content_type"])
    response.content_length = end - start
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Content-Disposition"] = (
        f"attachment; filename*=UTF-8''{quote(row['file_name'], safe='')}"
    )
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    dress(response, request[REQUEST_ID])
    parts = _parts(wanted, start, end)
    first = await storage.open(row["tier"], *parts[0]) if parts else None
    await response.prepare(request)
    if request.method != "HEAD" and first is not None:
        await _write(response, first)
        for each in parts[1:]:
            await _write(response, await storage.open(row["tier"], *each))
    await response.write_eof()
    return response


async def _write(response: web.StreamResponse, some: AsyncIterator[bytes]) -> None:
    async for piece in some:
        await response.write(piece)


def _range(field: str | None, size: int) -> tuple[int, int]:
    """
    Return from which byte to which, exclusive; the whole for a field that is none, or asks for several parts.

    Raises:
        RangeError: nothing of it is there.
    """
    found = _RANGE.fullmatch(field or "")
    if found is None or found[0] == "bytes=-":
        return 0, size
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise RangeError(f"There are {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _parts(wanted: list[asyncpg.Record], start: int, end: int) -> list[tuple[str, int, int]]:
    """Return key, first byte and length of what is to be read of each chunk."""
    parts, before = [], 0
    for each in wanted:
        begin, stop = max(start - before, 0), min(end - before, each["size_bytes"])
        if begin < stop:
            parts.append((each["object_key"], begin, stop - begin))
        before += each["size_bytes"]
    return parts
