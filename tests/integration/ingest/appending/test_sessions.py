"""Ends, late events, silences and clocks of a proctor session (spec.md P-2, P-3, I-6, decision 11)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.stream.protocol import client_key, session_key
from kernel.events import EventType, Role
from tests.kits.ingest.api import Api, answered, keystroke, stamp
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.stream import held
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, backfill_grace_s=0.5) as at:
        yield at


async def final_of(api: Api, seat: Seat) -> int:
    """Wait for the end entry to be stored, and return the final sequence."""

    def final() -> Any:
        return api.world.one("SELECT final_seq FROM proctor_sessions WHERE id = %s", seat.session_id)

    await until(lambda: final() is not None, "the final sequence")
    found: int = final()
    return found


# -- ends and late events


async def test_an_end_fixes_the_final_sequence_in_order_with_events_in_flight(api: Api) -> None:
    """P-2: whatever was acknowledged as live stands at or below the final sequence, all else was refused."""
    seat = api.world.seat()
    live: list[int] = []

    async def post() -> None:
        while (answer := await api.event(seat)).status == 202:
            live.append(answer.ack["sequenceFrom"])
        assert (answer.status, answer.body["code"]) == (409, "session_not_active")

    posting = [asyncio.create_task(post()) for _ in range(6)]
    await until(lambda: len(live) > 30, "events in flight")
    api.world.end(seat.session_id)
    await asyncio.gather(*posting)
    final = await final_of(api, seat)

    assert sorted(live) == list(range(1, final + 1))
    assert [row["seq"] for row in await api.stored(seat, final)] == sorted(live)
    assert not any(row["is_late"] for row in api.world.stored(seat.session_id))


async def test_a_session_without_events_ends_at_zero(api: Api) -> None:
    """P-2."""
    seat = api.world.seat()

    api.world.end(seat.session_id)

    assert await final_of(api, seat) == 0
    assert (await api.event(seat)).status == 409


async def test_events_buffered_before_the_end_are_taken_late_and_marked(api: Api) -> None:
    """P-2: for thirty minutes; the final sequence stays what it was."""
    seat = api.world.seat(started_s_ago=120)
    await api.event(seat)
    api.world.end(seat.session_id)
    assert await final_of(api, seat) == 1

    late = await api.tab(seat, [1, 2])
    buffered = await api.bulk(
        seat,
        [keystroke(1, clientTimestamp=stamp(s=-30)), keystroke(2, clientTimestamp=stamp(s=-20))],
        clientInstance="tab",
    )
    after = await api.event(seat, clientTimestamp=stamp(s=30))
    mixed = await api.bulk(seat, [keystroke(clientTimestamp=stamp(s=-30)), keystroke()])

    assert (late.status, after.status, mixed.status) == (409, 409, 409)
    assert (buffered.status, buffered.ack["late"]) == (202, True)
    assert (buffered.ack["sequenceFrom"], buffered.ack["sequenceThrough"]) == (2, 3)
    assert [row["is_late"] for row in await api.stored(seat, 3)] == [False, True, True]
    assert await final_of(api, seat) == 1


async def test_nothing_is_taken_after_the_late_window(api: Api) -> None:
    """P-2: thirty-one minutes after the end."""
    seat = api.world.seat(started_s_ago=3600)
    api.world.end(seat.session_id, at=datetime.now(UTC) - timedelta(minutes=31))
    await final_of(api, seat)

    answer = await api.event(seat, clientTimestamp=stamp(s=-2000))

    assert (answer.status, answer.body["code"]) == (409, "session_not_active")


async def test_a_cancelled_session_takes_nothing_late(api: Api) -> None:
    """P-2."""
    seat = api.world.seat(started_s_ago=60)
    api.world.end(seat.session_id, status=3)
    await final_of(api, seat)

    assert (await api.event(seat, clientTimestamp=stamp(s=-30))).status == 409


async def test_an_ended_session_never_comes_back_to_life(api: Api) -> None:
    """design.md: read-through sets only what is absent, and the end is what it finds."""
    seat = api.world.seat()
    await api.event(seat)
    await api.stored(seat, 1)
    api.world.end(seat.session_id)
    await final_of(api, seat)

    api.at.redis.delete(session_key(seat.session_id % api.at.settings.shards, seat.session_id))

    assert (await api.event(seat)).status == 409
    assert (await api.event(seat, clientTimestamp=stamp(s=-1))).ack["late"] is True


async def test_a_session_that_redis_does_not_know_is_read_through(api: Api) -> None:
    """design.md: sequences, violations, times and offset go on where PostgreSQL has them."""
    seat = api.world.seat()
    await api.heartbeat(seat, clientTimestamp=stamp(s=-100))
    await api.bulk(seat, [keystroke(severity=3)] * 7)
    await api.stored(seat, 8)
    api.at.redis.delete(session_key(seat.session_id % api.at.settings.shards, seat.session_id))

    beat = await api.heartbeat(seat)

    assert beat.ack["sequenceFrom"] == 9
    assert beat.body["data"]["hasWarning"] is True
    assert beat.ack["storedThrough"] == 8
    hash_ = api.at.redis.hgetall(session_key(seat.session_id % api.at.settings.shards, seat.session_id))
    offset, *unconfirmed = hash_[b"kc"].split()
    assert 99e6 < int(offset) < 103e6
    assert unconfirmed == [b"-"] * 3, "what PostgreSQL has is confirmed"


# -- clocks


def silent_for(api: Api, seat: Seat, seconds: float) -> None:
    """Make the candidate's last sign of life that old, as if they had been offline since."""
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    api.at.redis.hset(key, "tc", now_us - int(seconds * 1e6))


