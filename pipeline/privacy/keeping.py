"""
The list of erasures beside the database, for the day on which a backup of it is restored (spec.md G-2).

A backup has people in it who were erased after it was made. So each erasure is written down in the
warehouse's root before its first step, once and under a name of its own: ids and moments, no names. Whoever
restores a backup has them erased again by `veritas restore erasures`, which the database records as it does
every other request; the pipeline carries it out.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

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
from sql.running import Connection, one
from warehouse.files import Root

ERASURES: Final = named("erasures")
FOLDER: Final = "erasures"
RECORDED: Final = "erasure"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure of the list."""

    id: UUID
    person_id: UUID
    organisation_id: UUID
    requested_by: UUID | None
    requested_at: datetime


class Became(StrEnum):
    """What becomes of an erasure of the list in a database: `unknown` where it has nobody of that id."""

    asked = "asked"
    stands = "stands"
    unknown = "unknown"


def keep(root: Root, erasure: Kept) -> None:
    """Write an erasure down, durably; once it is there it stays as it is."""
    key = f"{FOLDER}/{erasure.id}.json"
    if root.read_tagged(key) is None:
        root.replace(key, msgspec.json.encode(erasure), None)
        root.settle([FOLDER])


def list_kept(root: Root) -> Iterator[Kept]:
    """Yield the erasures of the list, the oldest first: their ids begin with their moments."""
    for name in root.names(FOLDER):
        yield msgspec.json.decode(root.read(f"{FOLDER}/{name}"), type=Kept)


def ask_again(conn: Connection, root: Root, *, now: datetime) -> Counter[Became]:
    """
    Have everybody of the list erased whom this database has and knows no erasure of, each in a transaction of
    its own; return what became of how many.

    Raises:
        what the warehouse's root raises (`warehouse.files.ROOT_FAILS`): who was asked for stays so.
    """
    return Counter(_ask(conn, each, now) for each in list_kept(root))


def _ask(conn: Connection, kept: Kept, now: datetime) -> Became:
    salt = new_salt()
    event = LedgerEvent(
        event_id=event_id_at(now),
        organisation_id=kept.organisation_id,
        occurred_at=now,
        kind=Kind.erasure_requested,
        aggregate_type=about(Kind.erasure_requested).aggregate,
        aggregate_id=str(kept.id),
        actor_id=None,
        actor_role=SYSTEM,
        subject_id=kept.person_id,
        detail={"restored": True},
        commitments={RECORD + RECORDED: UNCOMMITTED},
    )
    body = body_of(event)
    given = {
        "id": kept.id, "person": kept.person_id, "by": kept.requested_by, "requested_at": kept.requested_at,
        "at": now, "event_id": event.event_id, "body": body, "salt": salt, "place": place_of(body, RECORDED),
    }  # fmt: skip
    return Became(one(conn, *ERASURES.bind("ask_again", **given)))
