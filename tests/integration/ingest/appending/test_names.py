"""Names that we make live where clients cannot choose (spec.md decision 11, I-2)."""

import struct
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from ingest.stream.protocol import (
    client_names,
    digest,
    own_names,
    session_key,
    shard_key,
    stream_key,
)
from tests.kits.ingest.api import ROUTES, Api, body_for
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat


def hostile_names(api: Api, seat: Seat) -> list[str]:
    """Return what a client would send that wants to be where our own silence event is remembered."""
    since: datetime = api.world.one("SELECT started_at FROM proctor_sessions WHERE id = %s", seat.session_id)
    name = f"NetworkDisconnected:{since.timestamp():.6f}"
    return [name, f"../o:{seat.session_id}:{name}", f"o:{seat.session_id}:{name}", f"x\\no:{name}", "o:1:x"]


def alarms() -> float:
    found = REGISTRY.get_sample_value("veritas_system_appends_reused_total")
    assert found is not None, "the metric is there"
    return found


@given(st.integers(0, 300), st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_what_clients_choose_is_remembered_where_nothing_of_ours_is(
    shard: int, session: int, other: int
) -> None:
    """What a client sends is in no key's name at all: its digest is a field of the session's own hashes."""
    theirs = {*client_names(shard, session), *client_names(shard, other)}
    services = {
        *client_names(shard, session, of_service=True),
        *client_names(shard, other, of_service=True),
    }

    assert theirs.isdisjoint(services)
    theirs |= services
    assert theirs.isdisjoint([*own_names(shard, session), *own_names(shard, other)])
    assert theirs.isdisjoint({session_key(shard, session), stream_key(shard), shard_key(shard)})


async def test_no_route_lets_a_client_reach_the_names_of_our_own_events(api: Api) -> None:
    """Every route, every form of the key: our event is stored all the same, and nobody was alarmed."""
    before = alarms()
    seat = api.world.seat(started_s_ago=43)  # the silence is noticed in two seconds: the client is first
    for path in ROUTES:
        for name in hostile_names(api, seat):
            answer = await api.post(path, body_for(path, seat), seat.token, Idempotency_Key=name)
            assert answer.status in {202, 409}, answer.body
    api.world.run(
        "UPDATE session_progress SET last_heartbeat_at = NULL WHERE session_id = %s", seat.session_id
    )

    def noticed() -> bool:
        return any(row["event_type"] == 9 for row in api.world.stored(seat.session_id))

    await until(noticed, "the silence")
    assert alarms() == before


async def test_a_system_append_that_finds_its_name_taken_is_an_alarm_and_is_tried_again(api: Api) -> None:
    before = alarms()
    seat = api.world.seat(started_s_ago=44.0)
    since = api.world.one("SELECT started_at FROM proctor_sessions WHERE id = %s", seat.session_id)
    shard = seat.session_id % api.at.settings.shards
    place = own_names(shard, seat.session_id)[0]
    name = digest(f"NetworkDisconnected:{since.timestamp():.6f}".encode(), 16)
    now_us = float(since.timestamp() * 1e6)
    api.at.redis.hset(place, name, struct.pack("<16sdII", b"another", now_us, 1, 1))
    await api.event(seat)

    await until(lambda: alarms() > before, "the alarm")
    api.at.redis.hdel(place, name)
    rows = await api.stored(seat, 2)

    assert [row["event_type"] for row in rows] == [102, 9]
