"""
Drop what was computed and compute it again from the durable tables and the event archive (spec.md W-2).

Days that the events table still holds are archived anew; what only the archive has stays as it is, because
there is no other copy. Sessions are then folded from nothing out of the archive, which is complete as
of the plan's snapshot, and replace what every rider had in one transaction. Turns of the fold find nothing to
do meanwhile; what arrives during the rebuild stays touched, lies beyond the positions, and is folded
afterwards.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from msgspec import Struct

from kernel.settings import Settings
from pipeline import archive, publications
from pipeline.extract import wait_for
from pipeline.fold import RIDERS, Claimed, Slice, advance, session_of
from pipeline.projections.registry import PUBLISHED
from pipeline.recomputing import Runner, here, recompute
from pipeline.retention.archived import events_of
from sql import named
from sql.running import Connection, connect, one, run
from warehouse.builds import part_addresses, read_manifest, scan
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.datasets.events import EVENTS
from warehouse.files import Root
from warehouse.publish import Step, no_step

FOLDS: Final = named("folds")
WATERMARKS: Final = named("watermarks")
Progress = Callable[[str, int, int], None]
PARTITION_ROWS: Final = 1_500_000  # events in memory at once: about half a gigabyte while they are sorted
FOLDED: Final = {EVENTS.name, ATTEMPT_ACTIVITY.name}
SESSIONS_MAX: Final = 2_000  # stored at once


class Rebuilt(Struct, frozen=True):
    """What a rebuild made: `attempts` were folded, `keys` are those of all layers."""

    events: int
    attempts: int
    keys: int
    partitions: int


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def rebuild(
    settings: Settings,
    progress: Progress = no_progress,
    step: Step = no_step,
    *,
    only: Collection[str] = tuple(PUBLISHED | {EVENTS.name: EVENTS}),
    since: datetime | None = None,
    runner: Runner = here,
    parts: int | None = None,
) -> Rebuilt:
    """
    Recompute the events archive's hot days, what is folded of every session, what follows from submissions,
    and the Parquet datasets of all of it.

    Args:
        settings: where database and warehouse are.
        progress: called with (stage, done, total); stages are `archive`, `sessions`, `attempt`, `exam`,
            `student`, `settle`, `publish`.
        step: called with a name after each step that a crash could follow.
        only: names of datasets; what is folded and archived is computed together.
        since: only what follows from attempts that were over then or later; nothing is folded or archived.
        runner: where what follows from submissions is computed, as in `recomputing`.
        parts: into how many parts a layer is cut.

    Raises:
        ProjectionError: a key cannot be computed.
        psycopg.errors.LockNotAvailable: turns of the fold or publishers did not let go for two minutes.
    """
    root = publications.lay_out(settings)
    attempts = 0
    if since is None and FOLDED & set(only):
        attempts = _rebuild_folded(settings, root, progress, step)
    keys = recompute(settings, progress, since=since, datasets=only, runner=runner, parts=parts)
    progress("publish", 0, 1)
    partitions = sum(
        publications.publish(settings, dataset, step, whole=since is None)
        for name, dataset in PUBLISHED.items()
        if name in only
    )
    publications.show_builds(settings)
    progress("publish", 1, 1)
    manifest = read_manifest(root, EVENTS)
    return Rebuilt(manifest.rows if manifest else 0, attempts, keys, partitions)


def _rebuild_folded(settings: Settings, root: Root, progress: Progress, step: Step) -> int:
    """Archive and fold everything anew; return how many attempts have events."""
    with connect(settings.database_url) as conn:
        wait_for(conn, FOLDS["hold_folds"])
        wait_for(conn, WATERMARKS["wait_to_publish"], EVENTS.name)
        batch = _plan_whole(conn, root)
        step("planned")
        progress("archive", 0, 1)
        archive.finish(conn, settings, root, batch, step)
        progress("archive", 1, 1)
        attempts = _fold_anew(conn, root, progress)
        step("stored")
    return attempts


def _plan_whole(conn: Connection, root: Root) -> archive.Batch:
    """Plan a batch of everything there is, as of one moment."""
    manifest = read_manifest(root, EVENTS)
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction():
        last = max(int(one(conn, WATERMARKS["read_last_batch"])), manifest.watermark if manifest else 0)
        run(conn, WATERMARKS["abandon_open_batch"])
        run(conn, WATERMARKS["forget_archived"])
        planned_at = one(conn, WATERMARKS["insert_batch"], last + 1, "whole")
        run(conn, WATERMARKS["insert_all_ranges"], last + 1)
        run(conn, WATERMARKS["move_archived"], last + 1)
    conn.isolation_level = None
    return archive.Batch(last + 1, "whole", planned_at)


def _fold_anew(conn: Connection, root: Root, progress: Progress) -> int:
    """Fold every session from nothing, in one transaction; return how many attempts have events."""
    manifest = read_manifest(root, EVENTS)
    assert manifest is not None, "the archive was just published"
    events = scan(root, part_addresses(root, EVENTS, manifest))
    partitions = max(1, -(-manifest.rows // PARTITION_ROWS))
    attempts = set()
    with conn.transaction():
        for rider in RIDERS:
            rider.forget(conn)
        run(conn, FOLDS["delete_all_folds"])
        slices = [_slice(row) for row in run(conn, FOLDS["list_archived_sessions"])]
        now = datetime.now(UTC)
        for partition, own in enumerate(parted(slices, partitions)):
            progress("sessions", partition, partitions)
            found = events_of(events, [each.claimed.session.session_id for each in own])
            attempts |= {
                each.claimed.session.attempt_id for each in own if each.claimed.session.session_id in found
            }
            for some in parted(own, -(-len(own) // SESSIONS_MAX)):
                advance(conn, some, found, now, is_rebuilt=True)
    progress("sessions", partitions, partitions)
    return len(attempts)


def _slice(row: tuple[Any, ...]) -> Slice:
    """Return a row of `list_archived_sessions` as what a turn takes: all of it."""
    through_seq, through_at = row[8:]
    claimed = Claimed(
        session=session_of(row),
        stored_seq=through_seq,
        folded_seq=0,
        since=through_at,
        until=through_at,
        states={},
        generation=None,
    )
    return Slice(claimed, through_seq)


def parted(slices: list[Slice], parts: int) -> Iterator[list[Slice]]:
    """Yield the slices, which are ordered by attempt, in so many parts; each attempt is in one."""
    attempts = {
        attempt: place for place, attempt in enumerate(dict.fromkeys(_attempt(each) for each in slices))
    }
    for part in range(parts):
        yield [each for each in slices if attempts[_attempt(each)] % parts == part]


def _attempt(each: Slice) -> str:
    return each.claimed.session.attempt_id
