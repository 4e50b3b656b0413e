"""
Processes and servers of the event path killed, paused and set back at chosen moments, under load.

Decision 7, I-1, I-2, X-1: what was acknowledged is stored once, in order; what Redis has lost is named, and
refilled by clients that kept their copy.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from deploy.local.server import free_port
from ingest.stream.protocol import client_key, stream_key
from tests.faults.harness import SHARDS, Rig, Tier
from tests.faults.ingest_kit import CROWDED, crowd
from tests.kits.ingest.stream import append, batch_of
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import World

pytestmark = pytest.mark.faults
SETTINGS = CROWDED | {"writer_batch_ms": "5", "heartbeat_sweep_s": "1"}


@pytest.mark.parametrize("name", ["ingest", "writer", "redis", "postgres"])
async def test_a_kill_under_load_loses_and_doubles_nothing(path: Rig, world: World, name: str) -> None:
    """Decision 7: kill -9, twice, the second time into the recovery of the first."""
    async with crowd(world, path.url) as posting:
        await posting.more(200)
        victim = path.victims[name]
        for pause_s in (0.0, 0.3):
            victim.kill()
            await asyncio.sleep(pause_s)
            victim.launch()
        await path.wait_ready()
        await until_answering(world)
        await posting.more(200)
        await posting.settled()

        posting.check()


async def until_answering(world: World) -> None:
    """Connect anew where PostgreSQL was killed under the connection."""

    def answers() -> bool:
        try:
            return bool(world.one("SELECT 1") == 1)
        except Exception:  # noqa: BLE001  whatever a dead connection says
            fresh = None
            try:
                fresh = type(world.owner).connect(
                    world.address, autocommit=True, row_factory=world.owner.row_factory
                )
            except Exception:  # noqa: BLE001  it is still starting
                return False
            world.owner.close()
            world.owner = fresh
            return False

    await until(answers, "PostgreSQL to answer")


async def test_a_writer_that_was_paused_and_replaced_stores_nothing_when_it_wakes(
    path: Rig, world: World
) -> None:
    """design.md: the compare-and-set fences it; its lock goes with its connection."""
    port = free_port()
    environment = {**path.writer._environment, "VERITAS_METRICS_PORT": str(port)}
    second = Tier("ingest.writer", port, path.folder / "second.log", environment)
    async with crowd(world, path.url) as posting:
        await posting.more(150)
        path.writer.pause()
        try:
            backlog = posting.acknowledged
            await posting.more(200)
            world.run(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
            second.launch()
            await until(lambda: stored_in_all(world) > backlog, "the second writer to store")
        finally:
            path.writer.wake()
        await posting.more(150)
        second.stop()
        await posting.more(150)
        await posting.settled()

        posting.check()


def stored_in_all(world: World) -> int:
    found: int = world.one("SELECT coalesce(sum(total_events), 0)::int FROM session_progress")
    return found


async def test_everything_is_acknowledged_while_postgresql_is_away_and_stored_afterwards(
    path: Rig, world: World
) -> None:
    """Decision 7: it is Redis that makes an append durable; five seconds without PostgreSQL refuse nobody."""
    async with crowd(world, path.url) as posting:
        await posting.more(100)
        before = [poster.refusals for poster in posting.posters]
        await asyncio.to_thread(path.postgres.stop)
        try:
            count = posting.acknowledged
            await asyncio.sleep(4)
            during = posting.acknowledged - count
            after = [poster.refusals for poster in posting.posters]
        finally:
            path.postgres.start()
        await until_answering(world)
        await posting.settled()

        posting.check()
        assert during > 300, "posting went on"
        assert after == before


async def test_a_tier_told_to_stop_under_load_loses_no_acknowledged_event(path: Rig, world: World) -> None:
    """X-1: SIGTERM: unready first, drain, leave; and in good time."""
    async with crowd(world, path.url) as posting:
        await posting.more(150)
        for _ in range(2):
            async with asyncio.timeout(15):
                await asyncio.to_thread(path.ingest.stop)
            path.ingest.launch()
            await path.wait_ready()
            await posting.more(100)
        await asyncio.to_thread(path.writer.stop)
        path.writer.launch()
        await posting.settled()

        posting.check()


async def refilled_after(lose: Callable[[], None], path: Rig, world: World) -> list[dict[str, Any]]:
    """Lose what Redis has, while nothing is written and more is posted; return the losses that are named."""
    async with crowd(world, path.url) as posting:
        await posting.more(150)
        path.writer.pause()  # so that acknowledged events are lost for sure
        try:
            await posting.more(100)
            lose()
        finally:
            path.writer.wake()
        await path.wait_ready()
        await posting.more(100)
        await posting.settled()

        posting.check(lossless=False)
    return world.losses()


async def test_a_redis_emptied_under_way_is_named_and_refilled(path: Rig, world: World) -> None:
    """Decision 7: FLUSHALL; admission stays closed until reconciled, careful clients lose nothing."""

    def empty() -> None:
        with redis.Redis.from_url(path.redis.url) as client:
            client.flushall()

    losses = await refilled_after(empty, path, world)

    assert {loss["kind"] for loss in losses} == {"emptied"}
    assert sorted(loss["shard"] for loss in losses) == list(range(SHARDS))


async def test_a_redis_that_lost_its_files_is_named_and_refilled(path: Rig, world: World) -> None:
    """Decision 7: the disk of the stream is gone; what clients kept comes back under dense sequences."""

    def lose_files() -> None:
        path.redis.kill()
        for entry in append_only_folder(path).iterdir():
            entry.unlink()
        path.redis.start()

    losses = await refilled_after(lose_files, path, world)

    assert {loss["kind"] for loss in losses} == {"emptied"}


def append_only_folder(path: Rig) -> Path:
    return path.redis.home / "data" / "appendonlydir"


async def test_an_older_append_only_file_is_seen_even_after_something_was_appended_to_it(
    path: Rig, world: World
) -> None:
    """design.md: a roll-back that one more append would hide from a check of ids alone."""
    async with crowd(world, path.url, sessions=SHARDS) as posting:
        await posting.more(150)
        old = await copied(path)
        await posting.more(300)
        await posting.settled()
        before = {p.seat.session_id: world.stored(p.seat.session_id) for p in posting.posters}
        counters = {row["shard"]: row for row in world.rows("SELECT * FROM stream_offsets")}
        path.writer.kill()
        await asyncio.to_thread(path.redis.stop)
        shutil.rmtree(append_only_folder(path))
        shutil.move(old, append_only_folder(path))
        path.redis.start()
        with redis.Redis.from_url(path.redis.url) as client:
            for session in before:
                shard = session % SHARDS
                while last_counter(client, shard) <= counters[shard]["counter"]:
                    reply = append(
                        client,
                        batch_of('"again"', client=client_key("rolled"), sequences=None),
                        session,
                        org=world.org,
                        epoch=counters[shard]["epoch"],
                        shards=SHARDS,
                    )
                    if reply[0] == b"stale":
                        break  # the file is from before the open epoch: refused before any effect
                    assert reply[0] == b"ok", reply
        path.writer.launch()
        await path.wait_ready()

        losses = world.losses()
        assert {loss["kind"] for loss in losses} == {"rolled_back"}
        assert sorted(loss["shard"] for loss in losses) == list(range(SHARDS))
        for session, rows in before.items():
            now = world.stored(session)
            assert now[: len(rows)] == rows, "nothing that was stored is touched"
            assert [row["seq"] for row in now] == list(range(1, len(now) + 1)), "sequences stay dense"
            assert {str(row["payload"]) for row in now[len(rows) :]} <= {"again"}


def last_counter(client: "redis.Redis", shard: int) -> int:
    found = client.xinfo_stream(stream_key(shard))["last-generated-id"]
    return int(found.split(b"-")[1])


async def copied(path: Rig) -> Path:
    """Return a copy of the append-only file as it is now, readable by the server's account."""
    to = path.redis.home / "data" / "older"
    path.writer.pause()
    path.redis.kill()
    try:
        shutil.copytree(append_only_folder(path), to)
        like = append_only_folder(path).stat()
        for entry in (to, *to.iterdir()):
            shutil.chown(entry, like.st_uid, like.st_gid)
        path.redis.start()
    finally:
        path.writer.wake()
    await path.wait_ready()
    return to


