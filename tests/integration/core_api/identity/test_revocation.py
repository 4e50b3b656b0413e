"""What is taken back is refused everywhere within a second; what holds when Redis is away (spec.md A-2)."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
import redis

from deploy.local.redis import Redis, start_redis
from deploy.local.server import free_port
from kernel.errors import NotAuthenticatedError, UnavailableError
from kernel.events import Role
from kernel.revocation import KEY, PRIVILEGED, Revocation, Revocations, before
from kernel.tokens import Audience, Claims
from tests.kits.core import JWT_KEYS, PASSWORD, Api, DatabaseAs, core_api

TOLD_S = 1.0  # everywhere, where nothing else keeps the machine busy
WITHIN_S = 20.0
FOR_EVER = 2**40


@asynccontextmanager
async def process(module: str, role: str, database_as: DatabaseAs) -> AsyncIterator[str]:
    """Run a process of its own, and give its address once it answers."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VERITAS_")} | {
        "VERITAS_DATABASE_URL": database_as(role),
        "VERITAS_REDIS_URL": database_as("redis"),
        "VERITAS_JWT_KEYS": JWT_KEYS,
        "VERITAS_HTTP_PORT": str(port),
    }
    child = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-m", module], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as http:
            await until(lambda: answers(http, f"{url}/livez"), 200)
        yield url
    finally:
        child.terminate()
        await asyncio.to_thread(child.wait, 20)


async def answers(http: aiohttp.ClientSession, url: str, token: str = "", method: str = "GET") -> int:
    """Return the status, 0 where nobody listens yet. A body that is no JSON comes after the token."""
    headers = {"Authorization": f"Bearer {token}"}
    data = b"{ this is not JSON" if method == "POST" else None
    try:
        async with http.request(method, url, headers=headers, data=data) as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def until(ask: Callable[[], object], wanted: object, *, within_s: float = WITHIN_S) -> float:
    """Ask until the wanted answer comes; return the seconds it took."""
    began = monotonic()
    while (found := await ask()) != wanted:  # type: ignore[misc]
        assert monotonic() - began < within_s, f"{found} after {within_s} s, not {wanted}"
        await asyncio.sleep(0.01)
    return monotonic() - began


async def token_of(api: Api, name: str) -> str:
    answer = await api.post("/api/auth/login", json={"email": api.people[name].email, "password": PASSWORD})
    token: str = answer.body["access_token"]
    return token


async def test_a_locked_users_token_is_refused_by_other_processes_within_a_second_a2(
    database: str, database_as: DatabaseAs
) -> None:
    async with (
        core_api(database, database_as) as api,
        process("core_api", "veritas_core", database_as) as core,
        process("ingest", "veritas_ingest", database_as) as ingest,
    ):
        locked, other = await token_of(api, "student"), await token_of(api, "other_student")
        event = f"{ingest}/api/proctor/event"
        for token in (locked, other):
            assert await answers(api.http, f"{core}/api/me", token) == 200
            assert await answers(api.http, event, token, "POST") == 400
        student = api.people["student"].id
        assert (await api.post(f"/api/admin/users/{student}/lock", "admin")).status == 200

        took = [await until(lambda: answers(api.http, f"{core}/api/me", locked), 401)]
        took += [await until(lambda: answers(api.http, event, locked, "POST"), 401)]
        assert await answers(api.http, f"{core}/api/me", other) == 200
        assert await answers(api.http, event, other, "POST") == 400

        everywhere = {"Authorization": f"Bearer {other}"}
        assert (await api.post("/api/auth/logout?everywhere=true", headers=everywhere)).status == 200
        took += [await until(lambda: answers(api.http, f"{core}/api/me", other), 401)]
        took += [await until(lambda: answers(api.http, event, other, "POST"), 401)]
        assert min(took) < TOLD_S


async def test_a_process_that_starts_later_knows_what_was_taken_back_before_a2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        token = await token_of(api, "student")
        assert (
            await api.post("/api/auth/logout", headers={"Authorization": f"Bearer {token}"})
        ).status == 200
        async with process("ingest", "veritas_ingest", database_as) as ingest:
            assert await answers(api.http, f"{ingest}/api/proctor/event", token, "POST") == 401


async def test_a_redis_that_forgot_is_told_again_by_the_core_api_a2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        token = await token_of(api, "student")
        await api.post("/api/auth/logout", headers={"Authorization": f"Bearer {token}"})
    with redis.Redis.from_url(database_as("redis")) as client:
        assert client.zcard(KEY) == 1
        client.flushall()
        async with process("core_api", "veritas_core", database_as):
            began = monotonic()
            while client.zcard(KEY) == 0:
                assert monotonic() - began < WITHIN_S, "the core API tells what it knows when it connects"
                await asyncio.sleep(0.02)


@pytest.fixture
def own_redis(server_folder: Path) -> Iterator[Redis]:
    """A Redis that a test may stop."""
    with closing(start_redis(server_folder / "redis")) as server:
        yield server


