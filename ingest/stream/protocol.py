"""
The stream between ingest and the writer: key names, the batch codec, the functions inside Redis.

docs/redis-keys.md says what every key and field holds, who writes and who reads it.
"""

import hashlib
import struct
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
import numpy as np

from ingest.stream import clocks

BATCH_VERSION: Final = 1
RULE_NUMBERS: Final = ("CONTACT_LOST_US", "TOLERANCE_US", "UNDER_WAY_US", "FILL_US", "SILENCES_KEPT")
NO_TIME: Final = -(2**63)  # a missing client time in a packed column
OFFSET_UNKNOWN: Final = 2**52  # no heartbeat has told the clock offset yet

# What a function writes in front of a batch; see append.lua.
HEADER: Final = np.dtype(
    [
        ("session", "<i8"),
        ("seq", "<i8"),
        ("events", "<i8"),
        ("at_us", "<i8"),
        ("previous_us", "<i8"),
        ("offset_us", "<i8"),
        ("late", "<i8"),
    ]
)


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """
    The events of one request, by column, as they travel in the stream (msgpack).

    `types` and `severities` hold one byte an event; `client_us` eight (little-endian microseconds since 1970,
    NO_TIME where the client sent none). `sequences` is the first clientSequence where they are dense, a list
    where they are not, None without a client. `effective_us` is set by our own sweeps, for events of the
    past. `buffered` holds one byte an event, 1 where the client declares it as buffered; None where it
    declares none. `settled` are ranges of clientSequence whose events were refused for good: they count as
    received, and there is nothing to store of them.
    """

    version: int
    client: int | None
    sequences: int | list[int] | None
    types: bytes
    severities: bytes
    client_us: bytes
    payloads: list[str | None]
    names: list[str | None] | None = None
    unstorable: list[int] | None = None  # what an older release's tiers said; nobody reads it any more
    effective_us: int | None = None
    buffered: bytes | None = None
    settled: list[list[int]] | None = None


# A piece of what was received, as the function remembers it: from, to, first sequence (0 of what was refused
# and settled), server time us (negative of what was late), counter of the entry, digest of the batch.
PIECE: Final = struct.Struct("<ddddd8s")

encode_batch: Final = msgspec.msgpack.Encoder().encode
decode_batch: Final = msgspec.msgpack.Decoder(Batch).decode


def client_key(instance: str, *, of_service: bool = False) -> int:
    """
    Return the 64-bit key of a client instance's name, signed, as the table keeps it.

    A service's has a mark that no name can have: a candidate who takes its name takes no number from it.
    """
    if of_service:
        instance = f"service {instance}"
    return int.from_bytes(hashlib.blake2b(instance.encode(), digest_size=8).digest(), "little", signed=True)


def shard_of(session_id: int, shards: int) -> int:
    """Return the session's shard: identity numbers spread evenly by themselves."""
    return session_id % shards


def stream_key(shard: int) -> bytes:
    """Return the key of a shard's stream."""
    return b"{v%d}:stream" % shard


def shard_key(shard: int) -> bytes:
    """Return the key of a shard's state."""
    return b"{v%d}:shard" % shard


def session_key(shard: int, session_id: int) -> bytes:
    """Return the key of a session's state."""
    return b"{v%d}:s:%d" % (shard, session_id)


def client_names(shard: int, session_id: int, *, of_service: bool = False) -> list[bytes]:
    """Return the two hashes that remember Idempotency-Keys of a session: its candidate's, or services'."""
    letter = b"p" if of_service else b"k"
    return [b"{v%d}:%s:%d:%d" % (shard, letter, session_id, half) for half in (0, 1)]


def own_names(shard: int, session_id: int) -> list[bytes]:
    """Return the two hashes that remember the events of our own: no client's key is ever looked up there."""
    return [b"{v%d}:o:%d:%d" % (shard, session_id, half) for half in (0, 1)]


def digest(content: bytes, size: int) -> bytes:
    """Return what tells one text from another; the batch's needs 8 bytes, names and bodies have 16."""
    return hashlib.sha256(content).digest()[:size]


def entry_id(epoch: int, counter: int) -> str:
    """Return a stream id."""
    return f"{epoch}-{counter}"


def parse_id(entry: bytes) -> tuple[int, int]:
    """Return (epoch, counter) of a stream id."""
    epoch, _, counter = entry.partition(b"-")
    return int(epoch), int(counter)


@cache
def library() -> tuple[str, str]:
    """Return (version, source) of the function library; the version is a digest of its text."""
    text = (files("ingest.stream") / "append.lua").read_text(encoding="utf-8")
    for name in RULE_NUMBERS:
        text = text.replace(f"@{name}@", str(getattr(clocks, name)))
    version = hashlib.sha256(text.encode()).hexdigest()[:10]
    return version, text.replace("@VERSION@", version)


@cache
def function(name: str) -> bytes:
    """Return the versioned name of a function: append, restore, finish, tell, open, stored, take or told."""
    return f"veritas_{name}_{library()[0]}".encode()


def parse_ranges(text: bytes | None) -> list[list[int]]:
    """Return received ranges as [[from, to], …] from `1-50,71-90`."""
    if not text:
        return []
    return [[int(end) for end in pair.split(b"-")] for pair in text.split(b",")]


def format_ranges(ranges: list[list[int]]) -> str:
    """Return ranges as `1-50,71-90`."""
    return ",".join(f"{low}-{high}" for low, high in ranges)


class Incarnation(msgspec.Struct, frozen=True):
    """Which life of which Redis: a restart changes `run_id`, a promotion `replication_id`."""

    run_id: str
    replication_id: str


def incarnation(server: dict[str, Any]) -> Incarnation:
    """Return the incarnation from a parsed INFO reply."""
    return Incarnation(run_id=str(server["run_id"]), replication_id=str(server["master_replid"]))


def parse_info(text: bytes) -> dict[str, str]:
    """Return an INFO reply's fields."""
    lines = (line.partition(":") for line in text.decode().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def wrong_durability(info: dict[str, str], settings: dict[str, str]) -> list[str]:
    """
    Return what contradicts the promise of an acknowledgement, as sentences; empty when it holds.

    Args:
        info: fields of INFO.
        settings: appendonly, appendfsync, maxmemory, maxmemory-policy from CONFIG GET.
    """
    wrong = []
    if settings.get("appendonly") != "yes":
        wrong.append("Redis does not write an append-only file (appendonly yes)")
    if settings.get("appendfsync") != "always":
        wrong.append("Redis acknowledges before it syncs (appendfsync always)")
    if settings.get("maxmemory", "0") == "0":
        wrong.append("Redis has no memory bound (maxmemory)")
    if settings.get("maxmemory-policy") != "noeviction":
        wrong.append("Redis may evict what was acknowledged (maxmemory-policy noeviction)")
    if info.get("role") != "master":
        wrong.append("Redis is a replica")
    if info.get("aof_last_write_status", "ok") != "ok":
        wrong.append("Redis cannot write its append-only file")
    return wrong
