"""People, exams, attempts and sessions in a migrated database, and what is stored there."""

import base64
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import dict_row
from uuid_utils.compat import uuid7

from kernel.events import Role
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

    def seat_beside(self, seat: Seat, *, shards: int = 2) -> Seat:
        """Return a seat whose session belongs to another shard."""
        while (other := self.seat()).session_id % shards == seat.session_id % shards:
            pass
        return other

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
