"""
The steps of an erasure, each one transaction (spec.md G-2, decision 13).

A step names what it took; a worker that dies between two leaves the erasure where it was, and whoever comes
next goes on there. What a record covers and a step has changed is committed to anew by an event of its own,
in the step's transaction, and what opened the older commitments goes with it. Files go from the stores before
their rows do: one that is gone already is no error.

Some steps wait: for sessions that have ended so long ago that nothing of them is on its way, for numbers that
are computed again, for builds of the warehouse whose grace is over. Nothing is changed while they wait.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
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
from kernel.privacy import Step, following
from kernel.settings import Settings
from kernel.storage.stores import Store
from pipeline import archive
from pipeline.evidence_files import alone_at, delete_files
from pipeline.privacy.keeping import Kept, keep
from pipeline.publications import make_room
from sql import named
from sql.running import Connection, one, run
from warehouse.files import open_root
from warehouse.publish import Step as Report
from warehouse.publish import no_step

ERASURES: Final = named("erasures")
# What may have been changed of records. Each commits anew to what is left; of a file nothing is.
TOLD: Final = frozenset(
    {
        Kind.assignment_redacted, Kind.attempt_redacted, Kind.claim_redacted, Kind.decision_redacted,
        Kind.evidence_erased, Kind.legal_hold_redacted, Kind.observation_redacted, Kind.review_redacted,
        Kind.risk_adjustment_redacted, Kind.session_redacted, Kind.student_profile_redacted,
        Kind.submission_redacted, Kind.user_redacted,
    }
)  # fmt: skip
# Of the events of a step, as `end` takes them.
COLUMNS: Final = (
    "ids", "moments", "kinds", "aggregate_types", "aggregate_ids", "bodies", "records", "salts", "places",
)  # fmt: skip


class Erasure(Struct, frozen=True):
    """An erasure that is not done; `past` is the last id that its step is done with, or empty."""

    id: str
    person_id: str
    organisation_id: UUID
    step: Step
    past: str
    stepped_at: datetime
    requested_by: UUID | None
    requested_at: datetime


class Shell(Struct, frozen=True):
    """What the steps work with; `now` is the moment of all that they record."""

    conn: Connection
    stores: Mapping[str, Store]
    settings: Settings
    now: datetime
    report: Report = no_step


def erase_due(
    conn: Connection,
    stores: Mapping[str, Store],
    settings: Settings,
    *,
    now: datetime,
    report: Report = no_step,
) -> int:
    """
    Take every step that can be taken, person by person; return how many that were.

    Args:
        conn: outside a transaction, of the one process that erases.
        stores: of evidence, by tier.
        settings: where the warehouse is, and what is waited for.
        now: the moment of the steps, tz-aware UTC.
        report: called with a name after each step that a crash could follow.

    Raises:
        OSError, obstore's BaseError: a store cannot be reached; what was done stays done.
    """
    shell, steps = Shell(conn, stores, settings, now, report), 0
    for row in run(conn, ERASURES["list_open"]).fetchall():
        at: Erasure | None = msgspec.convert(dict(zip(Erasure.__struct_fields__, row, strict=True)), Erasure)
        while at is not None and at.step is not Step.done:
            at = STEPS[at.step](shell, at)
            steps += at is not None
    return steps


def _account(shell: Shell, at: Erasure) -> Erasure | None:
    root = open_root(shell.settings.warehouse, shell.settings)
    keep(
        root,
        Kept(
            id=UUID(at.id),
            person_id=UUID(at.person_id),
            organisation_id=at.organisation_id,
            requested_by=at.requested_by,
            requested_at=at.requested_at,
        ),
    )
    shell.report("kept")
    return _take(shell, at, "erase_account", (), following(at.step))


def _attempts(shell: Shell, at: Erasure) -> Erasure | None:
    settled = shell.now - timedelta(seconds=shell.settings.erasure_settled_s)
    row = run(shell.conn, ERASURES["next_attempt"], at.person_id, at.past, settled).fetchone()
    if row is None:
        return _take(shell, at, None, (), following(at.step))
    attempt_id, is_settled = row
    return _take(shell, at, "erase_attempt", (attempt_id,), at.step, attempt_id) if is_settled else None


def _observations(shell: Shell, at: Erasure) -> Erasure | None:
    found = one(shell.conn, ERASURES["next_observation"], at.id, at.past)
    if found is None:
        return _take(shell, at, None, (), following(at.step))
    return _take(shell, at, "erase_observation", (found,), at.step, found)


def _evidence(shell: Shell, at: Erasure) -> Erasure | None:
    evidence_id = one(shell.conn, ERASURES["next_evidence"], at.id)
    if evidence_id is None:
        return _take(shell, at, None, (), following(at.step))
    with alone_at(shell.conn, evidence_id) as is_alone:
        if not is_alone:
            return None  # it is being moved
        delete_files(shell.stores, evidence_id, no_step)
        shell.report("files_deleted")
        return _take(shell, at, "erase_evidence", (evidence_id,), at.step)


def _archive(shell: Shell, at: Erasure) -> Erasure | None:
    if one(shell.conn, ERASURES["has_unarchived"], at.person_id):
        return None
    is_archived = run(shell.conn, ERASURES["list_archived"], at.person_id).fetchone() is not None
    if is_archived and not archive.erase(shell.settings, shell.report):
        return None
    return _take(shell, at, None, (), following(at.step))


def _projections(shell: Shell, at: Erasure) -> Erasure | None:
    if one(shell.conn, ERASURES["has_marks"], at.person_id):
        return None
    return _take(shell, at, None, (), following(at.step))


def _builds(shell: Shell, at: Erasure) -> Erasure | None:
    grace = timedelta(seconds=shell.settings.build_grace_s)
    if shell.now < at.stepped_at + grace or one(shell.conn, ERASURES["has_older_marks"], at.stepped_at):
        return None
    make_room(shell.settings)
    return _take(shell, at, None, (), following(at.step))


# What each step does; it returns where the erasure is then, None where it has to wait.
STEPS: Final[Mapping[Step, Callable[[Shell, Erasure], Erasure | None]]] = {
    Step.account: _account,
    Step.attempts: _attempts,
    Step.observations: _observations,
    Step.evidence: _evidence,
    Step.archive: _archive,
    Step.projections: _projections,
    Step.builds: _builds,
}


def _take(
    shell: Shell, at: Erasure, statement: str | None, arguments: tuple[object, ...], to: Step, past: str = ""
) -> Erasure | None:
    """Take a step in one transaction; None where something keeps the person from being erased."""
    conn, took, told = shell.conn, Counter[str](), list[tuple[Kind, str]]()
    with conn.transaction():
        if not one(conn, ERASURES["begin"], at.id, shell.now):
            return None
        shell.report("begun")
        for part, amount, told_as, aggregate in (
            run(conn, ERASURES[statement], *arguments) if statement else ()
        ):
            took[part] += amount
            if told_as is not None:
                assert told_as in TOLD, "a step tells of what it has changed"
                told.append((Kind(told_as), aggregate))
        shell.report("taken")
        detail = {"step": at.step.value, "taken": {part: amount for part, amount in took.items() if amount}}
        told.append((Kind.erasure_completed if to is Step.done else Kind.erasure_advanced, at.id))
        run(
            conn,
            *ERASURES.bind(
                "end", to_step=to, past=past, **_events(at, dict.fromkeys(told), detail, shell.now)
            ),
        )
        shell.report("told")
    shell.report("stepped")
    return msgspec.structs.replace(at, step=to, past=past, stepped_at=max(at.stepped_at, shell.now))


def _events(
    at: Erasure, told: Iterable[tuple[Kind, str]], detail: Mapping[str, Any], now: datetime
) -> dict[str, object]:
    """Return the columns of `end` for the events of a step; its own one says what it took."""
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for kind, aggregate_id in told:
        known = about(kind)
        is_own = known.aggregate == "erasure"
        event = LedgerEvent(
            event_id=event_id_at(now),
            organisation_id=at.organisation_id,
            occurred_at=now,
            kind=kind,
            aggregate_type=known.aggregate,
            aggregate_id=aggregate_id,
            actor_id=None,
            actor_role=SYSTEM,
            subject_id=UUID(at.person_id),
            detail=dict(detail) if is_own else {"erasure_id": at.id},
            commitments={} if known.record is None else {RECORD + known.record: UNCOMMITTED},
        )
        body = body_of(event)
        row = (
            event.event_id, now, kind, known.aggregate, aggregate_id, body, known.record,
            None if known.record is None else new_salt(),
            None if known.record is None else place_of(body, known.record),
        )  # fmt: skip
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    took = msgspec.json.encode(detail["taken"]).decode()
    return {**columns, "took": took}
