"""
What a page posts while it is left: a batch as text/plain, without a header, by a token that is good for that
alone (spec.md U-3).
"""

import asyncio
import gzip
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import redis

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.events import Role
from kernel.revocation import CHANNEL, KEY
from kernel.tokens import Audience, Keyring, beacon_claims
from tests.kits.ingest.api import Answer, Api, answered, api_of, assert_problem, body_for, keystroke
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.world import JWT_KEYS, Seat

BULK = "/api/proctor/events/bulk"
PLAIN = {"Content_Type": "text/plain;charset=UTF-8"}
KEYRING = Keyring.parse(JWT_KEYS)


async def token_of(api: Api, seat: Seat) -> str:
    """Return the token that a heartbeat gives."""
    beat = await api.heartbeat(seat)
    token: str = beat.body["beaconToken"]
    return token


async def beacon(api: Api, token: str, session_id: int, count: int = 1, **more: Any) -> Answer:
    """Post as `navigator.sendBeacon` does."""
    headers = more.pop("headers", {})
    events = [keystroke(**more) for _ in range(count)]
    body = {"beaconToken": token, "proctorSessionId": session_id, "events": events}
    return await api.post(BULK, body, **PLAIN | headers)


async def test_a_page_that_is_left_posts_by_the_token_of_its_last_heartbeat(api: Api) -> None:
    seat = api.world.seat()
    token = await token_of(api, seat)

    answer = await beacon(api, token, seat.session_id, 3)

    assert (answer.status, answer.body["data"]) == (202, 3)
    assert [row["event_type"] for row in await api.stored(seat, 4)] == [1, 102, 102, 102]
    assert await token_of(api, seat) == token  # while half of its life is left


async def test_the_token_is_good_for_its_session_s_batches_alone(api: Api) -> None:
    seat, other = api.world.seat(), api.world.seat()
    token = await token_of(api, seat)

    assert_problem(await beacon(api, token, other.session_id), 401, "not_authenticated")
    # as a bearer, anywhere; in the body, at any other address
    for path in ("/api/proctor/event", BULK, "/api/proctor/heartbeat", "/api/monitor/events"):
        assert_problem(await api.post(path, body_for(path, seat), token), 401, "not_authenticated")
        if path != BULK:
            body = body_for(path, seat) | {"beaconToken": token}
            assert_problem(await api.post(path, body, **PLAIN), 401, "not_authenticated")


async def test_no_other_token_posts_from_a_body(api: Api) -> None:
    seat = api.world.seat()
    launch = api.world.token(Role.student, user=seat.user_id, audience=Audience.launch)
    claims = KEYRING.verify(seat.token, audience=Audience.access, now=datetime.now(UTC))
    old = beacon_claims(claims, seat.session_id, now=datetime.now(UTC), life_s=-1)
    unbound = msgspec.structs.replace(old, session=None, exp=claims.exp)
    forged = Keyring({"test": b"a key of 32 bytes that nobody else knows"}).sign(unbound)
    for token in (seat.token, launch, KEYRING.sign(old), KEYRING.sign(unbound), forged, "x", "", " "):
        assert_problem(await beacon(api, token, seat.session_id), 401, "not_authenticated")
    for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000, b'{"beaconToken":7}', b'{"events":[]}'):
        assert_problem(await api.post(BULK, body, **PLAIN), 401, "not_authenticated")


async def test_the_token_ends_with_the_sign_in_that_it_comes_from(api: Api) -> None:
    claims = KEYRING.verify(api.world.seat().token, audience=Audience.access, now=datetime.now(UTC))
    now = datetime.now(UTC)

    long, short = (beacon_claims(claims, 7, now=now, life_s=life_s) for life_s in (9999, 60))

    assert (long.exp, short.exp) == (claims.exp, int(now.timestamp()) + 60)
    assert (long.email, long.login, long.session) == ("", claims.jti, 7)
    launched = beacon_claims(msgspec.structs.replace(claims, login="l", exam_id="e"), 7, now=now, life_s=60)
    assert (launched.login, launched.exam_id) == ("l", "e")


async def test_the_token_is_taken_back_with_its_sign_in(api: Api) -> None:
    seat = api.world.seat()
    token = await token_of(api, seat)
    claims = KEYRING.verify(seat.token, audience=Audience.access, now=datetime.now(UTC))
    assert (await beacon(api, token, seat.session_id)).status == 202

    until = int(time.time()) + 3600
    told = f"{claims.user_id} {claims.jti}"
    with redis.Redis.from_url(api.at.settings.redis_url) as client:
        client.zadd(KEY, {told: until})
        client.publish(CHANNEL, f"{until} {told}")

    refused = await answered(lambda: beacon(api, token, seat.session_id), 401)
    assert_problem(refused, 401, "not_authenticated")


