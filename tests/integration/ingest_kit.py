"""
What the ingest tests begin with: the application on a real socket in a thread of its own, the writer's
threads, and people with running sessions. Everything runs on real servers.
"""

import asyncio
import base64
import contextlib
import io
import threading
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec
import psycopg
import redis
from psycopg.rows import dict_row
from uuid_utils.compat import uuid7

from deploy.local.postgres import Postgres
from deploy.local.roles import on_database
from ingest.app import Part
from ingest.routes import ROUTES
from ingest.stream import (
    BATCH_VERSION,
    NO_TIME,
    Batch,
    encode_batch,
    function,
    idempotency_key,
    session_key,
    shard_key,
    shard_of,
    stream_key,
)
from ingest.writer import Owner, sweep
from kernel.events import EventType, Role
from kernel.settings import Settings, load
from kernel.tokens import Audience, Keyring, new_claims
from kernel.web import add_health, mount, new_app, serve

JWT_KEYS: Final = "test:" + base64.b64encode(b"a key that only the tests know, of 32 bytes or more").decode()
WITHIN_S: Final = 20.0
SHARDS: Final = 2
There = Callable[[Coroutine[Any, Any, Any]], Any]
numbers = count(1)


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def ack(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["ack"]
        return found


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with a running attempt and an active session."""

    session_id: int
    attempt_id: UUID
    user_id: UUID
    token: str


class World:
    """Two organisations in a migrated database, through the owner's connection."""

    def __init__(self, database: str) -> None:
        self.address = database
        self.owner = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.keyring = Keyring.parse(JWT_KEYS)
        self.org, self.elsewhere = uuid7(), uuid7()
        self.exams: dict[UUID, UUID] = {}
        for org in (self.org, self.elsewhere):
            self.run("INSERT INTO organisations (id, name) VALUES (%s, %s)", org, f"school {org}")
            teacher, exam = self.user(org, Role.teacher), uuid7()
            self.run(
                "INSERT INTO exams (id, organisation_id, creator_id, title, duration_minutes, is_published)"
                " VALUES (%s, %s, %s, 'Exam', 60, true)",
                *(exam, org, teacher),
            )
            self.exams[org] = exam

    def run(self, statement: str, *arguments: object) -> None:
        self.owner.execute(statement.encode(), arguments)

    def rows(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        return self.owner.execute(statement.encode(), arguments).fetchall()

    def one(self, statement: str, *arguments: object) -> Any:
        """Return the first row's first column."""
        return next(iter(self.rows(statement, *arguments)[0].values()))

    def user(self, org: UUID, role: Role) -> UUID:
        user = uuid7()
        self.run(
            "INSERT INTO users (id, organisation_id, email, username, role) VALUES (%s, %s, %s, %s, %s)",
            *(user, org, f"{user}@school.example", str(user), role.value),
        )
        return user

    def token(
        self,
        role: Role,
        *,
        user: UUID | None = None,
        org: UUID | None = None,
        life_s: int = 3600,
        audience: Audience = Audience.access,
        keyring: Keyring | None = None,
    ) -> str:
        claims = new_claims(
            user_id=str(user or uuid7()),
            email="somebody@school.example",
            role=role,
            org=str(org or self.org),
            now=datetime.now(UTC),
            life_s=life_s,
            audience=audience,
        )
        return (keyring or self.keyring).sign(claims)

    def attempt(self, *, org: UUID | None = None, status: str = "in_progress") -> tuple[UUID, UUID]:
        """Return a new attempt and its candidate."""
        org = org or self.org
        user, attempt = self.user(org, Role.student), uuid7()
        self.run(
            "INSERT INTO exam_attempts (id, exam_id, student_id, status, started_at, expires_at)"
            " VALUES (%s, %s, %s, %s, now(), now() + interval '1 hour')",
            *(attempt, self.exams[org], user, status),
        )
        return attempt, user

    def seat(self, *, org: UUID | None = None, started_s_ago: float = 0.0) -> Seat:
        org = org or self.org
        attempt, user = self.attempt(org=org)
        session = self.session(attempt, started_s_ago=started_s_ago)
        return Seat(
            session_id=session,
            attempt_id=attempt,
            user_id=user,
            token=self.token(Role.student, user=user, org=org),
        )

    def session(self, attempt: UUID, *, mode: int = 1, started_s_ago: float = 0.0) -> int:
        found: int = self.one(
            "INSERT INTO proctor_sessions"
            " (attempt_id, exam_id, candidate_id, organisation_id, mode, started_at)"
            " SELECT a.id, a.exam_id, a.student_id, e.organisation_id, %s, now() - %s * interval '1 second'"
            " FROM exam_attempts a JOIN exams e ON e.id = a.exam_id WHERE a.id = %s RETURNING id",
            *(mode, started_s_ago, attempt),
        )
        return found

    def end(self, session: int, *, status: int = 2, at: datetime | None = None) -> None:
        self.run(
            "UPDATE proctor_sessions SET status = %s, ended_at = coalesce(%s, now()) WHERE id = %s",
            *(status, at, session),
        )

    def stored(self, session: int) -> list[dict[str, Any]]:
        """Return the session's rows in order."""
        return self.rows("SELECT * FROM events WHERE session_id = %s ORDER BY seq", session)

    def sequences(self, session: int) -> list[int]:
        """Return the sequences of the session's rows and dead letters, sorted."""
        both = (
            "SELECT seq FROM events WHERE session_id = %s"
            " UNION ALL SELECT seq FROM dead_letters WHERE session_id = %s ORDER BY seq"
        )
        return [row["seq"] for row in self.rows(both, session, session)]

    def losses(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM stream_losses ORDER BY id")

    def close(self) -> None:
        self.owner.close()


class Writer:
    """The writer's threads, as its process runs them."""

    def __init__(self, settings: Settings, *, sweeps: bool = True) -> None:
        self.owners: list[Owner] = []
        self._settings = settings
        self._sweeps = sweeps
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def start(self) -> None:
        self._stop = stop = threading.Event()
        self.owners = owners = [Owner(shard, self._settings, stop) for shard in range(self._settings.shards)]
        self._threads = [threading.Thread(target=owner.run, daemon=True) for owner in owners]
        if self._sweeps:
            body = (owners, self._settings, stop)
            self._threads.append(threading.Thread(target=sweep, args=body, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WITHIN_S)
            assert not thread.is_alive(), "a writer's thread must end when told to"
        self._threads = []


class Station:
    """The running tier: where it listens, what is behind it."""

    def __init__(
        self, settings: Settings, world: World, writer: Writer, url: str, part: Part, there: There
    ) -> None:
        self.settings = settings
        self.there = there
        self.world = world
        self.writer = writer
        self.url = url
        self.part = part
        self.redis = redis.Redis.from_url(settings.redis_url)

    def open(self) -> bool:
        """Tell whether every shard admits."""
        return self.there(self.part.ready()) is None


@contextmanager
def station(
    postgres: Postgres,
    template: dict[str, str],
    redis_url: str,
    *,
    writing: bool = True,
    sweeps: bool = True,
    **overrides: Any,
) -> Iterator[Station]:
    """
    Run ingest and the writer on a database of their own, and wait until every shard admits.

    Args:
        postgres: the server.
        template: addresses of the template database by role.
        redis_url: is emptied first.
        writing: false stops the writer as soon as the shards are open: what is posted stays in the stream.
        sweeps: run the sweeps as well.
        overrides: settings.
    """
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.function_flush()
    name = f"veritas_ingest_{next(numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE {template['veritas_core'].rpartition('/')[2]}".encode()
        )
        try:
            with _on(
                on_database(postgres.url, name),
                on_database(template["veritas_ingest"], name),
                redis_url,
                writing=writing,
                sweeps=sweeps,
                overrides=overrides,
            ) as running:
                yield running
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def _on(
    owner_url: str, ingest_url: str, redis_url: str, *, writing: bool, sweeps: bool, overrides: dict[str, Any]
) -> Iterator[Station]:
    settings = load(
        {},
        **{
            "database_url": ingest_url,
            "redis_url": redis_url,
            "jwt_keys": JWT_KEYS,
            "shards": SHARDS,
            "redis_connections": 2,
            "pool_connections_max": 4,
            "writer_batch_ms": 5,
            "writer_lock_s": 0.1,
            "heartbeat_sweep_s": 0.2,
            "shutdown_s": 2,
            **overrides,
        },
    )
    world = World(owner_url)
    writer = Writer(settings, sweeps=sweeps)
    writer.start()
    try:
        with listening(settings) as (url, part, there):
            running = Station(settings, world, writer, url, part, there)
            wait_until(running.open, "every shard to be open")
            if not writing:
                writer.stop()
            try:
                yield running
            finally:
                running.redis.close()
    finally:
        writer.stop()
        world.close()


@contextmanager
def listening(settings: Settings) -> Iterator[tuple[str, Part, There]]:
    """Serve ingest's application from a thread; give its address, its part, and the way onto its loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app, part = new_app(settings), Part()
    mount(app, ROUTES)
    part.attach(app)
    add_health(app, [part.ready], part.level)

    def there(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(WITHIN_S)

    try:
        runner = there(serve(app, settings, port=0))
        try:
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}", part, there
        finally:
            there(runner.cleanup())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WITHIN_S)
        loop.close()


class Api:
    """A client of a station."""

    def __init__(self, at: Station, http: aiohttp.ClientSession) -> None:
        self.at = at
        self.world = at.world
        self.http = http

    async def post(self, path: str, body: Any, token: str | None = None, **headers: str) -> Answer:
        """Post JSON, or bytes as they are; header names are written with underscores."""
        raw = body if isinstance(body, bytes | io.BytesIO) else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self.http.post(self.at.url + path, data=raw, headers=sent) as response:
            text = await response.read()
            body = msgspec.json.decode(text) if "json" in response.content_type and text else text
            return Answer(response.status, body, response.headers)

    async def event(self, seat: Seat, **members: Any) -> Answer:
        headers = members.pop("headers", {})
        body = {"proctorSessionId": seat.session_id, "eventType": 102, **members}
        return await self.post("/api/proctor/event", body, seat.token, **headers)

    async def bulk(self, seat: Seat, events: list[Any], **members: Any) -> Answer:
        headers, query = members.pop("headers", {}), members.pop("query", "")
        body = {"proctorSessionId": seat.session_id, "events": events, **members}
        return await self.post("/api/proctor/events/bulk" + query, body, seat.token, **headers)

    async def tab(self, seat: Seat, numbers: list[int], tab: str = "tab-1", **members: Any) -> Answer:
        """Post keystrokes with these clientSequences as a client instance."""
        return await self.bulk(seat, [keystroke(n) for n in numbers], clientInstance=tab, **members)

    async def heartbeat(self, seat: Seat, **members: Any) -> Answer:
        headers = members.pop("headers", {})
        body = {"proctorSessionId": seat.session_id, **members}
        return await self.post("/api/proctor/heartbeat", body, seat.token, **headers)

    async def get(self, path: str) -> Answer:
        async with self.http.get(self.at.url + path) as response:
            text = await response.read()
            body = msgspec.json.decode(text) if "json" in response.content_type else text
            return Answer(response.status, body, response.headers)

    async def stored(self, seat: Seat, through: int) -> list[dict[str, Any]]:
        """Wait until so many sequences are stored or set aside, and return the rows."""

        def done() -> bool:
            return len(self.world.sequences(seat.session_id)) >= through

        await until(done, f"{through} sequences of session {seat.session_id} in PostgreSQL")
        return self.world.stored(seat.session_id)


@contextlib.asynccontextmanager
async def api_of(at: Station) -> AsyncIterator[Api]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:
        yield Api(at, http)


def keystroke(sequence: int | None = None, **members: Any) -> dict[str, Any]:
    event = {"eventType": 102, "metadataJson": f'{{"n":{sequence or 0}}}', **members}
    return event if sequence is None else {**event, "clientSequence": sequence}


def stamp(when: datetime | None = None, *, s: float = 0.0) -> str:
    """Return a client's timestamp, `s` seconds off."""
    moment = (when or datetime.now(UTC)) + timedelta(seconds=s)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wait_until(done: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait for a condition; raise when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        time.sleep(0.01)


async def until(done: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait for a condition without holding up the loop."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        await asyncio.sleep(0.01)


async def answered(ask: Callable[[], Awaitable[Answer]], status: int, within_s: float = WITHIN_S) -> Answer:
    """Ask until the status comes."""
    deadline = time.monotonic() + within_s
    while (answer := await ask()).status != status:
        assert time.monotonic() < deadline, (
            f"waited {within_s:g} s for {status}, last {answer.status} {answer.body}"
        )
        await asyncio.sleep(0.05)
    return answer


def append(client: "redis.Redis", batch: Batch, session: int, **more: Any) -> list[Any]:
    """
    Call the append function itself, past admission and past the tier.

    Args:
        client: of Redis.
        batch: what goes into the stream, unchecked.
        session: whose.
        more: `epoch`, `org`, `candidate` (empty for a service), `ranges`, `key`, `digest`, `heartbeat_us`,
            `latest_us`,
            `event_us`, `burst_us`, `ranges_max`, `clients_max`, `shards`.
    """
    shard = shard_of(session, more.get("shards", SHARDS))
    own = session_key(shard, session)
    key = more.get("key", "")
    reply: list[Any] = client.execute_command(
        "FCALL",
        function("append"),
        4,
        *(own, stream_key(shard), shard_key(shard), idempotency_key(shard, session, key) if key else own),
        *(more.get("epoch", 1), session, len(batch.types)),
        "" if batch.client is None else batch.client,
        more.get("ranges", ""),
        *(more.get("candidate", ""), str(more.get("org", ""))),
        *(0, more.get("heartbeat_us", ""), more.get("latest_us", "")),
        *(more.get("event_us", 1), more.get("burst_us", 10**15), 1_800_000_000, more.get("ranges_max", 64)),
        *(3600 if key else "", more.get("digest", ""), encode_batch(batch), more.get("clients_max", 256)),
    )
    return reply


def batch_of(
    *payloads: str | None, client: int | None = None, sequences: int | list[int] | None = None
) -> Batch:
    """Return keystrokes with these payloads, whatever they are."""
    return Batch(
        version=BATCH_VERSION,
        client=client,
        sequences=sequences,
        types=bytes([EventType.Keystroke] * len(payloads)),
        severities=bytes(len(payloads)),
        client_us=array("q", [NO_TIME] * len(payloads)).tobytes(),
        payloads=list(payloads),
    )
