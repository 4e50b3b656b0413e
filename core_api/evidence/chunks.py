"""
A recording's chunks: announced, and what of them has arrived (spec.md V-1). Whoever was interrupted asks
what is missing, announces that again, and sends it.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, fetch_one, of_row, page_of
from core_api.evidence import arrivals, media
from core_api.evidence.pieces import (
    QUERIES,
    Checksum,
    Chunk,
    FileSize,
    check_open,
    check_room,
    check_times,
    insert_chunks,
    require_visible,
    where_to,
)
from core_api.evidence.storage import Storage
from core_api.wire import LIMIT_DEFAULT, Limit, Moment, Paging, invalid
from kernel.errors import ConflictError, TooLargeError
from kernel.events import EvidenceStatus, EvidenceType
from kernel.settings import Settings
from kernel.tokens import Keyring

ANNOUNCED_MAX: Final = 100  # chunks in one request
CHUNK_NUMBER_MAX: Final = 100_000
MISSING_MAX: Final = 1000  # numbers in one reply
ChunkNumber = Annotated[int, Meta(ge=1, le=CHUNK_NUMBER_MAX)]


class AnnouncedChunk(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A chunk that is to be sent: its number from 1 on, its hash and size, and what time it shows."""

    number: ChunkNumber
    checksum: Checksum
    size: FileSize
    start_at: Moment | None = None
    end_at: Moment | None = None

    def __post_init__(self) -> None:
        """Bound the moments; msgspec turns the ValueError into a refusal."""
        check_times(self.start_at, self.end_at)


