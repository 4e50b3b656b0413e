"""
Accept to score: some sessions' positions of the fold, looked at often; whatever they have passed is scored.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg
from msgspec import Struct

from sql import named

BENCH: Final = named("bench")
LOOK_EVERY_S: Final = 0.05  # more often, and the looking itself is load


class Moved(Struct, frozen=True):
    """A session that was found to be scored up to a sequence, at a moment in seconds since 1970."""

    session_id: int
    through_seq: int
    seen_at: float


class Looker:
    """Looks every 50 ms at how far sessions are scored, until told to stop."""

    def __init__(self, sessions: Sequence[int]) -> None:
        """Remember whose."""
        self._through = dict.fromkeys(sessions, 0)
        self._stopping = asyncio.Event()
        self.moved: list[Moved] = []

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    async def run(self, database_url: str) -> list[float]:
        """Look; at the end return from the acceptance of each event of theirs to its score, in ms."""
        conn = await asyncpg.connect(database_url)
        try:
            is_last = False
            while not is_last:
                is_last = self._stopping.is_set()
                found = await conn.fetch(BENCH["list_scored"], list(self._through))
                now = time.time()
                for session_id, through_seq in found:
                    if through_seq > self._through[session_id]:
                        self._through[session_id] = through_seq
                        self.moved.append(Moved(session_id, through_seq, now))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY_S)
            columns = zip(
                *((each.session_id, each.through_seq, each.seen_at) for each in self.moved), strict=True
            )
            rows = await conn.fetch(BENCH["list_scoring_ms"], *map(list, columns)) if self.moved else []
            return [row["took_ms"] for row in rows]
        finally:
            await conn.close()