def seconds_before(rows: list[dict[str, Any]], moment: datetime) -> list[float]:
    return [round((moment - row["effective_at"]).total_seconds()) for row in rows]


async def test_ten_offline_minutes_are_laid_out_where_they_happened(api: Api) -> None:
    """I-6: the offset comes from heartbeats; each event stands at its corrected second, not in one burst."""
    seat = api.world.seat(started_s_ago=1000)
    ahead = 3600.0  # the client's clock is an hour fast
    await api.heartbeat(seat, clientTimestamp=stamp(s=ahead))
    silent_for(api, seat, 600)
    now = datetime.now(UTC)

    await api.heartbeat(seat, clientTimestamp=stamp(s=ahead))
    for part in range(3):  # what was buffered comes in several batches, after the first live heartbeat
        offline = [
            keystroke(clientTimestamp=stamp(now, s=ahead - 590 + 60 * n))
            for n in range(3 * part, 3 * part + 3)
        ]
        assert (await api.bulk(seat, offline)).status == 202
    await api.event(seat, clientTimestamp=stamp(s=ahead))
    rows = [row for row in await api.stored(seat, 12) if row["event_type"] == EventType.Keystroke]

    assert seconds_before(rows[:9], now) == [590 - 60 * n for n in range(9)]
    assert all(row["client_at"] > now + timedelta(minutes=49) for row in rows), (
        "the client's word is kept as it is"
    )
    assert rows[9]["effective_at"] is None, "a live event needs no correction"


async def test_a_back_filled_event_stays_inside_the_gap_that_it_fills(api: Api) -> None:
    """I-6: nobody moves an event to before their last sign of life, whatever they declare."""
    seat = api.world.seat()
    await api.heartbeat(seat, clientTimestamp=stamp())
    silent_for(api, seat, 60)
    now = datetime.now(UTC)

    ages = (900, 62, 59, 10)
    await api.bulk(seat, [keystroke(clientTimestamp=stamp(now, s=-s)) for s in ages])
    await api.bulk(seat, [keystroke(clientTimestamp=stamp(now, s=-s), buffered=True) for s in ages])
    rows = [row for row in await api.stored(seat, 9) if row["event_type"] == EventType.Keystroke]
    told, declared = rows[:4], rows[4:]

    assert told[0]["effective_at"] is None, "it could have been sent before the silence"
    assert seconds_before(told[1:], now) == [60, 59, 10]
    assert [0 >= s >= -5 for s in seconds_before(declared[:1], now)] == [True], "clamped to the last contact"
    assert seconds_before(declared[1:], now) == [60, 59, 10]


