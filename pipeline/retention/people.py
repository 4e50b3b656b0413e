"""
Candidates with whom nothing has happened for as long as their organisation's policy says are erased.

The sweep asks for it, the longest inactive first, each in a transaction of their own that locks them out and
tells the ledger by which rule; the erasure itself is that of everybody else (`pipeline/privacy/`). Of those
that the policy has asked for, only so many are open at a time: who finds that a policy was set wrong takes it
back while few have gone.
"""

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from kernel.ledger.event import (
    RECORD,
    SYSTEM,
    UNCOMMITTED,
    LedgerEvent,
    body_of,
    event_id_at,
    new_salt,
    place_of,
)
from kernel.ledger.kinds import Kind, about
from kernel.settings import Settings
from sql import named
from sql.running import Connection, one, rows
from warehouse.publish import Step, no_step

PEOPLE: Final = named("inactive_people")
RULE: Final = "inactive_days"


class Inactive(Struct, frozen=True, kw_only=True):
    """Somebody whose time is over: nothing has happened with them since `active_at`, for `days` and more."""

    person_id: UUID
    organisation_id: UUID
    days: int
    active_at: datetime


def sweep_people(
    conn: Connection,
    settings: Settings,
    *,
    now: datetime,
    stop: threading.Event | None = None,
    step: Step = no_step,
) -> int:
    """
    Ask for the erasure of whoever is due, until so many are open; return how many were asked for.

    Args:
        conn: to the database.
        settings: how many may be open at a time.
        now: the moment; who was foreseen for it is who goes.
        stop: ends it before the next one.
        step: called with a name after each step that a crash could follow.
    """
    asked, room = 0, settings.retention_people_max - one(conn, PEOPLE["count_asked"])
    if room <= 0:
        return 0
    for row in rows(conn, PEOPLE["list_inactive"], now, room):
        if stop is not None and stop.is_set():
            break
        if _ask(conn, Inactive(**row), now):
            asked += 1
            step("asked")
    return asked


def _ask(conn: Connection, person: Inactive, now: datetime) -> bool:
    """Ask for somebody's erasure; False where something has come between."""
    erasure_id = event_id_at(now)
    told = {"rule": RULE, "days": person.days, "since": person.active_at.isoformat()}
    events = [
        _event(Kind.user_locked, person, person.person_id, told, now),
        _event(Kind.erasure_requested, person, erasure_id, told, now),
    ]
    given = {
        "person": person.person_id, "erasure": erasure_id, "days": person.days, "since": person.active_at,
        "at": now, **_columns(events),
    }  # fmt: skip
    return bool(one(conn, *PEOPLE.bind("ask_inactive", **given)))


def _event(
    kind: Kind, person: Inactive, aggregate_id: UUID, told: dict[str, object], now: datetime
) -> LedgerEvent:
    known = about(kind)
    return LedgerEvent(
        event_id=event_id_at(now),
        organisation_id=person.organisation_id,
        occurred_at=now,
        kind=kind,
        aggregate_type=known.aggregate,
        aggregate_id=str(aggregate_id),
        actor_id=None,
        actor_role=SYSTEM,
        subject_id=person.person_id,
        detail=told,
        commitments={RECORD + str(known.record): UNCOMMITTED},
    )


def _columns(events: Sequence[LedgerEvent]) -> dict[str, object]:
    """Return the columns of events, as a function that appends them takes them."""
    bodies = [body_of(each) for each in events]
    records = [str(about(each.kind).record) for each in events]
    return {
        "kinds": [each.kind for each in events],
        "aggregate_types": [each.aggregate_type for each in events],
        "aggregate_ids": [each.aggregate_id for each in events],
        "ids": [each.event_id for each in events],
        "bodies": bodies,
        "records": records,
        "salts": [new_salt() for _ in events],
        "places": [place_of(body, record) for body, record in zip(bodies, records, strict=True)],
    }
