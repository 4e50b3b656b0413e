"""The limit of open files over real sockets: who is too many is refused in words, not in a flood of lines."""

import asyncio
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import orjson
import pytest
from aiohttp import web

from deploy.local.server import free_port
from kernel.http import serving
from kernel.http.health import add_health
from kernel.http.web import new_app
from kernel.running.process import FILES_MAX, connections_allowed, files_beside_clients, files_needed
from kernel.settings import Settings, load
from tests.kits.core import JWT_KEYS, DatabaseAs

LIMIT = 256
CLIENTS = 500
ASK = b"GET /livez HTTP/1.1\r\nHost: veritas\r\n\r\n"
SECRET = b"canary-8d1f0c55"
NONSENSE = [  # what no line of the log tells of
    b"GET /" + SECRET * times + b"\x00 HTTP/1.1\r\nAuthorization: Bearer " + SECRET + b"\r\n\r\n"
    for times in (1, 1000) * 20
]
START_S = 60.0
TIERS = {"core_api": "veritas_core", "ingest": "veritas_ingest", "deploy.origin": "veritas_core"}


@asynccontextmanager
async def program(module: str, environment: dict[str, str], log: IO[bytes]) -> AsyncIterator[int]:
    """Run a tier that may have LIMIT open files, and give its port when it answers."""
    port = free_port()
    names = {name: value for name, value in os.environ.items() if not name.startswith("VERITAS_")}
    process = await asyncio.create_subprocess_exec(
        *("prlimit", f"--nofile={LIMIT // 2}:{LIMIT}", sys.executable, "-m", module),
        env=names | environment | {"VERITAS_HTTP_PORT": str(port)},
        stdout=log,
        stderr=log,
    )
    try:
        await answered(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def answered(port: int) -> None:
    """Ask until the process answers."""
    async with asyncio.timeout(START_S):
        while not (await ask(port)).startswith(b"HTTP/1.1 200"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def ask(port: int, crowd: asyncio.Barrier | None = None, sent: bytes = ASK) -> bytes:
    """
    Connect, ask, read an answer; keep the connection open until all of the crowd have theirs. Nothing came:
    empty.
    """
    answer = b""
    async with AsyncExitStack() as connection:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            connection.callback(writer.close)
            writer.write(sent)
            answer = await reader.read(65536)
        if crowd is not None:
            await crowd.wait()
    return answer


@pytest.mark.parametrize("module", TIERS)
async def test_a_crowd_beyond_the_limit_is_refused_in_words_and_the_process_lives_on(
    module: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    log = (tmp_path / "tier.log").open("w+b")
    environment = {
        "VERITAS_DATABASE_URL": database_as(TIERS[module]),
        "VERITAS_INGEST_DATABASE_URL": database_as("veritas_ingest"),
        "VERITAS_REDIS_URL": database_as("redis"),
        "VERITAS_JWT_KEYS": JWT_KEYS,
    }
    async with program(module, environment, log) as port:
        for nonsense in NONSENSE:
            assert (await ask(port, sent=nonsense)).startswith(b"HTTP/1.1 4")
        crowd = asyncio.Barrier(CLIENTS)
        async with asyncio.timeout(START_S):
            answers = await asyncio.gather(*(ask(port, crowd) for _ in range(CLIENTS)))
        await answered(port)

    heads = Counter(answer[:12] for answer in answers)
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
    settings = load({}, ingest_database_url="there")
    assert set(heads) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}, heads
    assert heads[b"HTTP/1.1 200"] >= connections_allowed(settings, LIMIT) - 1
    for answer in refused:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Retry-After: " in head
        assert b"Connection: close" in head
        assert orjson.loads(body)["code"] == "overloaded"
    with log:
        log.seek(0)
        lines = log.read().decode().splitlines()
    assert len(lines) < 20, lines
    assert SECRET.decode() not in str(lines)
    (warned,) = [orjson.loads(line) for line in lines if "files_too_few" in line]
    assert warned["limit"] == LIMIT, "the soft limit is raised to the hard one first"
    assert warned["needed"] > LIMIT


async def test_who_leaves_in_the_middle_of_a_body_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the reply went out before the body was read, and the rest of it would be waited for."""
    monkeypatch.setattr(serving, "LINGER_S", 3600.0)
    settings = load({})
    app = new_app(settings)
    add_health(app, [], dict)
    runner = await serving.serve(app, settings, port=0)
    assert runner.server is not None
    begun = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegun"
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        writer.write(begun)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
        writer.close()

    async with asyncio.timeout(START_S):
        while runner.server.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await runner.cleanup()


async def test_of_a_body_that_nobody_reads_little_waits_in_memory() -> None:
    """The rest stays in its socket: ten thousand senders who are not heard yet cost no gigabytes."""
    settings, waiting, is_over = load({}), asyncio.Queue[web.Request](), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        waiting.put_nowait(request)
        await is_over.wait()
        return web.Response()

    app = new_app(settings)
    add_health(app, [], dict)
    app.router.add_put("/slow", wait)
    runner = await serving.serve(app, settings, port=0)
    _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
    async with asyncio.timeout(START_S):
        request = await waiting.get()
        while request.content.total_bytes <= 128_000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(100):
            await asyncio.sleep(0)
    held = request.content.total_bytes
    is_over.set()
    writer.close()
    await runner.cleanup()

    assert held <= 400_000, "what may wait, and what one more read of the socket has brought"


def test_what_a_process_needs_is_all_that_its_settings_allow() -> None:
    for settings in (Settings(), load({}, ingest_database_url="x", pool_connections_max=50)):
        assert files_needed(settings) == settings.http_connections_max + files_beside_clients(settings)
        assert connections_allowed(settings, files_needed(settings)) == settings.http_connections_max
        for limit in (1, LIMIT, 1024, FILES_MAX):
            allowed = connections_allowed(settings, limit)
            assert 1 <= allowed <= settings.http_connections_max
            assert allowed + files_beside_clients(settings) <= max(limit, files_beside_clients(settings) + 1)


def in_a_child(change: Callable[[], None], program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=change, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_process_takes_all_open_files_that_it_may_have_and_closes_its_own_to_others(
    tmp_path: Path,
) -> None:
    program = (
        "import os, resource; from kernel.running.process import prepare_process; prepare_process()\n"
        f"open({str(tmp_path / 'made')!r}, 'w').close(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )

    told = in_a_child(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 1000)), program)
    assert told == "(1000, 1000)"
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640
