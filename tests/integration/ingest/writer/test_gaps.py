"""Gaps in heartbeats: seen, ended, judged by what fills them, and judged again (spec.md P-3, decision 11)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.stream.protocol import session_key
from kernel.events import HEARTBEAT_INTERVAL_S, EventType, Role
from tests.kits.ingest.api import Api, keystroke, stamp
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.stream import held
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat

SECOND = timedelta(seconds=1)
GAP_S = 200
MISSED = GAP_S // 15


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, backfill_grace_s=0.5) as at:
        yield at


def gaps(api: Api, seat: Seat) -> list[dict[str, Any]]:
    found = "SELECT * FROM heartbeat_gaps WHERE session_id = %s ORDER BY started_at, revision"
    return api.world.rows(found, seat.session_id)


def classes(api: Api, seat: Seat) -> list[str | None]:
    """Return how the session's gaps were judged, one revision after the other; None is an open one."""
    return [gap["class"] for gap in gaps(api, seat)]


async def judged(api: Api, seat: Seat, revision: int) -> dict[str, Any]:
    await until(lambda: len(gaps(api, seat)) > revision, f"revision {revision} of the gap")
    return gaps(api, seat)[revision]


async def away(api: Api) -> Seat:
    """Return a seat whose client was never heard of, and whose gap is open."""
    seat = api.world.seat(started_s_ago=GAP_S)
    await judged(api, seat, 0)
    return seat


def buffered(every_s: int, *, since_s: int = GAP_S - 5, **members: Any) -> list[dict[str, Any]]:
    """Return what a client kept of its gap: an event every so many seconds."""
    return [keystroke(clientTimestamp=stamp(s=-s), **members) for s in range(since_s, 10, -every_s)]


def missed(api: Api, seat: Seat) -> int:
    query = "SELECT heartbeat_missed_count FROM proctor_sessions WHERE id = %s"
    return int(api.world.one(query, seat.session_id))


async def test_detect_missed_heartbeats_as_one_disconnection_and_one_reconnection(api: Api) -> None:
    """
    proctor-module.txt, testing checklist: "Detect missed heartbeats".

    At 45 s after the last sign of life; once; counted in whole intervals when it ends.
    """
    seat = await away(api)
    started = api.world.one("SELECT started_at FROM proctor_sessions WHERE id = %s", seat.session_id)
    (lost,) = await api.stored(seat, 1)
    await asyncio.sleep(0.6)  # three sweeps: a second event would be there
    assert len(api.world.stored(seat.session_id)) == 1
    await api.heartbeat(seat)
    gap = await judged(api, seat, 1)
    rows = await api.stored(seat, 3)

    assert (lost["event_type"], lost["severity"]) == (EventType.NetworkDisconnected, 3)
    assert lost["effective_at"] == started + 45 * SECOND
    assert lost["is_violation"] is True
    assert [row["event_type"] for row in rows] == [9, 1, 10]
    assert rows[2]["effective_at"] == rows[1]["occurred_at"] == gap["ended_at"]
    assert (gap["class"], gap["missed"], missed(api, seat)) == ("unexplained", MISSED, MISSED)


async def test_a_month_of_silence_is_one_gap_and_what_fills_it_is_placed(api: Api) -> None:
    """Of work that is taken home: 167,040 intervals of fifteen seconds, and nobody walks through them."""
    month_s = 29 * 86_400
    seat = api.world.seat(started_s_ago=month_s)
    await judged(api, seat, 0)
    await api.heartbeat(seat, clientTimestamp=stamp())
    await api.bulk(seat, [keystroke(clientTimestamp=stamp(s=-day * 86_400)) for day in range(20, 0, -1)])
    gap = await judged(api, seat, 1)
    intervals = month_s // HEARTBEAT_INTERVAL_S

    assert intervals <= gap["missed"] < intervals + 60  # as long as a crowded machine took
    assert gap["class"] == "unexplained"
    assert sum(each.upper - each.lower for each in gap["covered"]) == 20
    assert missed(api, seat) == gap["missed"]