async def test_a_connected_client_cannot_move_its_events_into_the_past(api: Api) -> None:
    """I-6: without a silence there is no gap to fill; what is declared reaches to the last contact."""
    seat = api.world.seat()
    await api.heartbeat(seat, clientTimestamp=stamp())
    now = datetime.now(UTC)

    await api.bulk(seat, [keystroke(clientTimestamp=stamp(now, s=-3000))])
    await api.bulk(seat, [keystroke(clientTimestamp=stamp(now, s=-3000), buffered=True)])
    (_, live, declared) = await api.stored(seat, 3)

    assert live["effective_at"] is None
    assert declared["effective_at"] == live["occurred_at"]


async def test_any_live_heartbeat_tells_the_clock_on_any_route_and_a_buffered_one_does_not(api: Api) -> None:
    """I-6: alone, in a bulk, by attempt; what the client declares as buffered tells how long it waited."""
    ahead = 120.0

    def told(seat: Seat) -> int | None:
        found: int | None = api.world.one(
            "SELECT clock_offset_us FROM session_progress WHERE session_id = %s", seat.session_id
        )
        return found

    beat = {"eventType": "Heartbeat", "clientTimestamp": stamp(s=ahead)}
    by_attempt = {"event_type": "heartbeat", "client_timestamp": stamp(s=ahead)}
    alone, bulk, single, monitor, buffered = (api.world.seat() for _ in range(5))
    await api.heartbeat(alone, clientTimestamp=stamp(s=ahead))
    await api.bulk(bulk, [keystroke(), beat, keystroke()])
    await api.event(single, **beat)
    await api.post(
        "/api/monitor/events", {"attempt_id": str(monitor.attempt_id), **by_attempt}, monitor.token
    )
    await api.bulk(buffered, [{**beat, "buffered": True}])
    for seat, rows in ((alone, 1), (bulk, 3), (single, 1), (monitor, 1), (buffered, 1)):
        await api.stored(seat, rows)

    for seat in (alone, bulk, single, monitor):
        assert -124e6 < (told(seat) or 0) < -118e6
    assert told(buffered) is None


async def test_a_services_heartbeat_does_not_shift_the_candidates_clock(api: Api) -> None:
    """I-6: a module's clock is another clock."""
    seat = api.world.seat()
    await api.heartbeat(seat, clientTimestamp=stamp(s=-50))
    body = {"attempt_id": str(seat.attempt_id), "event_type": "heartbeat", "client_timestamp": stamp(s=900)}
    assert (await api.post("/api/monitor/events", body, api.world.token(Role.service))).status == 202
    await api.stored(seat, 2)

    offset = api.world.one(
        "SELECT clock_offset_us FROM session_progress WHERE session_id = %s", seat.session_id
    )

    assert 48e6 < offset < 54e6
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    assert 48e6 < int(held(api.at.redis, key, "kc").split()[0]) < 54e6


async def test_late_is_said_for_each_row_of_a_partly_duplicate_batch(api: Api) -> None:
    """P-2, I-2: what came before the end is not late; what follows is, and a retry gets the same answer."""
    seat = api.world.seat(started_s_ago=60)
    before = [keystroke(n, clientTimestamp=stamp(s=-30)) for n in (1, 2)]
    after = [keystroke(n, clientTimestamp=stamp(s=-20)) for n in (3, 4)]
    first = await api.bulk(seat, before, clientInstance="tab")
    api.world.end(seat.session_id)
    await final_of(api, seat)

    mixed = await api.bulk(seat, before + after, clientInstance="tab")
    again = await api.bulk(seat, before + after, clientInstance="tab")
    old = await api.bulk(seat, before, clientInstance="tab")
    late = await api.bulk(seat, after, clientInstance="tab")
    await api.stored(seat, 4)
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    api.at.redis.hdel(key, "r:" + str(client_key("tab")))  # now PostgreSQL has to say it
    looked_up = await api.bulk(seat, before + after, clientInstance="tab")

    assert first.ack["late"] is old.ack["late"] is False
    assert (late.ack["late"], late.ack.get("lateSequences")) == (True, None)
    for answer in (mixed, again, looked_up):
        assert (answer.ack["late"], answer.ack["lateSequences"]) == (True, [3, 4])
        assert (answer.ack["sequenceFrom"], answer.ack["sequenceThrough"]) == (1, 4)
    when = stamp(s=-25)
    keyed = [await api.event(seat, clientTimestamp=when, headers={"Idempotency_Key": "k"}) for _ in range(2)]
    assert [(answer.status, answer.ack["late"]) for answer in keyed] == [(202, True)] * 2


