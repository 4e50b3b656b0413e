"""What retries cost, and what is kept for them: both are bounded, whoever asks (spec.md I-2, I-4)."""

from typing import Any

import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.stream.protocol import client_key, shard_of
from sql import named
from sql.running import Connection, connect, one, run
from tests.kits.ingest.api import api_of, assert_problem, keystroke
from tests.kits.ingest.station import station

TAB = "tab-1"


async def test_what_waits_in_the_stream_while_postgres_is_behind_is_compared_there(
    postgres: Postgres, template: dict[str, str], redis_server: Redis
) -> None:
    """I-2: nothing is stored yet, and a retry in other batches is answered all the same."""
    with station(postgres, template, redis_server.url, writing=False) as at:
        async with api_of(at) as api:
            seat = api.world.seat()
            await api.tab(seat, [1, 2, 3])

            alone = await api.event(seat, clientInstance=TAB, **keystroke(3))
            other = await api.event(seat, clientInstance=TAB, **keystroke(3, severity=4))

    assert (alone.status, alone.ack["sequenceFrom"], alone.ack["duplicate"]) == (202, 3, True)
    assert_problem(other, 409, "client_sequence_reused")


async def test_a_flood_of_retries_is_refused_and_a_whole_buffer_sent_again_is_not(
    postgres: Postgres, template: dict[str, str], redis_server: Redis
) -> None:
    """I-4: what is received again costs a tenth, and a request one event at least."""
    slow: dict[str, Any] = {"session_events_per_s": 1, "session_burst_events": 50}
    with station(postgres, template, redis_server.url, **slow) as at:
        async with api_of(at) as api:
            honest, flood, keyed = (api.world.seat() for _ in range(3))
            for seat in (honest, flood):
                await api.tab(seat, list(range(1, 41)))
            buffer = await api.tab(honest, list(range(1, 41)))
            retries = [await api.event(flood, clientInstance=TAB, **keystroke(1)) for _ in range(20)]
            key = {"headers": {"Idempotency_Key": "one"}}
            named = [await api.event(keyed, **key) for _ in range(60)]

    assert (buffer.status, buffer.ack["duplicates"]) == (202, 40)
    for answers in (retries, named):
        assert answers[0].status == 202
        assert_problem(answers[-1], 429, "rate_limited")
        assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_names_are_remembered_within_a_bound_the_newest_ones_for_sure(
    postgres: Postgres, template: dict[str, str], redis_server: Redis
) -> None:
    """I-2, I-4: as many as the setting says, never more than twice that; the bytes are bounded with them."""
    most = 20
    with station(postgres, template, redis_server.url, idempotency_keys_max=most) as at:
        async with api_of(at) as api:
            seat = api.world.seat()
            first = [await api.event(seat, headers={"Idempotency_Key": f"{n:0200}"}) for n in range(101)]
            again = [
                await api.event(seat, headers={"Idempotency_Key": f"{n:0200}"})
                for n in range(101 - most, 101)
            ]
            shard = shard_of(seat.session_id, at.settings.shards)
            keys = [f"{{v{shard}}}:k:{seat.session_id}:{half}" for half in (0, 1)]
            held = sum(int(at.redis.hlen(key)) for key in keys)
            used = sum(int(at.redis.memory_usage(key) or 0) for key in keys)
            lives = [int(at.redis.ttl(key)) for key in keys if at.redis.exists(key)]

    assert [a.ack["sequenceFrom"] for a in again] == [a.ack["sequenceFrom"] for a in first[-most:]]
    assert {a.ack["duplicate"] for a in again} == {True}
    assert most <= held <= 2 * most
    assert used < 2 * most * 100
    assert all(0 < life <= at.settings.idempotency_window_s for life in lives)


@pytest.mark.parametrize("letters", [False, True])
def test_a_retry_costs_the_same_however_long_the_session_is(database: str, *, letters: bool) -> None:
    """I-2, X-1: the blocks looked at do not grow with the session, nor with its dead letters."""
    cost: dict[int, int] = {}
    client = client_key(TAB)
    statement = named("ingest")["locate_events"]
    with connect(database) as conn:
        for session, size in ((1, 1_000), (2, 10_000), (3, 100_000)):
            fill(conn, session, client, size, letters=letters)
        run(conn, "ANALYZE events, dead_letters, received_pieces")
        for session in (1, 2, 3):
            asked = (session, client, [400, 701], [449, 701])
            found = [row[0] for row in run(conn, statement, *asked)]
            assert sorted(found) == [*range(400, 450), 701]
            top = one(conn, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *asked)[0]["Plan"]
            cost[session] = top["Shared Hit Blocks"] + top["Shared Read Blocks"]

    assert cost[3] <= cost[1] + 20, cost


def fill(conn: Connection, session: int, client: int, size: int, *, letters: bool) -> None:
    """Store a session of which every tenth append is another sender's; each piece holds ten events."""
    place = "dead_letters" if letters else "events"
    columns, values = (
        ("shard, epoch, counter, sqlstate, reason, event", "0, 1, 1, '22000', 'why', '{}'::bytea")
        if letters
        else (
            "client, client_seq, event_type, severity, is_violation, is_late",
            f"{client}, n, 102, 0, false, false",
        )
    )
    run(
        conn,
        f"INSERT INTO {place} (session_id, seq, occurred_at, {columns})"
        f" SELECT {session}, n + (n - 1) / 10, timestamptz '2026-01-01' + n * interval '1 second', {values}"
        f" FROM generate_series(1, {size}) AS n",
    )
    run(
        conn,
        "INSERT INTO received_pieces"
        f" SELECT {session}, {client}, n, n + 9, n + (n - 1) / 10, at, at + interval '9 seconds'"
        f" FROM (SELECT n, timestamptz '2026-01-01' + n * interval '1 second' AS at"
        f" FROM generate_series(1, {size}, 10) AS n) t",
    )
