"""People, exams, attempts and sessions in a migrated database, and what is stored there."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import dict_row
from uuid_utils.compat import uuid7

from core_api import seeding
from core_api.seeding import NewUser
from kernel.events import Mode, Role
from kernel.tokens import Audience, Keyring, new_claims

JWT_KEYS: Final = "test:" + base64.b64encode(b"a key that only the tests know, of 32 bytes or more").decode()


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
        here, elsewhere = (
            seeding.create_school(self.owner, f"school {uuid7()}", now=datetime.now(UTC)) for _ in range(2)
        )
        self.org, self.elsewhere = here.organisation_id, elsewhere.organisation_id
        self.exams = {each.organisation_id: each.exam_ids[0] for each in (here, elsewhere)}

    def run(self, statement: str, *arguments: object) -> None:
        self.owner.execute(statement.encode(), arguments)

    def rows(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        return self.owner.execute(statement.encode(), arguments).fetchall()

    def one(self, statement: str, *arguments: object) -> Any:
        """Return the first row's first column."""
        return next(iter(self.rows(statement, *arguments)[0].values()))

    def user(self, org: UUID, role: Role) -> UUID:
        who = NewUser(email=f"{uuid7()}@school.example", role=role)
        return seeding.create_users(self.owner, org, [who], now=datetime.now(UTC))[0]

    def token(
        self,
        role: Role,
        *,
        user: UUID | None = None,
        org: UUID | None = None,
        life_s: int = 3600,
        audience: Audience = Audience.access,
        keyring: Keyring | None = None,
        exam: UUID | None = None,
    ) -> str:
        claims = new_claims(
            user_id=str(user or uuid7()),
            email="somebody@school.example",
            role=role,
            org=str(org or self.org),
            now=datetime.now(UTC),
            life_s=life_s,
            audience=audience,
            exam_id=None if exam is None else str(exam),
        )
        return (keyring or self.keyring).sign(claims)

    def attempt(self, *, org: UUID | None = None, status: str = "in_progress") -> tuple[UUID, UUID]:
        """Return a new attempt and its candidate."""
        org = org or self.org
        user = self.user(org, Role.student)
        (attempt,) = seeding.begin_attempts(self.owner, self.exams[org], [user], now=datetime.now(UTC))
        self.run("UPDATE exam_attempts SET status = %s WHERE id = %s", status, attempt)
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

    def seat_beside(self, seat: Seat, *, shards: int = 2) -> Seat:
        """Return a seat whose session belongs to another shard."""
        while (other := self.seat()).session_id % shards == seat.session_id % shards:
            pass
        return other

    def session(self, attempt: UUID, *, mode: int = 1, started_s_ago: float = 0.0) -> int:
        began = datetime.now(UTC) - timedelta(seconds=started_s_ago)
        return seeding.open_sessions(self.owner, [attempt], now=began, mode=Mode(mode))[0]

    def sessions(self, count: int, *, started_s_ago: float = 0.0) -> list[int]:
        """Return so many new sessions at once, each of its own candidate who began with it."""
        began = datetime.now(UTC) - timedelta(seconds=started_s_ago)
        seated = seeding.seat_candidates(self.owner, self.org, self.exams[self.org], count, now=began)
        return [each.session_id for each in seated]

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
