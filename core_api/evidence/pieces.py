"""
Pieces of evidence: asked for, announced chunk by chunk, and listed (spec.md V-1, P-2; proctor-module.txt,
"Evidence").

A file is sent whole, and is one chunk; a recording is sent while it is made, in chunks that are numbered from
1. What was asked for and has not been confirmed is pending.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, fetch_one, of_row, page_of
from core_api.evidence import media
from core_api.evidence.grants import address_of, granted
from core_api.evidence.storage import Storage
from core_api.ledger import entries as ledger
from core_api.proctoring import session_views
from core_api.wire import LIMIT_DEFAULT, SEQUENCE_63_MAX, Limit, Moment, Paging, check_moments, invalid
from kernel.errors import ConflictError, SessionNotActiveError, TooLargeError
from kernel.events import SESSION_ID_MAX, EvidenceStatus, EvidenceType
from kernel.http.web import API_PREFIX
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from kernel.storage.opening import key_of
from kernel.storage.stores import INCOMING
from kernel.tokens import Keyring
from kernel.values import wrong_document
from sql import named

QUERIES: Final = named("evidence")
FILE_BYTES_MAX: Final = 1 << 40
Checksum = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$(?!\\n)", description="SHA-256, as 64 hex digits.")]
FileSize = Annotated[int, Meta(ge=1, le=FILE_BYTES_MAX, description="Bytes.")]
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f]+$(?!\\n)")]


class RequestUpload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    A piece of evidence that is to be sent: of a proctor session, for its candidate; of an exam, for its
    observer, who attaches it to a finding. `isChunked` is for recordings that are sent while they are made.
    `fileSize` and `checksum` of a file that is sent whole are checked when it arrives.
    """

    proctor_session_id: Annotated[int, Meta(ge=1, le=SESSION_ID_MAX)] | None = None
    exam_id: UUID | None = None
    type: EvidenceType
    file_name: Text
    content_type: Text
    start_at: Moment | None = None
    end_at: Moment | None = None
    duration_seconds: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    metadata_json: str | None = None
    is_chunked: bool = False
    file_size: FileSize | None = None
    checksum: Checksum | None = None

    def __post_init__(self) -> None:
        """Bound the moments; msgspec turns the ValueError into a refusal."""
        check_times(self.start_at, self.end_at)


