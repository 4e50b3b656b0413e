"""
The calls of the functions in Redis, written here alone: name, number of keys, the keys, the arguments.

What the functions do with them stands in `append.lua`, and a test holds the two together. A tier sends a call
by its link (`b"FCALL", *call`), the writer by redis-py (`client.fcall(*call)`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ingest.stream.protocol import function, session_key, shard_key, stream_key

Call = list[Any]
# Longer than any late window: an ended session's state in Redis goes by itself after that.
ENDED_KEPT_S: Final = 86_400


class Append(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    The arguments of the `append` function, in its order; None travels as an empty text. See append.lua.

    With `event_us` 0 the event is our own: no sender's clock, silence or rate is looked at. `name` and `body`
    are digests: of what the append is known by, and of what that is bound to.
    """

    epoch: int
    session: int
    events: int
    client: int | None
    ranges: str
    candidate: str
    organisation: str
    violations: int
    heartbeat_us: int | None
    latest_us: int | None
    event_us: int
    burst_us: int
    late_window_us: int
    ranges_max: int
    key_window_s: int | None
    body: bytes
    batch: bytes
    clients_max: int
    exam: str = ""  # that the sender is bound to
    is_buffered: int = 0
    settled: str = ""
    batch_digest: bytes = b""
    name: bytes = b""
    names_max: int = 0

    def call(self, shard: int, names: list[bytes] | None) -> Call:
        """Return the call; `names` are the two hashes that remember the request, None where nothing does."""
        own = session_key(shard, self.session)
        values = ["" if value is None else value for value in msgspec.structs.astuple(self)]
        first, second = names or (own, own)
        return [function("append"), 5, own, stream_key(shard), shard_key(shard), first, second, *values]


def restore(shard: int, epoch: int, row: Mapping[str, Any]) -> Call:
    """Make a session known: a row of `read_sessions`."""
    call = [
        function("restore"),
        2,
        session_key(shard, row["id"]),
        shard_key(shard),
        epoch,
        row["status"],
        str(row["candidate_id"]),
        str(row["organisation_id"]),
        row["through_seq"],
        _us(row["last_event_at"] or row["started_at"]),
        row["total_violations"],
        "" if row["clock_offset_us"] is None else row["clock_offset_us"],
        _us(row["ended_at"]),
        "1" if row["is_final"] else "",
        ENDED_KEPT_S,
        _us(row["last_heartbeat_at"] or row["started_at"]),
        str(row["exam_id"]),
        row["commands"] or "",
    ]
    for client, received in zip(row["clients"], row["received"], strict=True):
        call += [client, ranges_of_multirange(received)]
    return call


def finish(shard: int, epoch: int, session_id: int, status: int, ended_at: datetime) -> Call:
    """Say that a session has ended."""
    keys = (session_key(shard, session_id), stream_key(shard), shard_key(shard))
    return [function("finish"), 3, *keys, epoch, session_id, status, _us(ended_at), ENDED_KEPT_S]


def tell(shard: int, epoch: int, session_id: int, commands: str) -> Call:
    """Say which commands wait for a session's client, as JSON; an empty text for none."""
    return [function("tell"), 2, session_key(shard, session_id), shard_key(shard), epoch, commands]


def open_epoch(shard: int, epoch: int) -> Call:
    """Open an epoch."""
    return [function("open"), 2, stream_key(shard), shard_key(shard), epoch]


def stored(shard: int, epoch: int, counter: int) -> Call:
    """Say that everything up to the counter is stored: its entries go."""
    return [function("stored"), 2, stream_key(shard), shard_key(shard), epoch, counter]


def take(shard: int, epoch: int, *, outage_s: float, said_s: float, waiting_max: int) -> Call:
    """Say that events are taken for a shard; `ingest/stream/outages.py` says what the bounds mean."""
    return [
        function("take"), 1, shard_key(shard), epoch, round(outage_s * 1e6), round(said_s * 1e6), waiting_max
    ]  # fmt: skip


def told(shard: int, waiting: bytes) -> Call:
    """Let the outages go that were waiting, as they stood."""
    return [function("told"), 1, shard_key(shard), waiting]


def _us(when: datetime | None) -> str:
    return "" if when is None else str(round(when.timestamp() * 1_000_000))


def ranges_of_multirange(text: str) -> str:
    """Return `1-50,71-90` from PostgreSQL's `{[1,51),[71,91)}`."""
    pairs = (part.strip("[()]").split(",") for part in text.strip("{}").split("),") if part)
    return ",".join(f"{low}-{int(high) - 1}" for low, high in pairs)
