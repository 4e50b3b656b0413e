"""
Proctor sessions: one per attempt and mode, made by the candidate, ended with the attempt (spec.md P-1, P-2,
decision 8). How an attempt is proctored says the policy that it began under (E-3), not the client.
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from core_api import attempts, ledger
from core_api.actors import Actor
from core_api.database import Connection
from core_api.wire import Text200, Text1000
from kernel.errors import ConflictError, NotFoundError
from kernel.events import HEARTBEAT_INTERVAL_S, Mode, SessionStatus
from sql import named

QUERIES: Final = named("sessions")
ATTEMPTS: Final = named("attempts")


class CreateSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What a candidate's client says about itself when proctoring begins; by `mode` it may ask for more than the
    attempt's policy demands, never for less.
    """

    attempt_id: UUID
    mode: Mode | UnsetType = UNSET
    device_fingerprint: Text200 | None = None
    user_agent: Text1000 | None = None
    browser_name: Text200 | None = None
    browser_version: Text200 | None = None
    operating_system: Text200 | None = None
    screen_resolution: Text200 | None = None


class SessionStarted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The session, and how often the client must send a heartbeat."""

    proctor_session_id: int
    attempt_id: UUID
    mode: Mode
    started_at: datetime
    heartbeat_interval_seconds: int
    message: str


class SessionState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a session stands after it was ended or cancelled."""

    proctor_session_id: int
    attempt_id: UUID
    mode: Mode
    mode_name: str
    status: SessionStatus
    status_name: str
    started_at: datetime
    ended_at: datetime | None


async def create(
    conn: Connection,
    actor: Actor,
    command: CreateSession,
    *,
    address: IPv4Address | IPv6Address | None,
    now: datetime,
) -> tuple[SessionStarted, bool]:
    """
    Return the attempt's session in that mode, and whether this call made it.

    The lock on the attempt keeps it from being finalised meanwhile. Looking before inserting keeps retries
    from using up the bounded identity.

    Raises:
        NotFoundError: the attempt is not the caller's.
        ConflictError: the attempt is over or not proctored, or the session has ended.
    """
    async with conn.transaction():
        attempt = await conn.fetchrow(ATTEMPTS["hold_own_attempt"], command.attempt_id, actor.user_id)
        if attempt is None:
            raise NotFoundError("There is no such attempt.")
        if not attempts.is_running(attempt["status"], attempt["expires_at"], now):
            raise ConflictError("Proctoring cannot start: the attempt is not in progress.")
        mode = mode_of(command.mode, attempt["monitoring_mode"])
        row = await conn.fetchrow(QUERIES["find_session"], command.attempt_id, mode)
        created = row is None
        if row is None:
            row = await _insert(conn, actor, attempt["exam_id"], command, mode, address=address, now=now)
            created = row is not None
        if row is not None and created:
            detail = {"attempt_id": str(command.attempt_id), "mode": mode}
            await ledger.act(
                conn, actor, "session.started", row["id"], now=now, subject_id=actor.user_id, detail=detail
            )
        if row is None:
            row = await conn.fetchrow(QUERIES["find_session"], command.attempt_id, mode)
        assert row is not None, "an insert that met a conflict waited for the other one's commit"
    if row["status"] != SessionStatus.Active:
        raise ConflictError("The proctor session of this attempt and mode has ended.")
    return _started(row), created


def mode_of(asked: Mode | UnsetType, demanded: int | None) -> Mode:
    """
    Return how an attempt is proctored: the stricter of what its policy demands and what the client asks for.

    Args:
        asked: UNSET leaves it to the policy.
        demanded: the policy's `monitoring_mode`; 0 is none, None is an attempt older than policies.

    Raises:
        ConflictError: the policy has no monitoring: nothing may be gathered about this candidate.
    """
    if demanded == 0:
        raise ConflictError("Proctoring cannot start: the attempt is not proctored.")
    return Mode(max(Mode.Soft if asked is UNSET else asked, demanded or Mode.Soft))


async def _insert(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    command: CreateSession,
    mode: Mode,
    *,
    address: IPv4Address | IPv6Address | None,
    now: datetime,
) -> asyncpg.Record | None:
    return await conn.fetchrow(
        QUERIES["insert_session"],
        command.attempt_id,
        exam_id,
        actor.user_id,
        actor.organisation_id,
        mode,
        now,
        command.device_fingerprint,
        command.user_agent,
        command.browser_name,
        command.browser_version,
        command.operating_system,
        command.screen_resolution,
        address,
    )


def _started(row: asyncpg.Record) -> SessionStarted:
    return SessionStarted(
        proctor_session_id=row["id"],
        attempt_id=row["attempt_id"],
        mode=Mode(row["mode"]),
        started_at=row["started_at"],
        heartbeat_interval_seconds=HEARTBEAT_INTERVAL_S,
        message="Proctor session started successfully",
    )


async def end(conn: Connection, actor: Actor, session_id: int, *, now: datetime) -> SessionState:
    """
    Complete the session; one that was completed before is returned as it is. Raises what `_close` raises.
    """
    return await _close(conn, actor, session_id, SessionStatus.Completed, now=now)


async def cancel(conn: Connection, actor: Actor, session_id: int, *, now: datetime) -> SessionState:
    """Cancel the session; one that was cancelled before is returned as it is. Raises what `_close` raises."""
    return await _close(conn, actor, session_id, SessionStatus.Cancelled, now=now)


async def _close(
    conn: Connection, actor: Actor, session_id: int, status: SessionStatus, *, now: datetime
) -> SessionState:
    """
    Move an active session to its final status.

    Raises:
        NotFoundError: unknown, or not the caller's.
        ConflictError: it ended the other way before.
    """
    async with conn.transaction():
        row = await conn.fetchrow(
            QUERIES["hold_session"], session_id, actor.organisation_id, actor.user_id, actor.sees_organisation
        )
        if row is None:
            raise NotFoundError("There is no such proctor session.")
        if row["status"] == SessionStatus.Active:
            candidate_id = row["candidate_id"]
            row = await conn.fetchrow(QUERIES["close_session"], session_id, status, now)
            kind = "session.cancelled" if status is SessionStatus.Cancelled else "session.ended"
            await ledger.act(conn, actor, kind, session_id, now=now, subject_id=candidate_id)
    assert row is not None, "the lock keeps the row as it was found"
    if row["status"] != status:
        raise ConflictError(f"The proctor session is {SessionStatus(row['status']).name.lower()} already.")
    return SessionState(
        proctor_session_id=row["id"],
        attempt_id=row["attempt_id"],
        mode=Mode(row["mode"]),
        mode_name=Mode(row["mode"]).name,
        status=SessionStatus(row["status"]),
        status_name=SessionStatus(row["status"]).name,
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
