"""What a page is told when proctoring begins: where its events go, and how it posts the last of them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.tokens import Audience
from tests.conftest import emptied, logins_on, new_database
from tests.kits.core import Api, Core, core_api, running_core


@pytest.fixture(scope="module")
def core(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Core]:
    with (
        new_database(postgres) as url,
        running_core(url, logins_on(url, template, emptied(redis_server)), ingest_url=":8081") as running,
    ):
        yield running


async def started(api: Api, **headers: str) -> Any:
    body = {"attemptId": await api.start_attempt()}
    answer = await api.post("/api/proctor/session", "student", json=body, headers=headers)
    assert answer.status in {200, 201}, answer.body
    return answer.body


async def test_events_go_to_the_port_of_the_host_that_the_page_was_reached_by_u3(core: Core) -> None:
    async with core.school() as api:
        for host, told in (
            ("127.0.0.1:8080", "http://127.0.0.1:8081"),
            ("localhost:8080", "http://localhost:8081"),
            ("exams.school.example", "http://exams.school.example:8081"),
            ("[::1]:8080", "http://[::1]:8081"),
        ):
            assert (await started(api, Host=host))["ingestUrl"] == told


async def test_events_go_where_the_deployment_says_or_to_this_very_address(
    database: str, database_as: Any
) -> None:
    told = "https://events.school.example"
    async with core_api(database, database_as, ingest_url=told) as api:
        assert (await started(api))["ingestUrl"] == told


async def test_the_beacon_s_token_is_for_the_session_alone_and_is_kept_nowhere(core: Core) -> None:
    async with core.school() as api:
        first, again = await started(api), await started(api, **{"Idempotency-Key": "one"})
        assert first["ingestUrl"] == "http://127.0.0.1:8081".replace("127.0.0.1", core.url.split(":")[1][2:])
        claims = api.keyring.verify(first["beaconToken"], audience=Audience.beacon, now=datetime.now(UTC))
        assert (claims.session, claims.email) == (first["data"]["proctorSessionId"], "")
        assert claims.exp - claims.iat <= 1800
        assert again["data"] == first["data"]
        assert await started(api, **{"Idempotency-Key": "one"})

        headers = {"Authorization": f"Bearer {first['beaconToken']}"}
        assert (await api.get("/api/me", headers=headers)).status == 401
        kept = "SELECT count(*) FROM idempotency_keys WHERE convert_from(reply, 'UTF8') LIKE '%beaconToken%'"
        assert await api.owner.fetchval(kept) == 0
