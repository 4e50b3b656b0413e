"""
Which epoch of each shard is open, as PostgreSQL says, and for which incarnation of Redis.

Admission to a shard is open only while an epoch was opened for the very Redis that answers. The writer opens
epochs after it has reconciled (`ingest/writer/reconcile.py`); this is what the tiers know of them, looked up
again when a shard looks closed.
"""

import asyncio
from typing import Final

import asyncpg
import msgspec
import structlog

from ingest.stream.protocol import Incarnation
from kernel.errors import UnavailableError
from kernel.postgres import AWAY
from sql import named

log = structlog.get_logger(__name__)
REFRESH_S: Final = 5.0
REFRESH_CLOSED_S: Final = 0.1


class Epoch(msgspec.Struct, frozen=True):
    """An open epoch: its number and the incarnation it was opened for."""

    number: int
    incarnation: Incarnation


class Epochs:
    """The open epochs by shard, kept fresh by a task."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", shards: int) -> None:
        """Remember the pool; `watch` reads it anew."""
        self._pool = pool
        self._shards = shards
        self._open: dict[int, Epoch] = {}
        self._doubt = asyncio.Event()
        self.stopped: dict[int, str] = {}  # why, by shard, as its writer says

    def of(self, shard: int) -> Epoch:
        """
        Return the open epoch of a shard.

        Raises:
            UnavailableError: none is open.
        """
        epoch = self._open.get(shard)
        if epoch is None:
            self._doubt.set()
            raise UnavailableError("Events are not taken yet; nothing was stored.", retry_after_s=1)
        return epoch

    def doubt(self) -> None:
        """Have them read anew now: Redis or a connection said that an epoch is stale."""
        self._doubt.set()

    def closed(self, now: Incarnation | None) -> list[int]:
        """Return the shards that are not open for the Redis that answers."""
        return [
            shard
            for shard in range(self._shards)
            if (epoch := self._open.get(shard)) is None or epoch.incarnation != now
        ]

    def open_for(self, now: Incarnation | None) -> dict[int, int]:
        """Return the epochs, by shard, that are open for the Redis that answers."""
        return {shard: epoch.number for shard, epoch in self._open.items() if epoch.incarnation == now}

    async def refresh(self) -> None:
        """Read the latest epoch of every shard; one that is not open yet closes its shard."""
        rows = await self._pool.fetch(named("ingest")["list_epochs"])
        self._open = {
            row["shard"]: Epoch(row["epoch"], Incarnation(row["run_id"], row["replication_id"]))
            for row in rows
            if row["opened_at"] is not None
        }
        self.stopped = {row["shard"]: row["stopped_why"] for row in rows if row["stopped_why"] is not None}

    async def watch(self) -> None:
        """Refresh for ever: at leisure while all is open, ten times a second while something is in doubt."""
        while True:
            try:
                await self.refresh()
                wait_s = REFRESH_S if len(self._open) == self._shards else REFRESH_CLOSED_S
            except AWAY as error:
                # PostgreSQL away: what is open stays open, for it is Redis that makes an append durable.
                log.warning("epochs_not_refreshed", error=error)
                wait_s = 1.0
            try:
                async with asyncio.timeout(wait_s):
                    await self._doubt.wait()
                self._doubt.clear()
                await asyncio.sleep(REFRESH_CLOSED_S)
            except TimeoutError:
                pass
