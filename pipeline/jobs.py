"""
The warehouse's jobs as they fail and come right again, and what the pipeline is behind with, in words.

A job that fails is noted in PostgreSQL with its reason and when it may be tried again, by whichever process
ran it; the scheduler reads that, and so do readiness and `veritas doctor`. What needs no Parquet goes on
meanwhile: the fold, sealing, whatever else the scheduler sends.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from kernel.ledger.event import EPOCH, MILLISECOND
from kernel.settings import Settings
from pipeline.extract import DATABASE_AWAY
from pipeline.publications import make_room
from sql import named
from sql.running import Connection, connect, run
from warehouse.builds import read_manifest
from warehouse.datasets.events import EVENTS
from warehouse.files import ROOT_FAILS, WarehouseError, open_root

log = structlog.get_logger(__name__, process="pipeline")

JOBS: Final = named("jobs")
COUNTED_MAX: Final = 10_000  # rows of a backlog; beyond it "at least" is said
EVENT_BYTES: Final = 100  # of an event in Parquet, while the archive has none to measure
ASIDE_MAX: Final = 20  # attempts that are named
REASON_LENGTH_MAX: Final = 300
CONTENTS: Final = "contents"
DETECT: Final = "detect"
EVIDENCE: Final = "evidence"
ERASURES: Final = "erasures"
EXPIRY: Final = "expiry"
INACTIVE: Final = "inactive"
ORPHANS: Final = "orphans"
RETENTION: Final = "retention"
RUNTIME: Final = "runtime"
TITLES: Final = {
    EVIDENCE: "Moving evidence to its cold tier fails",
    ORPHANS: "Looking through the stores of evidence for what nobody knows fails",
    ERASURES: "Erasing people fails",
    RETENTION: "What is past its policy cannot be taken",
    EXPIRY: "Evidence that is past its policy cannot be deleted",
    INACTIVE: "People who are past their policy cannot be asked for",
    CONTENTS: "Contents that are past their policy cannot be taken",
    RUNTIME: "What only running attempts needed cannot be taken",
    "open": "The warehouse cannot be opened",
    "archive": "The archive of events fails",
    "publish": "Publishing what was projected fails",
    DETECT: "The face detector cannot work",
}


class Failing(Struct, frozen=True):
    """A job that fails; `is_due` when it may be tried again."""

    job: str
    since: datetime
    failures: int
    reason: str
    is_due: bool


class Lags(Struct, frozen=True):
    """
    What waits, each counted up to COUNTED_MAX rows: sessions for their fold, events for the archive,
    ledger events for the sealer, rows of the outbox for their reader; and since when. None where nothing
    waits.
    """

    due_sessions: int
    due_since: datetime | None
    unarchived_events: int
    pending_events: int
    pending_since: datetime | None
    outbox_rows: int
    outbox_since: datetime | None


class Disk(Struct, frozen=True):
    """The warehouse's disk, bytes: free, None where it cannot be asked; needed by the events that wait."""

    free: int | None
    needed: int


def run_job(settings: Settings, job: str, work: Callable[[], None]) -> bool:
    """
    Do the work, and note in PostgreSQL that it fails, or that it does no more; return whether it was done.

    After a failure, builds past their grace go: on a full disk they are what can be given back.
    """
    try:
        work()
    except DATABASE_AWAY:
        raise  # nobody could note it; the scheduler says so itself
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:REASON_LENGTH_MAX]
        log.exception("job_failed", job=job)
        with connect(settings.database_url) as conn:
            run(conn, JOBS["note_failure"], job, reason, settings.warehouse_retry_s_max)
        with suppress(*ROOT_FAILS, WarehouseError):
            make_room(settings)
        return False
    with connect(settings.database_url) as conn:
        run(conn, JOBS["note_success"], job)
    return True


def failing_jobs(conn: Connection) -> list[Failing]:
    """Return the jobs whose last try failed."""
    return [Failing(*row) for row in run(conn, JOBS["list_failing"]).fetchall()]


