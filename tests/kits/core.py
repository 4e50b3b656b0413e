"""
What the core API's tests begin with: the application on a real socket over a real database, and people in it.

`core.school()` gives a test people of its own in its module's application: organisations, accounts and a
network that no other test has, so that one test's rows, limits and refusals are not another's. `core_api` is
an application of the test's own, for other settings or for what would harm other tests.
"""

import atexit
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import msgspec
from aiohttp import web

from core_api import seeding
from core_api.app import build
from core_api.seeding import Candidate, NewUser
from kernel.events import EventType, Role, is_violation
from kernel.http.serving import serve
from kernel.settings import Settings, load
from kernel.tokens import Audience, Keyring, new_claims
from sql.running import Connection
from tests.kits.own_rows import show_own_rows
from tests.kits.processes import loop_beside

PASSWORD = "correct horse battery staple"
JWT_KEYS = "test:" + base64.b64encode(b"a key that only the tests know, of 32 bytes or more").decode()
DatabaseAs = Callable[[str], str]
FILES = Path(tempfile.mkdtemp(prefix="veritas-evidence-"))  # each application has folders of its own there
atexit.register(shutil.rmtree, FILES, ignore_errors=True)


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: Any
    headers: Any  # of names in any case


class Person(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    organisation_id: UUID
    email: str
    role: Role


def signed_for(
    keyring: Keyring,
    person: Person,
    *,
    audience: Audience = Audience.access,
    life_s: int = 3600,
    **more: Any,
) -> str:
    """Return a token for somebody, as the API signs it."""
    claims = new_claims(
        user_id=str(person.id),
        email=person.email,
        role=person.role,
        org=str(person.organisation_id),
        now=datetime.now(UTC),
        life_s=life_s,
        audience=audience,
        **more,
    )
    return keyring.sign(claims)


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The running application, and who is in its database: `people` by short name."""

    http: aiohttp.ClientSession
    url: str
    address: str = "127.0.0.1"  # that requests come from
    database: str  # address of, as its owner
    owner: Any  # an asyncpg connection there, on which the school's rows are all there is
    people: dict[str, Person]
    exam_id: UUID
    keyring: Keyring

    def token(self, name: str, **more: Any) -> str:
        """Return a token for somebody, as `signed_for` does."""
        return signed_for(self.keyring, self.people[name], **more)

    async def call(self, method: str, path: str, by: str | None = None, **more: Any) -> Answer:
        """Send a request as somebody and return what came back."""
        headers = dict(more.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {self.token(by)}"
        async with self.http.request(method, self.url + path, headers=headers, **more) as response:
            goes_on = response.content_type == "text/event-stream"
            raw = await (response.content.readuntil(b"}\n\n") if goes_on else response.read())
            is_json = response.content_type.endswith(("/json", "+json"))
            body = msgspec.json.decode(raw) if is_json and raw else raw
            return Answer(response.status, body, response.headers)

    async def get(self, path: str, by: str | None = None, **more: Any) -> Answer:
        return await self.call("GET", path, by, **more)

    async def post(self, path: str, by: str | None = None, **more: Any) -> Answer:
        return await self.call("POST", path, by, **more)

    def seat(self, count: int) -> list[Candidate]:
        """Make so many students of the school, each at work on its exam."""
        with seeding.connect(self.database) as conn:
            return seeding.seat_candidates(
                conn, self.people["student"].organisation_id, self.exam_id, count, now=datetime.now(UTC)
            )

    def enrol(self, emails: Sequence[str]) -> list[UUID]:
        """Make students of the school and return their ids."""
        users = [NewUser(email=email, role=Role.student) for email in emails]
        with seeding.connect(self.database) as conn:
            return seeding.create_users(
                conn, self.people["student"].organisation_id, users, now=datetime.now(UTC)
            )

    async def start_attempt(self, by: str = "student") -> str:
        answer = await self.post(f"/api/student/exams/{self.exam_id}/start", by)
        attempt_id: str = answer.body["attempt_id"]
        return attempt_id

    async def start_session(
        self, by: str = "student", *, mode: int = 1, attempt_id: str | None = None
    ) -> int:
        attempt_id = attempt_id or await self.start_attempt(by)
        answer = await self.post("/api/proctor/session", by, json={"attemptId": attempt_id, "mode": mode})
        session_id: int = answer.body["data"]["proctorSessionId"]
        return session_id


class Core:
    """A module's application, in a thread of its own, over a database that its tests share."""

    def __init__(self, url: str, database: str, database_as: DatabaseAs, seeder: Connection) -> None:
        self.url = url
        self.database = database
        self.database_as = database_as
        self._seeder = seeder
        self._schools = count(1)

    def school(self) -> AbstractAsyncContextManager[Api]:
        """Make new people, and give the application to a test as they see it."""
        number = next(self._schools)
        network = f"127.{1 + number // 256}.{number % 256}.1"
        return school(self.url, self.database, self._seeder, label=f"-{number}", address=network)


@contextmanager
def running_core(database: str, database_as: DatabaseAs, **overrides: Any) -> Iterator[Core]:
    """Serve the core API as `veritas_core` on a free port, from a thread, to the tests of a module."""
    settings = settings_of(database_as, **overrides)

    async def begin() -> web.AppRunner:
        return await serve(await build(settings), settings, port=0)

    with loop_beside() as there, seeding.connect(database) as seeder:
        runner = there(begin())
        try:
            yield Core(url_of(runner), database, database_as, seeder)
        finally:
            there(runner.cleanup())


@asynccontextmanager
async def core_api(database: str, database_as: DatabaseAs, **overrides: Any) -> AsyncIterator[Api]:
    """Serve the core API as `veritas_core` on a free port, with one school in its database, to one test."""
    settings = settings_of(database_as, **overrides)
    runner = await serve(await build(settings), settings, port=0)
    try:
        async with school(url_of(runner), database) as api:
            yield api
    finally:
        await runner.cleanup()


def settings_of(database_as: DatabaseAs, **overrides: Any) -> Settings:
    return load(
        {},
        programme_sweep_s=3_600,  # tests sweep
        database_url=database_as("veritas_core"),
        jwt_keys=JWT_KEYS,
        **{
            "bcrypt_rounds": 4,
            "redis_url": database_as("redis"),
            "export_wait_s": 60,
            "evidence_store": str(FILES / str(uuid4())),
            "evidence_cold_store": str(FILES / str(uuid4())),
            **overrides,
        },
    )


def url_of(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


@asynccontextmanager
async def school(
    url: str,
    database: str,
    seeder: Connection | None = None,
    *,
    label: str = "",
    address: str = "127.0.0.1",
) -> AsyncIterator[Api]:
    """
    Make people in the database and give a client that asks from the address.

    People: one of each role; `colleague`, a teacher who may see nothing of the exam; `stranger` (student),
    `rival` (teacher) and `boss` (admin) of another organisation; the reviewer was granted the exam.
    """
    with nullcontext(seeder) if seeder else seeding.connect(database) as conn:
        people, exam_id = make_people(conn, label=label)
    owner = await asyncpg.connect(database)
    try:
        await show_own_rows(owner, {person.organisation_id for person in people.values()}, address)
        connector = aiohttp.TCPConnector(limit=0, local_addr=(address, 0))
        async with aiohttp.ClientSession(connector=connector) as http:
            yield Api(
                http=http,
                url=url,
                address=address,
                database=database,
                owner=owner,
                people=people,
                exam_id=exam_id,
                keyring=Keyring.parse(JWT_KEYS),
            )
    finally:
        await owner.close()


def make_people(conn: Connection, *, label: str = "") -> tuple[dict[str, Person], UUID]:
    """Make the people that `school` names, and the teacher's exam; return them and its id."""
    now = datetime.now(UTC)
    people = {}
    for organisation, members in (
        (
            "Here",
            {role.value: role for role in Role} | {"other_student": Role.student, "colleague": Role.teacher},
        ),
        ("Elsewhere", {"stranger": Role.student, "rival": Role.teacher, "boss": Role.admin}),
    ):
        organisation_id = seeding.create_organisation(conn, organisation + label, now=now)
        users = [
            NewUser(
                email=f"{name}@{organisation.lower()}{label}.example",
                role=role,
                full_name=f"The {name}",
                password=PASSWORD,
            )
            for name, role in members.items()
        ]
        ids = seeding.create_users(conn, organisation_id, users, now=now, rounds=4)
        for name, user, user_id in zip(members, users, ids, strict=True):
            people[name] = Person(
                id=user_id, organisation_id=organisation_id, email=user.email, role=user.role
            )
    teacher = people["teacher"]
    (exam_id,) = seeding.create_exams(conn, teacher.organisation_id, teacher.id, ["Algebra"], now=now)
    seeding.grant_exam(conn, exam_id, people["reviewer"].id)
    return people, exam_id


async def store_events(
    api: Api,
    session_id: int,
    events: Sequence[tuple[EventType, int]],
    *,
    begin: datetime | None = None,
    step: timedelta = timedelta(seconds=1),
    **columns: Any,
) -> datetime:
    """Store events (type, severity) as the writer would, from sequence 1 on; return the first one's time."""
    begin = begin or datetime.now(UTC) - step * len(events)
    times = [begin + step * n for n in range(len(events))]
    violations = [is_violation(kind, severity) for kind, severity in events]
    rows = [
        (
            session_id,
            n + 1,
            times[n],
            columns.get("effective_at"),
            columns.get("client_at", times[n]),
            kind,
            severity,
            violations[n],
            columns.get("is_late", False),
            columns.get("payload", '{"n": 1}'),
        )
        for n, (kind, severity) in enumerate(events)
    ]
    await api.owner.executemany(
        "INSERT INTO events (session_id, seq, occurred_at, effective_at, client_at, event_type, severity,"
        " is_violation, is_late, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        rows,
    )
    others = [n for n, (kind, _) in enumerate(events) if kind is not EventType.Heartbeat]
    await api.owner.execute(
        "INSERT INTO session_progress (session_id, through_seq, total_events, total_violations,"
        " first_event_at, last_event_at, last_heartbeat_at, clock_offset_us, last_other_type, last_other_at,"
        " last_other_seq) VALUES ($1, $2, $2, $3, $4, $5, $5, $6, $7, $8, $9)",
        session_id,
        len(events),
        sum(violations),
        times[0],
        times[-1],
        columns.get("clock_offset_us"),
        events[others[-1]][0] if others else None,
        times[others[-1]] if others else None,
        others[-1] + 1 if others else None,
    )
    return begin


async def change(database: str, statement: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute(statement)
    await owner.close()


async def put(api: Api, path: str, by: str, **body: Any) -> Answer:
    return await api.call("PUT", path, by, json=body)


async def grant(api: Api, exam_id: object, *, can_edit: bool) -> None:
    """Let the colleague see an exam, and edit it."""
    body = {"user_id": str(api.people["colleague"].id), "can_edit": can_edit}
    answer = await api.post(f"/api/admin/exams/{exam_id}/permissions", "admin", json=body)
    assert answer.status in {200, 201}, answer.body


async def login(api: Api, email: str, password: str = PASSWORD) -> int:
    return (await api.post("/api/auth/login", json={"email": email, "password": password})).status