async def test_a_body_that_is_read_before_anybody_is_known_is_small_and_plain(api: Api) -> None:
    seat = api.world.seat()
    token = await token_of(api, seat)
    body = msgspec.json.encode(
        {"beaconToken": token, "proctorSessionId": seat.session_id, "events": [{"eventType": 102}]}
    )

    assert (await api.post(BULK, body.ljust(64 << 10), **PLAIN)).status == 202
    assert_problem(await api.post(BULK, body.ljust((64 << 10) + 1), **PLAIN), 413, "too_large")
    packed = await api.post(BULK, gzip.compress(body), Content_Encoding="gzip", **PLAIN)
    assert_problem(packed, 401, "not_authenticated")
    other = await api.post(BULK, body, Content_Type="application/x-www-form-urlencoded")
    assert_problem(other, 401, "not_authenticated")
    assert (await api.post(BULK, body)).status == 202  # application/json is read alike
    assert (await api.post(BULK, body, seat.token)).status == 202  # who sends a header is known by that


async def test_beacons_count_for_the_candidate(api: Api) -> None:
    """Each counts as `sender_request_bytes_min` at least, of what the candidate may send at once."""
    seat, other = api.world.seat(), api.world.seat()
    token = await token_of(api, seat)
    most = api.at.settings.sender_burst_bytes // (64 << 10)

    async def large() -> int:
        return (await beacon(api, token, seat.session_id, 3, metadataJson=f'"{"x" * 16000}"')).status

    for _ in range(2 * most):
        statuses = await asyncio.gather(*(large() for _ in range(8)))
        if 429 in statuses:
            break
    else:
        pytest.fail("nothing bounds what a candidate sends by beacons")
    assert (await beacon(api, await token_of(api, other), other.session_id)).status == 202


async def test_a_page_that_may_not_call_posts_no_beacon(api: Api) -> None:
    seat = api.world.seat()
    token = await token_of(api, seat)
    headers = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}

    assert_problem(await beacon(api, token, seat.session_id, headers=headers), 403, "origin_not_allowed")
    assert len(await api.stored(seat, 1)) == 1


async def test_a_service_has_no_page_to_leave(api: Api) -> None:
    seat = api.world.seat()
    answer = await api.post("/api/proctor/heartbeat", {"proctorSessionId": seat.session_id},
                            api.world.token(Role.service))  # fmt: skip
    assert answer.status == 202
    assert "beaconToken" not in answer.body


STRANGERS = 5


@pytest.fixture
def strict(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    """A tier behind a proxy, with room for few batches of nobody known."""
    bounds: dict[str, Any] = {
        "unknown_beacons_burst": STRANGERS,
        "unknown_beacons_per_s": 1e-6,
        "trusted_proxies": "127.0.0.0/8,::1/128",
    }
    with station(postgres, template, redis_server.url, sweeps=False, **bounds) as at:
        yield at


async def test_what_is_read_before_anybody_is_known_is_bounded_by_address(strict: Station) -> None:
    async with api_of(strict) as api:
        seat = api.world.seat()
        token = await token_of(api, seat)

        async def post(given: str, address: str) -> Answer:
            return await beacon(api, given, seat.session_id, headers={"X_Forwarded_For": address})

        known = [await post(token, "192.0.2.7") for _ in range(2 * STRANGERS)]
        unknown = [await post("x", "192.0.2.7") for _ in range(STRANGERS + 1)]
        network = [await post("x", f"2001:db8::{n}") for n in range(STRANGERS + 1)]

        assert {each.status for each in known} == {202}, "however many turn out to be known"
        assert [each.status for each in unknown[:STRANGERS]] == [401] * STRANGERS
        assert [each.status for each in network] == [401] * STRANGERS + [429], "a /64 is somebody's"
        assert_problem(unknown[-1], 429, "rate_limited")
        assert int(unknown[-1].headers["Retry-After"]) > 0
        assert (await post(token, "192.0.2.7")).status == 429, "read before anybody knows whose it is"
        assert (await post(token, "192.0.2.8")).status == 202
        headed = {"proctorSessionId": seat.session_id, "events": [keystroke()]}
        there = {"X_Forwarded_For": "192.0.2.7"}
        assert (await api.post(BULK, headed, seat.token, **there)).status == 202
