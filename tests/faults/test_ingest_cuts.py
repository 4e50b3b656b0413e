"""
Cut replies and unknown outcomes on the event path: nothing is lost, nothing is stored twice (spec.md I-2,
X-1).
"""

import threading
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import psycopg
import pytest
import redis

from ingest.stream.protocol import stream_key
from ingest.writer.owner import Owner, connect_redis
from ingest.writer.shard import Stream
from ingest.writer.store import FencedError, store
from kernel.settings import Settings
from tests.faults.ingest_kit import proxy
from tests.kits.ingest.api import Api, answered
from tests.kits.ingest.station import Writer, listening
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat

pytestmark = pytest.mark.faults


def through(url: str, port: int) -> str:
    """Return the address with another port."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}").geturl()


def changed(settings: Settings, **fields: Any) -> Settings:
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(settings, **fields)


@pytest.mark.parametrize("members", [{"clientInstance": "tab", "clientSequence": 1}, {}])
async def test_a_reply_that_never_arrives_is_given_again_to_the_retry(
    api: Api, members: dict[str, Any]
) -> None:
    """I-2: the connection breaks after the append; by clientSequence, and by Idempotency-Key."""
    seat = api.world.seat()
    await api.event(seat)
    direct = api.at.url
    headers = {} if members else {"Idempotency_Key": "key"}
    with proxy(urlsplit(direct).port or 0) as between:
        between.cut_after = b'"eventType"'
        api.at.url = f"http://127.0.0.1:{between.port}"
        try:
            with pytest.raises(aiohttp.ClientError):
                await api.event(seat, headers=headers, **members)
            retry = await api.event(seat, headers=headers, **members)
        finally:
            api.at.url = direct

    assert between.cuts == 1
    assert (retry.status, retry.ack["sequenceFrom"], retry.ack["duplicate"]) == (202, 2, True)
    assert [row["seq"] for row in await api.stored(seat, 2)] == [1, 2]


async def test_a_cut_between_the_tier_and_redis_is_answered_503_and_the_retry_finds_the_event(
    api: Api,
) -> None:
    """
    I-2, design.md: no call is repeated behind the client's back; the outcome is unknown, and said to be.
    """
    seat = api.world.seat()
    await api.event(seat)
    redis_url = api.at.settings.redis_url
    with proxy(urlsplit(redis_url).port or 0) as between:
        settings = changed(api.at.settings, redis_url=through(redis_url, between.port), redis_connections=1)
        with listening(settings) as (url, part, there):
            await until(lambda: there(part.ready()) is None, "the second tier to be ready")
            direct, api.at.url = api.at.url, url
            try:
                between.cut_after = b"veritas_append_"
                cut = await api.tab(seat, [1, 2])
                retry = await answered(partial(api.tab, seat, [1, 2]), 202)
            finally:
                api.at.url = direct

    assert (cut.status, cut.body["code"]) == (503, "outcome_unknown")
    assert int(cut.headers["Retry-After"]) >= 1
    assert (retry.ack["sequenceFrom"], retry.ack["sequenceThrough"], retry.ack["duplicate"]) == (2, 3, True)
    assert [row["client_seq"] for row in await api.stored(seat, 3)] == [None, 1, 2]


async def posted(api: Api, seats: list[Seat], count: int = 30) -> None:
    """Post so many events of each seat, in three batches; numbered, so that they can be tried again."""
    for seat in seats:
        tab = f"tab-{uuid4()}"
        for n in range(3):
            numbers = list(range(n * count // 3 + 1, (n + 1) * count // 3 + 1))
            await answered(partial(api.tab, seat, numbers, tab), 202)


def exactly_once(api: Api, seats: list[Seat], count: int = 30) -> None:
    for seat in seats:
        assert [row["seq"] for row in api.world.stored(seat.session_id)] == list(range(1, count + 1))
    assert api.world.losses() == []


async def test_a_commit_whose_outcome_nobody_saw_is_neither_repeated_nor_lost(api: Api) -> None:
    """design.md: the offset, read back, settles it."""
    at = api.at
    at.writer.stop()
    seats = [at.world.seat() for _ in range(4)]
    await posted(api, seats)
    with proxy(urlsplit(at.settings.database_url).port or 0) as between:
        stop = threading.Event()
        settings = changed(at.settings, database_url=through(at.settings.database_url, between.port))
        owners = [Owner(shard, settings, stop) for shard in range(settings.shards)]
        threads = [threading.Thread(target=owner.run, daemon=True) for owner in owners]
        between.cut_after = b"COMMIT"
        for thread in threads:
            thread.start()
        try:
            for seat in seats:
                await api.stored(seat, 30)
            await posted(api, seats, 3)
            between.cut_after = b"COMMIT"
            for seat in seats:
                await api.stored(seat, 33)
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
    at.writer.start()

    assert between.cuts >= 1
    exactly_once(api, seats, 33)


async def test_a_writer_that_dies_between_commit_and_trim_leaves_nothing_to_store_again(api: Api) -> None:
    """design.md: the stream is trimmed below what PostgreSQL has committed, whoever committed it."""
    at = api.at
    at.writer.stop()
    seats = [at.world.seat() for _ in range(4)]
    await posted(api, seats)
    offsets = {row["shard"]: row for row in at.world.rows("SELECT * FROM stream_offsets")}
    with (
        connect_redis(at.settings) as client,
        psycopg.connect(at.settings.database_url, autocommit=True) as conn,
    ):
        for shard in range(at.settings.shards):
            epoch, counter = offsets[shard]["epoch"], offsets[shard]["counter"]
            chunk = Stream(client, shard, at.settings).read(epoch, counter)
            assert chunk is not None
            assert store(conn, shard, epoch, counter, chunk, at.settings) == 60
            with pytest.raises(FencedError):
                store(conn, shard, epoch, counter, chunk, at.settings)
    exactly_once(api, seats)
    assert all(at.redis.xlen(stream_key(shard)) > 0 for shard in range(at.settings.shards))

    at.writer.start()
    await until(
        lambda: all(at.redis.xlen(stream_key(shard)) == 0 for shard in range(at.settings.shards)), "the trim"
    )
    await posted(api, seats, 3)
    for seat in seats:
        await api.stored(seat, 33)

    exactly_once(api, seats, 33)


async def test_a_writer_that_dies_before_the_new_epoch_is_open_has_lost_nothing(api: Api) -> None:
    """design.md: between the row in PostgreSQL and the mark in Redis; no false alarm either."""
    at = api.at
    seats = [at.world.seat() for _ in range(4)]
    await posted(api, seats)
    at.writer.stop()
    await posted(api, seats, 3)
    before = {row["shard"]: row["epoch"] for row in at.world.rows("SELECT * FROM stream_offsets")}
    at.redis.hdel("{v0}:shard", "epoch")  # as after a shut; the writer will have to reconcile
    at.writer.start()
    for seat in seats:
        await api.stored(seat, 33)
    await until(lambda: at.there(at.part.ready()) is None, "every shard to be open")
    at.writer.stop()
    at.world.run(
        "INSERT INTO stream_epochs (shard, epoch, run_id, replication_id)"
        " SELECT shard, epoch + 1, run_id, replication_id FROM stream_epochs WHERE shard = 0 AND epoch ="
        " (SELECT max(epoch) FROM stream_epochs WHERE shard = 0)"
    )
    at.world.run("UPDATE stream_offsets SET epoch = epoch + 1, counter = 0 WHERE shard = 0")
    at.redis.hdel("{v0}:shard", "epoch")  # a writer shuts before it makes a row: nothing is taken meanwhile
    at.writer.start()
    await until(lambda: at.there(at.part.ready()) is None, "every shard to be open")
    await posted(api, seats, 3)
    for seat in seats:
        await api.stored(seat, 36)

    after = {row["shard"]: row["epoch"] for row in at.world.rows("SELECT * FROM stream_offsets")}
    assert after[0] > before[0] + 1
    exactly_once(api, seats, 36)


async def test_two_writers_started_at_once_share_the_shards_and_store_once(api: Api) -> None:
    """design.md: an advisory lock elects, the compare-and-set decides."""
    at = api.at
    second = Writer(at.settings)
    at.writer.stop()
    seats = [at.world.seat() for _ in range(4)]
    await posted(api, seats)

    at.writer.start()
    second.start()
    try:
        await posted(api, seats, 3)
        for seat in seats:
            await api.stored(seat, 33)
        owned = [owner.shard for w in (at.writer, second) for owner in w.owners if owner.epoch is not None]
        assert sorted(owned) == list(range(at.settings.shards))
        at.writer.stop()
        await posted(api, seats, 3)
        for seat in seats:
            await api.stored(seat, 36)
    finally:
        second.stop()
        at.writer.stop()
        at.writer.start()

    exactly_once(api, seats, 36)


async def test_a_connection_of_the_tier_that_hangs_is_given_up(api: Api) -> None:
    """design.md: bound everything; a client is answered within the append's deadline."""
    seat = api.world.seat()
    settings = changed(api.at.settings, append_deadline_s=0.5, redis_connections=1)
    with listening(settings) as (url, part, there):
        await until(lambda: there(part.ready()) is None, "the second tier to be ready")
        direct, api.at.url = api.at.url, url
        try:
            assert (await api.event(seat)).status == 202
            with redis.Redis.from_url(settings.redis_url) as client:
                client.execute_command("CLIENT", "PAUSE", 1500, "ALL")
            answer = await api.event(seat)
        finally:
            api.at.url = direct

    assert (answer.status, answer.body["code"]) == (503, "outcome_unknown")
