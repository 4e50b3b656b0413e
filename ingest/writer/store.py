"""
One batch into PostgreSQL: offset, rows, progress, dead letters, in one transaction.

The compare-and-set on the offset comes first: it fences a writer that was paused, and makes the batch
exactly-once. Rows that PostgreSQL refuses are found (`refusals.py`) and go to the dead-letter table with
their neighbours' commit, and so do the rows of sessions in quarantine.
"""

from typing import Final

import msgspec
import numpy as np
import structlog

from ingest.stream.protocol import HEADER, OFFSET_UNKNOWN
from ingest.writer.encoding import Request, Rows, alerts_of, event_json, marks_of, progress_of, rows_of
from ingest.writer.received import Piece, pieces_of, received_of
from ingest.writer.refusals import REFUSED, Sifted, Streak, copy, sift
from kernel.events import HEARTBEAT_INTERVAL_S, HEARTBEAT_MISSED_AFTER_S, SEQUENCE_BITS
from kernel.running.runtime import CLOCK_STEPS, DEAD_LETTERS, SESSIONS_QUARANTINED
from kernel.settings import Settings
from sql import named
from sql.running import Connection, run

log = structlog.get_logger(__name__)
WRITER: Final = named("writer")
# Heartbeats so far apart may have a gap between them: the sweep's clock may be a little ahead of theirs.
GAP_S_MIN: Final = HEARTBEAT_MISSED_AFTER_S - HEARTBEAT_INTERVAL_S


class FencedError(Exception):
    """
    The offset has moved or the epoch is over: another writer owns the shard, or an unseen commit went
    through.
    """


class Chunk(msgspec.Struct, frozen=True):
    """
    What was read from a stream to be written at once.

    `last` is the counter of its last entry; `finals` are (session, final sequence) of end entries.
    """

    requests: list[Request]
    finals: list[tuple[int, int]]
    last: int


class Batch(msgspec.Struct, frozen=True):
    """
    A chunk on its way into PostgreSQL; `before` is the shard's offset, `rows` is None without events,
    `pieces` are what it brings of clients' numbers.
    """

    shard: int
    epoch: int
    before: int
    chunk: Chunk
    rows: Rows | None
    pieces: list[Piece]
    streak: Streak


def store(
    conn: Connection,
    shard: int,
    epoch: int,
    before: int,
    chunk: Chunk,
    settings: Settings,
    streak: Streak | None = None,
) -> int:
    """
    Store a chunk and advance the shard's offset from `before` to its last counter, in one transaction.

    `streak` is what the shard's owner remembers of refusals from one batch to the next.

    Returns:
        How many rows went into the events table.

    Raises:
        FencedError: the offset is not where this writer left it; nothing was stored.
        FloodError: too many rows in a row were refused, and no payload explains it; nothing was stored.
        psycopg.Error: nothing was stored, or the commit's outcome is unknown: the offset tells.
    """
    eventful = [request for request in chunk.requests if request.batch.types]
    rows = rows_of(eventful, settings.backfill_after_ms * 1000) if eventful else None
    pieces = pieces_of(chunk.requests) if chunk.requests else []
    batch = Batch(shard, epoch, before, chunk, rows, pieces, streak or Streak())
    try:
        return _transact(conn, batch, settings, is_careful=False)
    except REFUSED as error:
        log.warning("batch_refused", shard=shard, sqlstate=error.sqlstate)
        return _transact(conn, batch, settings, is_careful=True)


