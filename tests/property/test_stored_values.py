"""
Whatever a door accepts, PostgreSQL stores, and every reader shows (spec.md I-3, I-8).

The doors are those of ingest and of the core API, on one database, with the writer behind them; the readers
are the routes, the Parquet archive, DuckDB and Polars. One station for all examples.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core_api.app import build
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from deploy.local.roles import on_database
from kernel.events import Role
from kernel.http.serving import serve
from kernel.settings import Settings, load
from pipeline.archive import archive_events
from tests.kits.ingest.api import Answer, Api, api_of
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import JWT_KEYS, Seat
from tests.kits.json_texts import TEXTS, nested
from tests.kits.warehouse import root_of
from warehouse.builds import part_addresses, read_manifest
from warehouse.datasets.events import EVENTS

EXAMPLES = 40
Urls = dict[str, str]


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: Urls, redis_server: Redis) -> Iterator[Station]:
    fast: dict[str, Any] = {
        "session_events_per_s": 100_000,
        "session_burst_events": 100_000,
        "sender_burst_bytes": 1 << 40,
    }
    with station(postgres, template, redis_server.url, sweeps=False, **fast) as at:
        yield at


class Doors(msgspec.Struct, frozen=True):
    """Both tiers over one database, a candidate with a session, and the teacher of their exam."""

    ingest: Api
    core_url: str
    seat: Seat
    teacher: str
    exam_id: str

    async def core(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Ask the core API as the teacher; numbers come back as they are written."""
        headers = {"Authorization": f"Bearer {self.teacher}", "Content-Type": "application/json"}
        url = self.core_url + path
        async with self.ingest.http.request(method, url, data=body, headers=headers) as reply:
            text = await reply.read()
            return Answer(reply.status, exactly(text.decode()), reply.headers)