async def test_without_redis_staff_are_refused_and_candidates_go_on_with_what_was_known_a2(
    database: str, database_as: DatabaseAs, own_redis: Redis
) -> None:
    async with core_api(database, database_as, redis_url=own_redis.url) as api:
        signed_out, going_on = await token_of(api, "student"), await token_of(api, "other_student")
        await api.post("/api/auth/logout", headers={"Authorization": f"Bearer {signed_out}"})
        assert (await api.get("/api/me", "admin")).status == 200
        own_redis.stop()
        await until(lambda: status(api, "admin"), 503)

        statuses = {role.value: await status(api, role.value) for role in Role}
        assert statuses == {role.value: 503 if role in PRIVILEGED else 200 for role in Role}
        refused = await api.get("/api/me", "teacher")
        assert int(refused.headers["Retry-After"]) > 0
        assert await answers(api.http, f"{api.url}/api/me", going_on) == 200
        assert await answers(api.http, f"{api.url}/api/me", signed_out) == 401

        # Signing out still holds here at once, and everywhere as soon as Redis is back.
        everywhere = {"Authorization": f"Bearer {going_on}"}
        assert (await api.post("/api/auth/logout", headers=everywhere)).status == 200
        assert await answers(api.http, f"{api.url}/api/me", going_on) == 401


async def status(api: Api, name: str) -> int:
    return (await api.get("/api/me", name)).status


async def test_what_was_taken_back_without_redis_is_told_when_it_is_back_a2(
    database: str, database_as: DatabaseAs, own_redis: Redis
) -> None:
    async with core_api(database, database_as, redis_url=own_redis.url) as api:
        token = await token_of(api, "student")
        own_redis.stop()
        await until(lambda: status(api, "admin"), 503)
        await api.post("/api/auth/logout", headers={"Authorization": f"Bearer {token}"})
        own_redis.start()
        await until(lambda: status(api, "admin"), 200)
        with redis.Redis.from_url(own_redis.url) as client:
            began = monotonic()
            while client.zcard(KEY) == 0:
                assert monotonic() - began < WITHIN_S
                await asyncio.sleep(0.02)


async def test_a_redis_that_hangs_without_closing_anything_counts_as_away_a2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as) as api:
        assert await status(api, "admin") == 200
        with redis.Redis.from_url(database_as("redis")) as client:
            client.execute_command("CLIENT", "PAUSE", 12_000, "ALL")

        await until(lambda: status(api, "admin"), 503)
        assert await status(api, "student") == 200
        await until(lambda: status(api, "admin"), 200, within_s=30)


def claims(role: Role = Role.student, *, generation: int = 0, login: str | None = None) -> Claims:
    return Claims("u", "a@b", role, "o", 0, FOR_EVER, "token-1", Audience.access, None, login, generation)


@pytest.mark.parametrize(
    ("mark", "holds", "void"),
    [
        ("token-1", [], [claims()]),
        ("login-1", [claims(), claims(login="login-2")], [claims(login="login-1")]),
        (before(3), [claims(generation=3), claims(generation=4)], [claims(), claims(generation=2)]),
    ],
)
async def test_a_mark_voids_exactly_what_it_names_a2(
    redis_url: str, mark: str, holds: list[Claims], void: list[Claims]
) -> None:
    revocations = Revocations(redis_url)
    assert await revocations.publish([Revocation("u", mark, FOR_EVER), Revocation("v", before(9), FOR_EVER)])

    for each in holds:
        revocations.check(each)
    for each in void:
        with pytest.raises(NotAuthenticatedError):
            revocations.check(each)


async def test_dead_revocations_leave_redis_and_memory(redis_url: str) -> None:
    revocations = Revocations(redis_url)
    await revocations.publish([Revocation("u", "old", 1), Revocation("v", "new", FOR_EVER)])
    await revocations.publish([Revocation("w", "newer", FOR_EVER)])
    revocations._prune(2)

    with redis.Redis.from_url(redis_url) as client:
        assert client.zrange(KEY, 0, -1) == [b"v new", b"w newer"]
    assert set(revocations._by_user) == {"v", "w"}


@pytest.mark.parametrize("role", list(Role))
async def test_whoever_may_reach_others_rows_is_refused_while_nobody_can_say_a2(role: Role) -> None:
    revocations = Revocations("")

    if role in PRIVILEGED:
        with pytest.raises(UnavailableError):
            revocations.check(claims(role))
    else:
        revocations.check(claims(role))


async def test_many_revocations_are_told_in_pieces_and_each_arrives(redis_url: str) -> None:
    teller, listener = Revocations(redis_url), Revocations(redis_url)
    watching = asyncio.create_task(listener.watch())
    await listener.wait(WITHIN_S)
    await teller.publish([Revocation(f"u{n}", "token-1", FOR_EVER) for n in range(2500)])
    began = monotonic()
    while len(listener._by_user) < 2500:
        assert monotonic() - began < WITHIN_S
        await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert listener.fresh is False
