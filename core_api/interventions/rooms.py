"""
What staff do in a room: in all active sessions of an exam, of groups, or in chosen ones (spec.md P-4).

How many sessions are meant is said with the act: a room that is larger or smaller by now is told, and nothing
is done. Each session has its result; one that refuses holds up no other.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, as_system
from core_api.exams import exams
from core_api.exams.exams import MINUTES_MAX
from core_api.interventions import acting
from core_api.interventions.acting import Flag, Given, GrantTime, Intervene, Reason, Terminate, TextAr, TextEn
from core_api.sittings import acts
from core_api.sittings.acts import Act
from core_api.wire import invalid
from kernel.commands import SessionAction
from kernel.errors import ConflictError, SessionNotActiveError
from kernel.events import SESSION_ID_MAX
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("interventions")
CHOSEN_MAX: Final = 10_000

SessionNumber = Annotated[int, Meta(ge=1, le=SESSION_ID_MAX)]


class Room(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which active sessions of the exam: exactly one of the three."""

    whole_exam: bool = False
    group_ids: Annotated[list[UUID], Meta(max_length=CHOSEN_MAX, description="Their members' sessions.")] = []
    session_ids: Annotated[list[SessionNumber], Meta(max_length=CHOSEN_MAX)] = []


class Announce(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a room is told."""

    room: Room
    text_en: TextEn | None = None
    text_ar: TextAr | None = None
    reason: Reason | None = None


class ActInRoom(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is done in each session of a room, why, and how many sessions that is."""

    room: Room
    action: Literal["warn", "flag", "unflag", "pause", "resume", "terminate", "extra_time"]
    count: Annotated[int, Meta(ge=1, description="How many active sessions are meant.")]
    reason: Reason
    text_en: TextEn | None = None
    text_ar: TextAr | None = None
    minutes: Annotated[int, Meta(ge=1, le=MINUTES_MAX, description="For extra_time.")] | None = None


class InSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of an act in one session; `code` and `detail` say why it was refused."""

    proctor_session_id: int
    attempt_id: UUID
    status: Literal["done", "unchanged", "refused"]
    action_id: int | None = None
    code: str | None = None
    detail: str | None = None


class InRoom(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of an act in a room: how many sessions, and each of them."""

    action: SessionAction
    count: int
    done: int
    results: list[InSession]


async def announce(
    conn: Connection, actor: Actor, exam_id: UUID, command: Announce, *, settings: Settings, now: datetime
) -> InRoom:
    """
    Tell a room something.

    Raises:
        NotFoundError: the exam is not the caller's to see.
        InvalidInputError: no room, more than one, or nothing to say.
        ConflictError: nobody is at work there, or more than one announcement reaches.
    """
    if command.text_en is None and command.text_ar is None:
        raise invalid("textEn", "say something, in one of the languages")
    async with conn.transaction():
        sessions = await _room(conn, actor, exam_id, command.room, most=settings.room_announcements_max)
        said = Act(
            action=SessionAction.announce,
            reason=command.reason,
            text_en=command.text_en,
            text_ar=command.text_ar,
        )
        async with as_system(conn, actor):
            ids = await acts.note(
                conn, sessions, said, by=actor, organisation_id=actor.organisation_id, now=now
            )
    results = [_result(row, "done", action_id=ids[row["id"]]) for row in sessions]
    return InRoom(action=said.action, count=len(results), done=len(results), results=results)


async def act(
    conn: Connection, actor: Actor, exam_id: UUID, command: ActInRoom, *, settings: Settings, now: datetime
) -> InRoom:
    """
    Do the same in every session of a room.

    Raises:
        NotFoundError: the exam is not the caller's to see.
        InvalidInputError: no room, more than one, or minutes where none are given, or none where they are.
        ConflictError: nobody is at work there, as many as `count` says are not, or there are more than one
            request may reach.
    """
    action = SessionAction(command.action)
    given = _given(command, action)
    sessions = await _room(conn, actor, exam_id, command.room, most=settings.room_acts_max)
    if len(sessions) != command.count:
        message = f"{len(sessions)} sessions are active there now, not {command.count}; nothing was done."
        raise ConflictError(message)
    results = []
    for row in sessions:
        try:
            done = await acting.act(conn, actor, row["id"], given, action, settings=settings, now=now)
        except (SessionNotActiveError, ConflictError) as error:
            results.append(_result(row, "refused", code=error.code, detail=error.detail))
        else:
            status: Literal["done", "unchanged"] = "done" if done.changed else "unchanged"
            results.append(_result(row, status, action_id=done.action_id))
    count = sum(each.status == "done" for each in results)
    return InRoom(action=action, count=len(results), done=count, results=results)


def _given(command: ActInRoom, action: SessionAction) -> Given:
    """Return what is done in each session; raises InvalidInputError: minutes do not fit the action."""
    if (command.minutes is not None) != (action is SessionAction.extra_time):
        raise invalid("minutes", "for extra_time, and for nothing else")
    texts: Mapping[str, Any] = {
        "reason": command.reason, "text_en": command.text_en, "text_ar": command.text_ar
    }  # fmt: skip
    match action:
        case SessionAction.flag | SessionAction.unflag:
            return Flag(reason=command.reason)
        case SessionAction.terminate:
            return Terminate(**texts)
        case SessionAction.extra_time:
            return GrantTime(minutes=command.minutes or 0, **texts)
    return Intervene(**texts)


async def _room(
    conn: Connection, actor: Actor, exam_id: UUID, room: Room, *, most: int
) -> list[asyncpg.Record]:
    """
    Return the active sessions of a room, of each attempt one.

    Raises:
        NotFoundError: the exam is not the caller's to see.
        InvalidInputError: no room, or more than one.
        ConflictError: nobody is at work there, or more than the bound.
    """
    if sum((room.whole_exam, bool(room.group_ids), bool(room.session_ids))) != 1:
        raise invalid("room", "one of wholeExam, groupIds and sessionIds")
    await exams.require_visible(conn, actor, exam_id)
    rows: list[asyncpg.Record] = await QUERIES.run(
        conn.fetch,
        "list_room",
        exam_id=exam_id,
        session_ids=room.session_ids or None,
        group_ids=room.group_ids or None,
        limit=most + 1,
    )
    if not rows:
        raise ConflictError("No session is active there.")
    if len(rows) > most:
        raise ConflictError(f"More than {most} sessions are active there; name a smaller room.")
    return rows


def _result(
    row: asyncpg.Record,
    status: Literal["done", "unchanged", "refused"],
    *,
    action_id: int | None = None,
    code: str | None = None,
    detail: str | None = None,
) -> InSession:
    return InSession(
        proctor_session_id=row["id"],
        attempt_id=row["attempt_id"],
        status=status,
        action_id=action_id,
        code=code,
        detail=detail,
    )