def exactly(text: str) -> Any:
    """Return the document with every number as it is written."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def as_login(running: Station, template: Urls, role: str) -> str:
    return on_database(template[role], running.world.address.rpartition("/")[2])


@asynccontextmanager
async def opened(running: Station, template: Urls) -> AsyncIterator[Doors]:
    world = running.world
    settings = load(
        {},
        database_url=as_login(running, template, "veritas_core"),
        redis_url=running.settings.redis_url,
        jwt_keys=JWT_KEYS,
    )
    runner = await serve(await build(settings), settings, port=0)
    host, port = runner.addresses[0][:2]
    exam = world.exams[world.org]
    owner = world.one("SELECT creator_id FROM exams WHERE id = %s", exam)
    teacher = world.token(Role.teacher, user=owner)
    try:
        async with api_of(running) as ingest:
            yield Doors(ingest, f"http://{host}:{port}", world.seat(), teacher, str(exam))
    finally:
        await runner.cleanup()


async def post_everywhere(doors: Doors, texts: list[str]) -> dict[int, str]:
    """Post the texts through every door of ingest; return what was accepted by its sequence."""
    seat, ingest = doors.seat, doors.ingest
    accepted: dict[int, str] = {}
    bulk = await ingest.bulk(
        seat, [{"eventType": 102, "metadataJson": text} for text in texts], query="?partial=true"
    )
    assert bulk.status in {202, 422}, bulk.body
    for result in bulk.body.get("results", []):
        if result["status"] == "accepted":
            accepted[result["sequenceNumber"]] = texts[result["index"]]
    for text in texts:
        single = await ingest.event(seat, metadataJson=text)
        beat = await ingest.heartbeat(seat, metadataJson=text)
        event = b'{"attempt_id":"%s","event_type":"keystroke","data":%s}'
        raw = event % (str(seat.attempt_id).encode(), text.encode())
        monitor = await ingest.post("/monitor/events", raw, seat.token)
        many = await ingest.post("/monitor/events", b"[" + raw + b"]", seat.token)
        for answer in (single, beat, monitor):
            assert answer.status in {202, 400, 422}, (text, answer.body)
            if answer.status == 202:
                accepted[answer.ack["sequenceFrom"]] = text
        assert many.status in {202, 400, 422}, (text, many.body)
        for result in many.body.get("results", []) if many.status == 202 else []:
            if result["status"] == "recorded":
                accepted[result["ack"]["sequenceFrom"]] = text
        assert single.status == beat.status, "one judge for every shape of an event"
    return accepted


async def read_back(doors: Doors, accepted: dict[int, str]) -> None:
    """Wait for the writer, and compare what the routes for staff show with what was accepted."""
    if not accepted:
        return
    world, seat = doors.ingest.world, doors.seat
    through = max(accepted)
    stored = "SELECT through_seq FROM session_progress WHERE session_id = %s"

    def written() -> bool:
        return [row["through_seq"] for row in world.rows(stored, seat.session_id)] >= [through]

    await until(written, "the writer")
    after = min(accepted) - 1
    page = await doors.core("GET", f"/api/proctor/session/{seat.session_id}/events?limit=200&cursor={after}")
    assert page.status == 200, page.body
    for event in page.body["data"]:
        if (text := accepted.get(int(event["sequenceNumber"]))) is not None:
            assert exactly(event["metadataJson"]) == exactly(text)
    cursor = (seat.session_id << 22) + after
    path = f"/api/teacher/attempts/{seat.attempt_id}/monitoring?limit=200&cursor={cursor}"
    watched = await doors.core("GET", path)
    assert watched.status == 200, watched.body
    shown = {int(each["sequence_number"]): each["data_payload"] for each in watched.body["events"]}
    for sequence, text in accepted.items():
        assert shown[sequence] == exactly(text)
    assert world.rows("SELECT * FROM dead_letters") == [], "the judge has let through what PostgreSQL refuses"


async def keep_as_metadata(doors: Doors, texts: list[str]) -> None:
    """Put the texts where people keep JSON in the core API, and read every page that shows them."""
    exam = f"/api/teacher/exams/{doors.exam_id}"
    writers: tuple[tuple[str, str, bytes, list[str]], ...] = (
        ("PATCH", exam, b'{"metadata":%s}', [exam, "/api/teacher/exams"]),
        ("PUT", "/api/me", b'{"metadata":%s}', ["/api/me"]),
        ("POST", "/api/teacher/exams", b'{"title":"E","duration_minutes":5,"metadata":%s}', []),
    )
    for text in texts:
        for method, path, body, readers in writers:
            kept = await doors.core(method, path, body % text.encode())
            assert kept.status in {200, 201, 400, 422}, (text, kept.body)
            if kept.status < 400 and text.strip():
                assert kept.body["metadata"] == exactly(text), text
            for reader in readers:
                page = await doors.core("GET", reader)
                assert page.status == 200, (text, page.body)


def in_the_archive(settings: Settings) -> list[str]:
    """Archive everything; return the payloads as DuckDB reads them, once Polars has read the same."""
    while archive_events(settings):
        pass
    root = root_of(settings)
    manifest = read_manifest(root, EVENTS)
    assert manifest is not None
    paths = part_addresses(root, EVENTS, manifest)
    rows = duckdb.execute("SELECT payload, json_valid(payload) FROM read_parquet(?)", [paths]).fetchall()
    assert all(is_valid for payload, is_valid in rows if payload is not None)
    assert sorted(pl.read_parquet(paths)["payload"].drop_nulls()) == sorted(text for text, _ in rows if text)
    return [text for text, _ in rows]


@pytest.mark.slow("every value through every door to every reader")
async def test_what_a_door_accepts_is_stored_and_shown_by_every_reader(
    running: Station, template: Urls, tmp_path: Path
) -> None:
    posted = 0
    async with opened(running, template) as doors:
        loop = asyncio.get_running_loop()

        def there(work: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(work, loop).result(30)

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(st.lists(TEXTS, min_size=1, max_size=3))
        @example(['{"n":0e3000000000}', '{"n":1E+5}', '{"n":0.10000000000000000000000000000000000001}'])
        @example(['{"":1,"a":1,"a":2}', "1" + "0" * 400, '{"n":123456789012345678901234567890}'])
        @example([nested(32), nested(33), nested(260)])
        def examples(texts: list[str]) -> None:
            nonlocal posted
            accepted = there(post_everywhere(doors, texts))
            posted += len(accepted)
            there(read_back(doors, accepted))
            there(keep_as_metadata(doors, texts))

        await asyncio.to_thread(examples)
    archive = load(
        {},
        database_url=as_login(running, template, "veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
    )
    assert len(await asyncio.to_thread(in_the_archive, archive)) == posted > EXAMPLES
