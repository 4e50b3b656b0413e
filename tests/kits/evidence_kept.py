"""Evidence as it is when it was confirmed: rows and files, without the way there."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from msgspec import Struct

from core_api import seeding
from kernel.settings import Settings
from kernel.storage.opening import key_of
from kernel.storage.stores import Store
from tests.kits.evidence import film

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)
PIECE = """
INSERT INTO evidence (session_id, exam_id, organisation_id, uploader_id, type, status, is_chunked,
                      file_name, content_type, chunk_count, size_bytes, sha256, requested_at, closed_at,
                      expires_at)
VALUES (%s, %s, %s, %s, 5, 2, true, 'film.webm', 'video/webm', %s, %s, %s, %s, %s, %s) RETURNING id
"""
CHUNK = """
INSERT INTO evidence_chunks (evidence_id, number, size_bytes, sha256, object_key, stored_at)
VALUES (%s, %s, %s, %s, %s, %s)
"""


class Seat(Struct, frozen=True):
    """Whose evidence: a candidate with a session."""

    url: str
    organisation_id: UUID
    exam_id: UUID
    user_id: UUID
    session_id: int


class Piece(Struct, frozen=True):
    """A recording with its chunks."""

    evidence_id: int
    keys: list[str]
    chunks: list[bytes]


def seat(url: str) -> Seat:
    """Make a school of its own with a candidate at work."""
    now = datetime.now(UTC) - timedelta(days=1)
    with seeding.connect(url) as conn:
        school = seeding.create_school(conn, f"School {uuid4()}", now=now)
        (seated,) = seeding.seat_candidates(conn, school.organisation_id, school.exam_ids[0], 1, now=now)
    return Seat(url, school.organisation_id, school.exam_ids[0], seated.user_id, seated.session_id)


def films(count: int = 2, size: int = 3000) -> list[bytes]:
    return [film(size + n, mark=n) for n in range(count)]


def keep(
    whose: Seat, hot: Store, chunks: Sequence[bytes] | None = None, *, closed_at: datetime = LONG_AGO
) -> Piece:
    """Put a recording into the hot tier, closed at that moment."""
    chunks = films() if chunks is None else chunks
    hashes = [hashlib.sha256(each).digest() for each in chunks]
    whole = hashlib.sha256(b"".join(hashes)).digest()
    with psycopg.connect(whose.url) as conn:
        row = conn.execute(
            PIECE,
            (
                whose.session_id, whose.exam_id, whose.organisation_id, whose.user_id, len(chunks),
                sum(map(len, chunks)), whole, closed_at, closed_at, NOW + timedelta(days=900),
            ),
        ).fetchone()  # fmt: skip
        assert row is not None
        keys = [key_of(row[0], f"{n:05d}-{n:016x}") for n in range(1, len(chunks) + 1)]
        for n, (some, hashed, key) in enumerate(zip(chunks, hashes, keys, strict=True), 1):
            conn.execute(CHUNK, (row[0], n, len(some), hashed, key, closed_at))
            hot.put(key, [some])
    return Piece(row[0], keys, list(chunks))


def unreadable(settings: Settings, piece: Piece) -> Callable[[], None]:
    """Let a piece's folder in the hot tier fail whoever looks into it; returns what lets it be well again."""
    folder = Path(settings.evidence_store, key_of(piece.evidence_id))
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.symlink_to(folder)

    def mend() -> None:
        folder.unlink()
        aside.rename(folder)

    return mend


def held(store: Store, piece: Piece) -> list[bytes]:
    """Return the chunks of a piece that a store has."""
    there = {each.key for each in store.after("", 10_000)}
    return [b"".join(store.read(key)) for key in piece.keys if key in there]
