"""
An attempt's time as staff change it: paused, resumed, extended (spec.md D-2, P-4).

Each takes the attempt that the caller holds, as the system and in a transaction, moves its clock, and records
that on the ledger. What its sessions are told is an act of theirs (`acts.py`).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.sittings.acts import QUERIES
from core_api.sittings.clock import Clock, clock_of
from core_api.wire import computed_as
from kernel.errors import ConflictError
from kernel.events import AttemptStatus
from kernel.ledger.kinds import Kind
from kernel.settings import Settings

POLICY_EXTRA: Final = "extra_minutes"


async def hold(conn: Connection, attempt_id: UUID, *, now: datetime) -> asyncpg.Record:
    """
    Lock an attempt that is under way and return its row; a pause that has lasted as long as it may is over.

    Raises:
        ConflictError: it is over, by hand-in or by time.
    """
    row = await conn.fetchrow(QUERIES["hold_running_attempt"], attempt_id)
    assert row is not None, "no attempt is ever deleted while it is named"
    if row["status"] != AttemptStatus.in_progress or row["expires_at"] <= now:
        raise ConflictError("The attempt is over.")
    return row


async def pause(
    conn: Connection,
    attempt: asyncpg.Record,
    *,
    by: Actor,
    reason: str | None,
    settings: Settings,
    now: datetime,
) -> Clock:
    """
    Stop an attempt's clock; raises ConflictError: it stands already, or was paused as long as it may be.
    """
    clock = clock_of(attempt)
    if clock.is_paused(now):
        raise ConflictError("The attempt is paused already.")
    if clock.paused_until is not None:
        message = "The last pause has only just run out; ask again in a moment."
        raise ConflictError(message)
    longest = timedelta(minutes=settings.pause_minutes_max, seconds=-attempt["paused_seconds"])
    if longest <= timedelta():
        message = f"The attempt was paused for {settings.pause_minutes_max} minutes, the most that it may be."
        raise ConflictError(message)
    stopped = clock.paused(now, longest=longest, bound=_bound(attempt, settings))
    await QUERIES.run(
        conn.execute,
        "open_pause",
        attempt_id=attempt["id"],
        at=now,
        expires_before=clock.expires_at,
        paused_by=by.user_id,
        reason=reason,
    )
    await _set(conn, attempt, stopped, attempt["paused_seconds"])
    await _record(conn, attempt, Kind.attempt_paused, stopped, by=by, now=now)
    return stopped


async def resume(
    conn: Connection, attempt: asyncpg.Record, *, by: Actor | None, settings: Settings, now: datetime
) -> Clock:
    """
    Let an attempt's clock run again, since now, or since its pause had lasted as long as it may.

    Args:
        conn: in a transaction, as the system.
        attempt: as `hold` gives it.
        by: who resumes it; None where the pause has lasted as long as it may.
        settings: say whether the window bounds it.
        now: when.

    Raises:
        ConflictError: it runs, or, where nobody resumes it, may be paused for longer.
    """
    clock = clock_of(attempt)
    if clock.paused_at is None or clock.is_paused(now) is (by is None):
        raise ConflictError("The attempt is not paused.")
    lasted = clock.lasted(now)
    running = clock.resumed(now, expires_before=attempt["expires_before"], bound=_bound(attempt, settings))
    who = None if by is None else by.user_id
    await conn.execute(QUERIES["close_pause"], attempt["id"], clock.paused_at + lasted, who)
    await _set(conn, attempt, running, attempt["paused_seconds"] + round(lasted.total_seconds()))
    await _record(conn, attempt, Kind.attempt_resumed, running, by=by, now=now)
    return running


async def extend(
    conn: Connection,
    attempt: asyncpg.Record,
    seconds: int,
    *,
    by: Actor,
    reason: str,
    assignment_id: UUID | None = None,
    now: datetime,
) -> Clock:
    """Give an attempt extra time: by an act, or by the override of an assignment; a pause goes on."""
    longer = clock_of(attempt).extended(timedelta(seconds=seconds))
    await QUERIES.run(
        conn.execute,
        "grant_time",
        id=uuid7(),
        attempt_id=attempt["id"],
        seconds=seconds,
        assignment_id=assignment_id,
        reason=reason,
        granted_by=by.user_id,
        at=now,
    )
    await conn.execute(QUERIES["extend_pause"], attempt["id"], seconds)
    await _set(conn, attempt, longer, attempt["paused_seconds"])
    detail = {"seconds": seconds} | ({} if assignment_id is None else {"assignment_id": str(assignment_id)})
    await _record(conn, attempt, Kind.attempt_extended, longer, by=by, now=now, detail=detail)
    return longer


def _bound(attempt: asyncpg.Record, settings: Settings) -> datetime | None:
    """Return past which moment a pause moves no end: where the deployment says so, the window's."""
    policy: Mapping[str, Any] = attempt["policy"] or {}
    closes_at = policy.get("closes_at")
    if closes_at is None or not settings.pauses_end_with_window:
        return None
    extra = timedelta(minutes=policy.get(POLICY_EXTRA) or 0)
    closes: datetime = computed_as(closes_at, datetime, "the attempt's policy")
    return closes + extra


async def _set(conn: Connection, attempt: asyncpg.Record, clock: Clock, paused_seconds: int) -> None:
    values = msgspec.structs.asdict(clock)
    await QUERIES.run(conn.execute, "set_clock", id=attempt["id"], paused_seconds=paused_seconds, **values)


async def _record(
    conn: Connection,
    attempt: asyncpg.Record,
    kind: Kind,
    clock: Clock,
    *,
    by: Actor | None,
    now: datetime,
    detail: Mapping[str, Any] | None = None,
) -> None:
    await ledger.record(
        conn,
        ledger.by_somebody(
            by,
            kind,
            attempt["id"],
            organisation_id=attempt["organisation_id"],
            subject_id=attempt["student_id"],
            detail={"expires_at": clock.expires_at.isoformat(), **(detail or {})},
            now=now,
        ),
    )
