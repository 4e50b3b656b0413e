"""
When nothing was taken: that time is ours, and nobody's silence.

Every tier says once a second for which shards it takes events (`pressure.py`), by the clock of the stream,
which is the clock of all that arrives. Where nobody did for longer than OUTAGE_S, whoever says it next queues
an outage in the same atomic step (`take` in `append.lua`). The writer's sweep carries outages into PostgreSQL
before it looks for silences, and looks no further than the moment at which the shard was last taken for: what
nobody could have said to us, nobody is said to have left out.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import redis
import structlog

from ingest.stream import calls
from ingest.stream.protocol import parse_ranges, shard_key
from kernel.running.runtime import INGEST_OUTAGES
from sql import named
from sql.running import Connection, rows, run

log = structlog.get_logger(__name__)
OUTAGES: Final = named("outages")
# Shorter ones hide one heartbeat at most, and three have to be missing before anybody is missed.
OUTAGE_S: Final = 10.0
SAID_S: Final = 0.9  # several tiers may say it: one word in this time is enough
OUTAGES_WAITING_MAX: Final = 256

Span = tuple[datetime, datetime]


def carry(conn: Connection, client: "redis.Redis", owned: Iterable[int]) -> dict[int, datetime]:
    """
    Bring outages that wait in Redis into PostgreSQL; return until when each shard was taken for.

    A shard that nobody has spoken for since Redis was emptied is left out. Whatever ends this halfway, the
    next call does the rest: an outage is known by its shard and end.

    Where Redis does not know since when (it is a new one) or knows it too long ago (it read an older file),
    the outage begins with the last moment that an earlier call had seen.
    """
    taken: dict[int, datetime] = {}
    queued: dict[int, bytes] = {}
    for shard in owned:
        at, waiting = cast("list[bytes | None]", client.hmget(shard_key(shard), ["taken", "outages"]))
        if at is not None:
            taken[shard] = _moment(int(at))
            queued[shard] = waiting or b""
    if not taken:
        return taken
    spans = [(shard, *span) for shard, waiting in queued.items() for span in parse_ranges(waiting)]
    with conn.transaction():
        found = []
        if spans:
            starts = [_moment(at) if at else None for _, at, _ in spans]
            ends = [_moment(at) for _, _, at in spans]
            shards = [shard for shard, _, _ in spans]
            found = rows(conn, OUTAGES["insert_outages"], shards, starts, ends, OUTAGE_S)
        run(conn, OUTAGES["remember_taken"], list(taken), list(taken.values()))
    for shard, waiting in queued.items():
        if waiting:
            client.fcall(*calls.told(shard, waiting))
    for row in found:
        INGEST_OUTAGES.labels(row["shard"]).inc()
        log.warning(
            "ingest_outage",
            shard=row["shard"],
            started_at=row["started_at"].isoformat(),
            ended_at=row["ended_at"].isoformat(),
        )
    return taken


def proven_at(since: datetime, until: datetime, outages: Iterable[Span], silence_s: float) -> datetime | None:
    """
    Return when a silence had lasted for `silence_s` on end in which everything was taken; None: never.

    Pieces before and after an outage do not add up: a client may need a while to find its way back, each
    time.

    Args:
        since: the silence's start.
        until: its end.
        outages: those that touch it, by their starts.
        silence_s: how long makes it one.
    """
    for begun, ended in _taken_pieces(since, until, outages):
        if (ended - begun).total_seconds() >= silence_s:
            return begun + timedelta(seconds=silence_s)
    return None


def _taken_pieces(since: datetime, until: datetime, outages: Iterable[Span]) -> Iterator[Span]:
    for started_at, ended_at in outages:
        yield since, min(started_at, until)
        since = max(since, ended_at)
    yield since, until


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)
