"""
Where a session meets its bounds: ended, too fast, too many holes; and thousands at once (spec.md I-2, I-4,
P-2, D-3).
"""

import asyncio
from typing import Any, cast

import asyncpg
import pytest

from ingest.appending.sessions import READ_AT_ONCE_MAX, Sessions
from ingest.stream.protocol import session_key, shard_of
from kernel.events import Role
from kernel.meter import Meter
from sql import named
from tests.kits.ingest.api import ROUTES, Api, answered, assert_problem, body_for, keystroke
from tests.kits.ingest.waiting import until


@pytest.mark.parametrize("status", [2, 3])
async def test_an_ended_session_takes_no_live_events(api: Api, status: int) -> None:
    """I-4 409, P-2: completed and cancelled."""
    seat = api.world.seat()
    await api.event(seat)
    api.world.end(seat.session_id, status=status)

    answer = await answered(lambda: api.event(seat), 409)

    assert_problem(answer, 409, "session_not_active")
    for path in ROUTES:
        refused = await api.post(
            path, body_for(path, seat, **({"data": 1} if "monitor" in path else {})), seat.token
        )
        assert_problem(refused, 409, "session_not_active")


async def test_a_session_that_sends_too_fast_is_told_when_to_go_on(api: Api) -> None:
    """I-4 429: a burst of 500, then 50 a second; Retry-After is enough, and others are not touched."""
    seat, other = api.world.seat(), api.world.seat()
    assert (await api.bulk(seat, [keystroke()] * 500)).status == 202

    answer = await api.bulk(seat, [keystroke()] * 100)

    assert_problem(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert (await api.event(other)).status == 202
    await asyncio.sleep(int(answer.headers["Retry-After"]))
    assert (await api.bulk(seat, [keystroke()] * 100)).status == 202
    assert len(await api.stored(seat, 600)) == 600


async def test_a_clock_of_redis_that_is_set_back_makes_nobody_wait(api: Api) -> None:
    """I-4: what was let in before the step says nothing of how fast somebody sends now."""
    seat = api.world.seat()
    assert (await api.event(seat)).status == 202
    shard = shard_of(seat.session_id, api.at.settings.shards)
    key, ahead_us = session_key(shard, seat.session_id), 3600 * 1_000_000
    for field in ("tac", "last", "tc"):  # as they stand once the clock is an hour behind them
        api.at.redis.hset(key, field, int(api.at.redis.hget(key, field) or b"") + ahead_us)

    burst = await api.bulk(seat, [keystroke()] * 500)
    more = await api.bulk(seat, [keystroke()] * 100)

    assert burst.status == 202
    assert_problem(more, 429, "rate_limited")
    assert 1 <= int(more.headers["Retry-After"]) <= 2


async def test_too_many_holes_are_refused_until_some_are_filled(api: Api) -> None:
    """I-2, I-4 409: at most 64 ranges of clientSequence."""
    seat = api.world.seat()
    odd = list(range(1, 128, 2))
    assert len(odd) == 64
    assert (await api.tab(seat, odd)).status == 202

    refused = await api.tab(seat, [129])
    filled = await api.tab(seat, [2])
    taken = await api.tab(seat, [129])

    assert_problem(refused, 409, "too_many_holes")
    assert (filled.status, taken.status) == (202, 202)
    assert taken.ack["missing"] == [[n, n] for n in range(4, 129, 2)]


async def test_thousands_of_sessions_are_served_at_once(api: Api) -> None:
    """D-3: every one read through from PostgreSQL, each event once."""
    world = api.world
    sessions = world.sessions(2000)
    token = world.token(Role.service)  # a candidate has a share of requests

    async def one(session: int) -> int:
        body = {"proctorSessionId": session, "eventType": 102}
        return (await api.post("/api/proctor/event", body, token)).status

    gate = asyncio.Semaphore(200)

    async def gated(session: int) -> int:
        async with gate:
            return await one(session)

    statuses = await asyncio.gather(*(gated(session) for session in sessions))

    assert set(statuses) == {202}

    def done() -> bool:
        found = "SELECT count(*) FROM session_progress WHERE session_id = ANY(%s) AND through_seq = 1"
        return bool(world.one(found, sessions) == len(sessions))

    await until(done, "every session's event to be stored")


async def test_a_crowd_waits_for_one_statement(api: Api) -> None:
    """However many ask while no connection is free; one that there is not holds up nobody."""
    statements: list[str] = []

    async def listen(conn: "asyncpg.Connection[Any]") -> None:
        conn.add_query_logger(lambda ran: statements.append(ran.query))

    seats = [api.world.seat().session_id for _ in range(3)]
    crowd = [*seats, *range(2**31 - READ_AT_ONCE_MAX, 2**31)]
    async with asyncpg.create_pool(api.at.settings.database_url, min_size=1, max_size=1, init=listen) as pool:
        unknown = Meter(1, 1000, refusal="too many")
        sessions = Sessions(pool, cast("Any", None), cast("Any", None), 2, unknown)
        async with pool.acquire():
            waiting = [asyncio.create_task(sessions.read(each)) for each in crowd]
            await asyncio.sleep(0)
        rows = await asyncio.gather(*waiting)
        later = await sessions.read(seats[0])

    assert [row and row["id"] for row in rows] == [*seats, *[None] * READ_AT_ONCE_MAX]
    assert later is not None
    assert statements.count(named("ingest")["read_sessions"]) == 3