async def test_the_logs_hold_no_token_no_payload_and_no_password(path: Rig, world: World) -> None:
    """X-1: after everything above; and none of our own failures."""
    await path.wait_ready()
    secret = "a-very-private-sentence"
    import aiohttp  # noqa: PLC0415
    import msgspec  # noqa: PLC0415

    seat = world.seat()
    bodies = [
        {"proctorSessionId": seat.session_id, "eventType": 102, "metadataJson": f'{{"text": "{secret}"}}'},
        {"proctorSessionId": seat.session_id, "eventType": 102, "metadataJson": f'{{"text": "{secret}'},
        {"proctorSessionId": seat.session_id, "eventType": 102, "metadataJson": f'"{secret}\\u0000"'},
        {"proctorSessionId": secret},
        {"proctorSessionId": seat.session_id, "eventType": secret},
    ]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {seat.token}"}) as http:
        for raw in (*map(msgspec.json.encode, bodies), secret.encode(), b'{"x":"' + secret.encode()):
            async with http.post(path.url + "/api/proctor/event", data=raw) as answer:
                assert answer.status in {202, 400, 422}
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": secret * 9}
        async with http.post(path.url + "/api/proctor/event", data=b"{}", headers=headers) as answer:
            assert answer.status == 401

    text = path.logs(lines=1_000_000)

    assert "listening" in text
    passwords = [urlsplit(url).password for url in (path.redis.url, path.database_url)]
    environment = path.ingest._environment
    passwords.append(urlsplit(environment["VERITAS_DATABASE_URL"]).password)
    for private in (
        secret,
        seat.token,
        seat.token.rpartition(".")[2],
        environment["VERITAS_JWT_KEYS"],
        *passwords,
    ):
        assert private is not None
        assert private not in text
    assert "Traceback" not in text
    assert "request_failed" not in text
    assert "writer_thread_failed" not in text
