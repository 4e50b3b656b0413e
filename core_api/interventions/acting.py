"""
What staff do in one proctor session (spec.md P-4).

Each is one transaction: who acts must see the session; its attempt is locked, so that nothing is done to one
that is handed in at that moment; then the act, its command, its event and the ledger's. It is written as the
system: what a candidate alone may change is changed for them, by whom the ledger says.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, as_system, fetch_one
from core_api.exams.exams import MINUTES_MAX
from core_api.sittings import acts, timing
from core_api.sittings.acts import Act
from core_api.sittings.clock import Clock, Row, clock_of
from core_api.submissions import submissions
from core_api.wire import NO_NUL
from kernel.commands import TOLD, SessionAction
from kernel.errors import ConflictError, SessionNotActiveError
from kernel.events import AttemptStatus, SessionStatus
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("interventions")
FLAGS: Final = frozenset({SessionAction.flag, SessionAction.unflag})

Said = Annotated[str, Meta(min_length=1, max_length=1000, pattern=NO_NUL)]
Reason = Annotated[Said, Meta(description="Why, for staff and the ledger; the candidate never sees it.")]
TextEn = Annotated[Said, Meta(description="What the candidate reads; left out, a sentence of ours.")]
TextAr = Annotated[Said, Meta(description="The same in Arabic, for who asks for it; else the other one.")]


class Intervene(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What staff do in a session: why, and what the candidate reads, where they are told anything."""

    reason: Reason | None = None
    text_en: TextEn | None = None
    text_ar: TextAr | None = None