@pytest.mark.parametrize(
    ("every_s", "declared", "expected"),
    [(10, False, "network"), (10, True, "network"), (40, False, "unexplained"), (40, True, "unexplained")],
)
async def test_a_gap_is_judged_by_the_share_of_its_intervals_that_is_covered(
    api: Api, every_s: int, expected: str, *, declared: bool
) -> None:
    """By half of them; what is declared and what lies in the silence count alike."""
    seat = await away(api)

    await api.heartbeat(seat, clientTimestamp=stamp())
    await api.bulk(seat, buffered(every_s, buffered=declared))
    gap = await judged(api, seat, 1)

    covered = sum(interval.upper - interval.lower for interval in gap["covered"])
    assert gap["class"] == expected
    assert (covered >= MISSED - 1) if expected == "network" else (covered <= MISSED // 2)


async def test_a_module_that_watches_neither_ends_nor_fills_a_candidates_gap(api: Api) -> None:
    """Whatever it sends, its heartbeats too: it is not the candidate's client."""
    seat, service = await away(api), api.world.token(Role.service)
    told = {"clientTimestamp": stamp(), "buffered": True}
    kept: dict[str, Any] = {"proctorSessionId": seat.session_id, "events": buffered(10, buffered=True)}
    by_attempt = {"attempt_id": str(seat.attempt_id), "event_type": "Heartbeat"}
    for path, body in (
        ("/api/proctor/heartbeat", {"proctorSessionId": seat.session_id, "clientTimestamp": stamp()}),
        ("/api/proctor/heartbeat", {"proctorSessionId": seat.session_id, **told}),
        ("/api/monitor/events", by_attempt),
        ("/api/proctor/events/bulk", kept),
    ):
        assert (await api.post(path, body, service)).status == 202
    await api.stored(seat, 4 + len(kept["events"]))
    while_away = classes(api, seat)
    await api.heartbeat(seat, clientTimestamp=stamp())
    await judged(api, seat, 1)

    assert while_away == [None]
    assert classes(api, seat) == [None, "unexplained"]


async def test_one_event_does_not_explain_a_minute(api: Api) -> None:
    seat = api.world.seat(started_s_ago=62)
    await judged(api, seat, 0)
    await api.bulk(
        seat, [{"eventType": 1, "clientTimestamp": stamp()}, keystroke(clientTimestamp=stamp(s=-30))]
    )
    gap = await judged(api, seat, 1)

    assert (gap["class"], gap["missed"], str(gap["covered"])) == ("unexplained", 4, "{[2, 3)}")


async def test_what_comes_later_is_judged_again_as_a_new_row_and_marks_the_session(api: Api) -> None:
    """The first judgements stay; the intervals missed are counted once; what is computed is stale."""
    seat = await away(api)
    await api.heartbeat(seat, clientTimestamp=stamp())
    await judged(api, seat, 1)
    await api.stored(seat, 3)  # the disconnection, the heartbeat, the reconnection
    api.world.run("DELETE FROM dirty_sessions WHERE session_id = %s", seat.session_id)

    await api.bulk(seat, buffered(10)[:4])
    await judged(api, seat, 2)
    await api.bulk(seat, buffered(10)[4:])
    last = await judged(api, seat, 3)

    assert classes(api, seat) == [None, "unexplained", "unexplained", "network"]
    assert [gap["state"] for gap in gaps(api, seat)] == ["open", "closed", "closed", "closed"]
    assert missed(api, seat) == last["missed"] == MISSED
    dirty = "SELECT count(*) FROM dirty_sessions WHERE session_id = %s"
    assert api.world.one(dirty, seat.session_id) == 4, "two batches, two judgements"
    marks = "SELECT count(*) FROM gap_marks WHERE session_id = %s"
    await until(lambda: api.world.one(marks, seat.session_id) == 0, "nothing left to look at")


async def test_what_comes_after_the_session_has_ended_is_judged_again_too(api: Api) -> None:
    """Up to the late window; the gap ended with the session."""
    seat = await away(api)
    await api.heartbeat(seat, clientTimestamp=stamp())
    await judged(api, seat, 1)
    api.world.run(
        "UPDATE session_progress SET last_heartbeat_at = now() - interval '100 s' WHERE session_id = %s",
        seat.session_id,
    )
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    api.at.redis.hset(key, "tc", int((datetime.now(UTC).timestamp() - 100) * 1e6))
    api.world.end(seat.session_id)

    def last() -> list[str | None]:
        found = gaps(api, seat)
        return [gap["class"] for gap in found if gap["started_at"] == found[-1]["started_at"]]

    await until(lambda: len(gaps(api, seat)) == 4, "the end of the gap that the session ends")
    late = [keystroke(clientTimestamp=stamp(s=-s), buffered=True) for s in range(98, 5, -10)]
    answer = await api.bulk(seat, late)
    await until(lambda: last()[2:] == ["network"], f"the late judgement: {answer.body}")

    assert answer.ack["late"] is True


async def test_back_fill_that_comes_before_the_heartbeat_waits_for_it(api: Api) -> None:
    """The gap has not ended yet: nothing is lost of what fills it, and nothing is read again meanwhile."""
    seat = await away(api)
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    api.at.redis.hset(key, "kc", "0 - - -")

    await api.bulk(seat, buffered(10))
    parked = "SELECT due_at = 'infinity' FROM gap_marks WHERE session_id = %s"
    await until(lambda: api.world.rows(parked, seat.session_id) == [{"?column?": True}], "the fill to wait")
    await api.heartbeat(seat, clientTimestamp=stamp())
    gap = await judged(api, seat, 1)

    assert gap["class"] == "network"


async def test_a_gap_that_nobody_saw_while_it_lasted_is_recorded_when_it_ends(api: Api) -> None:
    """A writer that lags sees a silence no sooner than its end."""
    seat = api.world.seat()
    await api.heartbeat(seat)
    await api.stored(seat, 1)
    api.world.run(
        "UPDATE session_progress SET last_heartbeat_at = now() + interval '1 day' WHERE session_id = %s",
        seat.session_id,
    )
    since = datetime.now(UTC) - 80 * SECOND
    api.world.run(
        "INSERT INTO gap_marks (session_id, kind, started_at, ended_at, due_at)"
        " VALUES (%s, 'returned', %s, now(), now())",
        *(seat.session_id, since),
    )
    await judged(api, seat, 1)

    assert classes(api, seat) == [None, "unexplained"]
    assert [row["event_type"] for row in await api.stored(seat, 3)] == [1, 9, 10]


@pytest.mark.parametrize("clock_s", [-3600, -20, 20, 3600])
async def test_a_clock_that_steps_disconnects_nobody_and_is_recorded(api: Api, clock_s: int) -> None:
    """
    I-6: heartbeats count by server time; the events stand where they arrived; the step is a row.

    Redis is told that the last contact and the first heartbeat lie a while back, as time would have it.
    """
    seat = api.world.seat()
    key = session_key(seat.session_id % api.at.settings.shards, seat.session_id)
    for step in (0, clock_s, clock_s):
        await api.heartbeat(seat, clientTimestamp=stamp(s=step))
        await api.event(seat, clientTimestamp=stamp(s=step))
        await api.stored(seat, 2)
        packed = held(api.at.redis, key, "kc").split()
        if packed[2] != b"-":  # let the time pass that a second sample must be apart
            packed[2] = b"%d" % (int(packed[2]) - 15_000_000)
            api.at.redis.hset(key, "kc", b" ".join(packed))
    rows = await api.stored(seat, 6)
    progress = api.world.rows("SELECT * FROM session_progress WHERE session_id = %s", seat.session_id)[0]

    assert all(row["effective_at"] is None for row in rows)
    assert progress["last_heartbeat_at"] == rows[4]["occurred_at"]
    assert gaps(api, seat) == []
    assert abs(progress["clock_offset_us"] + clock_s * 1e6) < 4e6


async def test_a_session_that_beats_has_no_gap(api: Api) -> None:
    seat = api.world.seat(started_s_ago=30)
    await api.heartbeat(seat)
    await asyncio.sleep(0.5)

    assert gaps(api, seat) == []


# -- the session of an attempt


async def test_a_session_that_waits_for_its_client_has_a_gap_like_any_other(api: Api) -> None:
    """Decision 8: opened with its attempt; nobody came; the gap ends with the session."""
    seat = await away(api)
    api.world.end(seat.session_id)
    gap = await judged(api, seat, 1)

    assert (gap["class"], gap["missed"]) == ("unexplained", MISSED)
    assert [row["event_type"] for row in api.world.stored(seat.session_id)] == [EventType.NetworkDisconnected]


@pytest.mark.parametrize("ends", [False, True])
async def test_what_the_core_api_has_noted_is_an_event_of_ours_once(api: Api, *, ends: bool) -> None:
    """Decision 8: of severity 3, at its moment, before the end that follows; no client says the same."""
    seat = api.world.seat(started_s_ago=10)
    api.world.run(
        "INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at)"
        " VALUES (%s, 'session_end_requested', 1, 3, now() - interval '2 s')",
        seat.session_id,
    )
    if ends:
        api.world.end(seat.session_id)
    (row,) = await api.stored(seat, 1)
    await asyncio.sleep(1.2)  # another sweep
    forged = await api.event(seat, eventType="session_end_requested", clientTimestamp=stamp(s=-60))

    assert (row["event_type"], row["event_name"], row["severity"]) == (0, "session_end_requested", 3)
    assert row["is_violation"] is True
    assert len(api.world.stored(seat.session_id)) == 1
    assert forged.status == 422
