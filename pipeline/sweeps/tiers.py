"""
Evidence moves from the hot to the cold tier when it is old, each piece whole (spec.md V-2).

A piece is copied chunk by chunk, each held to the hash that was recorded when it arrived, and read back from
the cold store; then its row and the ledger's event say, in one transaction, that it is there. Until then the
hot tier has it, from then on the cold one. What lies in the hot store still goes with the orphans
(`orphans.py`) a little later; a piece that was copied and not recorded is copied again.

Bytes that are not what was stored are never moved nor deleted: the piece is noted as damaged, told on the
ledger and in the log, and looked at again after a day.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

import structlog
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
from kernel.storage.opening import COLD, HOT, STORE_FAILS
from kernel.storage.stores import MissingObjectError, Store
from pipeline.evidence_files import alone_at
from sql import named
from sql.running import Connection, one, run
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

TIERS: Final = named("evidence_tiers")
PIECES_MAX: Final = 100  # of one sweep
SECONDS_MAX: Final = 60.0  # after which a sweep begins with no other piece
FAILURES_MAX: Final = 3  # after which a store is taken to be away
LOOKED_AT_AGAIN: Final = timedelta(days=1)  # what was damaged


class Moved(Struct):
    """What a sweep did, in pieces."""

    moved: int = 0
    damaged: int = 0


class File(Struct, frozen=True):
    """A chunk as its row describes it."""

    number: int
    size_bytes: int
    sha256: bytes
    key: str


class DamagedError(Exception):
    """A chunk is not what was stored: `why` is missing, size or hash."""

    def __init__(self, number: int, why: str) -> None:
        """Name the chunk."""
        super().__init__(f"chunk {number}: {why}")
        self.number, self.why = number, why


class StoppedError(Exception):
    """The process ends; what was begun is begun again."""


class UnsoundStoreError(Exception):
    """The cold store gives back other bytes than it was given."""


def move_due(
    conn: Connection,
    stores: Mapping[str, Store],
    settings: Settings,
    stop: threading.Event,
    *,
    now: datetime,
    unable: set[int] | None = None,
    step: Step = no_step,
) -> Moved:
    """
    Move what is due, the oldest first, until there is no more or it has taken long.

    One piece that cannot be read or written holds up no other: it comes last the next time.

    Args:
        conn: to the database, in no transaction.
        stores: of evidence, by tier.
        settings: how old is due.
        stop: ends it.
        now: the moment.
        unable: pieces that could not be read or written the last time; keeps which these are now.
        step: called with a name after each step that a crash could follow.

    Raises:
        StoppedError: `stop` was set.
        UnsoundStoreError: a copy is not what was copied; the piece stays where it was.
        OSError, obstore's BaseError: of the first piece that could not be read or written.
    """
    done, failed, until = Moved(), list[Exception](), monotonic() + SECONDS_MAX
    unable = set() if unable is None else unable
    closed_before = now - timedelta(days=settings.evidence_hot_days)
    due = run(conn, TIERS["list_due"], closed_before, now - LOOKED_AT_AGAIN, PIECES_MAX).fetchall()
    for evidence_id, organisation_id, sha256, size_bytes in sorted(due, key=lambda row: row[0] in unable):
        if monotonic() > until or len(failed) == FAILURES_MAX:
            break
        told = {"from": HOT, "to": COLD, "sha256": sha256.hex(), "size_bytes": size_bytes}
        with alone_at(conn, evidence_id) as is_alone:
            if not is_alone or not one(conn, TIERS["is_kept"], evidence_id):
                continue  # it leaves, or is gone
            try:
                _copy(conn, stores, evidence_id, stop, step)
            except DamagedError as error:
                _note(conn, evidence_id, organisation_id, error, now)
                done.damaged += 1
            except (UnsoundStoreError, *STORE_FAILS) as error:
                log.warning("evidence_not_moved", evidence_id=evidence_id, error=error)
                failed.append(error)
                unable.add(evidence_id)
            else:
                unable.discard(evidence_id)
                done.moved += _record(conn, evidence_id, organisation_id, told, now)
                step("recorded")
    if failed:
        raise failed[0]
    return done


def _copy(
    conn: Connection, stores: Mapping[str, Store], evidence_id: int, stop: threading.Event, step: Step
) -> None:
    """Have all chunks of a piece in the cold store, read back from there."""
    for each in (File(*row) for row in run(conn, TIERS["list_files"], evidence_id)):
        try:
            pieces = stores[HOT].read(each.key)
        except MissingObjectError as error:
            raise DamagedError(each.number, "missing") from error
        stores[COLD].put(each.key, held_to(each, pieces, stop))
        step("copied")
        try:
            for _ in held_to(each, stores[COLD].read(each.key), stop):
                pass
        except (DamagedError, MissingObjectError) as error:
            raise UnsoundStoreError(f"The cold store has not what it was given, {error}.") from error
        step("read_back")


def held_to(file: File, pieces: Iterator[bytes], stop: threading.Event) -> Iterator[bytes]:
    """
    Yield a chunk's bytes; whoever writes them has no end of it where they are others than were stored.

    Raises:
        DamagedError: they are.
        StoppedError: `stop` was set.
    """
    size, hashed = 0, hashlib.sha256()
    for piece in pieces:
        if stop.is_set():
            raise StoppedError
        size += len(piece)
        hashed.update(piece)
        yield piece
    if size != file.size_bytes:
        raise DamagedError(file.number, "size")
    if hashed.digest() != file.sha256:
        raise DamagedError(file.number, "hash")


def _record(
    conn: Connection, evidence_id: int, organisation_id: UUID, told: Mapping[str, Any], now: datetime
) -> bool:
    """Say in the row and on the ledger that a piece is in the cold tier; False where it was there already."""
    event = _event(Kind.evidence_moved, evidence_id, organisation_id, told, now)
    body = body_of(event)
    moved = TIERS.bind(
        "move",
        evidence_id=evidence_id,
        tier=COLD,
        event_id=event.event_id,
        at=now,
        body=body,
        place=place_of(body, "evidence"),
        salt=new_salt(),
    )
    return bool(one(conn, *moved))


def _note(
    conn: Connection, evidence_id: int, organisation_id: UUID, error: DamagedError, now: datetime
) -> None:
    """Say at the piece that it is damaged; the first time on the ledger, each time in the log."""
    told = {"chunk": error.number, "why": error.why, "tier": HOT}
    event = _event(Kind.evidence_damaged, evidence_id, organisation_id, told, now)
    run(conn, TIERS["note_damaged"], evidence_id, event.event_id, now, body_of(event))
    log.error("evidence_damaged", evidence_id=evidence_id, **told)


def _event(
    kind: Kind, evidence_id: int, organisation_id: UUID, detail: Mapping[str, Any], now: datetime
) -> LedgerEvent:
    known = about(kind)
    return LedgerEvent(
        event_id=event_id_at(now),
        organisation_id=organisation_id,
        occurred_at=now,
        kind=kind,
        aggregate_type=known.aggregate,
        aggregate_id=str(evidence_id),
        actor_id=None,
        actor_role=SYSTEM,
        detail=dict(detail),
        commitments={} if known.record is None else {RECORD + known.record: UNCOMMITTED},
    )
