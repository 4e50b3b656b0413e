"""Random kill -9 of anything on the event path under load (spec.md decision 7, I-1, I-2)."""

import logging
import random
import secrets
from pathlib import Path

import pytest

from tests.faults.harness import kill_at_random, losses, rig, under_load, verdict

SESSIONS = 12
EVENTS_PER_KILL_MIN = 50
log = logging.getLogger(__name__)


@pytest.mark.faults
@pytest.mark.slow("kills at random under load, each recovered from")
async def test_nothing_acknowledged_is_lost_doubled_or_out_of_order_whatever_is_killed(
    server_folder: Path, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("--kills", default=8)
    seed = request.config.getoption("--seed", default=None) or secrets.randbits(32)
    log.warning("%d kills, --seed %d", kills, seed)
    dice = random.Random(seed)
    with rig(server_folder) as path:
        async with under_load(path, SESSIONS, dice) as load:
            killed = await kill_at_random(path, kills, dice, tell=log.warning)
            settled = await load.settle()
            report = await verdict(path, load)
            named = await losses(path)
            logs = path.logs()

    log.warning("%s\n%s", dict(killed), report.text())
    assert report.ok, report.text() + logs
    assert settled, f"some event was not stored in time\n{logs}"
    assert named == [], "a kill loses nothing, so no loss may be named"
    assert report.acknowledged > kills * EVENTS_PER_KILL_MIN, "the load must have been real"
