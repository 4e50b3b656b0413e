"""What there is not costs one look, however much of it a request names, and is counted (spec.md I-4)."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from ingest.appending.sessions import Sessions
from kernel.events import Role
from kernel.meter import Meter
from sql import named
from tests.kits.ingest.api import Api, assert_problem
from tests.kits.ingest.station import Station, station

PATH = "/api/monitor/events"
BURST = 600


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    bounds: dict[str, Any] = {"unknown_attempts_burst": BURST, "unknown_attempts_per_s": 0.1}
    with station(postgres, template, redis_server.url, **bounds) as at:
        yield at


def posted(*attempts: object) -> list[dict[str, Any]]:
    return [{"attempt_id": str(attempt), "event_type": "keystroke"} for attempt in attempts]


async def test_unknown_attempts_are_refused_each_and_known_ones_beside_them_stored(api: Api) -> None:
    seat, service = api.world.seat(), api.world.token(Role.service)

    answer = await api.post(PATH, posted(uuid4(), seat.attempt_id, uuid4(), "0" * 32), service)

    assert answer.status == 202
    assert [result.get("code") for result in answer.body["results"]] == [
        "not_found", None, "not_found", "not_found",
    ]  # fmt: skip
    assert answer.body["recorded"] == 1


async def test_one_statement_looks_for_all_of_a_request(api: Api) -> None:
    """However many are named, and none for those that are known."""
    statements: list[str] = []

    async def listen(conn: "asyncpg.Connection[Any]") -> None:
        conn.add_query_logger(lambda ran: statements.append(ran.query))

    seat = api.world.seat()
    async with asyncpg.create_pool(api.at.settings.database_url, min_size=1, max_size=1, init=listen) as pool:
        unknown = Meter(1, 1000, refusal="too many")
        sessions = Sessions(pool, cast("Any", None), cast("Any", None), 2, unknown)
        org = str(api.world.org)
        many = [seat.attempt_id, *(uuid4() for _ in range(499))]
        found = await sessions.of_attempts(many, org, "", account=org, may_open=True)
        again = await sessions.of_attempts([seat.attempt_id], org, "", account=org, may_open=True)

    assert found == again == {seat.attempt_id: seat.session_id}
    assert statements.count(named("ingest")["find_sessions_of_attempts"]) == 1
    assert len([each for each in statements if "attempt" in each]) == 1


async def test_whoever_asks_for_more_than_a_share_is_refused_and_others_are_not(api: Api) -> None:
    one, other, seat = api.world.seat(), api.world.seat(), api.world.seat()

    answers = [await api.post(PATH, posted(*(uuid4() for _ in range(400))), one.token) for _ in range(3)]
    beside = await api.post(PATH, posted(uuid4()), other.token)
    known = await api.post(PATH, posted(seat.attempt_id), seat.token)

    assert [answer.status for answer in answers] == [404, 404, 429]
    assert_problem(answers[-1], 429, "rate_limited")
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (beside.status, known.status) == (404, 202)


@pytest.mark.parametrize("kind", ["unknown", "somebody else's"])
async def test_who_asks_for_session_after_session_that_is_not_theirs_is_refused(api: Api, kind: str) -> None:
    """Each costs a read of PostgreSQL, and what is read is kept in Redis."""
    one, other = api.world.seat(), api.world.seat()
    own = [api.world.seat().session_id for _ in range(20)]
    assert (await api.event(one)).status == 202
    numbers = range(10**6, 10**6 + BURST + 20) if kind == "unknown" else own * (BURST // 20 + 1)

    async def ask(session: int) -> int:
        return (await api.post("/api/proctor/heartbeat", {"proctorSessionId": session}, one.token)).status

    statuses = Counter(await asyncio.gather(*(ask(number) for number in numbers)))

    assert set(statuses) == {404, 429}
    assert BURST <= statuses[404] <= BURST + 5
    assert (await ask(2**31 - 1)) == 429
    assert (await api.event(one)).status == 202, "what is theirs is taken all the same"
    assert (await api.event(other)).status == 202
