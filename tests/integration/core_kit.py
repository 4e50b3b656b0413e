"""
What the core API's tests begin with: the application on a real socket over a real database, and people in it.
"""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import msgspec

from core_api import seeding
from core_api.app import build
from core_api.seeding import NewUser
from kernel.events import EventType, Role, is_violation
from kernel.settings import load
from kernel.tokens import Audience, Keyring, new_claims
from kernel.web import serve

PASSWORD = "correct horse battery staple"
JWT_KEYS = "test:" + base64.b64encode(b"a key that only the tests know, of 32 bytes or more").decode()
DatabaseAs = Callable[[str], str]


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: Any
    headers: Any  # of names in any case


class Person(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    organisation_id: UUID
    email: str
    role: Role


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The running application, and who is in its database: `people` by short name."""

    http: aiohttp.ClientSession
    url: str
    owner: Any  # an asyncpg connection of the database's owner
    people: dict[str, Person]
    exam_id: UUID
    keyring: Keyring

    def token(
        self, name: str, *, audience: Audience = Audience.access, life_s: int = 3600, **more: Any
    ) -> str:
        """Return a token for somebody, as the API itself would sign it."""
        person = self.people[name]
        return self.keyring.sign(
            new_claims(
                user_id=str(person.id),
                email=person.email,
                role=person.role,
                org=str(person.organisation_id),
                now=datetime.now(UTC),
                life_s=life_s,
                audience=audience,
                **more,
            )
        )

    async def call(self, method: str, path: str, by: str | None = None, **more: Any) -> Answer:
        """Send a request as somebody and return what came back."""
        headers = dict(more.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {self.token(by)}"
        async with self.http.request(method, self.url + path, headers=headers, **more) as response:
            raw = await response.read()
            is_json = "json" in response.content_type
            body = msgspec.json.decode(raw) if is_json and raw else raw
            return Answer(response.status, body, response.headers)

    async def get(self, path: str, by: str | None = None, **more: Any) -> Answer:
        return await self.call("GET", path, by, **more)

    async def post(self, path: str, by: str | None = None, **more: Any) -> Answer:
        return await self.call("POST", path, by, **more)

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


@asynccontextmanager
async def core_api(database: str, database_as: DatabaseAs, **overrides: Any) -> AsyncIterator[Api]:
    """
    Serve the core API as `veritas_core` on a free port.

    People: one of each role; `colleague`, a teacher who may see nothing of the exam; `stranger` (student),
    `rival` (teacher) and `boss` (admin) of another organisation; the reviewer was granted the exam.
    """
    settings = load(
        {},
        database_url=database_as("veritas_core"),
        jwt_keys=JWT_KEYS,
        **{"bcrypt_rounds": 4, "redis_url": database_as("redis"), **overrides},
    )
    owner = await asyncpg.connect(database)
    people, exam_id = await make_people(owner)
    runner = await serve(await build(settings), settings, port=0)
    try:
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            yield Api(
                http=http,
                url=f"http://{host}:{port}",
                owner=owner,
                people=people,
                exam_id=exam_id,
                keyring=Keyring.parse(JWT_KEYS),
            )
    finally:
        await runner.cleanup()
        await owner.close()


async def make_people(conn: Any) -> tuple[dict[str, Person], UUID]:
    """Make the people that `core_api` names, and the teacher's exam; return them and its id."""
    now = datetime.now(UTC)
    people = {}
    for organisation, members in (
        (
            "Here",
            {role.value: role for role in Role} | {"other_student": Role.student, "colleague": Role.teacher},
        ),
        ("Elsewhere", {"stranger": Role.student, "rival": Role.teacher, "boss": Role.admin}),
    ):
        organisation_id = await seeding.create_organisation(conn, organisation, now=now)
        users = [
            NewUser(
                email=f"{name}@{organisation.lower()}.example",
                role=role,
                full_name=f"The {name}",
                password=PASSWORD,
            )
            for name, role in members.items()
        ]
        ids = await seeding.create_users(conn, organisation_id, users, rounds=4, now=now)
        for (name, role), user, user_id in zip(members.items(), users, ids, strict=True):
            people[name] = Person(id=user_id, organisation_id=organisation_id, email=user.email, role=role)
    teacher = people["teacher"]
    exam_id = await seeding.create_exam(conn, teacher.organisation_id, teacher.id, "Algebra", now=now)
    await seeding.grant_exam(conn, exam_id, people["reviewer"].id)
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
            times[n],
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
    await api.owner.execute(
        "INSERT INTO session_progress (session_id, through_seq, total_events, total_violations,"
        " first_event_at, last_event_at, last_heartbeat_at, clock_offset_us)"
        " VALUES ($1, $2, $2, $3, $4, $5, $5, $6)",
        session_id,
        len(events),
        sum(violations),
        times[0],
        times[-1],
        columns.get("clock_offset_us"),
    )
    return begin


async def change(database: str, statement: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute(statement)
    await owner.close()


async def put(api: Api, path: str, by: str, **body: Any) -> Answer:
    return await api.call("PUT", path, by, json=body)


async def login(api: Api, email: str, password: str = PASSWORD) -> int:
    return (await api.post("/api/auth/login", json={"email": email, "password": password})).status
