"""Redis that stands still, and ingest that is gone, for longer than anybody may be silent (decision 85)."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import pytest
import redis

from ingest.stream.protocol import shard_key
from kernel.events import HEARTBEAT_MISSED_AFTER_S
from tests.faults.harness import SHARDS, Rig
from tests.faults.ingest_kit import CROWDED, TIMEOUT
from tests.kits.ingest.api import stamp
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat, World

pytestmark = pytest.mark.faults
SETTINGS = CROWDED | {"writer_batch_ms": "5", "heartbeat_sweep_s": "0.5", "backfill_grace_s": "0.5"}
BEAT_S = 5.0
AWAY_S = 200
SWEEPS_S = 3.0


async def beat(http: aiohttp.ClientSession, url: str, seat: Seat) -> int | None:
    """Send a heartbeat; None where nobody answers."""
    body = {"proctorSessionId": seat.session_id, "clientTimestamp": stamp()}
    headers = {"Authorization": f"Bearer {seat.token}"}
    try:
        async with http.post(
            url + "/api/proctor/heartbeat", json=body, headers=headers, timeout=TIMEOUT
        ) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return None


async def beat_for_ever(url: str, seats: list[Seat], seen: set[int | None]) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            seen.update(await asyncio.gather(*(beat(http, url, seat) for seat in seats)))
            await asyncio.sleep(BEAT_S)


def gaps(world: World, seats: list[Seat]) -> list[dict[str, Any]]:
    query = (
        "SELECT * FROM heartbeat_gaps WHERE session_id = ANY(%s) ORDER BY session_id, started_at, revision"
    )
    return world.rows(query, [seat.session_id for seat in seats])


def blame(world: World, seats: list[Seat]) -> list[Any]:
    """Return everything that is held against candidates: gaps, events of ours, what was counted."""
    ids = [seat.session_id for seat in seats]
    return [
        *gaps(world, seats),
        *world.rows("SELECT * FROM events WHERE session_id = ANY(%s) AND event_type <> 1", ids),
        *world.rows("SELECT id FROM proctor_sessions WHERE id = ANY(%s) AND heartbeat_missed_count > 0", ids),
        *world.rows(
            "SELECT * FROM session_progress WHERE session_id = ANY(%s) AND total_violations > 0", ids
        ),
    ]


def beats(world: World, seats: list[Seat]) -> int:
    """Return how many heartbeats the seat with the fewest has."""
    counted = [len(world.stored(seat.session_id)) for seat in seats]
    return min(counted)


def outages(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT * FROM ingest_outages ORDER BY shard, ended_at")


def is_taken_for(world: World) -> bool:
    seen = "SELECT count(*) FROM ingest_taken WHERE taken_at > now() - interval '5 s'"
    return bool(world.one(seen) == SHARDS)


@pytest.mark.slow("a silence is a real one, of 45 seconds")
async def test_a_redis_that_stands_still_makes_no_violation(path: Rig, world: World) -> None:
    """Nobody who beats is missed; who was away before, and comes after it, has what was not ours."""
    seats = [world.seat() for _ in range(SHARDS)]
    away = world.seat(started_s_ago=AWAY_S)
    seen: set[int | None] = set()
    beating = asyncio.create_task(beat_for_ever(path.url, seats, seen))
    try:
        await until(lambda: beats(world, seats) >= 1, "a heartbeat of each")
        await until(lambda: is_taken_for(world), "every shard to be taken for")
        await until(lambda: len(gaps(world, [away])) == 1, "the gap of who is away")
        os.kill(path.redis.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(HEARTBEAT_MISSED_AFTER_S + 1)
        finally:
            os.kill(path.redis.pid, signal.SIGCONT)
        await path.wait_ready()
        before = beats(world, seats)
        await until(lambda: beats(world, seats) > before, "everybody to be back")
        await until(lambda: len(outages(world)) == SHARDS, "an outage of each shard")
        async with aiohttp.ClientSession() as http:
            assert await beat(http, path.url, away) == 202
        await until(lambda: len(gaps(world, [away])) == 2, "the judgement")
        await asyncio.sleep(SWEEPS_S)
    finally:
        beating.cancel()
    lasted = [(row["ended_at"] - row["started_at"]).total_seconds() for row in outages(world)]
    gap = gaps(world, [away])[1]
    span_s = (gap["ended_at"] - gap["started_at"]).total_seconds()

    assert 503 in seen
    assert blame(world, seats) == []
    assert [row["shard"] for row in outages(world)] == list(range(SHARDS))
    assert all(HEARTBEAT_MISSED_AFTER_S < each < HEARTBEAT_MISSED_AFTER_S + 15 for each in lasted), lasted
    assert gap["outage_s"] == pytest.approx(lasted[away.session_id % SHARDS])
    assert 0 <= (span_s - gap["outage_s"]) // 15 - gap["missed"] <= 2, "intervals that it touches are ours"


@pytest.mark.slow("sweeps on both sides of an outage")
async def test_ingest_that_is_gone_makes_no_violation(path: Rig, world: World) -> None:
    """Everything is told that a minute and a half has passed while it was down."""
    ago_s = 2 * HEARTBEAT_MISSED_AFTER_S
    world.run("DELETE FROM ingest_outages")
    seats = [world.seat() for _ in range(SHARDS)]
    seen: set[int | None] = set()
    beating = asyncio.create_task(beat_for_ever(path.url, seats, seen))
    try:
        await until(lambda: beats(world, seats) >= 1, "a heartbeat of each")
        await until(lambda: is_taken_for(world), "every shard to be taken for")
        path.ingest.kill()
        await asyncio.sleep(1)
        with redis.Redis.from_url(path.redis.url) as client:
            for shard in range(SHARDS):
                client.hincrby(shard_key(shard), "taken", -ago_s * 1_000_000)
        await asyncio.sleep(SWEEPS_S)  # what was read before has been acted on
        world.run(
            "UPDATE session_progress SET last_heartbeat_at = last_heartbeat_at - %s * interval '1 second'"
            " WHERE session_id = ANY(%s)",
            *(ago_s, [seat.session_id for seat in seats]),
        )
        await asyncio.sleep(SWEEPS_S)
        while_gone = blame(world, seats)
        path.ingest.launch()
        await path.wait_ready()
        before = beats(world, seats)
        await until(lambda: beats(world, seats) > before, "everybody to be back")
        marks = "SELECT count(*) FROM gap_marks"
        await until(lambda: world.one(marks) == 0, "the returns to be judged")
        await asyncio.sleep(SWEEPS_S)
    finally:
        beating.cancel()

    assert None in seen
    assert while_gone == []
    assert blame(world, seats) == []
    assert [row["shard"] for row in outages(world)] == list(range(SHARDS))
    assert all((row["ended_at"] - row["started_at"]).total_seconds() > ago_s for row in outages(world))
