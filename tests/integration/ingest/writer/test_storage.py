"""Dead letters, floods, append-only tables and back-pressure, on real servers (spec.md I-5, I-7, I-8)."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis, start_redis
from ingest.stream.protocol import stream_key
from kernel.events import Role
from tests.kits.ingest.api import Api, answered, api_of, keystroke
from tests.kits.ingest.station import station
from tests.kits.ingest.stream import append, batch_of
from tests.kits.ingest.waiting import WITHIN_S, until
from tests.kits.ingest.world import Seat

NUL = '{"a": "\\u0000"}'
TINY = '{"a": 1e-20000}'


@pytest.fixture
def own_redis(server_folder: Path) -> Iterator[Redis]:
    """A Redis that the test may spoil."""
    server = start_redis(server_folder / "redis")
    yield server
    server.close()


def letters(api: Api, seat: Seat) -> list[dict[str, Any]]:
    return api.world.rows("SELECT * FROM dead_letters WHERE session_id = %s ORDER BY seq", seat.session_id)


# -- dead letters


async def test_a_row_that_the_table_cannot_hold_is_set_aside_with_its_sequence(api: Api) -> None:
    """I-8, decision 7: what the door let in is acknowledged, in order, and its neighbours are stored."""
    seat = api.world.seat()
    await api.event(seat)
    batch = batch_of("1", NUL, "3", client=7, sequences=[1, 2, 3])
    append(api.at.redis, batch, seat.session_id, org=api.world.org, ranges="1-3")
    rows = await api.stored(seat, 4)

    assert [row["seq"] for row in rows] == [1, 2, 4]
    (letter,) = letters(api, seat)
    assert (letter["seq"], letter["sqlstate"]) == (3, "22P05")
    kept = msgspec.json.decode(letter["event"])
    assert (kept["clientSequence"], kept["eventType"], kept["metadataJson"]) == (2, 102, NUL)
    progress = api.world.rows("SELECT * FROM session_progress WHERE session_id = %s", seat.session_id)
    assert (progress[0]["through_seq"], progress[0]["total_events"]) == (4, 3)


async def test_rows_that_postgresql_refuses_are_found_among_thousands(api: Api) -> None:
    """I-8: by bisection, in the transaction of their neighbours; several sessions in one batch."""
    at = api.at
    seats = [at.world.seat() for _ in range(4)]
    bad = {5, 17, 18, 19, 40}
    for seat in seats:
        await api.event(seat)
    for seat in seats[:3]:
        payloads = [NUL if n in bad else f'{{"n":{n}}}' for n in range(50)]
        reply = append(at.redis, batch_of(*payloads), seat.session_id, org=at.world.org)
        assert reply[0] == b"ok"
    await api.bulk(seats[3], [keystroke()] * 50)

    for seat in seats:
        await api.stored(seat, 51)

    for seat in seats[:3]:
        assert [letter["seq"] for letter in letters(api, seat)] == [n + 2 for n in sorted(bad)]
        assert {letter["sqlstate"] for letter in letters(api, seat)} == {"22P05"}
        assert at.world.sequences(seat.session_id) == list(range(1, 52))
    assert letters(api, seats[3]) == []


async def test_every_kind_of_row_that_cannot_be_stored_becomes_a_letter(api: Api) -> None:
    """I-8: text that is no JSON, numbers beyond numeric, deeper than PostgreSQL's stack."""
    seat = api.world.seat()
    await api.event(seat)
    poison = ["", "{", "nonsense", '"\\ud800"', "1e200000", NUL, TINY, "[" * 200_000 + "]" * 200_000]
    append(api.at.redis, batch_of(*poison), seat.session_id, org=api.world.org)
    await api.stored(seat, 1 + len(poison))

    found = letters(api, seat)

    assert [letter["seq"] for letter in found] == list(range(2, 2 + len(poison)))
    assert {str(letter["sqlstate"])[:2] for letter in found} == {"22", "54"}
    assert all(letter["reason"] for letter in found)


