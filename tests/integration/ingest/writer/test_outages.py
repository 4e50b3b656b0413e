"""Time in which nothing was taken is ours and nobody's silence (decision 85, spec.md P-3)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.stream.outages import OUTAGES_WAITING_MAX, carry
from ingest.stream.protocol import function, shard_key
from tests.conftest import logins_on
from tests.kits.ingest.api import Api, stamp
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.waiting import until, wait_until
from tests.kits.ingest.world import Seat

AGO_S = 300  # how long everything has been when a test says that time has passed
SWEEPS_S = 1.0  # several


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, backfill_grace_s=0.5) as at:
        yield at


@pytest.fixture(autouse=True)
def _no_outage_before(running: Station) -> None:
    """Begin with shards that are taken for, which the sweep has seen, and without an outage."""
    seen = "SELECT count(*) FROM ingest_taken WHERE taken_at > now() - interval '5 s'"
    shards = running.settings.shards
    wait_until(lambda: running.world.one(seen) >= shards, "every shard to be taken for")
    running.world.run("DELETE FROM ingest_outages")


def shard_of(api: Api, seat: Seat) -> int:
    return seat.session_id % api.at.settings.shards


def outages(api: Api) -> list[dict[str, Any]]:
    return api.world.rows("SELECT * FROM ingest_outages ORDER BY shard, ended_at")


def gaps(api: Api, seat: Seat) -> list[dict[str, Any]]:
    found = "SELECT * FROM heartbeat_gaps WHERE session_id = %s ORDER BY started_at, revision"
    return api.world.rows(found, seat.session_id)


def blame(api: Api, seat: Seat) -> tuple[int, int, int, int]:
    """Return everything that is held against a candidate: gaps, events of ours, intervals, violations."""
    counts = api.world.rows(
        "SELECT s.heartbeat_missed_count, coalesce(p.total_violations, 0) AS total_violations"
        " FROM proctor_sessions s LEFT JOIN session_progress p ON p.session_id = s.id WHERE s.id = %s",
        seat.session_id,
    )[0]
    ours = [row for row in api.world.stored(seat.session_id) if row["event_type"] != 1]
    return len(gaps(api, seat)), len(ours), counts["heartbeat_missed_count"], counts["total_violations"]


async def beating(api: Api) -> Seat:
    seat = api.world.seat()
    assert (await api.heartbeat(seat, clientTimestamp=stamp())).status == 202
    await api.stored(seat, 1)
    return seat


def let_pass(api: Api, seat: Seat, seconds: float) -> None:
    """Let the session's last heartbeat be so long ago, as time would have it."""
    api.world.run(
        "UPDATE session_progress SET last_heartbeat_at = last_heartbeat_at - %s * interval '1 second'"
        " WHERE session_id = %s",
        *(seconds, seat.session_id),
    )


async def test_the_servers_clock_that_steps_forward_is_an_outage_and_no_silence(api: Api) -> None:
    """What was said last is as old as the step; nobody could have beaten in time that never was."""
    seat = await beating(api)
    key = shard_key(shard_of(api, seat))
    api.at.writer.stop()  # what it remembers lies as far back
    api.world.run(f"UPDATE ingest_taken SET taken_at = taken_at - interval '{AGO_S} s'")
    api.at.redis.hincrby(key, "taken", -AGO_S * 1_000_000)
    let_pass(api, seat, AGO_S)
    api.at.writer.start()
    await until(lambda: len(outages(api)) == 1, "the outage")
    await asyncio.sleep(SWEEPS_S)
    unheard = blame(api, seat)
    await api.heartbeat(seat, clientTimestamp=stamp())
    await api.stored(seat, 2)
    marks = "SELECT count(*) FROM gap_marks WHERE session_id = %s"
    await until(lambda: api.world.one(marks, seat.session_id) == 0, "the return to be judged")
    (outage,) = outages(api)

    assert unheard == blame(api, seat) == (0, 0, 0, 0)
    assert outage["shard"] == shard_of(api, seat)
    assert AGO_S <= (outage["ended_at"] - outage["started_at"]).total_seconds() < AGO_S + 10


async def test_a_redis_that_forgot_everything_accuses_nobody(api: Api) -> None:
    """The last moment that was seen stands in PostgreSQL: the outage begins there."""
    seat = await beating(api)
    api.at.writer.stop()
    api.world.run(f"UPDATE ingest_taken SET taken_at = taken_at - interval '{AGO_S} s'")
    let_pass(api, seat, AGO_S)
    api.at.redis.flushall()
    api.at.writer.start()
    shards = api.at.settings.shards
    await until(lambda: len(outages(api)) == shards, "an outage of each shard")
    await asyncio.sleep(SWEEPS_S)

    assert blame(api, seat) == (0, 0, 0, 0)
    for outage in outages(api):
        assert AGO_S <= (outage["ended_at"] - outage["started_at"]).total_seconds() < AGO_S + 20


async def test_who_is_away_after_an_outage_has_a_gap_without_it(api: Api) -> None:
    """200 s, of which 90 were ours: seven intervals of thirteen are not missed, and cover nothing."""
    now = datetime.now(UTC)
    for shard in range(api.at.settings.shards):
        api.world.run(
            "INSERT INTO ingest_outages (shard, started_at, ended_at) VALUES (%s, %s, %s)",
            *(shard, now - timedelta(seconds=190), now - timedelta(seconds=100)),
        )
    seat = api.world.seat(started_s_ago=200)
    (lost,) = await api.stored(seat, 1)
    (ended_at,) = {outage["ended_at"] for outage in outages(api)}
    await api.heartbeat(seat, clientTimestamp=stamp())
    kept = [{"eventType": 102, "clientTimestamp": stamp(s=-s), "buffered": True} for s in range(185, 105, -5)]
    await api.bulk(seat, kept)
    await until(lambda: len(gaps(api, seat)) == 2, "the judgement")
    gap = gaps(api, seat)[1]

    assert (lost["event_type"], lost["effective_at"]) == (9, ended_at + timedelta(seconds=45))
    assert (gap["class"], gap["missed"], str(gap["covered"])) == ("unexplained", 6, "{}")
    assert abs(gap["outage_s"] - 90) < 0.001
    assert blame(api, seat)[2] == 6


async def test_an_outage_is_learned_of_by_one_and_told_once(
    api: Api, template: dict[str, str], redis_server: Redis
) -> None:
    """By whoever says first that it takes; carried again after a crash, it is there already."""
    client, owner = api.at.redis, api.world.address
    shard, epoch, long_ago = 99, 7, 1_000_000
    key = shard_key(shard)

    def take(told: int = epoch, most: int = OUTAGES_WAITING_MAX) -> str:
        reply = client.fcall(function("take").decode(), 1, key, told, 10_000_000, 900_000, most)
        return bytes(reply[0]).decode()

    client.hset(key, mapping={"epoch": epoch, "taken": long_ago})
    said = [take(epoch + 1), take(most=0), take(), take()]
    waiting = client.hget(key, "outages")
    with psycopg.connect(
        logins_on(owner, template, redis_server.url)("veritas_ingest"), autocommit=True
    ) as conn:
        until_then = carry(conn, client, [shard])
        left = client.hget(key, "outages")
        client.hset(key, "outages", waiting)
        carry(conn, client, [shard])
        told = [row for row in outages(api) if row["shard"] == shard]
    client.delete(key)

    assert said == ["stale", "full", "outage", "ok"]
    assert left == b""
    assert [row["ended_at"] for row in told] == [until_then[shard]]
    assert told[0]["started_at"].timestamp() == 1.0
