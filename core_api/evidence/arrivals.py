"""
What arrives, and how it becomes evidence: checked, kept under a name of ours, and recorded, in one step for
everybody who looks (spec.md V-1, V-2).

Through us a file is hashed while it is written under a passing name. With an object store clients send it
there, and it is copied away from where they can write, and read back. Either way its final name is given and
its row written while nobody can close the evidence: whatever else lies beside that was left by a crash.
"""

import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

import asyncpg

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, system_connection
from core_api.evidence import media
from core_api.evidence.pieces import QUERIES, arriving_key
from core_api.evidence.storage import Read, Storage, read_back
from core_api.ledger import entries as ledger
from kernel.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    UnsupportedMediaError,
)
from kernel.events import EvidenceStatus, EvidenceType
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from kernel.storage.opening import key_of
from kernel.storage.stores import MissingObjectError


def new_key(evidence_id: int, number: int) -> str:
    """Return a key for a chunk that no other object has."""
    return key_of(evidence_id, f"{number:05d}-{secrets.token_hex(8)}")


def bytes_max(row: asyncpg.Record, settings: Settings) -> int:
    """Return how large a chunk of a piece may be."""
    if row["is_chunked"]:
        return settings.evidence_chunk_bytes_max
    return media.bytes_max(EvidenceType(row["type"]), settings)


def check(read: Read, piece: asyncpg.Record, chunk: asyncpg.Record, settings: Settings) -> None:
    """
    Hold what arrived to what was said of it.

    Raises:
        TooLargeError: it is larger than it may be.
        UnsupportedMediaError: it does not begin as a file of its content type.
        InvalidInputError: it is empty, or its size or hash is another one than was said.
    """
    if read.size_bytes > bytes_max(piece, settings):
        raise TooLargeError(f"A file like this has at most {bytes_max(piece, settings)} bytes.")
    faults = []
    if chunk["stated_bytes"] not in {None, read.size_bytes}:
        faults.append(
            {"path": "body", "message": f"Expected {chunk['stated_bytes']} bytes, got {read.size_bytes}"}
        )
    elif not read.size_bytes:
        faults.append({"path": "body", "message": "Expected a file that is not empty"})
    elif chunk["stated_sha256"] not in {None, read.sha256}:
        faults.append(
            {"path": "body", "message": "Expected bytes of the SHA-256 that was said; send it again"}
        )
    if faults:
        raise InvalidInputError("What arrived is not what was announced; it was not kept.", errors=faults)
    check_format(read.head, piece, chunk["number"])


def check_format(head: bytes, piece: asyncpg.Record, number: int) -> None:
    """Raise UnsupportedMediaError where a file does not begin as its content type says; later chunks may."""
    if number == 1 and not media.fits(piece["content_type"], head):
        raise UnsupportedMediaError(
            f"The file does not begin as {media.essence(piece['content_type'])} does."
        )


async def record(
    conn: Connection,
    actor: Actor | None,
    piece: asyncpg.Record,
    number: int,
    read: Read,
    key: str,
    *,
    now: datetime,
) -> None:
    """Write a chunk's row and its event, in the caller's transaction; None: the system found it."""
    stored = await QUERIES.run(
        conn.execute,
        "store_chunk",
        evidence_id=piece["evidence_id"],
        number=number,
        size_bytes=read.size_bytes,
        sha256=read.sha256,
        object_key=key,
        at=now,
    )
    assert stored == "UPDATE 1", "the lock keeps the chunk as it was found"
    detail = {"chunk": number, "size_bytes": read.size_bytes, "sha256": read.sha256.hex()}
    await ledger.record(conn, told(actor, Kind.evidence_uploaded, piece, now=now, detail=detail))


def told(
    actor: Actor | None, kind: Kind, piece: asyncpg.Record, *, now: datetime, detail: Mapping[str, object]
) -> ledger.Entry:
    """Describe what somebody, or the system, did with a piece of evidence."""
    subject_id: UUID | None = None if piece["session_id"] is None else piece["uploader_id"]
    return ledger.by_somebody(
        actor,
        kind,
        piece["evidence_id"],
        organisation_id=piece["organisation_id"],
        now=now,
        subject_id=subject_id,
        detail=detail,
    )


async def hold(conn: Connection, evidence_id: int, number: int) -> asyncpg.Record:
    """
    Return a chunk that is to be stored, which nobody else stores or closes meanwhile.

    Raises:
        NotFoundError: nobody announced it.
        ConflictError: the evidence is closed.
    """
    chunk = await conn.fetchrow(QUERIES["hold_chunk"], evidence_id, number)
    if chunk is None:
        raise NotFoundError("There is no such chunk.")
    if chunk["stored_at"] is None and chunk["status"] != EvidenceStatus.Pending:
        raise ConflictError("This piece of evidence is closed; nothing more of it is taken.")
    return chunk


async def settle(
    pool: Pool, actor: Actor | None, piece: asyncpg.Record, storage: Storage, *, now: datetime
) -> list[InvalidInputError | TooLargeError | UnsupportedMediaError]:
    """
    Take over what the sender has put into the object store since; nothing where uploads come through us.

    What is not as it was announced is deleted there; why is returned, and it may be sent again.
    """
    if storage.folder is not None or piece["status"] != EvidenceStatus.Pending:
        return []
    prefix = f"{arriving_key(piece['evidence_id'], 0).rpartition('/')[0]}/"
    arrived = {each.key.rpartition("/")[2] for each in await storage.write(storage.hot.found, prefix)}
    if not arrived:
        return []
    async with _for(pool, actor) as conn:
        announced = await conn.fetch(QUERIES["list_announced"], piece["evidence_id"])
    wrong = []
    for chunk in announced:
        if str(chunk["number"]) in arrived:
            try:
                await _take_over(pool, actor, piece, chunk, storage, now=now)
            except (InvalidInputError, TooLargeError, UnsupportedMediaError) as error:
                wrong.append(error)
            except ConflictError:
                break  # it was closed meanwhile
    gone = [arriving_key(piece["evidence_id"], int(each)) for each in arrived if each.isdigit()]
    await storage.write(storage.hot.delete, gone)
    return wrong


def _for(pool: Pool, actor: Actor | None) -> AbstractAsyncContextManager[Connection]:
    return system_connection(pool) if actor is None else connection(pool, actor)


async def _take_over(
    pool: Pool,
    actor: Actor | None,
    piece: asyncpg.Record,
    chunk: asyncpg.Record,
    storage: Storage,
    *,
    now: datetime,
) -> None:
    """Copy a chunk to where its sender cannot write, read it back, and record it; raises as `check` does."""
    evidence_id, number = piece["evidence_id"], chunk["number"]
    key = new_key(evidence_id, number)
    kept = False
    try:
        try:
            await storage.write(storage.hot.copy, arriving_key(evidence_id, number), key)
        except MissingObjectError:
            return  # somebody else was faster
        read = await storage.write(read_back, storage.hot, key, bytes_max(piece, storage.settings))
        check(read, piece, chunk, storage.settings)
        async with storage.storing(), _for(pool, actor) as conn, conn.transaction():
            held = await hold(conn, evidence_id, number)
            if held["stored_at"] is None:
                check(read, piece, held, storage.settings)
                await record(conn, actor, piece, number, read, key, now=now)
                kept = True
    finally:
        if not kept:
            storage.later(lambda: storage.hot.delete([key]))
