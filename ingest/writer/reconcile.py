"""
Reconcile a shard after any restart or failover of Redis, and open its next epoch.

Until this is done nothing is admitted: the tiers accept only an epoch that was opened for the very Redis that
answers. What the stream still holds is stored first; whatever is missing from it is named; then PostgreSQL
allots the epoch and Redis opens it with one synced write. Sessions of earlier epochs count as absent from
then on and are read through.
"""

from typing import Final

import structlog

from ingest.stream.protocol import HEADER
from ingest.writer.refusals import Streak
from ingest.writer.shard import GapError, Stream
from ingest.writer.store import Chunk, FencedError, renumber, store
from kernel.running.runtime import STREAM_LOSSES
from kernel.settings import Settings
from sql import named
from sql.running import Connection, run

log = structlog.get_logger(__name__)
WRITER: Final = named("writer")
NOTHING: Final = (0, 0)


def take_up(conn: Connection, stream: Stream, settings: Settings, streak: Streak) -> tuple[int, int]:
    """
    Make the shard ready for writing and return its (epoch, stored counter).

    A shard whose open epoch belongs to this Redis goes on where it was; any other is reconciled.

    Raises:
        FencedError: another writer was faster.
    """
    shard = stream.shard
    now = stream.incarnation()
    latest = run(conn, WRITER["read_latest_epoch"], shard).fetchone()
    epoch, counter = run(conn, WRITER["read_offset"], shard).fetchone() or NOTHING
    if (
        latest is not None
        and latest == (epoch, now.run_id, now.replication_id, True)
        and stream.epoch() == epoch
    ):
        stream.forget_through(epoch, counter)
        return epoch, counter
    log.info("shard_reconciling", shard=shard, epoch=epoch, counter=counter)
    stream.shut()
    if latest is not None and latest[3]:  # into an epoch that was never opened, nobody has written
        counter = _drain(conn, stream, epoch, counter, settings, streak)
    seen = stream.last_id()
    fresh = max(epoch, 0 if latest is None else latest[0], 0 if seen is None else seen[0]) + 1
    with conn.transaction():
        run(conn, WRITER["allot_epoch"], shard, fresh, now.run_id, now.replication_id)
        if run(conn, WRITER["start_offset"], shard, fresh, epoch, counter).fetchone() is None:
            message = f"shard {shard}: the offset has moved from {epoch}-{counter}"
            raise FencedError(message)
    stream.load_functions()
    stream.open(fresh)
    run(conn, WRITER["open_epoch"], shard, fresh)
    log.info("shard_open", shard=shard, epoch=fresh)
    return fresh, 0


def _drain(
    conn: Connection,
    stream: Stream,
    epoch: int,
    counter: int,
    settings: Settings,
    streak: Streak,
) -> int:
    """
    Store what the stream holds beyond the offset, name what it should hold and does not; return the new
    offset.
    """
    last = stream.last_id()
    if last is None:  # an open epoch leaves its mark at least
        name_loss(conn, stream.shard, epoch, "emptied", counter + 1, None)
        return counter
    if last < (epoch, counter):
        name_loss(
            conn, stream.shard, epoch, "rolled_back", counter + 1, last[1] if last[0] == epoch else None
        )
        return counter
    named_once = False
    while True:
        try:
            chunk = stream.read(epoch, counter)
        except GapError as gap:
            counter = skip_gap(conn, stream, epoch, counter, gap)
            continue
        if chunk is None:
            return counter
        chunk, moved = _continued(conn, chunk)
        if moved and not named_once:
            name_loss(conn, stream.shard, epoch, "rolled_back", counter + 1, chunk.last)
            named_once = True
        store(conn, stream.shard, epoch, counter, chunk, settings, streak)
        counter = chunk.last


def _continued(conn: Connection, chunk: Chunk) -> tuple[Chunk, bool]:
    """Renumber requests whose sequences are stored already: a rolled-back Redis has given them out again."""
    sessions = sorted({session_of(request.header) for request in chunk.requests})
    through: dict[int, int] = dict(run(conn, WRITER["read_through"], sessions).fetchall())
    requests, moved = renumber(chunk.requests, through)
    return Chunk(requests, chunk.finals, chunk.last), moved


def session_of(header: bytes) -> int:
    """Return the session of a request's header."""
    offset: int = HEADER.fields["session"][1]  # type: ignore[index]  # a structured dtype has fields
    return int.from_bytes(header[offset : offset + 8], "little", signed=True)


def skip_gap(conn: Connection, stream: Stream, epoch: int, counter: int, gap: GapError) -> int:
    """Name the loss, and go on with the entry that was found."""
    assert gap.found is not None, "a gap is found by the entry behind it"
    name_loss(conn, stream.shard, epoch, "gap", gap.expected, gap.found)
    moved = run(conn, WRITER["advance_offset"], stream.shard, epoch, counter, gap.found - 1).fetchone()
    if moved is None:
        message = f"shard {stream.shard}: the offset has moved from {epoch}-{counter}"
        raise FencedError(message)
    return gap.found - 1


def name_loss(conn: Connection, shard: int, epoch: int, kind: str, expected: int, found: int | None) -> None:
    """Record a loss of acknowledged entries where nobody can miss it."""
    log.error("stream_loss", shard=shard, epoch=epoch, kind=kind, expected=expected, found=found)
    STREAM_LOSSES.labels(shard, kind).inc()
    run(
        conn,
        *WRITER.bind("insert_loss", shard=shard, epoch=epoch, kind=kind, expected=expected, found=found),
    )
