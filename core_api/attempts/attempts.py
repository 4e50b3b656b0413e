"""
A candidate's attempt at an exam: started once, however often it is asked for (spec.md D-1, D-2).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
import orjson
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.attempts.availability import policy_of
from core_api.authoring.evaluations import Paper
from core_api.database import Connection, fetch_one, of_row
from core_api.exams import assignments
from core_api.exams.policy import Policy
from core_api.ledger import entries as ledger
from core_api.sittings.clock import clock_of
from core_api.wire import as_json
from kernel.errors import AttemptPausedError, ConflictError, NotFoundError
from kernel.events import AttemptStatus
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("attempts")


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """
    How the result changed when a key was put right, and the notes that say why. Numbers are null while a
    grader is awaited, and of a result that does not count.
    """

    corrected_at: datetime
    note_en: str
    note_ar: str
    score_before: float | None
    score: float | None
    percentage_before: float | None
    percentage: float | None
    passed_before: bool | None
    passed: bool | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """
    An attempt as its candidate sees it; the clock that counts is `server_time`.

    While it is paused, `remaining_seconds` stands still, `paused_until` is when it goes on at the latest, and
    `expires_at` is its end if it is paused so long.

    A result that `is_void` does not count: it has no score. `corrections` are what changed it since the
    hand-in beside its grading, newest first.
    """

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
    is_void: bool
    enable_monitoring: bool
    attempt_number: int | None  # null on attempts older than assignments
    monitoring_mode: int | None  # 0 none, 1 Soft, 2 Advanced
    submitted_by: str | None
    paused_until: datetime | None
    server_time: datetime
    remaining_seconds: float
    corrections: list[Correction]


async def start(conn: Connection, actor: Actor, exam_id: UUID, *, now: datetime) -> tuple[Attempt, bool]:
    """
    Begin the caller's attempt under their effective policy, or return the one that runs already; and tell
    whether it was begun.

    The proctor session that the policy demands is opened with it, and waits for its client.

    Raises:
        NotFoundError: no such exam is open to them.
        ConflictError: their attempts are over, by hand-in or by time, or the window is not open.
    """
    exam = await conn.fetchrow(QUERIES["find_startable"], exam_id, actor.organisation_id, actor.user_id)
    if exam is None:
        raise NotFoundError("There is no such exam open to you.")
    attempt_id = exam["attempt_id"] if _runs(exam, now) else None
    created = None
    if attempt_id is None:
        policy = await _policy(conn, actor, exam, now=now)
        created = await _insert(conn, actor, exam_id, policy, now=now)
        attempt_id = created or await conn.fetchval(QUERIES["find_latest_attempt"], exam_id, actor.user_id)
    if attempt_id is None:
        raise NotFoundError("There is no such exam open to you.")
    attempt = await fetch(conn, actor, attempt_id, now=now)
    if not is_running(attempt.status, attempt.expires_at, now):
        raise ConflictError("Your attempt at this exam is over.")
    return attempt, created is not None


def _runs(exam: asyncpg.Record, now: datetime) -> bool:
    return exam["attempt_id"] is not None and is_running(exam["status"], exam["expires_at"], now)


async def _policy(conn: Connection, actor: Actor, exam: asyncpg.Record, *, now: datetime) -> Policy:
    """Return the policy to begin under; raises NotFoundError or ConflictError where none may begin."""
    grants = []
    if exam["is_restricted"]:
        grants = (await assignments.grants_of(conn, [exam["id"]], actor.user_id)).get(exam["id"], [])
    is_theirs = exam["is_published"] and (grants or not exam["is_restricted"])
    if not is_theirs and exam["attempt_id"] is None:
        raise NotFoundError("There is no such exam open to you.")
    if not is_theirs:
        raise ConflictError("Your attempt at this exam is over.")
    policy = policy_of(exam, grants, now=now)
    if not policy.is_open(now):
        raise ConflictError("The exam is not open to you at this time.")
    return policy


async def _insert(
    conn: Connection, actor: Actor, exam_id: UUID, policy: Policy, *, now: datetime
) -> UUID | None:
    async with conn.transaction():
        created: UUID | None = await QUERIES.run(
            conn.fetchval,
            "insert_attempt",
            id=uuid7(),
            exam_id=exam_id,
            student=actor.user_id,
            started_at=now,
            expires_at=policy.expires_at(now),
            attempts_allowed=policy.attempts_allowed,
            policy=as_json(policy),
            mode=policy.monitoring_mode,
        )
        if created is not None:
            detail = {"exam_id": str(exam_id)}
            await ledger.record(
                conn,
                ledger.by(
                    actor, Kind.attempt_started, created, now=now, subject_id=actor.user_id, detail=detail
                ),
            )
    return created


def is_running(status: str, expires_at: datetime, now: datetime) -> bool:
    """Tell whether an attempt still takes answers and events: the server's time decides, not the sweep's."""
    return status == AttemptStatus.in_progress and now < expires_at


async def fetch(conn: Connection, actor: Actor, attempt_id: UUID, *, now: datetime) -> Attempt:
    """Return one of the caller's own attempts; raises NotFoundError for anybody else's."""
    row = await fetch_one(conn, "attempt", QUERIES["fetch_own_attempt"], attempt_id, actor.user_id)
    over = row["status"] == AttemptStatus.completed
    corrected = await conn.fetch(QUERIES["list_corrections"], attempt_id, row["is_void"]) if over else []
    running, clock = is_running(row["status"], row["expires_at"], now), clock_of(row)
    return of_row(
        row,
        Attempt,
        paused_until=clock.paused_until if running and clock.is_paused(now) else None,
        server_time=now,
        remaining_seconds=clock.remaining_s(now) if running else 0.0,
        corrections=[Correction(**each) for each in corrected],
    )


class OpenPaper(msgspec.Struct, frozen=True, kw_only=True):
    """The questions of a running attempt, without keys."""

    attempt_id: UUID
    paper: Paper
    server_time: datetime
    remaining_seconds: float


async def open_paper(conn: Connection, actor: Actor, attempt_id: UUID, *, now: datetime) -> dict[str, object]:
    """
    Return an `OpenPaper`, its paper as the bytes that were stored: ten thousand candidates get the same one.

    Raises:
        NotFoundError: not the caller's attempt, or its exam is delivered elsewhere.
        ConflictError: the attempt is over.
        AttemptPausedError: it is paused.
    """
    row = await conn.fetchrow(QUERIES["fetch_own_paper"], attempt_id, actor.user_id)
    if row is None or row["paper"] is None:
        raise NotFoundError("There is no such paper.")
    if not is_running(row["status"], row["expires_at"], now):
        raise ConflictError("Your attempt at this exam is over.")
    if clock_of(row).is_paused(now):
        raise AttemptPausedError("Your exam is paused; its questions are shown again when it goes on.")
    return {
        "attempt_id": attempt_id,
        "paper": orjson.Fragment(row["paper"]),
        "server_time": now,
        "remaining_seconds": (row["expires_at"] - now).total_seconds(),
    }