async def test_a_flood_stops_the_shard_and_nothing_is_lost_when_it_is_mended(
    postgres: Postgres, template: dict[str, str], own_redis: Redis
) -> None:
    """I-8: too many refusals in a row are not the rows' fault; readiness says so."""
    with station(postgres, template, own_redis.url, dead_letters_in_a_row_max=3, flood_pause_s=0.02) as at:
        async with api_of(at) as api:
            seat = at.world.seat()
            await api.event(seat)
            await api.stored(seat, 1)
            at.world.run(
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'check_violation'; END $$"
            )
            at.world.run(
                "CREATE TRIGGER broken BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION broken()"
            )
            answer = await api.bulk(seat, [keystroke()] * 20)
            owner = at.writer.owners[seat.session_id % at.settings.shards]
            await until(lambda: "flood" in (owner.wrong or ""), "the shard to stop")
            said = set()
            for _ in range(300):  # through many trials: each of them owns the shard again for a moment
                said.add((owner.wrong or "")[:20])
                await asyncio.sleep(0.002)
            during = at.world.sequences(seat.session_id)
            beside = await api.event(at.world.seat_beside(seat))
            async with asyncio.timeout(WITHIN_S):
                while not (health := await answered(lambda: api.get("/readyz"), 200)).body["degraded"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

            at.writer.stop()
            at.world.run("DROP TRIGGER broken ON events")
            at.writer.start()
            rows = await api.stored(seat, 21)
            again = at.writer.owners[owner.shard]
            await until(lambda: again.wrong is None, "the shard to be fine again")
            stops = at.world.rows("SELECT stopped_why FROM stream_offsets WHERE stopped_why IS NOT NULL")

            assert answer.status == 202
            assert during == [1], "nothing is set aside in a flood"
            assert said == {"stopped by a flood o"}, "a trial is no recovery"
            assert beside.status == 202, "the neighbour is served"
            assert health.body["status"] == "degraded"
            assert f"shard {owner.shard} is stopped" in health.body["degraded"][0]
            assert "23514" in health.body["degraded"][0]
            assert stops == []
            assert [row["seq"] for row in rows] == list(range(1, 22))
            assert letters(api, seat) == []


# -- append-only


async def test_verify_events_are_append_only_for_the_owner_too(api: Api) -> None:
    """proctor-module.txt, testing checklist: "Verify events are append-only" (I-7)."""
    seat = api.world.seat()
    await api.event(seat)
    await api.stored(seat, 1)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        api.world.run("UPDATE events SET severity = 0 WHERE session_id = %s", seat.session_id)


FORBIDDEN_TO_ALL = (
    "UPDATE events SET severity = 0",
    "DELETE FROM events",
    "TRUNCATE events",
    "UPDATE dead_letters SET reason = ''",
    "DELETE FROM dead_letters",
    "DELETE FROM stream_losses",
    "DELETE FROM stream_offsets",
    "DELETE FROM heartbeat_gaps",
    "DROP TABLE events",
    "ALTER TABLE events DISABLE TRIGGER append_only",
)
FORBIDDEN_TO = {
    "veritas_ingest": (
        "SELECT * FROM users",
        "UPDATE proctor_sessions SET status = 1",
        "INSERT INTO proctor_sessions (attempt_id) VALUES (gen_random_uuid())",
        "DELETE FROM dirty_sessions",
        "SELECT open_soft_session(gen_random_uuid())",
    ),
    "veritas_core": (
        "INSERT INTO events (session_id, seq, occurred_at) VALUES (1, 1, now())",
        "UPDATE stream_offsets SET counter = 0",
    ),
    "veritas_pipeline": ("INSERT INTO dead_letters (session_id) VALUES (1)",),
    "veritas_analyst": ("SELECT * FROM events",),
}


def test_no_role_may_rewrite_what_happened(database_as: Callable[[str], str]) -> None:
    """I-7, A-4: least privilege, per process."""
    for role, more in FORBIDDEN_TO.items():
        with psycopg.connect(database_as(role), autocommit=True) as conn:
            for statement in (*FORBIDDEN_TO_ALL, *more):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(statement.encode())


# -- back-pressure


async def test_what_matters_least_is_shed_first_and_taken_again_once_the_backlog_is_gone(
    postgres: Postgres, template: dict[str, str], own_redis: Redis
) -> None:
    """
    I-5: at the bound of the backlog heartbeats and severities of 3 and more still pass, others get
    Retry-After.
    """
    with station(postgres, template, own_redis.url, writing=False, backlog_entries_max=100) as at:
        async with api_of(at) as api:
            seat, service = at.world.seat(), at.world.token(Role.service)
            beside = at.world.seat_beside(seat)
            for _ in range(100):
                assert (await api.event(seat)).status in {202, 503}
            loaded = await answered(lambda: api.event(seat), 503)
            half = await api.get("/readyz")
            neighbour = await api.event(beside)
            heartbeat = await api.heartbeat(seat)
            grave = await api.event(seat, severity=3)
            batch = await api.bulk(seat, [keystroke(), keystroke(severity=4)])
            slight = await api.bulk(seat, [keystroke(severity=2)])
            monitor = await api.post(
                "/monitor/events", {"attempt_id": str(seat.attempt_id), "event_type": "keystroke"}, service
            )
            before = at.redis.xlen(stream_key(seat.session_id % at.settings.shards))

            at.writer.start()
            again = await answered(lambda: api.event(seat), 202)

            assert [answer.body["code"] for answer in (loaded, slight, monitor)] == ["overloaded"] * 3
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in (loaded, slight, monitor))
            assert (heartbeat.status, grave.status, batch.status) == (202, 202, 202)
            assert loaded.headers["X-Ingest-Load"] == heartbeat.headers["X-Ingest-Load"] == "10"
            assert half.body["load"] == 10
            assert (half.status, half.body["status"]) == (200, "degraded")
            (said,) = half.body["degraded"]
            assert said.startswith(f"shard {seat.session_id % at.settings.shards} sheds")
            assert (neighbour.status, neighbour.headers["X-Ingest-Load"]) == (202, "0"), "another shard's"
            assert before >= 100
            last = again.ack["sequenceThrough"]
            assert [row["seq"] for row in await api.stored(seat, last)] == list(range(1, last + 1))


