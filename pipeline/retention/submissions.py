"""
Contents of submissions that are older than their organisation's policy go, the oldest first: answers in
words, drafts, the text that was hashed. Results, statistics and receipts stay, and the ledger verifies.

A step takes some submissions of one organisation in one transaction, with an event of the ledger for each; in
the place of a text stands a word that is nobody else's, as where a person is erased (`pipeline/privacy/`).
What follows from them is computed again.
"""

import threading
from datetime import datetime
from time import monotonic
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
from sql import named
from sql.running import Connection, one, rows
from warehouse.publish import Step, no_step

SUBMISSIONS: Final = named("submission_contents")
RULE: Final = "submissions_days"
STEP_MAX: Final = 100  # submissions of a step
RECORDED: Final = "submission"


class Old(Struct, frozen=True, kw_only=True):
    """A submission whose contents may go; they were to be kept for `days`."""

    submission_id: UUID
    organisation_id: UUID
    days: int


def sweep_contents(
    conn: Connection,
    *,
    now: datetime,
    stop: threading.Event | None = None,
    seconds_max: float = 60.0,
    step: Step = no_step,
) -> int:
    """
    Take what may go until there is no more or it has taken long; return of how many submissions it went.

    Args:
        conn: to the database.
        now: the moment; what was foreseen for it is what goes.
        stop: ends it before the next step.
        seconds_max: after which no further step begins.
        step: called with a name after each step that a crash could follow.
    """
    taken, until, refused = 0, monotonic() + seconds_max, list[UUID]()
    while monotonic() < until and not (stop is not None and stop.is_set()):
        some = [Old(**row) for row in rows(conn, SUBMISSIONS["list_due"], now, refused, STEP_MAX)]
        if not some:
            break
        if _take(conn, some, now):
            taken += len(some)
            step("taken")
        else:
            refused += [each.submission_id for each in some]  # touched since they were listed: another time
    return taken


def _take(conn: Connection, some: list[Old], now: datetime) -> bool:
    """Take the contents of these, all of one organisation; False where something has come between."""
    events = [_event(each, now) for each in some]
    bodies = [body_of(each) for each in events]
    given = {
        "organisation": some[0].organisation_id,
        "days": some[0].days,
        "submissions": [each.submission_id for each in some],
        "at": now,
        "ids": [each.event_id for each in events],
        "bodies": bodies,
        "salts": [new_salt() for _ in bodies],
        "places": [place_of(body, RECORDED) for body in bodies],
    }
    return one(conn, *SUBMISSIONS.bind("take_contents", **given)) is not None


def _event(each: Old, now: datetime) -> LedgerEvent:
    kind = Kind.submission_redacted
    return LedgerEvent(
        event_id=event_id_at(now),
        organisation_id=each.organisation_id,
        occurred_at=now,
        kind=kind,
        aggregate_type=about(kind).aggregate,
        aggregate_id=str(each.submission_id),
        actor_id=None,
        actor_role=SYSTEM,
        detail={"rule": RULE, "days": each.days},
        commitments={RECORD + RECORDED: UNCOMMITTED},
    )
