"""The append function itself, past admission and past the tier."""

from array import array
from typing import Any, Final

import redis

from ingest.stream import (
    BATCH_VERSION,
    NO_TIME,
    Batch,
    encode_batch,
    function,
    idempotency_key,
    session_key,
    shard_key,
    shard_of,
    stream_key,
)
from kernel.events import EventType

SHARDS: Final = 2


def append(client: "redis.Redis", batch: Batch, session: int, **more: Any) -> list[Any]:
    """
    Call the append function itself, past admission and past the tier.

    Args:
        client: of Redis.
        batch: what goes into the stream, unchecked.
        session: whose.
        more: `epoch`, `org`, `candidate` (empty for a service), `ranges`, `key`, `digest`, `heartbeat_us`,
            `latest_us`,
            `event_us`, `burst_us`, `ranges_max`, `clients_max`, `shards`.
    """
    shard = shard_of(session, more.get("shards", SHARDS))
    own = session_key(shard, session)
    key = more.get("key", "")
    reply: list[Any] = client.execute_command(
        "FCALL",
        function("append"),
        4,
        *(own, stream_key(shard), shard_key(shard), idempotency_key(shard, session, key) if key else own),
        *(more.get("epoch", 1), session, len(batch.types)),
        "" if batch.client is None else batch.client,
        more.get("ranges", ""),
        *(more.get("candidate", ""), str(more.get("org", ""))),
        *(0, more.get("heartbeat_us", ""), more.get("latest_us", "")),
        *(more.get("event_us", 1), more.get("burst_us", 10**15), 1_800_000_000, more.get("ranges_max", 64)),
        *(3600 if key else "", more.get("digest", ""), encode_batch(batch), more.get("clients_max", 256)),
    )
    return reply


def batch_of(
    *payloads: str | None, client: int | None = None, sequences: int | list[int] | None = None
) -> Batch:
    """Return keystrokes with these payloads, whatever they are."""
    return Batch(
        version=BATCH_VERSION,
        client=client,
        sequences=sequences,
        types=bytes([EventType.Keystroke] * len(payloads)),
        severities=bytes(len(payloads)),
        client_us=array("q", [NO_TIME] * len(payloads)).tobytes(),
        payloads=list(payloads),
    )
