"""What anybody may ask for costs no more, however often it is asked for (spec.md X-1, I-4)."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import aiohttp
import pytest

from kernel.http.health import HEALTH_S, add_health
from kernel.http.networks import http_url
from kernel.http.serving import serve
from kernel.http.web import new_app
from kernel.settings import SettingsError, load
from tests.kits.processes import SECOND_HOST

ASKED = 300


class Tier:
    """A small one: counts how often its check is made, and says what it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.checks = 0
        self.wrong: str | None = None

    async def check(self) -> str | None:
        self.checks += 1
        await asyncio.sleep(0.005)
        return self.wrong


@pytest.fixture
async def tier() -> AsyncIterator[Tier]:
    small, settings = Tier(), load({})
    app = new_app(settings)
    add_health(app, [small.check], dict)
    runner = await serve(app, settings, port=0)
    host, port = runner.addresses[0][:2]
    small.url = f"http://{host}:{port}"
    yield small
    await runner.cleanup()


async def ask(tier: Tier, path: str, times: int) -> tuple[list[tuple[int, bytes]], float]:
    """Ask so often at once; return the answers and the seconds that they took."""
    gate, started = asyncio.Semaphore(32), perf_counter()
    async with aiohttp.ClientSession() as http:

        async def one() -> tuple[int, bytes]:
            async with gate, http.get(tier.url + path) as reply:
                return reply.status, await reply.read()

        answers = await asyncio.gather(*(one() for _ in range(times)))
    return answers, perf_counter() - started


async def test_metrics_are_drawn_once_for_many(tier: Tier) -> None:
    answers, seconds = await ask(tier, "/metrics", ASKED)

    assert {status for status, _ in answers} == {200}
    assert len({body for _, body in answers}) <= 2 + seconds / HEALTH_S, "each counts the requests before it"


async def test_readiness_is_looked_at_once_for_many_and_is_fresh(tier: Tier) -> None:
    answers, seconds = await ask(tier, "/readyz", ASKED)
    checks = tier.checks
    tier.wrong = "the disk is full"
    await asyncio.sleep(HEALTH_S)
    ((status, body),), _ = await ask(tier, "/readyz", 1)

    assert {status for status, _ in answers} == {200}
    assert checks <= 2 + seconds / HEALTH_S
    assert status == 503
    assert b"the disk is full" in body


@pytest.mark.parametrize("hosts", [f"127.0.0.1,{SECOND_HOST}", f"{SECOND_HOST}, 127.0.0.1"])
async def test_a_process_listens_on_every_host_on_one_port(hosts: str) -> None:
    settings = load({}, http_host=hosts)
    app = new_app(settings)
    add_health(app, [], dict)
    runner = await serve(app, settings, port=0)
    (port,) = {address[1] for address in runner.addresses}
    async with aiohttp.ClientSession() as http:
        for host in ("127.0.0.1", SECOND_HOST):
            async with http.get(f"{http_url(host, port)}/livez") as reply:
                assert reply.status == 200
    await runner.cleanup()


@pytest.mark.parametrize("hosts", ["", ",", "::1,", "127.0.0.1 ::1", " "])
def test_hosts_that_are_none_stop_the_process(hosts: str) -> None:
    with pytest.raises(SettingsError, match="http_host"):
        load({"VERITAS_HTTP_HOST": hosts})
