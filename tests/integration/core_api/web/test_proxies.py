"""X-Forwarded-For counts from our own proxies alone (spec.md A-3; proctor-module.txt, 1)."""

import asyncio
from typing import Any

import pytest

from core_api.app import build
from kernel.settings import load
from tests.kits.core import JWT_KEYS, PASSWORD, Api, DatabaseAs, core_api

ELSEWHERE = "198.51.100.7"


async def sign_in(api: Api, forwarded: str, password: str = "wrong", who: str = "student") -> int:  # noqa: S107
    body = {"email": api.people[who].email, "password": password}
    headers = {"X-Forwarded-For": forwarded}
    return (await api.post("/api/auth/login", json=body, headers=headers)).status


async def seen(api: Api) -> dict[str, Any]:
    """
    Return the addresses that the throttle, the proctor session and the account have kept.

    The throttle's are the table's: the school's view of it shows the addresses that its own client asks from.
    """
    forwarded = f"203.0.113.1, {ELSEWHERE}"
    assert await sign_in(api, forwarded, PASSWORD, "other_student") == 200
    attempt_id = await api.start_attempt()
    body = {"attemptId": attempt_id, "mode": 1}
    headers = {"X-Forwarded-For": forwarded}
    await api.post("/api/proctor/session", "student", json=body, headers=headers)
    return {
        "throttle": {
            str(row[0]) for row in await api.owner.fetch("SELECT host(network) FROM public.login_networks")
        },
        "session": await api.owner.fetchval("SELECT host(ip_address) FROM proctor_sessions"),
        "account": await api.owner.fetchval(
            "SELECT host(last_login_ip) FROM users WHERE id = $1", api.people["other_student"].id
        ),
    }


async def test_behind_a_trusted_proxy_each_client_is_counted_apart_and_written_down_a3(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(
        database, database_as, trusted_proxies="127.0.0.0/8, ::1/128", login_attempts_max=2
    ) as api:
        found = [await sign_in(api, f"203.0.113.{n}, {ELSEWHERE}") for n in range(4)]
        other = await sign_in(api, "198.51.100.8")
        malformed = await sign_in(api, "not an address")

        # Whatever a client puts in front of the list changes nothing.
        assert (found, other, malformed) == ([401, 401, 429, 429], 401, 401)
        kept = await seen(api)
        assert kept["throttle"] == {ELSEWHERE, "198.51.100.8", "127.0.0.1"}
        assert kept["session"] == ELSEWHERE
        assert kept["account"] == ELSEWHERE


async def test_without_one_the_header_is_not_believed_a3(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as, login_attempts_max=2) as api:
        found = [await sign_in(api, f"198.51.100.{n}") for n in range(4)]

        assert found == [401, 401, 429, 429]
        kept = await seen(api)
        assert kept["throttle"] == {"127.0.0.1"}
        assert kept["session"] == "127.0.0.1"
        assert kept["account"] == "127.0.0.1"


def test_malformed_networks_stop_the_process_before_it_serves() -> None:
    settings = load({}, jwt_keys=JWT_KEYS, trusted_proxies="10.0.0.0/99")
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/99"):
        asyncio.run(build(settings))
