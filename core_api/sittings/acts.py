"""
What staff do in proctor sessions, as it is written: the action, its command for the client, the event that
the stream will say, and the ledger's event, in the caller's transaction (spec.md P-4).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.sittings.clock import Clock
from core_api.wire import as_json
from kernel.commands import TOLD, SessionAction
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("acts")
RECORDED_MAX: Final = 1000  # events of the ledger in one statement
KIND_OF: Final[Mapping[SessionAction, Kind]] = {
    SessionAction.warn: Kind.session_warned,
    SessionAction.flag: Kind.session_flagged,
    SessionAction.unflag: Kind.session_unflagged,
    SessionAction.pause: Kind.session_paused,
    SessionAction.resume: Kind.session_resumed,
    SessionAction.terminate: Kind.session_terminated,
    SessionAction.extra_time: Kind.session_extended,
    SessionAction.announce: Kind.session_announced,
}


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is done: why, for staff; and what the candidate is told, beside what becomes of their `clock`, where
    the act touches it.
    """

    action: SessionAction
    reason: str | None = None
    text_en: str | None = None
    text_ar: str | None = None
    clock: Clock | None = None


async def note(
    conn: Connection,
    sessions: Sequence[asyncpg.Record],
    act: Act,
    *,
    by: Actor | None,
    organisation_id: UUID,
    now: datetime,
) -> dict[int, int]:
    """
    Write an act in each of these sessions; return the actions' ids by session.

    Args:
        conn: in a transaction, as the system.
        sessions: their ids and candidates.
        act: what is done.
        by: who does it; None is the system.
        organisation_id: whose sessions they are.
        now: when.
    """
    if not sessions:
        return {}
    told, clock = TOLD[act.action], act.clock
    said: dict[str, Any] = {"reason": act.reason, "textEn": act.text_en, "textAr": act.text_ar}
    if clock is not None:
        said |= {"expiresAt": clock.expires_at, "pausedUntil": clock.paused_until}
    rows = await QUERIES.run(
        conn.fetch,
        "note_acts",
        session_ids=[row["id"] for row in sessions],
        kind=act.action,
        reason=act.reason,
        acted_by=None if by is None else by.user_id,
        at=now,
        is_command=told.texts is not None,
        text_en=act.text_en,
        text_ar=act.text_ar,
        expires_at=None if clock is None else clock.expires_at,
        paused_until=None if clock is None else clock.paused_until,
        event_type=told.event_type,
        event_name=told.event_name,
        severity=told.severity,
        payload=as_json({name: value for name, value in said.items() if value is not None}),
    )
    ids = {row["session_id"]: row["id"] for row in rows}
    kind = KIND_OF[act.action]
    entries = [
        ledger.by_somebody(
            by,
            kind,
            row["id"],
            organisation_id=organisation_id,
            subject_id=row["candidate_id"],
            detail={"action_id": ids[row["id"]]},
            now=now,
        )
        for row in sessions
    ]
    for first in range(0, len(entries), RECORDED_MAX):
        await ledger.record(conn, *entries[first : first + RECORDED_MAX])
    return ids
