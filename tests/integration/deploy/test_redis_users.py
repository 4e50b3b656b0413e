"""One user of Redis a tier: each does its work, and is refused everything else (spec.md X-1, I-4)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dramatiq
import msgspec
import pytest
import redis

from deploy.commands.doctor import examine
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis, start_redis
from deploy.local.redis_users import RULES, url_of
from kernel.revocation import KEY, Revocation, Revocations
from kernel.settings import load
from pipeline.actors import open_broker
from tests.kits.ingest.api import Api, answered, api_of, keystroke
from tests.kits.ingest.station import Station, Writer, listening, station
from tests.kits.ingest.waiting import until

ROOT = Path(__file__).parents[3]
USERS = sorted(RULES)
# One command of every kind that nobody but the operator needs.
OPERATORS: list[tuple[Any, ...]] = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "appendfsync", "no"),
    ("SHUTDOWN", "NOSAVE"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "default", "nopass"),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("FUNCTION", "FLUSH"),
    ("FUNCTION", "DELETE", "x"),
    ("MONITOR",),
    ("CLIENT", "KILL", "ID", "1"),
    ("SCRIPT", "FLUSH"),
    ("SAVE",),
    ("BGREWRITEAOF",),
    ("SWAPDB", "0", "1"),
    ("MIGRATE", "127.0.0.1", "1", "k", "0", "1"),
    ("MODULE", "LIST"),
    ("SET", "{v0}:stream", "1"),
    ("RESTORE", "{v0}:x", "0", "x"),
    ("RENAME", "{v0}:a", "{v0}:b"),
    ("GET", "{v0}:a"),
]
# What is another tier's: a key or a channel that the user's own work never touches.
OTHERS: dict[str, list[tuple[Any, ...]]] = {
    "veritas_ingest": [
        ("HSET", "veritas:pipeline.default", "a", "b"),
        ("DEL", KEY),
        ("ZADD", KEY, "1", "x"),
        ("PUBLISH", KEY, "x"),
        ("SUBSCRIBE", "other"),
        ("XTRIM", "{v0}:stream", "MAXLEN", "0"),
    ],
    "veritas_writer": [
        ("HGET", "veritas:pipeline.default", "a"),
        ("ZRANGE", KEY, "0", "1"),
        ("PUBLISH", KEY, "x"),
        ("SUBSCRIBE", KEY),
    ],
    "veritas_core": [
        ("FCALL", "veritas_append_x", "1", "{v0}:s:1"),
        ("XRANGE", "{v0}:stream", "-", "+"),
        ("PUBLISH", "other", "x"),
        ("EVAL", "return redis.call('HSET', KEYS[1], 'a', 'b')", "1", "{v0}:s:1"),
        ("DEL", KEY),
        ("INFO",),
    ],
    "veritas_pipeline": [
        ("DEL", KEY),
        ("HSET", "{v0}:s:1", "own", "me"),
        ("XRANGE", "{v0}:stream", "-", "+"),
        ("PUBLISH", KEY, "x"),
    ],
}


@pytest.fixture
def operator(redis_server: Redis) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.mark.parametrize("user", USERS)
def test_a_tier_is_refused_what_is_the_operators_or_another_tiers(redis_server: Redis, user: str) -> None:
    with redis.Redis.from_url(url_of(user, redis_server.url)) as client:
        assert client.ping()
        for command in [*OPERATORS, *OTHERS[user]]:
            with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)no permission"):
                client.execute_command(*command)


@pytest.mark.parametrize("user", USERS)
def test_no_tier_has_a_category_of_commands(operator: "redis.Redis", user: str) -> None:
    """Commands are named one by one: what a later Redis adds is not granted by accident."""
    commands = str(operator.acl_getuser(user)["commands"])  # type: ignore[index]

    assert "+@" not in commands
    assert "allcommands" not in commands


def test_nobody_enters_without_a_password(redis_server: Redis) -> None:
    with (
        redis.Redis(port=redis_server.port) as anonymous,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        anonymous.ping()


@pytest.fixture(scope="module")
def at(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(postgres, template, redis_server.url, writing=False) as running:
        yield running


async def test_ingest_and_the_writer_do_all_their_work_with_their_own_logins(
    at: Station, redis_server: Redis, operator: "redis.Redis"
) -> None:
    """A new Redis to both: functions loaded, epochs opened, events, retries, names, silences and ends."""
    operator.flushall()
    operator.function_flush()
    operator.acl_log_reset()
    tier = msgspec.structs.replace(at.settings, redis_url=url_of("veritas_ingest", redis_server.url))
    writer = Writer(
        msgspec.structs.replace(at.settings, redis_url=url_of("veritas_writer", redis_server.url))
    )
    writer.start()
    try:
        with listening(tier) as (url, part, there):
            at.url = url
            async with api_of(at) as api:
                await until(lambda: there(part.ready()) is None, "every shard to be open")
                await work(api)
    finally:
        writer.stop()

    assert [entry["object"] for entry in operator.acl_log() if entry["username"] in RULES] == []


async def work(api: Api) -> None:
    seat, silent = api.world.seat(), api.world.seat(started_s_ago=60)
    key = {"headers": {"Idempotency_Key": "k"}}
    for _ in range(2):  # it may hear of the new epoch by the first one
        await answered(lambda: api.event(seat, **key), 202)
    for numbers in ([1, 2], [1, 2], [2, 3], [3]):
        assert (await api.tab(seat, numbers)).status == 202
    assert (await api.event(seat, clientInstance="tab-1", **keystroke(2))).status == 202
    assert (await api.heartbeat(seat)).status == 202
    await api.stored(silent, 1)
    await api.stored(seat, 5)
    api.world.end(seat.session_id)
    await answered(lambda: api.event(seat), 409)


async def test_the_core_publishes_revocations_and_ingest_hears_them(redis_server: Redis) -> None:
    core = Revocations(url_of("veritas_core", redis_server.url))
    ingest = Revocations(url_of("veritas_ingest", redis_server.url))
    watching = [asyncio.create_task(each.watch()) for each in (core, ingest)]
    try:
        await asyncio.gather(core.wait(10), ingest.wait(10))
        await until(lambda: core.fresh and ingest.fresh, "both to listen")
        user = str(uuid4())
        assert await core.publish([Revocation(user, "<2", 2**31)])
        await until(lambda: user in ingest._by_user, "ingest to hear of it")
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def test_the_pipeline_sends_and_works_with_its_own_login(
    redis_server: Redis, operator: "redis.Redis"
) -> None:
    operator.acl_log_reset()
    broker = open_broker(load({}, redis_url=url_of("veritas_pipeline", redis_server.url)))
    done: list[int] = []
    actor = dramatiq.actor(actor_name="tried", broker=broker, queue_name="tried")(done.append)
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        actor.send(1)
        actor.send_with_options(args=(2,), delay=50)
        await until(lambda: sorted(done) == [1, 2], "the messages")
    finally:
        worker.stop()
        broker.close()

    assert [entry["object"] for entry in operator.acl_log() if entry["username"] in RULES] == []


def test_the_compose_file_has_the_same_users() -> None:
    text = (ROOT / "deploy/compose.yaml").read_text()

    for user, rules in RULES.items():
        secret = f"REDIS_{user.removeprefix('veritas_').upper()}_PASSWORD"
        assert f'      - --user\n      - "{user} on >${{{secret}:?}} resetchannels {rules}"\n' in text
        assert f"redis://{user}:${{{secret}:?}}@redis" in text
        assert f"{secret}=" in (ROOT / "deploy/compose.env.example").read_text()


def test_doctor_says_when_the_default_user_is_open(server_folder: Path) -> None:
    server = start_redis(server_folder / "redis")
    try:
        found = []
        for password in (">secret", "nopass"):
            with redis.Redis.from_url(server.url) as client:
                client.execute_command("ACL", "SETUSER", "default", password)
            findings = examine(load({}, redis_url=server.url, state=str(server_folder / "state")))
            found += [each.ok for each in findings if each.check == "Redis users"]
    finally:
        server.close()

    assert found == [True, False]
