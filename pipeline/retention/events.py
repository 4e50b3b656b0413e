"""
Events that are older than their organisation's policy leave the events table; the archive has them.

A step takes some sessions of one organisation, whole. Before it the archive is looked at: each of its files
of those days is, byte for byte, what the ledger says, and has as many events of each session as the table.
Then, in one transaction, the database looks once more at what is held, deletes, notes whose events are where,
and appends the ledger's event; where the numbers differ nothing happens. No batch is published meanwhile. A
day that is empty then is dropped whole.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final
from uuid import UUID

import polars as pl
import psycopg
import structlog
from msgspec import Struct, field

from kernel.ledger.event import body_of
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from pipeline.archive_told import Archive, open_archive
from pipeline.retention.archived import event_of
from sql import named
from sql.running import Connection, one, rows, run
from warehouse.builds import scan
from warehouse.datasets.events import EVENTS
from warehouse.files import open_root
from warehouse.publish import Step, no_step

log = structlog.get_logger(__name__, process="pipeline")

RETENTION: Final = named("retention")
WATERMARKS: Final = named("watermarks")
SESSIONS_MAX: Final = 1_000  # of a step
LISTED_MAX: Final = 5_000
FIRST: Final = datetime.fromtimestamp(0, UTC)


class ArchiveDiffersError(Exception):
    """The archive has other events of so many sessions than the table: a rebuild mends it."""

    def __init__(self, sessions: int) -> None:
        """Say of how many."""
        super().__init__(f"the archive has other events of {sessions} sessions than the table: rebuild")


class Old(Struct, frozen=True, kw_only=True):
    """A session whose events may go, up to `through_seq`."""

    session_id: int
    organisation_id: UUID
    ended_at: datetime
    days: int
    through_seq: int
    total_events: int
    first_at: datetime
    last_at: datetime


class Taken(Struct):
    """What a sweep took, in so many steps; the sessions of which the archive has other events."""

    events: int = 0
    sessions: int = 0
    steps: int = 0
    days: int = 0
    differing: list[int] = field(default_factory=list)


def _counted(archive: Archive, sessions: Sequence[Old]) -> tuple[int, dict[int, int]]:
    """
    Return the archive's last batch, and how many events of each session it has.

    Raises:
        ForeignArchiveError: a file of their days is not what the ledger says.
    """
    first, last = min(each.first_at for each in sessions), max(each.last_at for each in sessions)
    batch, addresses = archive.addresses(first, last)
    if not addresses:
        return batch, {}
    wanted = pl.LazyFrame(
        [(each.session_id, each.through_seq) for each in sessions],
        schema={"session_id": pl.Int64, "through": pl.Int64},
        orient="row",
    )
    found = (
        scan(archive.root, addresses)
        .select("session_id", "seq")
        .join(wanted, on="session_id")
        .filter(pl.col("seq") <= pl.col("through"))
        .group_by("session_id")
        .agg(pl.col("seq").n_unique().alias("events"), pl.len().alias("rows"))
        .filter(pl.col("events") == pl.col("rows"))
        .select("session_id", pl.col("events").cast(pl.Int64))
        .collect(engine="streaming")
    )
    return batch, dict(found.iter_rows())


def sweep_events(
    conn: Connection,
    settings: Settings,
    *,
    now: datetime,
    stop: threading.Event | None = None,
    seconds_max: float = 60.0,
    step: Step = no_step,
) -> Taken:
    """
    Take what may go, the oldest first, until there is no more or it has taken long.

    Args:
        conn: to the database.
        settings: where the warehouse is, and how many events a step takes.
        now: the moment; what was foreseen for it is what goes.
        stop: ends it before the next step.
        seconds_max: after which no further step begins.
        step: called with a name after each step that a crash could follow.

    Raises:
        ForeignArchiveError: a file of the archive is not what the ledger says.
        OSError, AWAY: the archive cannot be read (`warehouse.files.ROOT_FAILS`).
    """
    taken, until = Taken(), monotonic() + seconds_max
    archive: Archive | None = None

    def is_over() -> bool:
        return monotonic() > until or (stop is not None and stop.is_set())

    for some in _steps(conn, now, settings.retention_step_rows, is_over):
        if archive is None:
            archive = open_archive(conn, open_root(settings.warehouse, settings))
        if not one(conn, WATERMARKS["try_publish"], EVENTS.name):
            return taken  # a batch is being published: another time
        try:
            _take(conn, archive, some, taken, now, step)
        finally:
            run(conn, RETENTION["let_publish"], EVENTS.name)
    while not is_over() and one(conn, RETENTION["drop_empty_day"], now) is not None:
        taken.days += 1
        step("dropped")
    return taken


def _steps(
    conn: Connection, now: datetime, rows_max: int, is_over: Callable[[], bool]
) -> Iterator[list[Old]]:
    """Yield sessions of one organisation each, of so many events together, in the order of their end."""
    after = (FIRST, 0)
    while not is_over():
        found = [Old(**row) for row in rows(conn, RETENTION["list_takable"], now, *after, LISTED_MAX)]
        if not found:
            return
        waiting: dict[tuple[UUID, int], list[Old]] = {}
        for each in found:
            own = waiting.setdefault((each.organisation_id, each.days), [])
            is_full = sum(old.total_events for old in own) + each.total_events > rows_max
            if own and (is_full or len(own) == SESSIONS_MAX):
                yield list(own)
                own.clear()
                if is_over():
                    return
            own.append(each)
        for own in waiting.values():
            yield own
            if is_over():
                return
        after = (found[-1].ended_at, found[-1].session_id)


def _take(
    conn: Connection, archive: Archive, sessions: list[Old], taken: Taken, now: datetime, step: Step
) -> None:
    """Take the events of those sessions of which the archive has all."""
    batch, counts = _counted(archive, sessions)
    sound = [each for each in sessions if counts.get(each.session_id, 0) == each.total_events]
    if len(sound) < len(sessions):
        differing = sorted({each.session_id for each in sessions} - {each.session_id for each in sound})
        log.error("archive_differs", sessions=differing[:20], count=len(differing))
        taken.differing += differing
    if not sound:
        return
    step("compared")
    events = sum(each.total_events for each in sound)
    event = event_of(
        Kind.events_archived,
        sound[0].organisation_id,
        str(sound[0].organisation_id),
        _told(sound, batch),
        now,
    )
    given = {
        "organisation": sound[0].organisation_id,
        "sessions": [each.session_id for each in sound],
        "expected": events,
        "at": now,
        "event_id": event.event_id,
        "body": body_of(event),
    }
    try:
        if one(conn, *RETENTION.bind("take_events", **given)) is None:
            return  # held, touched or taken since it was listed
    except psycopg.errors.DataException:
        if len(sound) == 1:
            log.exception("events_differ", session_id=sound[0].session_id)
            taken.differing.append(sound[0].session_id)
        else:
            for each in sound:  # one that differs holds up no other
                _take(conn, archive, [each], taken, now, step)
        return
    taken.events += events
    taken.sessions += len(sound)
    taken.steps += 1
    step("taken")


def _told(sessions: Sequence[Old], batch: int) -> dict[str, object]:
    """Return what the ledger is told of a step: the rule, counts, ranges, a hash over what went of whom."""
    lines = "".join(f"{each.session_id} {each.through_seq} {each.total_events}\n" for each in sessions)
    return {
        "rule": "events_days",
        "days": sessions[0].days,
        "sessions": len(sessions),
        "events": sum(each.total_events for each in sessions),
        "from": min(each.first_at for each in sessions),
        "until": max(each.last_at for each in sessions),
        "archive": batch,
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }
