"""
Evidence is closed once: confirmed by its sender when all of it is there, or by a sweep some time after the
session's end, with what is there (spec.md V-1).

What lies in the store beside a closed piece's chunks was left by a crash, and goes.
"""

import asyncio
import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import asyncpg
import msgspec
import structlog
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, fetch_one, system_connection
from core_api.evidence import arrivals
from core_api.evidence.chunks import CHUNK_NUMBER_MAX
from core_api.evidence.pieces import QUERIES, Checksum, FileSize, check_open
from core_api.evidence.storage import Storage
from core_api.ledger import entries as ledger
from core_api.wire import invalid
from kernel.errors import ConflictError, UnavailableError
from kernel.events import EvidenceStatus
from kernel.ledger.kinds import Kind
from kernel.storage.opening import key_of

log = structlog.get_logger(__name__)

NAMED_MAX: Final = 20  # missing chunks in a refusal
PAGE: Final = 100
GRACE: Final = timedelta(minutes=5)  # for a confirmation that comes in the last moment
ALONE: Final = timedelta(days=1)  # after which what belongs to no session is closed


class ConfirmEvidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    What should be there: the SHA-256 and the size of the file; of a recording how many chunks it has, and the
    SHA-256 of their SHA-256s, one after the other. Whatever is said is checked.
    """

    checksum: Checksum | None = None
    file_size: FileSize | None = None
    chunk_count: Annotated[int, Meta(ge=1, le=CHUNK_NUMBER_MAX)] | None = None


class EvidenceConfirmed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What is kept. `checksum` is the SHA-256 of the file; of a recording that of its chunks' SHA-256s, one
    after the other.
    """

    evidence_id: int
    status: EvidenceStatus
    status_name: str
    file_size: int
    checksum: str
    chunk_count: int
    is_late: bool
    closed_at: datetime


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep closed, in pieces."""

    incomplete: int = 0
    abandoned: int = 0
    failed: int = 0


async def confirm(
    pool: Pool, actor: Actor, evidence_id: int, command: ConfirmEvidence, *, storage: Storage, now: datetime
) -> EvidenceConfirmed:
    """
    Confirm that all of a piece of evidence was sent; from then on nothing of it changes. Confirmed again, it
    is returned as it is.

    Raises:
        NotFoundError: it is not the caller's.
        SessionNotActiveError: its session ended longer ago than late evidence is taken.
        ConflictError: something is missing, which `errors` names; or it was closed without being confirmed.
        TooLargeError: what was put into the object store is larger than it may be; it was not kept.
        UnsupportedMediaError: that does not begin as a file of its content type; it was not kept.
        InvalidInputError: size, hash or number of chunks is another one than was said.
    """
    wanted = QUERIES.bind("fetch_own", evidence_id=evidence_id, **_who(actor))
    async with storage.storing(), connection(pool, actor) as conn:
        row = await fetch_one(conn, "piece of evidence", *wanted)
    wrong = await arrivals.settle(pool, actor, row, storage, now=now)
    if wrong:
        raise wrong[0]
    held = QUERIES.bind("hold_own", evidence_id=evidence_id, **_who(actor))
    async with storage.storing(), connection(pool, actor) as conn, conn.transaction():
        row = await fetch_one(conn, "piece of evidence", *held)
        if row["status"] == EvidenceStatus.Pending:
            check_open(row["ended_at"], storage.settings, now)
            stored = await conn.fetch(QUERIES["list_stored"], evidence_id)
            await _check_complete(conn, row, stored, command)
            reply = await _close(conn, actor, row, stored, EvidenceStatus.Confirmed, now=now)
        else:
            reply = _as_it_is(row)
        _check_said(command, reply)
    await _tidy(pool, storage, evidence_id)
    return reply


def _who(actor: Actor) -> dict[str, object]:
    return {"organisation": actor.organisation_id, "user_id": actor.user_id}


async def _check_complete(
    conn: Connection, row: asyncpg.Record, stored: list[asyncpg.Record], command: ConfirmEvidence
) -> None:
    last = command.chunk_count if row["is_chunked"] else 1
    missing = await conn.fetch(QUERIES["list_missing"], row["evidence_id"], last, NAMED_MAX)
    if missing or not stored:
        raise ConflictError(
            "Not all of it has arrived; send what is missing, and confirm again.",
            errors=[{"path": f"chunks[{each['n']}]", "message": "has not arrived"} for each in missing],
        )
    if last is not None and stored[-1]["number"] != last:
        raise invalid("chunkCount", f"there are {stored[-1]['number']}")


async def _close(
    conn: Connection,
    actor: Actor | None,
    row: asyncpg.Record,
    stored: list[asyncpg.Record],
    status: EvidenceStatus,
    *,
    now: datetime,
) -> EvidenceConfirmed:
    """Close a piece that the caller's transaction holds."""
    size_bytes = sum(each["size_bytes"] for each in stored)
    sha256 = whole_hash([each["sha256"] for each in stored], is_chunked=row["is_chunked"])
    is_late = await QUERIES.run(
        conn.fetchval,
        "close_evidence",
        evidence_id=row["evidence_id"],
        status=status,
        at=now,
        chunk_count=len(stored),
        size_bytes=size_bytes,
        sha256=sha256,
    )
    detail = {
        "status": status,
        "size_bytes": size_bytes,
        "chunks": len(stored),
        "is_chunked": row["is_chunked"],
    }
    detail |= {} if sha256 is None else {"sha256": sha256.hex()}
    kind = Kind.evidence_confirmed if status is EvidenceStatus.Confirmed else Kind.evidence_closed
    await ledger.record(conn, arrivals.told(actor, kind, row, now=now, detail=detail))
    return EvidenceConfirmed(
        evidence_id=row["evidence_id"],
        status=status,
        status_name=status.name,
        file_size=size_bytes,
        checksum="" if sha256 is None else sha256.hex(),
        chunk_count=len(stored),
        is_late=is_late,
        closed_at=now,
    )


