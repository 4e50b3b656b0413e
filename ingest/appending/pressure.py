"""
Back-pressure: how loaded the stream is, before memory is the one to say so (spec.md I-5).

A shard's load is ten times the largest share of three bounds: its unwritten entries, the age of its oldest
one, and Redis memory, which all shards share. From 10 on, heartbeats and severities of 3 and more still pass;
at the hard memory bound nothing does. One shard's load sheds nothing of its neighbours.

The same look says for which shards this process takes events now, so that the time in which nobody did is
known for ours (`ingest/stream/outages.py`).
"""

import asyncio
from typing import Any, Final

import numpy as np
import structlog

from ingest.appending.epochs import Epochs
from ingest.stream import calls
from ingest.stream.link import RedisLink, RedisReplyError
from ingest.stream.outages import OUTAGE_S, OUTAGES_WAITING_MAX, SAID_S
from ingest.stream.protocol import (
    HEADER,
    Incarnation,
    incarnation,
    parse_info,
    stream_key,
    wrong_durability,
)
from kernel.errors import OverloadedError, UnavailableError
from kernel.events import VIOLATION_SEVERITY_MIN
from kernel.running.runtime import INGEST_LOAD, STREAM_BACKLOG, UNWRITTEN_AGE
from kernel.settings import Settings

log = structlog.get_logger(__name__)
POLL_S: Final = 1.0
LOAD_MAX: Final = 10
RETRY_AFTER_S: Final = 5
HARD_MEMORY_SHARE: Final = 0.95


def load_of(shares: list[float]) -> int:
    """Return 0 (idle) to 10 (shed) from the shares of their bounds."""
    return min(LOAD_MAX, int(max(shares, default=0.0) * LOAD_MAX))


class Pressure:
    """The stream's load as last seen, and what the promise rests on."""

    def __init__(self, link: RedisLink, epochs: Epochs, settings: Settings) -> None:
        """Remember what to poll; `watch` polls."""
        self._link = link
        self._epochs = epochs
        self._settings = settings
        self.loads = [0] * settings.shards
        self.shares = [""] * settings.shards  # what the load is made of, in words
        self.memory_share = 0.0
        self.wrong: list[str] = ["the stream has not been looked at yet"]

    @property
    def least(self) -> int:
        """The load of what all shards share: what a request meets whose session nobody knows."""
        return load_of([self.memory_share / self._settings.redis_memory_share_max])

    def shedding(self) -> dict[int, str]:
        """Return the shards that shed, and what their load is made of."""
        return {shard: self.shares[shard] for shard, load in enumerate(self.loads) if load >= LOAD_MAX}

    def shed(self, shard: int, severity_max: int, *, heartbeat: bool = False) -> None:
        """
        Refuse what has to wait, of one shard.

        Raises:
            OverloadedError: with Retry-After; nothing was stored.
        """
        if self.memory_share >= HARD_MEMORY_SHARE:
            raise OverloadedError(
                "Too many events wait to be stored; nothing was stored.", retry_after_s=2 * RETRY_AFTER_S
            )
        if self.loads[shard] >= LOAD_MAX and not heartbeat and severity_max < VIOLATION_SEVERITY_MIN:
            raise OverloadedError(
                "Only heartbeats and violations are taken now; nothing was stored.",
                retry_after_s=RETRY_AFTER_S,
            )

    async def watch(self) -> None:
        """Look once a second, for ever."""
        while True:
            try:
                async with asyncio.timeout(self._settings.append_deadline_s):
                    await self._look()
            except (UnavailableError, RedisReplyError, TimeoutError) as error:
                self.wrong = [f"the stream cannot be reached: {error!r}"]
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        await self._link.connected.wait()
        call = self._link.call
        info = parse_info(await call(None, b"INFO"))
        flat: list[bytes] = await call(None, b"CONFIG", b"GET", b"append*", b"maxmemory", b"maxmemory-policy")
        settings = {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}
        self.wrong = wrong_durability(info, settings)
        seconds, micros = await call(None, b"TIME")
        now_us = int(seconds) * 1_000_000 + int(micros)
        bound = self._settings
        self.memory_share = int(info["used_memory"]) / (int(settings["maxmemory"]) or 1 << 62)
        memory = self.memory_share / bound.redis_memory_share_max
        for shard in range(bound.shards):
            backlog: int = await call(None, b"XLEN", stream_key(shard))
            oldest: list[Any] = await call(None, b"XRANGE", stream_key(shard), b"-", b"+", b"COUNT", b"1")
            age_s = _age_s(oldest, now_us)
            STREAM_BACKLOG.labels(shard).set(backlog)
            UNWRITTEN_AGE.labels(shard).set(age_s)
            self.loads[shard] = load_of(
                [memory, backlog / bound.backlog_entries_max, age_s / bound.unwritten_age_s_max]
            )
            self.shares[shard] = (
                f"{backlog} entries unwritten, the oldest for {age_s:.0f} s, "
                f"Redis memory {self.memory_share:.0%} full"
            )
            INGEST_LOAD.labels(shard).set(self.loads[shard])
        if not self.wrong and self.memory_share < HARD_MEMORY_SHARE:
            await self._say_taken(incarnation(info))

    async def _say_taken(self, now: Incarnation) -> None:
        """Say that this process takes events for the shards that are open; all calls go out together."""
        said = [
            calls.take(shard, epoch, outage_s=OUTAGE_S, said_s=SAID_S, waiting_max=OUTAGES_WAITING_MAX)
            for shard, epoch in self._epochs.open_for(now).items()
        ]
        sent = (self._link.call(now, b"FCALL", *call) for call in said)
        for reply in await asyncio.gather(*sent, return_exceptions=True):
            # A Redis that cannot even hear this takes no event either; one without our functions gets them.
            if isinstance(reply, BaseException) and not isinstance(reply, RedisReplyError):
                raise reply
            if reply == [b"stale"]:
                self._epochs.doubt()


def _age_s(oldest: list[Any], now_us: int) -> float:
    """Return the age of the first entry of an XRANGE reply; 0 when it holds none, or an epoch mark."""
    if not oldest or oldest[0][1][0] == b"o":
        return 0.0
    header = np.frombuffer(oldest[0][1][1], dtype=HEADER)[0]
    return max(0.0, (now_us - int(header["at_us"])) / 1e6)