class Flag(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Why a session is flagged, or is not any more; the candidate is told nothing."""

    reason: Reason | None = None


class Terminate(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Why an attempt ends, and what the candidate reads."""

    reason: Reason
    text_en: TextEn | None = None
    text_ar: TextAr | None = None


class GrantTime(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How much longer an attempt lasts, and why."""

    minutes: Annotated[int, Meta(ge=1, le=MINUTES_MAX, description="On top of what is left.")]
    reason: Reason
    text_en: TextEn | None = None
    text_ar: TextAr | None = None


Given = Intervene | Flag | Terminate | GrantTime


class Acted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What was done, and how the attempt stands after it. `commandId` is of what the client has to confirm, null
    where it has nothing to do. `changed` is false where it was so before.
    """

    action_id: int
    proctor_session_id: int
    attempt_id: UUID
    action: SessionAction
    acted_at: datetime
    command_id: int | None
    changed: bool
    attempt_status: AttemptStatus
    expires_at: datetime
    paused_until: datetime | None


async def intervene(
    conn: Connection,
    actor: Actor,
    session_id: int,
    command: Intervene,
    action: SessionAction,
    *,
    settings: Settings,
    now: datetime,
) -> Acted:
    """
    Warn the candidate, or pause or resume their attempt.

    Raises:
        NotFoundError: the session is not the caller's to see.
        SessionNotActiveError: it has ended, or the attempt has.
        ConflictError: the attempt is paused already, is not paused, or was paused as long as it may be.
    """
    return await act(conn, actor, session_id, command, action, settings=settings, now=now)


async def flag(
    conn: Connection,
    actor: Actor,
    session_id: int,
    command: Flag,
    action: SessionAction,
    *,
    settings: Settings,
    now: datetime,
) -> Acted:
    """
    Flag a session, or take that back; what is so already stays as it was.

    Raises:
        NotFoundError: the session is not the caller's to see.
        SessionNotActiveError: it has ended, or the attempt has.
        ConflictError: one that was never flagged is to be unflagged.
    """
    return await act(conn, actor, session_id, command, action, settings=settings, now=now)


async def terminate(
    conn: Connection, actor: Actor, session_id: int, command: Terminate, *, settings: Settings, now: datetime
) -> Acted:
    """
    End the attempt at once, with what was saved.

    Raises:
        NotFoundError: the session is not the caller's to see.
        SessionNotActiveError: it has ended, or the attempt has.
    """
    action = SessionAction.terminate
    return await act(conn, actor, session_id, command, action, settings=settings, now=now)


async def grant_time(
    conn: Connection, actor: Actor, session_id: int, command: GrantTime, *, settings: Settings, now: datetime
) -> Acted:
    """
    Let the attempt last longer.

    Raises:
        NotFoundError: the session is not the caller's to see.
        SessionNotActiveError: it has ended, or the attempt has.
    """
    action = SessionAction.extra_time
    return await act(conn, actor, session_id, command, action, settings=settings, now=now)


async def act(
    conn: Connection,
    actor: Actor,
    session_id: int,
    given: Given,
    action: SessionAction,
    *,
    settings: Settings,
    now: datetime,
) -> Acted:
    """
    Do something in a session, in a transaction of its own.

    Raises:
        NotFoundError: the session is not the caller's to see.
        SessionNotActiveError: it has ended, or the attempt has.
        ConflictError: the attempt is paused already, is not paused, or was paused as long as it may be; or a
            session that was never flagged is to be unflagged.
    """
    async with conn.transaction():
        session = await fetch_one(
            conn, "proctor session", *QUERIES.bind("find_session", id=session_id, **actor.reach)
        )
        async with as_system(conn, actor):
            return await _act(conn, actor, session, given, action, settings=settings, now=now)


async def _act(
    conn: Connection,
    actor: Actor,
    session: asyncpg.Record,
    given: Given,
    action: SessionAction,
    *,
    settings: Settings,
    now: datetime,
) -> Acted:
    attempt = await _hold(conn, session, now=now)
    clock, outcome = clock_of(attempt), AttemptStatus.in_progress
    if action in FLAGS:
        stands = await conn.fetchrow(QUERIES["fetch_flag"], session["id"])
        if stands is None and action is SessionAction.unflag:
            raise ConflictError("The session is not flagged.")
        if stands is not None and stands["kind"] == action:
            return _acted(session, action, stands, clock, outcome, now=now)
    moved = await _move(conn, actor, attempt, given, action, settings=settings, now=now)
    concerned = [session]
    if moved is not None or action is SessionAction.terminate:
        concerned = await conn.fetch(acts.QUERIES["list_active_sessions"], attempt["id"])
    if action is SessionAction.terminate:
        receipt = await submissions.finalise(conn, attempt, "proctor", None, now=now)
        outcome = AttemptStatus.abandoned if receipt is None else AttemptStatus.completed
    done = Act(
        action=action,
        reason=given.reason,
        text_en=getattr(given, "text_en", None),
        text_ar=getattr(given, "text_ar", None),
        clock=moved,
    )
    ids = await acts.note(conn, concerned, done, by=actor, organisation_id=actor.organisation_id, now=now)
    made = {"id": ids[session["id"]], "acted_at": now}
    return _acted(session, action, made, moved or clock, outcome, changed=True, now=now)


async def _hold(conn: Connection, session: asyncpg.Record, *, now: datetime) -> asyncpg.Record:
    """Lock a session's attempt and return its row; raises SessionNotActiveError: one of them has ended."""
    try:
        attempt = await timing.hold(conn, session["attempt_id"], now=now)
    except ConflictError as error:
        raise SessionNotActiveError(error.detail) from error
    if await conn.fetchval(QUERIES["fetch_status"], session["id"]) != SessionStatus.Active:
        raise SessionNotActiveError("The proctor session has ended.")
    return attempt


async def _move(
    conn: Connection,
    actor: Actor,
    attempt: asyncpg.Record,
    given: Given,
    action: SessionAction,
    *,
    settings: Settings,
    now: datetime,
) -> Clock | None:
    """Move the attempt's clock, where the action does, and return it; raises ConflictError: it cannot be."""
    match action:
        case SessionAction.pause:
            return await timing.pause(
                conn, attempt, by=actor, reason=given.reason, settings=settings, now=now
            )
        case SessionAction.resume:
            return await timing.resume(conn, attempt, by=actor, settings=settings, now=now)
        case SessionAction.extra_time:
            assert isinstance(given, GrantTime), "the body of its route"
            seconds = given.minutes * 60
            return await timing.extend(conn, attempt, seconds, by=actor, reason=given.reason, now=now)
    return None


def _acted(
    session: asyncpg.Record,
    action: SessionAction,
    made: Row,
    clock: Clock,
    status: AttemptStatus,
    *,
    now: datetime,
    changed: bool = False,
) -> Acted:
    return Acted(
        action_id=made["id"],
        proctor_session_id=session["id"],
        attempt_id=session["attempt_id"],
        action=action,
        acted_at=made["acted_at"],
        command_id=made["id"] if TOLD[action].texts is not None else None,
        changed=changed,
        attempt_status=status,
        expires_at=clock.expires_at,
        paused_until=clock.paused_until if clock.is_paused(now) else None,
    )
