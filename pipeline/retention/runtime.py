"""
What only a running attempt needed goes once its outcome has been durable for as long as the policy says:
saved answers, which the submission has, and notices that the stream has (spec.md G-1, decision 15).

A step takes that of some attempts of one organisation in one transaction, with the ledger's event.
"""

import hashlib
import threading
from datetime import datetime
from time import monotonic
from typing import Final
from uuid import UUID

from msgspec import Struct, field

from kernel.ledger.event import body_of
from kernel.ledger.kinds import Kind
from pipeline.retention.archived import event_of
from sql import named
from sql.running import Connection, one, rows
from warehouse.publish import Step, no_step

RUNTIME: Final = named("runtime_state")
RULE: Final = "runtime_days"
STEP_MAX: Final = 500  # attempts of a step


class Over(Struct, frozen=True, kw_only=True):
    """An attempt whose runtime state may go; it was to be kept for `days`."""

    attempt_id: UUID
    organisation_id: UUID
    days: int


class Removed(Struct):
    """What a sweep took: so many rows of so many attempts; `refused` were touched since they were listed."""

    rows: int = 0
    attempts: int = 0
    refused: list[UUID] = field(default_factory=list)


def sweep_runtime(
    conn: Connection,
    *,
    now: datetime,
    stop: threading.Event | None = None,
    seconds_max: float = 60.0,
    step: Step = no_step,
) -> Removed:
    """
    Take what may go, the oldest first, until there is no more or it has taken long.

    Args:
        conn: to the database.
        now: the moment; what was foreseen for it is what goes.
        stop: ends it before the next step.
        seconds_max: after which no further step begins.
        step: called with a name after each step that a crash could follow.
    """
    removed, until = Removed(), monotonic() + seconds_max
    while monotonic() < until and not (stop is not None and stop.is_set()):
        some = [Over(**row) for row in rows(conn, RUNTIME["list_over"], now, removed.refused, STEP_MAX)]
        if not some:
            break
        taken = _take(conn, some, now)
        if taken is None:
            removed.refused += [each.attempt_id for each in some]
            continue
        removed.rows += taken
        removed.attempts += len(some)
        step("removed")
    return removed


def _take(conn: Connection, some: list[Over], now: datetime) -> int | None:
    """Take the runtime state of these, all of one organisation; None where something has come between."""
    first, ids = some[0], [each.attempt_id for each in some]
    told = {
        "rule": RULE,
        "days": first.days,
        "attempts": len(ids),
        "sha256": hashlib.sha256("".join(f"{each}\n" for each in ids).encode()).hexdigest(),
    }
    event = event_of(Kind.runtime_removed, first.organisation_id, str(first.organisation_id), told, now)
    given = {
        "organisation": first.organisation_id, "days": first.days, "attempts": ids, "at": now,
        "event_id": event.event_id, "body": body_of(event),
    }  # fmt: skip
    taken: int | None = one(conn, *RUNTIME.bind("take_runtime", **given))
    return taken