def _transact(conn: Connection, batch: Batch, settings: Settings, *, is_careful: bool) -> int:
    """Store a batch: at one go, or `is_careful`, looking for what PostgreSQL refuses."""
    shard, chunk, rows = batch.shard, batch.chunk, batch.rows
    sifted = Sifted([], {})
    with conn.transaction():
        moved = run(conn, WRITER["advance_offset"], shard, batch.epoch, batch.before, chunk.last)
        if (row := moved.fetchone()) is None:
            message = f"shard {shard}: offset is no longer {batch.epoch}-{batch.before}"
            raise FencedError(message)
        if rows is not None:
            quarantined: list[int] = row[1] or []
            if not is_careful and (
                not quarantined or not np.isin(rows.headers["session"], quarantined).any()
            ):
                copy(conn, rows.table)
                batch.streak.rows = 0
            else:
                sifted = sift(conn, rows.table, quarantined, batch.streak, settings)
                _set_aside(conn, batch, sifted, settings)
            _advance(conn, rows, [letter.index for letter in sifted.letters], settings.backfill_grace_s)
        if batch.pieces:
            _receive(conn, batch.pieces)
        if chunk.finals:
            sessions, finals = map(list, zip(*chunk.finals, strict=True))
            run(conn, WRITER["finish_sessions"], sessions, finals, GAP_S_MIN, settings.backfill_grace_s)
    for letter in sifted.letters:
        DEAD_LETTERS.labels(shard, letter.sqlstate).inc()
    for session, letter in sifted.quarantined.items():
        SESSIONS_QUARANTINED.labels(shard).inc()
        log.error("session_quarantined", shard=shard, session_id=session, sqlstate=letter.sqlstate)
    return 0 if rows is None else rows.table.num_rows - len(sifted.letters)


def _set_aside(conn: Connection, batch: Batch, sifted: Sifted, settings: Settings) -> None:
    """Write the letters, and the quarantine of the sessions that had too many."""
    if batch.rows is None or not sifted.letters:
        return
    found = batch.rows.table.take([letter.index for letter in sifted.letters]).to_pylist()
    run(
        conn,
        *WRITER.bind(
            "insert_dead_letters",
            sessions=[row["session_id"] for row in found],
            sequences=[row["seq"] for row in found],
            shard=batch.shard,
            epoch=batch.epoch,
            counter=batch.chunk.last,
            times=[row["occurred_at"] for row in found],
            sqlstates=[letter.sqlstate for letter in sifted.letters],
            reasons=[letter.reason for letter in sifted.letters],
            events=[event_json(row) for row in found],
        ),
    )
    if sifted.quarantined:
        worst = sifted.quarantined.values()
        run(
            conn,
            WRITER["quarantine_sessions"],
            list(sifted.quarantined),
            settings.quarantine_s,
            [letter.sqlstate for letter in worst],
            [letter.reason for letter in worst],
        )


def _advance(conn: Connection, rows: Rows, refused: list[int], grace_s: float) -> None:
    progress = progress_of(rows, refused)
    columns = msgspec.structs.asdict(progress)
    run(conn, *WRITER.bind("advance_sessions", **columns, gap_s=GAP_S_MIN, grace_s=grace_s))
    marks = marks_of(rows, GAP_S_MIN * 1_000_000)
    if marks.sessions:
        run(conn, *WRITER.bind("mark_gaps", **msgspec.structs.asdict(marks), grace_s=grace_s))
    alerts = alerts_of(rows, refused)
    if alerts:
        run(conn, WRITER["note_alerts"], [each >> SEQUENCE_BITS for each in alerts], alerts)
    steps = [
        (session, at, before, now) for session, at, now, before in rows.clocks if before != OFFSET_UNKNOWN
    ]
    if steps:
        run(conn, WRITER["insert_clock_steps"], *map(list, zip(*steps, strict=True)))
        CLOCK_STEPS.inc(len(steps))


def _receive(conn: Connection, pieces: list[Piece]) -> None:
    """Remember which numbers of which client were received, and where they are."""
    run(conn, WRITER["advance_clients"], *received_of(pieces))
    columns = {name: [getattr(piece, name) for piece in pieces] for name in Piece.__struct_fields__}
    run(conn, *WRITER.bind("advance_pieces", **columns))


def renumber(requests: list[Request], through: dict[int, int]) -> tuple[list[Request], bool]:
    """
    Let requests continue what is stored, where a rolled-back Redis has given sequences out a second time.

    Args:
        requests: in stream order.
        through: last stored sequence by session; kept up to date.

    Returns:
        The requests, and whether any had to be moved.
    """
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