async def test_the_age_of_what_is_unwritten_counts_too(
    postgres: Postgres, template: dict[str, str], own_redis: Redis
) -> None:
    """I-5: one old entry is enough."""
    with station(postgres, template, own_redis.url, writing=False, unwritten_age_s_max=1) as at:
        async with api_of(at) as api:
            seat = at.world.seat()
            await api.event(seat)
            append(at.redis, batch_of("1"), seat.session_id, org=at.world.org)
            at.redis.xtrim(stream_key(seat.session_id % at.settings.shards), minid="1-1", approximate=False)

            refused = await answered(lambda: api.event(seat), 503)

            assert int(refused.headers["Retry-After"]) >= 1


async def test_a_full_redis_refuses_and_recovers_by_itself(
    postgres: Postgres, template: dict[str, str], own_redis: Redis
) -> None:
    """
    I-5, decision 7: 503 with Retry-After, every acknowledged event is stored, and trimming works without
    memory.
    """
    with station(postgres, template, own_redis.url, writing=False, session_burst_events=100_000) as at:
        async with api_of(at) as api:
            seat = at.world.seat()
            used = int(at.redis.info("memory")["used_memory"])
            at.redis.config_set("maxmemory", used + (2 << 20))
            payload = '"' + "x" * 8000 + '"'
            taken = 0
            while (
                answer := await api.bulk(seat, [keystroke(severity=5, metadataJson=payload)] * 20)
            ).status == 202:
                taken += 20
                assert taken < 5000, "the bound must be felt"
            assert answer.body["code"] == "overloaded"
            assert int(answer.headers["Retry-After"]) >= 1
            at.redis.config_set("maxmemory", used)  # as full as it can be
            refused = await api.heartbeat(seat)
            assert (refused.status, refused.body["code"]) == (503, "overloaded")

            at.writer.start()
            rows = await api.stored(seat, taken)
            at.redis.config_set("maxmemory", used + (2 << 20))
            again = await answered(lambda: api.heartbeat(seat), 202)

            assert [row["seq"] for row in rows] == list(range(1, taken + 1))
            assert again.ack["sequenceFrom"] == taken + 1
            assert at.world.losses() == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("appendfsync", "everysec", "appendfsync always"),
        ("maxmemory", "0", "maxmemory"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
async def test_readiness_says_what_contradicts_the_promise(
    postgres: Postgres, template: dict[str, str], own_redis: Redis, name: str, value: str, said: str
) -> None:
    """design.md: assert what the promise rests on, and refuse to be ready otherwise."""
    with station(postgres, template, own_redis.url, sweeps=False) as at:
        async with api_of(at) as api:
            assert (await api.get("/readyz")).status == 200
            at.redis.config_set(name, value)

            health = await answered(lambda: api.get("/readyz"), 503)

            assert said in str(health.body["wrong"])
            assert (await api.get("/livez")).status == 200
            assert "synced" in health.body["durability"]


async def test_metrics_count_what_was_accepted_and_what_was_refused(api: Api) -> None:
    """X-1."""
    seat = api.world.seat()
    await api.bulk(seat, [keystroke()] * 3)
    await api.event(seat, eventType=999)

    text = (await api.get("/metrics")).body.decode()

    assert "veritas_ingest_events_accepted_total" in text
    assert 'route="/api/proctor/event",status="422"' in text
