"""
A candidate's attempt at an exam: started once, however often it is asked for (spec.md D-1, D-2).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection
from kernel.errors import ConflictError, NotFoundError
from kernel.events import AttemptStatus
from sql import named

QUERIES: Final = named("attempts")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as its candidate sees it; the clock that counts is `server_time`."""

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    status: AttemptStatus
    started_at: datetime
    expires_at: datetime
    completed_at: datetime | None
    duration_seconds: int | None
    score: float | None
    max_score: float | None
    percentage: float | None
    passed: bool | None
    enable_monitoring: bool
    server_time: datetime
    remaining_seconds: float


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt, and whether this call began it."""

    attempt: Attempt
    created: bool


async def start(conn: Connection, actor: Actor, exam_id: UUID, *, now: datetime) -> Started:
    """
    Begin the caller's attempt, or return the one that runs already.

    Raises:
        NotFoundError: no such exam is open to them.
        ConflictError: their attempt is over, by hand-in or by time.
    """
    created = await conn.fetchval(
        QUERIES["insert_attempt"], uuid7(), exam_id, actor.user_id, actor.organisation_id, now
    )
    attempt_id = created or await conn.fetchval(QUERIES["find_latest_attempt"], exam_id, actor.user_id)
    if attempt_id is None:
        raise NotFoundError("There is no such exam open to you.")
    attempt = await fetch(conn, actor, attempt_id, now=now)
    if not is_running(attempt.status, attempt.expires_at, now):
        raise ConflictError("Your attempt at this exam is over.")
    return Started(attempt=attempt, created=created is not None)


def is_running(status: str, expires_at: datetime, now: datetime) -> bool:
    """Tell whether an attempt still takes answers and events: the server's time decides, not the sweep's."""
    return status == AttemptStatus.in_progress and now < expires_at


async def fetch(conn: Connection, actor: Actor, attempt_id: UUID, *, now: datetime) -> Attempt:
    """Return one of the caller's own attempts; raises NotFoundError for anybody else's."""
    row = await conn.fetchrow(QUERIES["fetch_own_attempt"], attempt_id, actor.user_id)
    if row is None:
        raise NotFoundError("There is no such attempt.")
    running = is_running(row["status"], row["expires_at"], now)
    remaining = (row["expires_at"] - now).total_seconds() if running else 0.0
    return Attempt(**row, server_time=now, remaining_seconds=remaining)