def read_lags(conn: Connection) -> Lags:
    """Return what waits, as of now."""
    row = run(conn, JOBS["read_lags"], COUNTED_MAX).fetchone()
    assert row is not None, "aggregates have a row"
    due, since, unarchived, pending, oldest, told, told_since = row
    return Lags(
        due_sessions=due,
        due_since=since,
        unarchived_events=unarchived,
        pending_events=pending,
        pending_since=None if oldest is None else EPOCH + MILLISECOND * (oldest.int >> 80),
        outbox_rows=told,
        outbox_since=told_since,
    )


def put_aside(conn: Connection) -> list[str]:
    """Return attempts that could not be folded and wait to be tried again, the first ASIDE_MAX."""
    return [attempt_id for (attempt_id,) in run(conn, JOBS["list_put_aside"], ASIDE_MAX)]


def look_at_disk(settings: Settings, lags: Lags) -> Disk | None:
    """
    Return what the warehouse's disk has free, and what the events that wait need there; None for a
    bucket.
    """
    if "://" in settings.warehouse:
        return None
    root = Path(settings.warehouse).resolve()
    free, each = None, float(EVENT_BYTES)
    with suppress(OSError, msgspec.DecodeError):  # who looks must not fall with what is looked at
        there = next(folder for folder in (root, *root.parents) if folder.is_dir())
        free = shutil.disk_usage(there).free
        manifest = read_manifest(open_root(settings.warehouse, settings), EVENTS)
        if manifest is not None and manifest.rows:
            each = manifest.bytes / manifest.rows
    return Disk(free, round(each * lags.unarchived_events))


def in_words(
    failing: list[Failing],
    lags: Lags,
    disk: Disk | None,
    aside: Sequence[str] = (),
    *,
    now: datetime,
    after: timedelta,
) -> list[str]:
    """
    Say what is behind, a sentence each; nothing when all is well.

    Args:
        failing: jobs whose last try failed.
        lags: what waits.
        disk: the warehouse's; None for a bucket.
        aside: attempts that could not be folded, up to ASIDE_MAX.
        now: the moment, tz-aware UTC.
        after: how old the oldest that waits must be before it is worth saying.
    """
    said = [
        f"{TITLES.get(each.job, each.job)} since {each.since:%Y-%m-%d %H:%M:%S} UTC, {each.failures} times: "
        f"{each.reason}."
        for each in failing
    ]
    if disk is not None and any(each.job not in {DETECT, ERASURES, EVIDENCE, RETENTION} for each in failing):
        said.append(
            f"The warehouse's disk has {in_size(disk.free)} free; the {_count(lags.unarchived_events)} "
            f"events that wait for the archive need about {in_size(disk.needed)}."
        )
    for what, rows, since in (
        ("sessions wait to be folded", lags.due_sessions, lags.due_since),
        ("ledger events wait to be sealed", lags.pending_events, lags.pending_since),
        ("rows of the outbox wait", lags.outbox_rows, lags.outbox_since),
    ):
        if since is not None and now - since > after:
            said.append(f"{_count(rows)} {what}, the oldest for {(now - since).total_seconds():.0f} s.")
    if aside:
        named = ", ".join(aside) + (", and others" if len(aside) >= ASIDE_MAX else "")
        said.append(
            f"Attempts that cannot be folded, and are tried again every minute: {named}; "
            "`attempt_not_folded` in the pipeline's log says why."
        )
    return said


def behind(conn: Connection, settings: Settings) -> list[str]:
    """Look, and say what is behind in words."""
    lags = read_lags(conn)
    after = timedelta(seconds=settings.behind_after_s)
    disk = look_at_disk(settings, lags)
    return in_words(failing_jobs(conn), lags, disk, put_aside(conn), now=datetime.now(UTC), after=after)


def _count(rows: int) -> str:
    return f"at least {rows:,}" if rows >= COUNTED_MAX else f"{rows:,}"


def in_size(size_bytes: int | None) -> str:
    """Return bytes as a person reads them; "nobody knows what" where they are not known."""
    return "nobody knows what" if size_bytes is None else f"{size_bytes / 2**20:,.1f} MiB"
