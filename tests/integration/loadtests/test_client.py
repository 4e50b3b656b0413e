"""The good client against the real event path (spec.md decision 7, I-2, I-4)."""

import asyncio
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from kernel.events import EventType
from loadtests.check.figures import figures
from loadtests.check.history import Report, check, rows_of
from loadtests.client.client import Client, Pace
from loadtests.client.log import Log
from tests.faults.harness import Rig, losses, rig, seats, under_load, verdict

PACE = Pace(linger_s=0.02, heartbeat_s=0.5, backoff_s=0.05, deadline_s=5.0)


@pytest.fixture(scope="module")
def path(module_folder: Path) -> Iterator[Rig]:
    with rig(module_folder) as running:
        yield running


async def drained(path: Rig, client: Client, log: Log, within_s: float) -> Report:
    """Let the client send what it has and close it; its log is held against the rows."""
    assert await client.drain(within_s)
    await client.close()
    report = check(log, await rows_of(path.database_url, [client.seat.session_id]))
    assert report.ok, report.text()
    return report


@pytest.mark.slow("clients at their own pace")
async def test_lost_replies_and_disconnects_leave_every_event_stored_once_and_in_order(path: Rig) -> None:
    dice = random.Random(3)
    [seat] = seats(path, 1)
    await path.wait_ready()
    log = Log()
    async with aiohttp.ClientSession() as http:
        client = Client(http, seat, log, pace=PACE)
        client.start()
        for number in range(120):
            client.record(EventType.Keystroke, number % 5, {"n": number})
            await asyncio.sleep(dice.uniform(0, 0.02))
            if number % 20 == 10:
                client.lose_next_reply()
            if number % 30 == 29:
                await client.go_offline()
                client.record(EventType.TabSwitched, 2)
                client.go_online()
        report = await drained(path, client, log, 20.0)

    assert report.stored == report.created >= 120
    assert figures(log).duplicates > 0


@pytest.mark.slow("who is told to wait waits")
async def test_a_client_over_its_rate_is_told_to_wait_and_gets_everything_in(path: Rig) -> None:
    [seat] = seats(path, 1)
    await path.wait_ready()
    log = Log()
    async with aiohttp.ClientSession() as http:
        client = Client(http, seat, log, pace=Pace(heartbeat_s=0, batch_events=250))
        for _ in range(700):
            client.record(EventType.MouseActivity)
        client.start()
        await drained(path, client, log, 30.0)

    assert figures(log).waits["rate_limited"] >= 1


async def test_a_refused_event_is_given_up_and_holds_nothing_back(path: Rig) -> None:
    [seat] = seats(path, 1)
    await path.wait_ready()
    log = Log()
    async with aiohttp.ClientSession() as http:
        client = Client(http, seat, log, pace=PACE)
        client.record(EventType.Keystroke, metadata={"text": "x" * 20_000})
        client.start()
        await client.progress()
        client.record(EventType.Keystroke)
        report = await drained(path, client, log, 20.0)

    assert (report.created - report.stored, figures(log).given_up) == (1, 1)


@pytest.mark.slow("clients at their own pace")
async def test_clients_refill_what_an_emptied_redis_has_lost(path: Rig) -> None:
    """Nothing of it is stored yet and the append-only file is gone: only the clients' copies are left."""
    async with under_load(path, 4, random.Random(4)) as load:
        await asyncio.sleep(1.0)
        path.writer.pause()
        await asyncio.sleep(1.5)
        path.redis.kill()
        shutil.rmtree(path.redis.home / "data" / "appendonlydir")
        path.redis.start()
        path.writer.wake()
        await path.wait_ready()
        await asyncio.sleep(0.5)
        settled = await load.settle()
        report = await verdict(path, load)
        named = await losses(path)

    assert report.ok, report.text() + path.logs()
    assert settled
    assert report.reoffered > 20
    assert {loss["kind"] for loss in named} == {"emptied"}