def whole_hash(hashes: list[bytes], *, is_chunked: bool) -> bytes | None:
    """Return the hash of a file, or of a recording's chunks' hashes one after the other; None without any."""
    if not hashes:
        return None
    return hashlib.sha256(b"".join(hashes)).digest() if is_chunked else hashes[0]


def _as_it_is(row: asyncpg.Record) -> EvidenceConfirmed:
    status = EvidenceStatus(row["status"])
    if status is not EvidenceStatus.Confirmed:
        raise ConflictError(f"It was closed as {status.name.lower()}, some time after its session's end.")
    return EvidenceConfirmed(
        evidence_id=row["evidence_id"],
        status=status,
        status_name=status.name,
        file_size=row["size_bytes"],
        checksum=row["sha256"].hex(),
        chunk_count=row["chunk_count"],
        is_late=row["is_late"],
        closed_at=row["closed_at"],
    )


def _check_said(command: ConfirmEvidence, found: EvidenceConfirmed) -> None:
    """Raise InvalidInputError where something is said that is not so; nothing was closed then."""
    if command.checksum is not None and command.checksum.lower() != found.checksum:
        raise invalid("checksum", f"what arrived has {found.checksum}; ask for an address, and send it anew")
    if command.file_size is not None and command.file_size != found.file_size:
        raise invalid("fileSize", f"what arrived has {found.file_size} bytes")
    if command.chunk_count is not None and command.chunk_count != found.chunk_count:
        raise invalid("chunkCount", f"there are {found.chunk_count}")


async def _tidy(pool: Pool, storage: Storage, evidence_id: int) -> None:
    """Delete what lies beside a closed piece's chunks; the pipeline's sweep does where it fails."""
    async with storage.storing(), system_connection(pool) as conn:
        stored = await conn.fetch(QUERIES["list_stored"], evidence_id)
    known = {each["object_key"] for each in stored}

    def tidy() -> None:
        there = storage.hot.found(key_of(evidence_id))
        storage.hot.delete([each.key for each in there if each.key not in known])

    with suppress(UnavailableError):
        await storage.write(tidy)


async def sweep(pool: Pool, storage: Storage, *, now: datetime) -> Closed:
    """
    Close every piece that nobody will confirm any more.

    One that fails is logged and does not hold up the others; the next sweep tries it again.

    Raises:
        UnavailableError: PostgreSQL is away.
    """
    counted = dict.fromkeys(Closed.__struct_fields__, 0)
    ended_before = now - timedelta(seconds=storage.settings.late_window_s) - GRACE
    after = 0
    while True:
        async with system_connection(pool) as conn:
            rows = await conn.fetch(QUERIES["list_unclosed"], ended_before, now - ALONE, after, PAGE)
        for row in rows:
            try:
                status = await _close_unconfirmed(pool, storage, row["id"], now=now)
            except UnavailableError:
                raise
            except Exception:
                counted["failed"] += 1
                log.exception("evidence_not_closed", evidence_id=row["id"])
                continue
            if status is not None:
                counted[status.name.lower()] += 1
        if len(rows) < PAGE:
            return Closed(**counted)
        after = rows[-1]["id"]


async def _close_unconfirmed(
    pool: Pool, storage: Storage, evidence_id: int, *, now: datetime
) -> EvidenceStatus | None:
    """Close a piece with what is there of it; None where somebody else is at it."""
    async with system_connection(pool) as conn, conn.transaction():
        row = await conn.fetchrow(QUERIES["hold_unclosed"], evidence_id)
    if row is None:
        return None
    await arrivals.settle(pool, None, row, storage, now=now)
    async with system_connection(pool) as conn, conn.transaction():
        row = await conn.fetchrow(QUERIES["hold_unclosed"], evidence_id)
        if row is None:
            return None
        stored = await conn.fetch(QUERIES["list_stored"], evidence_id)
        status = EvidenceStatus.Incomplete if stored else EvidenceStatus.Abandoned
        await _close(conn, None, row, stored, status, now=now)
    await _tidy(pool, storage, evidence_id)
    return status


async def keep_sweeping(pool: Pool, storage: Storage) -> None:
    """Sweep for ever, until cancelled."""
    while True:
        try:
            swept = await sweep(pool, storage, now=datetime.now(UTC))
        except UnavailableError as error:
            log.warning("evidence_waits", detail=error.detail)
        except Exception:
            log.exception("evidence_sweep_failed")  # a database that is not migrated yet, say
        else:
            if swept.incomplete or swept.abandoned or swept.failed:
                log.info("evidence_closed", **msgspec.structs.asdict(swept))
        await asyncio.sleep(storage.settings.evidence_sweep_s)
