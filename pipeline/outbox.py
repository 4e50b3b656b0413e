"""
The reader of the outbox: what changed is handed to what must be computed again, and the rows go.

A row of the outbox wakes somebody; what happened stands on the ledger, and stays there. Rows are claimed with
FOR UPDATE SKIP LOCKED, so that any number of readers take each once; handing over and deleting is one
transaction, so that a reader that dies leaves its rows to the next. A kind that wakes nobody is deleted too.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog

from kernel.ledger.kinds import Kind
from kernel.running.runtime import OUTBOX_LAG, OUTBOX_READ
from kernel.settings import Settings
from sql import named
from sql.running import Connection, connect, run
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

OUTBOX: Final = named("outbox")
BACK_OFF_S: Final = 1.0
# The statements that mark what a kind's records have changed, given their ids; those of FACTS, by which each
# fact is taken once, are given its event as well. All may run twice. Without any, nothing that is projected
# rests on such records; what asks about them reads them as they are.
WAKES: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.submission_finalised: ("mark_submitted", "mark_handed_in", "mark_enrolments"),
    Kind.submission_scored: ("mark_submitted", "mark_handed_in", "mark_enrolments"),
    Kind.result_voided: ("mark_submitted", "mark_handed_in", "mark_enrolments"),
    Kind.result_restored: ("mark_submitted", "mark_handed_in", "mark_enrolments"),
    Kind.attempt_abandoned: ("mark_abandoned", "mark_given_up"),
    Kind.observation_finalised: (),
    Kind.claim_reminded: (),
    Kind.assignment_created: (),
    Kind.assignment_revoked: (),
    Kind.assignment_override_set: (),
    Kind.assignment_override_removed: (),
    Kind.evaluation_published: (),
    Kind.exam_published: ("mark_changed_exams",),
    Kind.exam_unpublished: ("mark_changed_exams",),
    Kind.exam_updated: ("mark_changed_exams",),
    Kind.exam_archived: ("mark_changed_exams",),
}
FACTS: Final = {"mark_enrolments"}


def read_outbox(conn: Connection, rows_max: int, step: Step = no_step) -> int:
    """
    Hand over one batch in one transaction; return how many rows it had.

    Args:
        conn: outside a transaction.
        rows_max: rows of a batch.
        step: called with a name after each step that a crash could follow.
    """
    with conn.transaction():
        facts = run(conn, OUTBOX["claim_facts"], rows_max).fetchall()
        if not facts:
            OUTBOX_LAG.set(0)
            return 0
        step("claimed")
        _hand_over(conn, facts)
        step("handed_over")
        run(conn, OUTBOX["delete_facts"], [row[0] for row in facts])
        step("deleted")
    OUTBOX_READ.inc(len(facts))
    OUTBOX_LAG.set(max(0.0, (datetime.now(UTC) - min(row[3] for row in facts)).total_seconds()))
    return len(facts)


def _hand_over(conn: Connection, facts: list[tuple[Any, ...]]) -> None:
    """Run each statement once, with all the records whose kind names it."""
    woken: dict[str, dict[UUID, str]] = {}
    for _, kind, resource_id, _, event_id in facts:
        if kind not in WAKES:  # of a newer core API, or an older one
            log.warning("outbox_kind_unknown", kind=kind)
        for statement in WAKES.get(kind, ()):
            woken.setdefault(statement, {})[event_id] = resource_id
    for statement, told in woken.items():
        if statement in FACTS:
            run(conn, OUTBOX[statement], list(told), list(told.values()))
        else:
            run(conn, OUTBOX[statement], sorted(set(told.values())))


def read_forever(settings: Settings, stop: threading.Event, read: Callable[..., int] = read_outbox) -> None:
    """
    Read until `stop` is set. A database that is away is waited out, any other error is the watch's.

    The scheduler looks for dirty sessions as often as this looks for rows: nobody need be called.
    """
    while not stop.is_set():
        try:
            with connect(settings.database_url) as conn:
                while not stop.is_set():
                    started = monotonic()
                    while read(conn, settings.outbox_batch_rows) == settings.outbox_batch_rows:
                        if stop.is_set():
                            return
                    stop.wait(max(0.01, settings.fold_every_ms / 1000 - (monotonic() - started)))
        except psycopg.OperationalError as error:
            log.warning("outbox_waits", error=error)
            stop.wait(BACK_OFF_S)