@pytest.mark.parametrize("declared", [False, True])
async def test_a_clock_two_minutes_ahead_loses_nothing_at_the_end(api: Api, *, declared: bool) -> None:
    """P-2: by the offset that a heartbeat in a bulk told, or because the client says that it was buffered."""
    seat, ahead = api.world.seat(started_s_ago=60), 120.0
    if not declared:
        await api.bulk(seat, [{"eventType": "Heartbeat", "clientTimestamp": stamp(s=ahead)}])
    api.world.end(seat.session_id)
    await final_of(api, seat)

    events = [keystroke(clientTimestamp=stamp(s=ahead - 10 - n), buffered=declared) for n in range(3)]
    buffered = await api.bulk(seat, events)
    live = await api.bulk(seat, [keystroke(clientTimestamp=stamp(s=ahead + 5))])

    assert (buffered.status, buffered.ack.get("late")) == (202, True)
    assert live.status == 409


async def test_what_others_record_does_not_end_a_candidates_gap(api: Api) -> None:
    """I-6, decision 11: the sweep's own disconnection and a module's events come in between."""
    seat = api.world.seat(started_s_ago=300)
    service = api.world.token(Role.service)
    await api.stored(seat, 1)  # the sweep has noticed the silence
    body = {"attempt_id": str(seat.attempt_id), "event_type": "FaceNotDetected"}
    assert (await api.post("/api/monitor/events", body, service)).status == 202
    now = datetime.now(UTC)

    await api.heartbeat(seat, clientTimestamp=stamp())
    await api.bulk(seat, [keystroke(clientTimestamp=stamp(now, s=-s)) for s in (290, 100)])
    rows = [row for row in await api.stored(seat, 5) if row["event_type"] == EventType.Keystroke]

    assert seconds_before(rows, now) == [290, 100]


async def test_without_a_heartbeat_there_is_no_effective_time(api: Api) -> None:
    """I-6: an offset that nobody has told is not guessed."""
    seat = api.world.seat()
    await api.event(seat, clientTimestamp=stamp(s=-5000))

    (row,) = await api.stored(seat, 1)

    assert row["effective_at"] is None


@pytest.mark.parametrize("clock", ["1970-01-01T00:00:00Z", "9999-12-30T00:00:00Z"])
async def test_an_absurd_clock_is_kept_and_harms_nothing(api: Api, clock: str) -> None:
    """I-6, I-8: client clocks lie; server time is the truth."""
    seat = api.world.seat()

    beats = [await api.heartbeat(seat, clientTimestamp=clock) for _ in range(2)]
    event = await api.event(seat, clientTimestamp=clock)

    assert [answer.status for answer in (*beats, event)] == [202, 202, 202]
    rows = await api.stored(seat, 3)
    assert [row["client_at"] for row in rows] == [datetime.fromisoformat(clock)] * 3
    assert all(abs((row["occurred_at"] - datetime.now(UTC)).total_seconds()) < 30 for row in rows)


async def test_server_time_never_runs_backwards_in_a_session(api: Api) -> None:
    """design.md: clamped per session."""
    seat = api.world.seat()
    await api.event(seat)
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    ahead = int(api.at.redis.hget(key, "last") or 0) + 5_000_000
    api.at.redis.hset(key, "last", ahead)  # as after a step back of the server's clock

    await api.event(seat)
    await api.event(seat)

    times = [row["occurred_at"] for row in await api.stored(seat, 3)]
    assert times == sorted(times)
    assert times[1] == times[2] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ahead)


async def test_the_writers_end_sweep_does_not_need_the_notification(api: Api) -> None:
    """design.md: a reconciler closes Redis; a notification that was lost costs a second."""
    seat = api.world.seat()
    await api.event(seat)
    api.world.run("ALTER TABLE proctor_sessions DISABLE TRIGGER session_ended")
    try:
        api.world.end(seat.session_id)
        assert await final_of(api, seat) == 1
    finally:
        api.world.run("ALTER TABLE proctor_sessions ENABLE TRIGGER session_ended")
    assert (await answered(lambda: api.event(seat), 409)).status == 409
