"""
Recording on the ledger: in the caller's transaction, one statement, nobody waits for anybody (spec.md L-1).

`by` describes what an actor did, `record` writes it before the change is committed:

    await ledger.record(conn, ledger.by(actor, Kind.exam_published, exam_id, now=now))

The change, its event and, where a worker acts on the kind, its row of the outbox are all there, or none is
(S-1; evalium-data-flow.txt, section 3).

What may not stay for ever (an address, a name, a text) goes into `personal`, never into `detail`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection
from core_api.wire import as_json
from kernel.ledger.event import (
    ORIGIN,
    RECORD,
    SYSTEM,
    UNCOMMITTED,
    LedgerEvent,
    body_of,
    commitment,
    event_id_at,
    new_salt,
    place_of,
)
from kernel.ledger.kinds import PAIRS, about
from sql import named

QUERIES: Final = named("ledger")
BODY_BYTES_MAX: Final = 65_536
_APPENDED: "Final[ContextVar[list[UUID] | None]]" = ContextVar("appended", default=None)


class Personal(msgspec.Struct, frozen=True):
    """A value that only its commitment stands for in the log; it goes when `person_id` is erased."""

    value: str
    person_id: UUID | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something to put on the ledger. `detail` is JSON of ids and facts; `personal` goes by name."""

    kind: str  # of `kernel.ledger.kinds`, which says what hangs on it
    aggregate_id: str
    organisation_id: UUID
    occurred_at: datetime
    actor_id: UUID | None = None
    actor_role: str = SYSTEM
    subject_id: UUID | None = None
    detail: Mapping[str, Any] = {}
    personal: Mapping[str, Personal] = {}
    event_id: UUID | None = None  # where a row names its event before it is recorded; else a fresh one


def by(
    actor: Actor,
    kind: str,
    aggregate_id: object,
    *,
    now: datetime,
    subject_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
    personal: Mapping[str, Personal] | None = None,
) -> Entry:
    """
    Describe what an actor did.

    Args:
        actor: who.
        kind: what.
        aggregate_id: of the durable record that the kind is about, of any type.
        now: when.
        subject_id: whom it is about; a candidate may prove what is provable about themselves.
        detail: ids and facts, JSON; with `by_link` where the sign-in came from a launch link.
        personal: what is to be erasable.
    """
    return Entry(
        kind=kind,
        aggregate_id=str(aggregate_id),
        organisation_id=actor.organisation_id,
        occurred_at=now,
        actor_id=actor.user_id,
        actor_role=actor.role.value,
        subject_id=subject_id,
        detail=dict(detail or {}) | ({} if actor.exam_id is None else {"by_link": True}),
        personal={**(personal or {}), **origin_of(actor)},
    )


def by_somebody(
    actor: Actor | None,
    kind: str,
    aggregate_id: object,
    *,
    organisation_id: UUID,
    now: datetime,
    subject_id: UUID | None,
    detail: Mapping[str, Any],
) -> Entry:
    """Describe what an actor did, as `by` does; or, where it is None, what the system did."""
    if actor is not None:
        return by(actor, kind, aggregate_id, now=now, subject_id=subject_id, detail=detail)
    return Entry(
        kind=kind,
        aggregate_id=str(aggregate_id),
        organisation_id=organisation_id,
        occurred_at=now,
        subject_id=subject_id,
        detail=detail,
    )


def origin_of(actor: Actor) -> dict[str, Personal]:
    """Return where the actor's request came from, as a personal value of theirs; nothing where unknown."""
    return {ORIGIN: Personal(actor.origin, actor.user_id)} if actor.origin else {}


async def record(conn: Connection, *entries: Entry) -> list[UUID]:
    """
    Append events in the caller's transaction, with one statement, and return their ids in order.

    What an event commits to of its record (`kernel.ledger.kinds`) is read here: record after the change, as
    the last thing that the transaction does to the record.
    """
    if not entries:
        return []
    rows, salted = [], []
    for entry in entries:
        row, salts = _row_of(entry)
        rows.append(row)
        salted += salts
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    opening = dict(zip(OPENING, zip(*salted, strict=True) if salted else [()] * len(OPENING), strict=True))
    await QUERIES.run(conn.execute, "append_events", **columns, **opening)
    ids = columns["ids"]
    if (told := _APPENDED.get()) is not None:
        told += ids
    return ids


@contextmanager
def appended() -> Iterator[list[UUID]]:
    """Give a list that gets the ids of the events that this task appends meanwhile."""
    told: list[UUID] = []
    token = _APPENDED.set(told)
    try:
        yield told
    finally:
        _APPENDED.reset(token)


# The columns of `append_events` that open commitments, and a row of them.
OPENING: Final = ("personal_events", "personal_names", "persons", "personal_salts", "personal_values")
Salt = tuple[UUID, str, UUID | None, bytes, str]


def _row_of(entry: Entry) -> tuple[dict[str, Any], list[Salt]]:
    """Return an event's values by the columns of `append_events`, and the rows that open its commitments."""
    event, salts = _seal_off(entry)
    known, place = about(entry.kind), None
    covered = known.record
    if covered is not None:
        event.commitments[RECORD + covered] = UNCOMMITTED
    body = body_of(event)
    assert len(body) <= BODY_BYTES_MAX, "a ledger event holds ids and facts, not documents"
    if covered is not None:
        place = place_of(body, covered)
    row = {
        "ids": event.event_id,
        "organisations": event.organisation_id,
        "times": event.occurred_at,
        "kinds": event.kind,
        "aggregate_types": event.aggregate_type,
        "aggregate_ids": event.aggregate_id,
        "actors": event.actor_id,
        "actor_roles": event.actor_role,
        "subjects": event.subject_id,
        "bodies": body,
        "records": covered,
        "keyed_by": event.subject_id if covered in PAIRS else None,
        "salts": None if covered is None else new_salt(),
        "places": place,
        "payloads": as_json(entry.detail) if known.is_told else None,
    }
    return row, salts


def _seal_off(entry: Entry) -> tuple[LedgerEvent, list[Salt]]:
    """Return the event with commitments in place of personal values, and the rows that open them."""
    event_id = entry.event_id or event_id_at(entry.occurred_at)
    salts = [
        (event_id, name, each.person_id, new_salt(), each.value) for name, each in entry.personal.items()
    ]
    event = LedgerEvent(
        event_id=event_id,
        organisation_id=entry.organisation_id,
        occurred_at=entry.occurred_at,
        kind=entry.kind,
        aggregate_type=about(entry.kind).aggregate,
        aggregate_id=entry.aggregate_id,
        actor_id=entry.actor_id,
        actor_role=entry.actor_role,
        subject_id=entry.subject_id,
        detail=dict(entry.detail),
        commitments={name: commitment(salt, value) for _, name, _, salt, value in salts},
    )
    return event, salts


async def erase_person(conn: Connection, person_id: UUID) -> None:
    """Delete a person's values from beside the ledger; the ledger itself stays as it is, and valid."""
    await conn.execute(QUERIES["erase_person"], person_id)


async def forget_record(conn: Connection, record: str, aggregate_id: object) -> None:
    """
    Delete what opens the commitments to a record's rows, in the transaction that erases the rows.

    The verifier takes such a record for erased where an event says so (`submission.erased`), and for tampered
    with where none does.
    """
    await conn.execute(QUERIES["forget_record"], str(aggregate_id), RECORD + record)
