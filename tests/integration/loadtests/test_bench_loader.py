"""The benchmark's loader against a small server: it counts everything, repeats what it must, costs little."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from loadtests.bench.sending.loads import Errands, Events, LoadError, Outcome, Plan, run_load
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape, Target

CPU_US_MAX = 90.0  # 13 to 20 on an idle machine; a busy one makes every cycle dearer
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    """Serve the handler for every POST; yield the port."""
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Received:
    """Answers 202 and remembers what came."""

    def __init__(self) -> None:
        self.numbers: dict[int, list[int]] = defaultdict(list)
        self.tokens: set[str] = set()

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.numbers[body["proctorSessionId"]].append(body["clientSequence"])
        self.tokens.add(request.headers["Authorization"])
        return accepted()


def accepted() -> web.Response:
    return web.json_response({"success": True}, status=202)


async def load(
    port: int,
    shape: Shape = Shape.bulk,
    *,
    seconds: float = 0.4,
    sessions: int = 5,
    rate: float | None = None,
) -> Outcome:
    targets = [Target(str(number), f"token-{number}") for number in range(1, sessions + 1)]
    work = Events(shape=shape, instance="bench", targets=targets)
    return await run_load(Plan(port=port, work=work, connections=4, seconds=seconds, rate_per_s=rate))


@pytest.mark.parametrize("shape", [Shape.bulk, Shape.single])
async def test_every_session_gets_dense_numbers_and_every_reply_is_counted(shape: Shape) -> None:
    received = Received()
    async with server(received.take) as port:
        outcome = await load(port, shape)

    assert outcome.statuses == {202: outcome.requests}
    step = EVENTS_PER_REQUEST[shape]
    for session, requests in enumerate(outcome.accepted, 1):
        assert sorted(received.numbers[session]) == list(range(1, requests * step + 1, step))
    assert received.tokens == {f"Bearer token-{number}" for number in range(1, 6)}
    assert max(outcome.accepted) - min(outcome.accepted) <= 1


async def test_a_refusal_with_retry_after_is_sent_again_until_it_is_accepted() -> None:
    received = Received()
    refused: set[tuple[int, int]] = set()

    async def refuse_once(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        key = body["proctorSessionId"], body["clientSequence"]
        if key not in refused:
            refused.add(key)
            return web.Response(status=503, headers={"Retry-After": "0"})
        return await received.take(request)

    async with server(refuse_once) as port:
        outcome = await load(port)

    assert outcome.statuses == {503: len(refused), 202: len(refused)}
    assert outcome.resent == len(refused)
    assert sum(map(len, received.numbers.values())) == len(refused)


async def test_a_request_without_a_reply_is_repeated_on_a_new_connection() -> None:
    received = Received()
    cut: list[int] = []

    async def cut_once(request: web.Request) -> web.StreamResponse:
        if not cut:
            cut.append(orjson.loads(await request.read())["proctorSessionId"])
            assert request.transport is not None
            request.transport.abort()
        return await received.take(request)

    async with server(cut_once) as port:
        outcome = await load(port)

    assert outcome.resent == 1
    assert received.numbers[cut[0]].count(1) == 2


async def test_a_reply_that_no_client_should_get_ends_the_run() -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=422, text="not allowed")

    async with server(refuse) as port:
        with pytest.raises(LoadError, match="not allowed"):
            await load(port)


def errands(port: int, count: int, **more: Any) -> Plan:
    heads = [f"POST /{n} HTTP/1.1\r\nHost: bench\r\nContent-Length: 2\r\n\r\n".encode() for n in range(count)]
    work = Errands(heads=heads, body=b"{}", status=202)
    return Plan(port=port, work=work, connections=4, **more)


@pytest.mark.parametrize("rate", [None, 200.0], ids=["as fast as it goes", "as they fall due"])
async def test_each_errand_is_sent_once_and_its_reply_is_counted(rate: float | None) -> None:
    sent: list[str] = []

    async def take(request: web.Request) -> web.StreamResponse:
        sent.append(request.path)
        return accepted() if await request.read() == b"{}" else web.Response(status=400)

    async with server(take) as port:
        outcome = await run_load(errands(port, 60, rate_per_s=rate))

    assert sorted(sent) == sorted(f"/{n}" for n in range(60))
    assert (outcome.accepted, outcome.statuses, outcome.resent) == ([1] * 60, {202: 60}, 0)
    assert rate is None or outcome.seconds > 0.1


async def test_refusals_that_the_plan_does_not_take_are_counted_and_fail_the_run() -> None:
    async def refuse_some(request: web.Request) -> web.StreamResponse:
        if request.path in {"/1", "/3"}:
            return web.Response(status=503, headers={"Retry-After": "0"}, text="too many")
        return accepted()

    async with server(refuse_some) as port:
        with pytest.raises(LoadError, match=r"(?s)202: 3.*too many") as failure:
            await run_load(errands(port, 5, retry_spread_s=None))

    assert "503: 2" in str(failure.value)


async def test_in_open_loop_a_stall_is_seen_by_every_request_it_delays() -> None:
    # 200 requests/s for a second; the server answers nothing for its first half.
    loop = asyncio.get_running_loop()
    first: list[float] = []

    async def stall(_: web.Request) -> web.StreamResponse:
        first.append(loop.time())
        await asyncio.sleep(max(0.0, first[0] + 0.5 - loop.time()))
        return accepted()

    async with server(stall) as port:
        outcome = await load(port, seconds=1.0, rate=200.0)

    # A closed loop would have had four slow requests, one for each connection. Half of these fell due in the
    # stall, and each waited for what was left of it.
    assert outcome.requests > 100
    assert outcome.latency_ms["p95"] > 300
    assert outcome.latency_ms["p99"] > 400


async def test_the_loader_costs_little_cpu_a_request() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return accepted()

    async with server(answer) as port:
        outcome = await load(port, seconds=1.5, sessions=600)

    assert outcome.cpu_s / outcome.requests * 1e6 < CPU_US_MAX
