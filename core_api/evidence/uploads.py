"""
Uploads through us: a body is written and hashed as it comes, in pieces, and never whole in memory.

Whoever has the address may send; they need no token, as with an object store.
"""

import asyncio
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Final

import asyncpg
import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from core_api.actors import KEYRING, Actor, origin_of
from core_api.database import POOL, Connection, Pool, connection, fetch_one
from core_api.evidence import arrivals, media
from core_api.evidence.grants import Grant, WithGrant, opened
from core_api.evidence.pieces import QUERIES, check_open
from core_api.evidence.storage import STORAGE, Read, Storage
from core_api.wire import SEQUENCE_63_MAX, Envelope, number_in_path
from kernel.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    ReadTimeoutError,
    TooLargeError,
    UnsupportedMediaError,
)
from kernel.events import EvidenceStatus
from kernel.http.web import SETTINGS, decode_query, send_json
from kernel.settings import Settings
from kernel.storage.local import Arriving, LocalStore

WRITTEN_BYTES: Final = 64 << 10  # of what trickles in that are written at once
UNTYPED: Final = frozenset({"", "application/octet-stream"})  # says nothing of a body


class Uploaded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is stored: `checksum` is the SHA-256 of the bytes that arrived."""

    evidence_id: int
    number: int
    file_size: int
    checksum: str


async def upload(request: web.Request) -> web.Response:
    """
    Send a file, or a chunk of a recording: its bytes as they are, to the address that was given for it.

    The same bytes sent again get the same reply.
    """
    query = decode_query(request, WithGrant)
    evidence_id = number_in_path(request, "evidence_id", SEQUENCE_63_MAX)
    now = datetime.now(UTC)
    grant = opened(query.grant, request.app[KEYRING], method="PUT", evidence_id=evidence_id, now=now)
    _check_header(request, grant)
    storage = request.app[STORAGE]
    if storage.folder is None:
        raise NotFoundError("Nothing is uploaded here; ask for an address.")
    actor = grant.actor(msgspec.json.encode(origin_of(request).told()).decode())
    with storage.one_upload():
        reply = await _take(request, storage, storage.folder, actor, grant)
    return send_json(Envelope(data=reply))


def _check_header(request: web.Request, grant: Grant) -> None:
    """Refuse before anything is read what the header shows to be none of what was asked for."""
    if (request.content_length or 0) > grant.bytes_max:
        raise TooLargeError(f"This address takes at most {grant.bytes_max} bytes.")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaError(
            "Files are sent as they are, without a Content-Encoding.", headers={"Accept-Encoding": "identity"}
        )
    said = media.essence(request.headers.get("Content-Type", ""))
    if said not in UNTYPED and said != media.essence(grant.content_type):
        raise UnsupportedMediaError(f"This address takes {grant.content_type}.")


async def _take(
    request: web.Request, storage: Storage, folder: LocalStore, actor: Actor, grant: Grant
) -> Uploaded:
    """Receive, check, keep and record a chunk; whatever goes wrong leaves nothing of it."""
    pool, settings = request.app[POOL], request.app[SETTINGS]
    async with storage.storing(), connection(pool, actor) as conn:
        piece, chunk = await _announced(conn, actor, grant, settings)
    arriving = await storage.write(folder.begin)
    try:
        async with asyncio.timeout(settings.evidence_url_s):
            read = await _receive(request, storage, arriving, grant, piece)
        arrivals.check(read, piece, chunk, settings)
        await storage.write(arriving.sync)
        async with storage.storing():
            return await _keep(pool, actor, piece, storage, arriving, read, grant.chunk)
    except TimeoutError as error:
        raise ReadTimeoutError("The file did not arrive in time.") from error
    except RequestPayloadError as error:
        raise MalformedError("The body broke off, or is not framed as its header says.") from error
    finally:
        storage.later(arriving.discard)


async def _announced(
    conn: Connection, actor: Actor, grant: Grant, settings: Settings
) -> tuple[asyncpg.Record, asyncpg.Record]:
    """Return the piece and the chunk that are to come; raises as `arrivals.hold` and `check_open`."""
    who = {"organisation": actor.organisation_id, "user_id": actor.user_id}
    wanted = QUERIES.bind("fetch_own", evidence_id=grant.evidence_id, **who)
    piece = await fetch_one(conn, "piece of evidence", *wanted)
    chunk = await fetch_one(conn, "chunk", QUERIES["fetch_chunk"], grant.evidence_id, grant.chunk)
    if chunk["stored_at"] is None:
        if piece["status"] != EvidenceStatus.Pending:
            raise ConflictError("This piece of evidence is closed; nothing more of it is taken.")
        check_open(piece["ended_at"], settings, datetime.now(UTC))
    return piece, chunk


async def _receive(
    request: web.Request, storage: Storage, arriving: Arriving, grant: Grant, piece: asyncpg.Record
) -> Read:
    """
    Write and hash the body as it comes; raises as soon as it is too long, or is of another format.

    Few bodies are read on at a time. What the others send stays in their sockets, so that two hundred
    recordings cost the memory of a few, and nobody else waits while all of them are read.
    """
    read, gathered, size_bytes = Read(), list[bytes](), 0

    def take(some: list[bytes]) -> None:
        for each in some:
            read.take(each)
            arriving.write(each)

    async def write() -> None:
        if not read.size_bytes:
            head = bytes(islice(chain.from_iterable(gathered), media.HEAD_BYTES))
            arrivals.check_format(head, piece, grant.chunk)
        await storage.write(take, gathered)
        gathered.clear()

    while first := await _first(request, request.app[SETTINGS].read_deadline_s):
        async with storage.taking:
            gathered += [first, request.content.read_nowait()]
            size_bytes += len(first) + len(gathered[-1])
            if size_bytes > grant.bytes_max:
                raise TooLargeError(f"This address takes at most {grant.bytes_max} bytes.")
            if sum(map(len, gathered)) >= WRITTEN_BYTES:
                await write()
    if gathered:
        await write()
    return read


async def _first(request: web.Request, deadline_s: float) -> bytes:
    """
    Return the body's next byte once something has come, which can be taken then without waiting; b"" at the
    end. Raises ReadTimeoutError where nothing came for `deadline_s`.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await request.content.read(1)
    except TimeoutError as error:
        raise ReadTimeoutError(f"Nothing of the body came for {deadline_s:g} s.") from error


async def _keep(
    pool: Pool,
    actor: Actor,
    piece: asyncpg.Record,
    storage: Storage,
    arriving: Arriving,
    read: Read,
    number: int,
) -> Uploaded:
    """
    Give what arrived its name, and record it.

    Raises:
        ConflictError: other bytes were stored as this chunk, or the evidence was closed meanwhile.
    """
    evidence_id, now = piece["evidence_id"], datetime.now(UTC)
    async with connection(pool, actor) as conn, conn.transaction():
        chunk = await arrivals.hold(conn, evidence_id, number)
        if chunk["stored_at"] is None:
            arrivals.check(read, piece, chunk, storage.settings)
            key = arrivals.new_key(evidence_id, number)
            await storage.write(arriving.keep, key)
            await arrivals.record(conn, actor, piece, number, read, key, now=now)
        elif chunk["sha256"] != read.sha256:
            raise ConflictError("Other bytes were stored here; what is stored is never changed.")
    return Uploaded(
        evidence_id=evidence_id, number=number, file_size=read.size_bytes, checksum=read.sha256.hex()
    )
