"""The append function itself, past admission and past the tier."""

from array import array
from typing import Any, Final, cast

import redis

from ingest.stream.calls import Append
from ingest.stream.protocol import (
    BATCH_VERSION,
    NO_TIME,
    Batch,
    client_names,
    digest,
    encode_batch,
    shard_of,
)
from kernel.events import EventType

SHARDS: Final = 2
DEFAULTS: Final[dict[str, Any]] = {
    "epoch": 1, "ranges": "", "candidate": "", "violations": 0, "heartbeat_us": None,
    "latest_us": None, "event_us": 1, "burst_us": 10**15, "late_window_us": 1_800_000_000, "ranges_max": 64,
    "clients_max": 256, "names_max": 128,
}  # fmt: skip


def append(client: "redis.Redis", batch: Batch, session: int, **more: Any) -> list[Any]:
    """
    Call the append function itself, past admission and past the tier.

    Args:
        client: of Redis.
        batch: what goes into the stream, unchecked.
        session: whose.
        more: fields of `Append`, and `org`, `key` and `shards`.
    """
    shard = shard_of(session, more.pop("shards", SHARDS))
    key, org = more.pop("key", None), str(more.pop("org", ""))
    call = Append(
        session=session,
        events=len(batch.types),
        client=batch.client,
        organisation=org,
        batch=encode_batch(batch),
        batch_digest=digest(encode_batch(batch), 8),
        name=b"" if key is None else digest(key.encode(), 16),
        body=digest(more.pop("body", b""), 16),
        key_window_s=None if key is None else 3600,
        **{**DEFAULTS, **more},
    )
    names = None if key is None else client_names(shard, session)
    return cast("list[Any]", client.fcall(*call.call(shard, names)))


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


def held(client: "redis.Redis", key: bytes, field: str) -> bytes:
    """Return a field of a hash that has it."""
    value = client.hget(key, field)
    assert isinstance(value, bytes), f"{key!r} has no {field}"
    return value
