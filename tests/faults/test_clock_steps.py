"""Clocks that step under load while processes die (spec.md I-6, decision 11)."""

import asyncio
import logging
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.faults.harness import kill_at_random, losses, rig, under_load, verdict

STEPS_S = (-3600, -20, 20, 3600)
SETTLE_S = 7.0  # two heartbeats, far enough apart to confirm a clock
KILLS = 2
TOLERANCE_S = 3.0
log = logging.getLogger(__name__)


class SteppingClock:
    """A client's clock that somebody sets."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def read(url: str, query: str) -> list[dict[str, Any]]:
    conn = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await conn.fetch(query)]
    finally:
        await conn.close()


@pytest.mark.faults
@pytest.mark.slow("heartbeats on both sides of a step, and kills between")
async def test_clocks_that_step_disconnect_nobody_and_misdate_nothing_whatever_is_killed(
    server_folder: Path,
) -> None:
    """Clocks set by 20 s and an hour, both ways, servers killed between: no gap, each step once."""
    dice = random.Random(7)
    clocks = [SteppingClock() for _ in STEPS_S]
    with rig(server_folder) as path:
        async with under_load(path, len(clocks), dice, clocks=clocks) as load:
            await asyncio.sleep(SETTLE_S)
            for clock, seconds in zip(clocks, STEPS_S, strict=True):
                clock.ahead = timedelta(seconds=seconds)
            await kill_at_random(path, KILLS, dice, tell=log.warning)
            await asyncio.sleep(2 * SETTLE_S)
            settled = await load.settle()
            report = await verdict(path, load)
            named = await losses(path)
            logs = path.logs()
        gaps = await read(path.database_url, "SELECT * FROM heartbeat_gaps")
        misdated = await read(path.database_url, "SELECT * FROM events WHERE effective_at IS NOT NULL")
        steps = await read(path.database_url, "SELECT * FROM clock_steps ORDER BY session_id")
        heard = await read(
            path.database_url,
            "SELECT p.last_heartbeat_at, max(e.occurred_at) AS newest FROM session_progress p"
            " JOIN events e ON e.session_id = p.session_id AND e.event_type = 1 GROUP BY p.session_id, 1",
        )

    assert report.ok, report.text() + logs
    assert settled, logs
    assert named == []
    assert gaps == []
    assert misdated == []
    assert [row["last_heartbeat_at"] for row in heard] == [row["newest"] for row in heard]
    moved = sorted((row["old_offset_us"] - row["new_offset_us"]) / 1e6 for row in steps)
    assert len(moved) == len(STEPS_S), steps
    assert all(abs(a - b) < TOLERANCE_S for a, b in zip(moved, STEPS_S, strict=True)), moved
