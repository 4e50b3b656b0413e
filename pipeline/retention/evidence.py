"""
Files of evidence that are older than their organisation's policy are deleted (spec.md G-1, V-2).

A step takes some pieces of one organisation. First, in one transaction, the database looks once more at what
is held, says of each piece that its file is gone, and appends the ledger's events; from then on nobody is
given the file. Then the files are deleted, piece by piece, from both tiers, and the piece is struck off the
list of those that leave. A sweep begins with what is on that list: whoever died in between, that is where
they were. One piece whose files cannot be deleted holds up no other. What a piece was, its hashes and its
custody stay.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from kernel.ledger.event import body_of
from kernel.ledger.kinds import Kind
from kernel.storage.opening import STORE_FAILS, key_of
from kernel.storage.stores import Store
from pipeline.evidence_files import ForeignStoreError, alone_at, delete_files, is_ours
from pipeline.retention.archived import event_of
from sql import named
from sql.running import Connection, one, rows, run
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

RETENTION: Final = named("retention")
RULE: Final = "evidence_days"
PIECES_MAX: Final = 100  # of a step
FAILURES_MAX: Final = 3  # of a step, after which nothing more is taken: a store is away
FIRST: Final[Mapping[str, object]] = {
    "organisation": UUID(int=0),
    "requested_at": datetime.fromtimestamp(0, UTC),
    "evidence_id": 0,
}


class Piece(Struct, frozen=True, kw_only=True):
    """A piece of evidence, and the tier that its files are in."""

    evidence_id: int
    tier: str


class Expired(Piece, frozen=True, kw_only=True):
    """A piece whose file may go: its time counts from `since`."""

    organisation_id: UUID
    requested_at: datetime
    size_bytes: int
    sha256: bytes
    days: int
    since: datetime


class Swept(Struct):
    """What a sweep took, in so many steps, and how many pieces' files it has deleted."""

    pieces: int = 0
    size_bytes: int = 0
    steps: int = 0
    deleted: int = 0


def sweep_evidence(
    conn: Connection,
    stores: Mapping[str, Store],
    *,
    now: datetime,
    stop: threading.Event | None = None,
    seconds_max: float = 60.0,
    step: Step = no_step,
) -> Swept:
    """
    Delete what is left of what is gone, then take what may go, the oldest first, until there is no more or it
    has taken long.

    Args:
        conn: to the database, in no transaction.
        stores: of evidence, by tier.
        now: the moment; what was foreseen for it is what goes.
        stop: ends it before the next step.
        seconds_max: after which no further step begins.
        step: called with a name after each step that a crash could follow.

    Raises:
        ForeignStoreError: a store is another database's, or not where the files are; nothing was taken.
        OSError, obstore's BaseError: a store is away, or a piece could not be deleted, the first one; what is
            gone is deleted another time.
    """
    swept, until, ours, failed = Swept(), monotonic() + seconds_max, set[str](), list[Exception]()

    def is_over() -> bool:
        return monotonic() > until or (stop is not None and stop.is_set())

    for found in _leaving(conn, is_over):
        _check(conn, stores, found, ours)
        failed += _delete(conn, stores, found, swept, is_over, step)
    for some in _expired(conn, now, is_over):
        _check(conn, stores, some, ours)
        if not _take(conn, some, swept, now):
            continue  # held, touched or taken since it was listed
        step("taken")
        unable = _delete(conn, stores, some, swept, is_over, step)
        failed += unable
        if len(unable) >= FAILURES_MAX:
            break
    if failed:
        raise failed[0]
    return swept


def _check(conn: Connection, stores: Mapping[str, Store], pieces: Sequence[Piece], ours: set[str]) -> None:
    """
    See to it that files are deleted where they are: each store is ours by its mark, or by a file of a piece.

    Raises:
        ForeignStoreError: one is another database's, or has neither.
    """
    for tier in stores.keys() - ours:
        there = [each for each in pieces if each.tier == tier]
        if is_ours(conn, stores[tier], knows_some=False) or is_ours(
            conn, stores[tier], knows_some=any(stores[tier].found(key_of(each.evidence_id)) for each in there)
        ):
            ours.add(tier)
        elif there:
            raise ForeignStoreError("It has no mark, and none of the files that it should have.")


