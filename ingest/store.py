"""
One batch into PostgreSQL: offset, rows, progress, dead letters, in one transaction.

The compare-and-set on the offset comes first: it fences a writer that was paused, and makes the batch
exactly-once. Rows that PostgreSQL refuses are found by bisection and go to the dead-letter table with their
neighbours' commit.
"""

from typing import Any, Final, LiteralString

import msgspec
import psycopg
import pyarrow as pa
import structlog

from ingest.encoding import Request, Rows, copy_bytes, event_json, progress_of, received_of, rows_of
from ingest.stream import HEADER
from kernel.runtime import DEAD_LETTERS
from kernel.settings import Settings
from sql import named

log = structlog.get_logger(__name__)
REASON_LENGTH_MAX: Final = 500


class FencedError(Exception):
    """
    The offset has moved or the epoch is over: another writer owns the shard, or an unseen commit went
    through.
    """


class FloodError(Exception):
    """PostgreSQL refuses row after row: something is wrong with more than the rows, so the shard stops."""


class Chunk(msgspec.Struct, frozen=True):
    """
    What was read from a stream to be written at once.

    `last` is the counter of its last entry; `finals` are (session, final sequence) of end entries.
    """

    requests: list[Request]
    finals: list[tuple[int, int]]
    last: int


class Letter(msgspec.Struct, frozen=True):
    """A row for the dead-letter table: its index in the batch, and why."""

    index: int
    sqlstate: str
    reason: str


def statement(name: str) -> LiteralString:
    """
    Return a writer's statement; psycopg asks for text that no input can reach, and a file of ours is that.
    """
    return named("writer")[name]


def store(
    conn: psycopg.Connection[Any], shard: int, epoch: int, before: int, chunk: Chunk, settings: Settings
) -> int:
    """
    Store a chunk and advance the shard's offset from `before` to its last counter, in one transaction.

    Returns:
        How many rows went into the events table.

    Raises:
        FencedError: the offset is not where this writer left it; nothing was stored.
        FloodError: too many rows in a row were refused; nothing was stored.
        psycopg.Error: nothing was stored, or the commit's outcome is unknown: the offset tells.
    """
    rows = rows_of(chunk.requests, settings.backfill_after_ms * 1000) if chunk.requests else None
    try:
        return _transact(conn, shard, epoch, before, chunk, rows, None)
    except (psycopg.errors.DataError, psycopg.errors.IntegrityError) as error:
        log.warning("batch_refused", shard=shard, sqlstate=error.sqlstate)
        return _transact(conn, shard, epoch, before, chunk, rows, settings.dead_letters_in_a_row_max)


def _transact(
    conn: psycopg.Connection[Any],
    shard: int,
    epoch: int,
    before: int,
    chunk: Chunk,
    rows: Rows | None,
    bisect_max: int | None,
) -> int:
    stored = 0
    with conn.transaction(), psycopg.RawCursor(conn) as cursor:
        cursor.execute(statement("advance_offset"), (shard, epoch, before, chunk.last))
        if cursor.fetchone() is None:
            message = f"shard {shard}: offset is no longer {epoch}-{before}"
            raise FencedError(message)
        if rows is not None:
            if bisect_max is None:
                copy(cursor, rows.table)
                letters = []
            else:
                letters = _bisect(conn, cursor, [(0, rows.table)], bisect_max)
            stored = rows.table.num_rows - len(letters)
            _write_letters(cursor, rows, letters, shard, epoch, chunk.last)
            _advance(cursor, rows, [letter.index for letter in letters])
        if chunk.finals:
            cursor.execute(statement("finish_sessions"), tuple(map(list, zip(*chunk.finals, strict=True))))
    for letter in letters if rows is not None else ():
        DEAD_LETTERS.labels(shard, letter.sqlstate).inc()
    return stored


def copy(cursor: psycopg.RawCursor[Any], table: pa.RecordBatch) -> None:
    """COPY the rows."""
    with cursor.copy(statement("copy_events")) as sink:
        sink.write(copy_bytes(table))


def _bisect(
    conn: psycopg.Connection[Any],
    cursor: psycopg.RawCursor[Any],
    pieces: list[tuple[int, pa.RecordBatch]],
    in_a_row_max: int,
) -> list[Letter]:
    """COPY what can be stored, half by half, and return a letter for every row that cannot."""
    letters: list[Letter] = []
    in_a_row = 0
    waiting = pieces[::-1]
    while waiting:
        start, piece = waiting.pop()
        try:
            with conn.transaction():
                copy(cursor, piece)
            in_a_row = 0
        except (psycopg.errors.DataError, psycopg.errors.IntegrityError) as error:
            half = piece.num_rows // 2
            if half:
                waiting += [(start + half, piece.slice(half)), (start, piece.slice(0, half))]
                continue
            letters.append(Letter(start, error.sqlstate or "22000", str(error)[:REASON_LENGTH_MAX]))
            in_a_row += 1
            if in_a_row > in_a_row_max:
                message = f"{in_a_row} rows in a row were refused, the last with {error.sqlstate}"
                raise FloodError(message) from error
    return letters


def _write_letters(
    cursor: psycopg.RawCursor[Any], rows: Rows, letters: list[Letter], shard: int, epoch: int, counter: int
) -> None:
    for letter in letters:
        row = {name: values[0] for name, values in rows.table.slice(letter.index, 1).to_pydict().items()}
        cursor.execute(
            statement("insert_dead_letter"),
            (
                row["session_id"],
                row["seq"],
                shard,
                epoch,
                counter,
                row["occurred_at"],
                letter.sqlstate,
                letter.reason,
                event_json(row),
            ),
        )


def _advance(cursor: psycopg.RawCursor[Any], rows: Rows, refused: list[int]) -> None:
    progress = progress_of(rows, refused)
    cursor.execute(
        statement("advance_sessions"),
        (
            progress.sessions,
            progress.through,
            progress.events,
            progress.violations,
            progress.first_us,
            progress.last_us,
            progress.heartbeat_us,
            progress.offset_us,
        ),
    )
    sessions, clients, received = received_of(rows)
    if sessions:
        cursor.execute(statement("advance_clients"), (sessions, clients, received))


def renumber(requests: list[Request], through: dict[int, int]) -> tuple[list[Request], bool]:
    """
    Let requests continue what is stored, where a rolled-back Redis has given sequences out a second time.

    Args:
        requests: in stream order.
        through: last stored sequence by session; kept up to date.

    Returns:
        The requests, and whether any had to be moved.
    """
    import numpy as np  # noqa: PLC0415  a path taken after a loss only

    moved, out = False, []
    for request in requests:
        header = np.frombuffer(request.header, dtype=HEADER).copy()
        session, first = int(header["session"][0]), int(header["seq"][0])
        expected = through.get(session, 0) + 1
        if first < expected:
            header["seq"] = first = expected
            moved = True
        through[session] = first + int(header["events"][0]) - 1
        out.append(msgspec.structs.replace(request, header=header.tobytes()))
    return out, moved