class AnnounceChunks(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Chunks that are to be sent next."""

    chunks: Annotated[list[AnnouncedChunk], Meta(min_length=1, max_length=ANNOUNCED_MAX)]


class ChunkAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where to PUT a chunk, until when; null for one that is there already."""

    number: int
    is_stored: bool
    upload_url: str | None
    expires_at: datetime | None


class StoredChunk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A chunk that was announced: its hash and size as they are, or were said to be until it is stored."""

    number: int
    is_stored: bool
    checksum: str | None
    size: int | None
    start_at: datetime | None
    end_at: datetime | None
    stored_at: datetime | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What there is of a piece of evidence: a page of its chunks by number, and the first 1,000 numbers that are
    missing up to the highest one that was announced.
    """

    evidence_id: int
    status: EvidenceStatus
    status_name: str
    chunks: list[StoredChunk]
    missing: list[int]


class ListChunks(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which page of the chunks."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Annotated[
        int, Meta(ge=0, le=CHUNK_NUMBER_MAX, description="`nextCursor` of the page before.")
    ] = 0


async def announce(
    pool: Pool,
    actor: Actor,
    evidence_id: int,
    command: AnnounceChunks,
    *,
    settings: Settings,
    keyring: Keyring,
    storage: Storage,
    now: datetime,
) -> list[ChunkAddress]:
    """
    Note the chunks that come next, and say where to send each; one that is there already has no address.

    Raises:
        NotFoundError: the piece of evidence is not the caller's.
        SessionNotActiveError: its session ended longer ago than late evidence is taken.
        ConflictError: it is closed, or is a file that is sent whole; or another chunk of the number is there.
        TooLargeError: a chunk or the recording is larger than it may be, or the organisation has no room.
        InvalidInputError: a number stands twice, or is higher than a recording has chunks.
    """
    _check(command, settings)
    numbers = [each.number for each in command.chunks]
    async with storage.storing(), connection(pool, actor) as conn:
        row = await _own(conn, actor, evidence_id)
        _check_pending(row, settings, now)
    await arrivals.settle(pool, actor, row, storage, now=now)
    async with storage.storing(), connection(pool, actor) as conn, conn.transaction():
        wanted = QUERIES.bind("hold_own", evidence_id=evidence_id, **_who(actor))
        row = await fetch_one(conn, "piece of evidence", *wanted)
        _check_pending(row, settings, now)
        await check_room(conn, settings)
        others = await conn.fetchrow(QUERIES["sum_announced"], evidence_id, numbers)
        assert others is not None, "aggregates have a row"
        most = media.bytes_max(EvidenceType(row["type"]), settings)
        if others["size_bytes"] + sum(each.size for each in command.chunks) > most:
            raise TooLargeError(f"A recording of this type has at most {most} bytes.")
        await insert_chunks(conn, evidence_id, [_chunk(each) for each in command.chunks])
        stored = {
            each["number"]: each["sha256"] for each in await conn.fetch(QUERIES["list_stored"], evidence_id)
        }
    until = now + timedelta(seconds=settings.evidence_url_s)
    return [
        _address(actor, row, each, stored.get(each.number), until, storage, keyring)
        for each in command.chunks
    ]


async def manifest(
    pool: Pool, actor: Actor, evidence_id: int, query: ListChunks, *, storage: Storage, now: datetime
) -> tuple[Manifest, Paging]:
    """
    Return what there is of a piece of evidence: to whoever sends it, and to the staff of its exam.

    Raises:
        NotFoundError: it is neither.
    """
    async with connection(pool, actor) as conn:
        own = await conn.fetchrow(*QUERIES.bind("fetch_own", evidence_id=evidence_id, **_who(actor)))
        row = await require_visible(conn, actor, evidence_id) if own is None else own
    if own is not None:
        await arrivals.settle(pool, actor, own, storage, now=now)
    async with connection(pool, actor) as conn:
        rows = await conn.fetch(QUERIES["list_chunks"], evidence_id, query.cursor, query.limit + 1)
        missing = await conn.fetch(QUERIES["list_missing"], evidence_id, None, MISSING_MAX)
    page, last = page_of(rows, query.limit)
    found = Manifest(
        evidence_id=evidence_id,
        status=EvidenceStatus(row["status"]),
        status_name=EvidenceStatus(row["status"]).name,
        chunks=[of_row(each, StoredChunk, is_stored=each["stored_at"] is not None) for each in page],
        missing=[each["n"] for each in missing],
    )
    return found, Paging(limit=query.limit, next_cursor=None if last is None else str(last["number"]))


def _check(command: AnnounceChunks, settings: Settings) -> None:
    seen = set[int]()
    for n, each in enumerate(command.chunks):
        if each.number in seen:
            raise invalid(f"chunks[{n}].number", "a number that stands twice")
        if each.number > settings.evidence_chunks_max:
            raise invalid(f"chunks[{n}].number", f"at most {settings.evidence_chunks_max}")
        if each.size > settings.evidence_chunk_bytes_max:
            raise TooLargeError(f"A chunk has at most {settings.evidence_chunk_bytes_max} bytes.")
        seen.add(each.number)


def _who(actor: Actor) -> dict[str, object]:
    return {"organisation": actor.organisation_id, "user_id": actor.user_id}


async def _own(conn: Connection, actor: Actor, evidence_id: int) -> asyncpg.Record:
    wanted = QUERIES.bind("fetch_own", evidence_id=evidence_id, **_who(actor))
    return await fetch_one(conn, "piece of evidence", *wanted)


def _check_pending(row: asyncpg.Record, settings: Settings, now: datetime) -> None:
    if not row["is_chunked"]:
        raise ConflictError("This is a file that is sent whole, not a recording in chunks.")
    if row["status"] != EvidenceStatus.Pending:
        raise ConflictError("This recording is closed; no more chunks are taken.")
    check_open(row["ended_at"], settings, now)


def _chunk(announced: AnnouncedChunk) -> Chunk:
    return Chunk(
        number=announced.number,
        sha256=bytes.fromhex(announced.checksum),
        size_bytes=announced.size,
        start_at=announced.start_at,
        end_at=announced.end_at,
    )


def _address(
    actor: Actor,
    row: asyncpg.Record,
    announced: AnnouncedChunk,
    stored: bytes | None,
    until: datetime,
    storage: Storage,
    keyring: Keyring,
) -> ChunkAddress:
    if stored is not None:
        if stored.hex() != announced.checksum.lower():
            raise ConflictError(f"Another chunk {announced.number} is there already.")
        return ChunkAddress(number=announced.number, is_stored=True, upload_url=None, expires_at=None)
    where = where_to(
        actor,
        row["evidence_id"],
        announced.number,
        announced.size,
        row["content_type"],
        until,
        storage,
        keyring,
    )
    return ChunkAddress(number=announced.number, is_stored=False, upload_url=where, expires_at=until)