def _leaving(conn: Connection, is_over: Callable[[], bool]) -> Iterator[list[Piece]]:
    """Yield what is gone and may lie in a store still, as it was left by whoever died or found no store."""
    last = 0
    while not is_over():
        found = [Piece(**row) for row in rows(conn, RETENTION["list_leaving"], last, PIECES_MAX)]
        if not found:
            return
        yield found
        last = found[-1].evidence_id


def _expired(conn: Connection, now: datetime, is_over: Callable[[], bool]) -> Iterator[list[Expired]]:
    """Yield pieces of one organisation each, the oldest first."""
    after = FIRST
    while not is_over():
        asked = RETENTION.bind("list_expired", at=now, **after, limit=PIECES_MAX)
        found = [Expired(**row) for row in rows(conn, *asked)]
        if not found:
            return
        for _, some in groupby(found, key=lambda each: (each.organisation_id, each.days)):
            yield list(some)
            if is_over():
                return
        last = found[-1]
        after = {
            "organisation": last.organisation_id,
            "requested_at": last.requested_at,
            "evidence_id": last.evidence_id,
        }


def _take(conn: Connection, some: Sequence[Expired], swept: Swept, now: datetime) -> bool:
    """Say of pieces that their files are gone; False where one of them may not go any more."""
    organisation_id, days = some[0].organisation_id, some[0].days
    step = event_of(Kind.evidence_swept, organisation_id, str(organisation_id), _told(some), now)
    events = [
        event_of(
            Kind.evidence_expired,
            organisation_id,
            str(each.evidence_id),
            {
                "rule": RULE, "days": days, "since": each.since, "sha256": each.sha256.hex(),
                "size_bytes": each.size_bytes, "swept": str(step.event_id),
            },
            now,
        )
        for each in some
    ]  # fmt: skip
    given = {
        "organisation": organisation_id,
        "pieces": [each.evidence_id for each in some],
        "at": now,
        "event_id": step.event_id,
        "body": body_of(step),
        "events": [each.event_id for each in events],
        "bodies": [body_of(each) for each in events],
    }
    size_bytes = one(conn, *RETENTION.bind("take_evidence", **given))
    if size_bytes is None:
        return False
    swept.pieces += len(some)
    swept.size_bytes += size_bytes
    swept.steps += 1
    return True


def _told(some: Sequence[Expired]) -> dict[str, object]:
    """Return what the ledger is told of a step: the rule, counts, the range, a hash over what went."""
    lines = "".join(f"{each.evidence_id} {each.size_bytes} {each.sha256.hex()}\n" for each in some)
    return {
        "rule": RULE,
        "days": some[0].days,
        "pieces": len(some),
        "size_bytes": sum(each.size_bytes for each in some),
        "from": min(each.requested_at for each in some),
        "until": max(each.requested_at for each in some),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def _delete(
    conn: Connection,
    stores: Mapping[str, Store],
    pieces: Sequence[Piece],
    swept: Swept,
    is_over: Callable[[], bool],
    step: Step,
) -> list[Exception]:
    """
    Delete the files of pieces that are gone; what somebody moves at the moment is left for later, as is what
    cannot be deleted. Returns why that could not.
    """
    failed = list[Exception]()
    for each in pieces:
        if is_over():
            break
        with alone_at(conn, each.evidence_id) as is_alone:
            if not is_alone:
                log.info("evidence_leaves_later", evidence_id=each.evidence_id)
                continue
            try:
                delete_files(stores, each.evidence_id, step)
            except STORE_FAILS as error:
                log.warning("evidence_not_deleted", evidence_id=each.evidence_id, error=error)
                failed.append(error)
                continue
            run(conn, RETENTION["forget_leaving"], each.evidence_id)
        swept.deleted += 1
        step("deleted")
    return failed
