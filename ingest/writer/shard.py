"""
A shard as its writer sees it: what the stream holds after the stored offset, read in bounded chunks.
"""

from time import sleep
from typing import Any, Final, cast

import numpy as np
import redis

from ingest.stream import calls
from ingest.stream.protocol import (
    HEADER,
    Incarnation,
    entry_id,
    incarnation,
    library,
    parse_id,
    shard_key,
    stream_key,
    wrong_durability,
)
from ingest.writer.encoding import Request, request_of
from ingest.writer.store import Chunk
from kernel.settings import Settings

READ_ENTRIES_MAX: Final = 2000
IDLE_MS: Final = 500


class GapError(Exception):
    """The entry that should come next is not there: acknowledged entries are missing from the stream."""

    def __init__(self, expected: int, found: int | None) -> None:
        """Say which counter was expected and which was found."""
        super().__init__(f"expected entry {expected}, found {found}")
        self.expected = expected
        self.found = found


class Stream:
    """One shard's stream in one Redis, for one owner."""

    def __init__(self, client: "redis.Redis", shard: int, settings: Settings) -> None:
        """Remember where; nothing is read yet."""
        self.client = client
        self.shard = shard
        self._settings = settings
        self._entry_bytes = 4096.0  # a running mean, to bound what one read brings

    def incarnation(self) -> Incarnation:
        """Return which Redis this is."""
        return incarnation(self.client.info())

    def wrong(self) -> list[str]:
        """Return what contradicts the durability that acknowledgements promise."""
        settings = self.client.config_get("append*", "maxmemory", "maxmemory-policy")
        return wrong_durability(
            {name: str(value) for name, value in self.client.info().items()},
            {str(name): str(value) for name, value in settings.items()},
        )

    def load_functions(self) -> None:
        """Load the function library, if it is not there yet: out of memory, Redis refuses even to look."""
        version, source = library()
        if self.client.function_list(f"veritas_ingest_{version}"):
            return
        try:
            self.client.function_load(source)
        except redis.ResponseError as error:
            if "already exists" not in str(error):
                raise

    def epoch(self) -> int | None:
        """Return the epoch that this Redis believes to be open."""
        value = self.client.hget(shard_key(self.shard), "epoch")
        return None if value is None else int(value)

    def last_id(self) -> tuple[int, int] | None:
        """Return the last id that the stream ever gave out, or None where there is no stream."""
        if not self.client.exists(stream_key(self.shard)):
            return None
        return parse_id(self.client.xinfo_stream(stream_key(self.shard))["last-generated-id"])

    def lag(self) -> tuple[int, float]:
        """Return how many entries are not stored yet, and the age of the oldest in seconds."""
        entries = self.client.xrange(stream_key(self.shard), count=1)
        seconds, micros = self.client.time()
        fields = cast("dict[bytes, bytes]", entries[0][1] if entries else {})
        header = fields.get(b"e") or fields.get(b"x")
        if header is None:
            return 0, 0.0
        at_us = int(np.frombuffer(header, dtype=HEADER)[0]["at_us"])
        return self.client.xlen(stream_key(self.shard)), max(0.0, seconds + (micros - at_us) / 1e6)

    def shut(self) -> None:
        """Close the open epoch: from here on nothing is appended that a reconciliation would not see."""
        self.client.hdel(shard_key(self.shard), "epoch")

    def open(self, epoch: int) -> None:
        """Open an epoch here, and let everything before it go: it is stored."""
        self.client.fcall(*calls.open_epoch(self.shard, epoch))
        self.client.xtrim(stream_key(self.shard), minid=entry_id(epoch, 0), approximate=False)

    def forget_through(self, epoch: int, counter: int) -> None:
        """Say that everything up to the counter is stored: the entries go."""
        self.client.fcall(*calls.stored(self.shard, epoch, counter))

    def wait(self, epoch: int, after: int) -> bool:
        """Wait a moment for an entry after the counter, then for more to gather; False when none has come."""
        if not self.client.xread({stream_key(self.shard): entry_id(epoch, after)}, count=1, block=IDLE_MS):
            return False
        sleep(self._settings.writer_batch_ms / 1000)
        return True

    def read(self, epoch: int, after: int) -> Chunk | None:
        """
        Return what follows the counter, up to the bounds of a batch; None when there is nothing.

        Raises:
            GapError: the next entry does not directly follow.
        """
        settings = self._settings
        requests: list[Request] = []
        finals: list[tuple[int, int]] = []
        rows, size, last = 0, 0, after
        while rows < settings.writer_batch_rows and size < settings.writer_batch_bytes:
            entries = self._next(
                epoch, last, settings.writer_batch_rows - rows, settings.writer_batch_bytes - size
            )
            for ident, fields in entries:
                _, counter = parse_id(ident)
                if counter != last + 1:
                    raise GapError(last + 1, counter)
                last = counter
                if b"e" in fields:
                    requests.append(request_of(fields))
                    rows += len(requests[-1].batch.types)
                    size += len(fields[b"b"])
                elif (header := fields.get(b"x")) is not None:
                    final = np.frombuffer(header, dtype=HEADER)[0]
                    finals.append((int(final["session"]), int(final["seq"])))
            if not entries:
                break
        return None if last == after else Chunk(requests, finals, last)

    def _next(self, epoch: int, after: int, rows_left: int, bytes_left: int) -> list[Any]:
        """Return the next entries of the epoch after the counter: no more than are likely to fit."""
        count = max(1, min(READ_ENTRIES_MAX, rows_left, int(bytes_left / self._entry_bytes)))
        key = stream_key(self.shard)
        found = self.client.xrange(key, f"({entry_id(epoch, after)}", entry_id(epoch, 2**62), count=count)
        entries = cast("list[Any]", found)
        if entries:
            mean = sum(len(fields.get(b"b", b"")) for _, fields in entries) / len(entries)
            self._entry_bytes += (max(mean, 64.0) - self._entry_bytes) / 4
        return entries