class UploadRequested(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Where to send it: PUT the bytes to `uploadUrl` before `expiresAt`, with the Content-Type that was said and
    no token. Of a chunked recording it is where chunks are announced, which gives an address for each.
    """

    evidence_id: int
    upload_url: str
    expires_at: datetime


class Evidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A piece of evidence as staff see it.

    `checksum` is the SHA-256 of the file; of a recording that of its chunks' SHA-256s, one after the other.
    It, `fileSize` and `chunkCount` are null until the piece is closed: confirmed by its sender, or some time
    after the session's end. `isLate`: something of it came after that end. `expiresAt` is until when the
    file is kept by the organisation's policy, and longer where something is open; `goneAt` when it went, or
    null.
    """

    id: int
    proctor_session_id: int | None
    exam_id: UUID
    uploader_id: UUID
    type: EvidenceType
    type_name: str
    status: EvidenceStatus
    status_name: str
    tier: Literal["hot", "cold"]
    file_name: str
    content_type: str
    file_size: int | None
    checksum: str | None
    is_chunked: bool
    chunk_count: int | None
    is_late: bool
    start_at: datetime | None
    end_at: datetime | None
    duration_seconds: float | None
    metadata_json: str | None
    requested_at: datetime
    closed_at: datetime | None
    expires_at: datetime
    gone_at: datetime | None


class ListEvidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which evidence of a session, and which page of it."""

    type: Annotated[EvidenceType, Meta(description="Only of this type, 1 to 6.")] | None = None
    status: Annotated[EvidenceStatus, Meta(description="Only in this status, 1 to 4.")] | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX, description="`nextCursor` of the page before.")] | None
    ) = None


def check_times(start_at: datetime | None, end_at: datetime | None) -> None:
    """Raise ValueError where moments cannot be stored, or the end is before the start."""
    check_moments(start_at, end_at)
    if start_at is not None and end_at is not None and end_at < start_at:
        raise ValueError("Expected an end that is not before the start")


async def request_upload(
    pool: Pool,
    actor: Actor,
    command: RequestUpload,
    *,
    settings: Settings,
    keyring: Keyring,
    storage: Storage,
    now: datetime,
) -> UploadRequested:
    """
    Note what is to be sent, and say where to.

    Raises:
        NotFoundError: the session is not the caller's, or the exam is not theirs to observe.
        SessionNotActiveError: the session ended longer ago than late evidence is taken.
        ConflictError: the session, or the observer at this exam, has as many pieces as it may.
        TooLargeError: the file is larger than its type may be, or the organisation has no room left.
        InvalidInputError: neither a session nor an exam, or both; a content type that this is not taken in.
    """
    _check(command, settings)
    async with storage.storing(), connection(pool, actor) as conn, conn.transaction():
        row = await _hold_place(conn, actor, command, settings, now)
        session_id = command.proctor_session_id
        pieces = await QUERIES.run(
            conn.fetchval,
            "count_pieces",
            session_id=session_id,
            exam_id=row["exam_id"],
            user_id=actor.user_id,
        )
        if pieces >= settings.evidence_pieces_max:
            raise ConflictError(f"There are {pieces} pieces of evidence already; no more are taken.")
        await check_room(conn, settings)
        evidence_id: int = await QUERIES.run(
            conn.fetchval,
            "insert_evidence",
            session_id=session_id,
            exam_id=row["exam_id"],
            organisation=actor.organisation_id,
            user_id=actor.user_id,
            type=command.type,
            is_late=row.get("ended_at") is not None,
            is_chunked=command.is_chunked,
            file_name=command.file_name,
            content_type=command.content_type,
            start_at=command.start_at,
            end_at=command.end_at,
            duration_seconds=command.duration_seconds,
            metadata=command.metadata_json,
            requested_at=now,
            kept_from=max(now, row.get("attempt_ends_at") or now),
        )
        if not command.is_chunked:
            await insert_chunks(conn, evidence_id, [_whole(command)])
        await ledger.record(conn, _requested(actor, evidence_id, row["exam_id"], command, now))
    until = now + timedelta(seconds=settings.evidence_url_s)
    if command.is_chunked:
        where = f"{API_PREFIX}/proctor/evidence/{evidence_id}/chunks"
    else:
        most = command.file_size or media.bytes_max(command.type, settings)
        where = where_to(actor, evidence_id, 1, most, command.content_type, until, storage, keyring)
    return UploadRequested(evidence_id=evidence_id, upload_url=where, expires_at=until)


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk as it is announced; None where nothing is said of it."""

    number: int
    sha256: bytes | None
    size_bytes: int | None
    start_at: datetime | None
    end_at: datetime | None


def _whole(command: RequestUpload) -> Chunk:
    """Return the one chunk of a file that is sent whole."""
    return Chunk(
        number=1,
        sha256=None if command.checksum is None else bytes.fromhex(command.checksum),
        size_bytes=command.file_size,
        start_at=command.start_at,
        end_at=command.end_at,
    )


async def insert_chunks(conn: Connection, evidence_id: int, chunks: Sequence[Chunk]) -> None:
    """Note chunks that are to come; those that are there stay as they are."""
    await QUERIES.run(
        conn.execute,
        "insert_chunks",
        evidence_id=evidence_id,
        numbers=[each.number for each in chunks],
        hashes=[each.sha256 for each in chunks],
        sizes=[each.size_bytes for each in chunks],
        starts=[each.start_at for each in chunks],
        ends=[each.end_at for each in chunks],
    )


def where_to(
    actor: Actor,
    evidence_id: int,
    chunk: int,
    bytes_max: int,
    content_type: str,
    until: datetime,
    storage: Storage,
    keyring: Keyring,
) -> str:
    """Return the address to PUT a chunk to: the object store's own, where it takes what clients send."""
    direct = storage.hot.upload_url(arriving_key(evidence_id, chunk), storage.settings.evidence_url_s)
    if direct is not None:
        return direct
    grant = granted(
        actor, "PUT", evidence_id, until=until, chunk=chunk, bytes_max=bytes_max, content_type=content_type
    )
    return address_of(grant, keyring)


def arriving_key(evidence_id: int, chunk: int) -> str:
    """Return under which key a client sends a chunk to the object store by itself."""
    return f"{INCOMING}{key_of(evidence_id, str(chunk))}"


def is_open(session_ended_at: datetime | None, settings: Settings, now: datetime) -> bool:
    """Tell whether evidence of a session is taken still (spec.md P-2)."""
    return session_ended_at is None or now <= session_ended_at + timedelta(seconds=settings.late_window_s)


def check_open(session_ended_at: datetime | None, settings: Settings, now: datetime) -> None:
    """Raise SessionNotActiveError where evidence of a session is taken no more."""
    if not is_open(session_ended_at, settings, now):
        minutes = settings.late_window_s // 60
        message = f"The session has ended, and evidence was taken for {minutes} minutes after that."
        raise SessionNotActiveError(message)


async def check_room(conn: Connection, settings: Settings) -> None:
    """Raise TooLargeError where the organisation has no room left."""
    used = await conn.fetchval(QUERIES["sum_usage"])
    if used >= settings.evidence_organisation_bytes_max:
        raise TooLargeError("Your organisation has no room left for evidence; tell its administrator.")


def _check(command: RequestUpload, settings: Settings) -> None:
    if (command.proctor_session_id is None) == (command.exam_id is None):
        raise invalid("proctorSessionId", "Expected the session that it belongs to; or examId, for a finding")
    taken = media.allowed(command.type)
    if media.essence(command.content_type) not in taken:
        raise invalid("contentType", f"Expected {', '.join(taken)} for {command.type.name}")
    if command.is_chunked and command.type not in media.RECORDINGS:
        raise invalid("isChunked", "Only videos, audio and screen recordings are sent in chunks")
    if command.is_chunked and (command.checksum or command.file_size):
        raise invalid("isChunked", "Hash and size of a recording in chunks are said chunk by chunk")
    most = media.bytes_max(command.type, settings)
    if command.file_size is not None and command.file_size > most:
        raise TooLargeError(f"A file of this type has at most {most} bytes.")
    if command.metadata_json is not None:
        wrong = wrong_document(command.metadata_json, bytes_max=settings.metadata_bytes_max)
        if wrong is not None:
            raise invalid("metadataJson", wrong)


async def _hold_place(
    conn: Connection, actor: Actor, command: RequestUpload, settings: Settings, now: datetime
) -> asyncpg.Record:
    """Return the row of the session, or of the exam, that a piece belongs to; raises as `request_upload`."""
    who = {"organisation": actor.organisation_id, "user_id": actor.user_id}
    if command.proctor_session_id is None:
        wanted = QUERIES.bind("hold_exam_for_evidence", exam_id=command.exam_id, **who)
        return await fetch_one(conn, "exam", *wanted)
    wanted = QUERIES.bind("hold_session_for_evidence", session_id=command.proctor_session_id, **who)
    row = await fetch_one(conn, "proctor session", *wanted)
    check_open(row["ended_at"], settings, now)
    return row


def _requested(
    actor: Actor, evidence_id: int, exam_id: UUID, command: RequestUpload, now: datetime
) -> ledger.Entry:
    session_id = command.proctor_session_id
    return ledger.by(
        actor,
        Kind.evidence_requested,
        evidence_id,
        now=now,
        subject_id=None if session_id is None else actor.user_id,
        detail={"session_id": session_id, "exam_id": str(exam_id), "type": command.type},
    )


async def list_of_session(
    conn: Connection, actor: Actor, session_id: int, query: ListEvidence
) -> tuple[list[Evidence], Paging]:
    """
    Return a page of a session's evidence, in the order in which it was asked for.

    Raises:
        NotFoundError: the caller may not see the session.
    """
    await session_views.require_visible(conn, actor, session_id)
    asked = msgspec.structs.asdict(query) | {"limit": query.limit + 1}
    rows = await QUERIES.run(conn.fetch, "list_of_session", session_id=session_id, **asked)
    page, last = page_of(rows, query.limit)
    paging = Paging(limit=query.limit, next_cursor=None if last is None else str(last["id"]))
    return [shown(row) for row in page], paging


async def require_visible(conn: Connection, actor: Actor, evidence_id: int) -> asyncpg.Record:
    """Return a piece that staff may see, or its sender; raises NotFoundError for any other."""
    wanted = QUERIES.bind("fetch_visible", evidence_id=evidence_id, **actor.reach)
    return await fetch_one(conn, "piece of evidence", *wanted)


def shown(row: asyncpg.Record) -> Evidence:
    """Return a row as staff see it."""
    return of_row(
        row,
        Evidence,
        proctor_session_id=row["session_id"],
        type_name=EvidenceType(row["type"]).name,
        status_name=EvidenceStatus(row["status"]).name,
        file_size=row["size_bytes"],
        checksum=None if row["sha256"] is None else row["sha256"].hex(),
    )
