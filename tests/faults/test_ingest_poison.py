"""
Values that PostgreSQL refuses beside neighbours, under load and through kills (spec.md I-5, I-8).

What the door lets in is refused by a constraint of the test's own, as another release of PostgreSQL might:
the sessions that send it are set aside, and everybody else goes on. A shard that refuses every row stops by
itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.faults.harness import SHARDS, Rig
from tests.faults.ingest_kit import CROWDED, TIMEOUT, crowd
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat, World

pytestmark = pytest.mark.faults
SETTINGS = CROWDED | {
    "writer_batch_ms": "20",
    "dead_letters_in_a_row_max": "20",
    "quarantine_letters_max": "5",
    "flood_pause_s": "0.1",
    "unwritten_age_s_max": "8",
}
POISON = [{"eventType": 102, "metadataJson": '{"poison":true}'}] * 60
STORED_S_MAX = 15.0


async def post_poison(http: aiohttp.ClientSession, url: str, seat: Seat, sent: dict[int, int]) -> None:
    """Post poison without pause, and count what was acknowledged."""
    body = {"proctorSessionId": seat.session_id, "events": POISON}
    headers = {"Authorization": f"Bearer {seat.token}"}
    while True:
        try:
            async with http.post(
                url + "/api/proctor/events/bulk", json=body, headers=headers, timeout=TIMEOUT
            ) as answer:
                if answer.status == 202:
                    sent[seat.session_id] = (await answer.json())["ack"]["sequenceThrough"]
        except (aiohttp.ClientError, TimeoutError):
            pass  # the outcome is unknown; what was acknowledged before stays so
        await asyncio.sleep(0.2)


@asynccontextmanager
async def poisoned(url: str, seats: list[Seat]) -> AsyncIterator[dict[int, int]]:
    """Have the seats post poison while the block runs; gives what was acknowledged, by session."""
    sent: dict[int, int] = {}
    async with aiohttp.ClientSession() as http:
        tasks = [asyncio.create_task(post_poison(http, url, seat, sent)) for seat in seats]
        try:
            yield sent
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def health(port: int) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT) as reply,
    ):
        return reply.status, await reply.json()


async def test_poison_sets_its_sessions_aside_and_harms_no_neighbour(path: Rig, world: World) -> None:
    """Eight sessions send nothing else, on every shard; the writer is killed while it sifts them."""
    world.run("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (payload ->> 'poison' IS NULL)")
    poisonous = [world.seat() for _ in range(2 * SHARDS)]
    async with crowd(world, path.url) as posting, poisoned(path.url, poisonous) as sent:
        await posting.more(100)
        path.writer.kill()
        path.writer.launch()
        await posting.more(200)
        for _ in range(20):
            status, said = await health(path.ingest.port)
            assert status == 200
            assert not any("stopped" in sentence for sentence in said["degraded"]), said
            await asyncio.sleep(0.05)
        await posting.settled()
    for seat in poisonous:
        last = sent[seat.session_id]
        await until(
            lambda seat=seat, last=last: len(world.sequences(seat.session_id)) >= last,  # type: ignore[misc]
            "the poison to be set aside",
            STORED_S_MAX,
        )

    posting.check()
    aside = world.rows("SELECT session_id FROM session_quarantines ORDER BY session_id")
    assert [row["session_id"] for row in aside] == [seat.session_id for seat in poisonous]
    for seat in poisonous:
        found = world.sequences(seat.session_id)
        assert found == list(range(1, len(found) + 1)), "sequences are dense over both tables"
        assert world.stored(seat.session_id) == []
    assert (await health(path.writer.port))[0] == 200
    world.run("ALTER TABLE events DROP CONSTRAINT no_poison")


async def test_a_shard_that_refuses_every_row_stops_and_sheds_alone(path: Rig, world: World) -> None:
    """No payload explains it: nothing is set aside, its writer says so all the time, and it comes back."""
    world.run(
        "CREATE FUNCTION refuse_shard() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$"
    )
    sick, seats = 1, [world.seat() for _ in range(2 * SHARDS)]
    ill = [seat for seat in seats if seat.session_id % SHARDS == sick]
    well = [seat for seat in seats if seat.session_id % SHARDS != sick]
    world.run(
        "CREATE TRIGGER refuse_shard BEFORE INSERT ON events FOR EACH ROW"
        f" WHEN (mod(NEW.session_id, {SHARDS}) = {sick}) EXECUTE FUNCTION refuse_shard()"
    )
    accepted: dict[int, int] = {seat.session_id: 0 for seat in seats}

    async def post(http: aiohttp.ClientSession, seat: Seat) -> tuple[int, str]:
        body = {"proctorSessionId": seat.session_id, "events": [{"eventType": 102}] * 5}
        headers = {"Authorization": f"Bearer {seat.token}"}
        async with http.post(
            path.url + "/api/proctor/events/bulk", json=body, headers=headers, timeout=TIMEOUT
        ) as reply:
            if reply.status == 202:
                accepted[seat.session_id] = (await reply.json())["ack"]["sequenceThrough"]
            return reply.status, reply.headers["X-Ingest-Load"]

    async with aiohttp.ClientSession() as http:
        for _ in range(300):  # posts until it sheds and the tier has heard that it is stopped
            shed = await post(http, ill[0]) == (503, "10")
            if shed and len((await health(path.ingest.port))[1]["degraded"]) == 2:
                break
            await asyncio.sleep(0.1)
        for _ in range(20):
            answers = [await post(http, seat) for seat in well]
            assert all(code == 202 and int(load) < 10 for code, load in answers), answers
            assert (await health(path.writer.port))[0] == 503, "a trial is no recovery"
        status, said = await health(path.ingest.port)
    assert (status, said["status"]) == (200, "degraded")
    assert len(said["degraded"]) == 2
    assert all(sentence.startswith(f"shard {sick} ") for sentence in said["degraded"])
    lost = world.rows(
        "SELECT * FROM dead_letters WHERE session_id = ANY(%s)", [each.session_id for each in ill]
    )
    assert len(lost) <= int(SETTINGS["dead_letters_in_a_row_max"]), "however small the batches are"
    world.run("DROP TRIGGER refuse_shard ON events")
    for seat in seats:
        await until(
            lambda seat=seat: len(world.sequences(seat.session_id)) == accepted[seat.session_id],  # type: ignore[misc]
            "everything accepted to be stored",
            STORED_S_MAX,
        )
