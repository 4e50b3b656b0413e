"""
Rows that PostgreSQL refuses: which, why, and whose fault it is.

A refused row is tried again without what a client wrote into it. Where that is taken, its payload explains
the refusal: the row goes to the dead letters, and a session with too many such rows into quarantine. Where
it is not, no payload explains it, and too many of those in a row stop the shard.
"""

from typing import Any, Final

import msgspec
import numpy as np
import psycopg
import pyarrow as pa
import structlog

from ingest.writer.encoding import SCHEMA, copy_bytes
from kernel.settings import Settings
from sql import named
from sql.running import Connection, one

log = structlog.get_logger(__name__)
WRITER: Final = named("writer")
# What a row's content can cause: data exceptions, integrity violations, limits of nesting and size.
REFUSED: Final = (
    psycopg.errors.DataError,
    psycopg.errors.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)
SET_ASIDE: Final = ("22000", "set aside untried: the session is in quarantine")
REASON_LENGTH_MAX: Final = 500
_OF_CLIENTS: Final = frozenset(field.name for field in SCHEMA if field.nullable)


class FloodError(Exception):
    """PostgreSQL refuses row after row, and no payload explains it: the shard stops."""


class Letter(msgspec.Struct, frozen=True):
    """A row for the dead-letter table: its index in the batch, and why."""

    index: int
    sqlstate: str
    reason: str


class Streak(msgspec.Struct):
    """Rows refused in a row, over batches, and explained by no payload; one that is taken ends it."""

    rows: int = 0


class Sifted(msgspec.Struct, frozen=True):
    """The rows that were not stored, and the sessions that go into quarantine, each with its last letter."""

    letters: list[Letter]
    quarantined: dict[int, Letter]


def copy(conn: Connection, table: pa.RecordBatch) -> None:
    """COPY the rows."""
    with conn.cursor().copy(WRITER["copy_events"].encode()) as sink:
        sink.write(copy_bytes(table))


def sift(
    conn: Connection,
    table: pa.RecordBatch,
    quarantined: list[int],
    streak: Streak,
    settings: Settings,
) -> Sifted:
    """
    COPY what can be stored, half by half, and return what cannot.

    Args:
        conn: in a transaction.
        table: rows sorted by session.
        quarantined: sessions whose rows are not tried.
        streak: of the shard.
        settings: the bounds.

    Raises:
        FloodError: too many rows in a row were refused, and no payload explains it.
    """
    sessions = table.column("session_id").to_numpy()
    aside = set(quarantined)
    letters: list[Letter] = []
    fresh: dict[int, Letter] = {}
    refusals: dict[int, int] = {}
    waiting = [(0, table.num_rows)]
    while waiting:
        start, stop = waiting.pop()
        kept = _runs(~np.isin(sessions[start:stop], list(aside)), start)
        if kept != [(start, stop)]:
            inside = {index for low, high in kept for index in range(low, high)}
            letters += [Letter(index, *SET_ASIDE) for index in range(start, stop) if index not in inside]
            waiting += kept[::-1]
            continue
        try:
            with conn.transaction():
                copy(conn, table.slice(start, stop - start))
            streak.rows = 0
        except REFUSED as error:
            if stop - start > 1:
                half = (start + stop) // 2
                waiting += [(half, stop), (start, half)]
                continue
            letter = Letter(start, error.sqlstate or "22000", str(error)[:REASON_LENGTH_MAX])
            letters.append(letter)
            if not _is_taken_bare(conn, table.slice(start, 1)):
                streak.rows += 1
                if streak.rows > settings.dead_letters_in_a_row_max:
                    message = f"{streak.rows} rows in a row were refused, the last with {letter.sqlstate}"
                    raise FloodError(message) from error
                continue
            streak.rows = 0
            session = int(sessions[start])
            if session not in refusals:
                refusals[session] = int(one(conn, WRITER["count_letters"], session, settings.quarantine_s))
            refusals[session] += 1
            if refusals[session] >= settings.quarantine_letters_max:
                aside.add(session)
                fresh[session] = letter
    return Sifted(letters, fresh)


def _runs(keep: "np.ndarray[Any, np.dtype[np.bool_]]", offset: int) -> list[tuple[int, int]]:
    """Return where stretches of true begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    return [(int(low) + offset, int(high) + offset) for low, high in edges.reshape(-1, 2)]


def _is_taken_bare(conn: Connection, row: pa.RecordBatch) -> bool:
    """Tell whether PostgreSQL takes the row without what its client wrote; nothing is kept of the trial."""
    bare = pa.RecordBatch.from_arrays(
        [
            pa.nulls(1, field.type) if field.name in _OF_CLIENTS else row.column(field.name)
            for field in SCHEMA
        ],
        schema=SCHEMA,
    )
    try:
        with conn.transaction(force_rollback=True):
            copy(conn, bare)
    except REFUSED:
        return False
    return True
