"""
Drop what was computed and compute it again from the durable tables and the event archive (spec.md W-2).

Days that the events table still holds are archived anew; days that only the archive has stay as they are,
because there is no other copy. Attempts are then computed from the archive, which is complete as of the
plan's snapshot, and replace every row of reporting.* in one transaction. Projections wait meanwhile; what
arrives during the rebuild stays dirty and is taken in by them afterwards.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl
import psycopg
from msgspec import Struct

from kernel.settings import Settings
from pipeline import archive, publications
from pipeline.extract import as_events, as_sessions, snapshot, wait_for
from pipeline.features.activity import attempt_activity_frame
from pipeline.projections import store
from sql import named
from sql.running import Connection, connect, one, run
from warehouse.builds import part_paths, read_manifest
from warehouse.layout import EVENTS
from warehouse.publish import Step, no_step

PROJECTIONS: Final = named("projections")
WATERMARKS: Final = named("watermarks")
Progress = Callable[[str, int, int], None]
PARTITION_ROWS: Final = 1_500_000  # events computed at once: about half a gigabyte while it runs
ROWS_MAX: Final = 2_000  # in one statement


class Rebuilt(Struct, frozen=True):
    """What a rebuild made."""

    events: int
    attempts: int
    partitions: int


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def rebuild(settings: Settings, progress: Progress = no_progress, step: Step = no_step) -> Rebuilt:
    """
    Recompute the events archive's hot days, reporting.* and every Parquet dataset.

    Args:
        settings: where database and warehouse are.
        progress: called with (stage, done, total); stages are `archive`, `attempts`, `publish`.
        step: called with a name after each step that a crash could follow.

    Raises:
        psycopg.errors.LockNotAvailable: projections or publishers did not let go for two minutes.
    """
    root = publications.open_warehouse(settings)
    with connect(settings.database_url) as conn:
        wait_for(conn, PROJECTIONS["hold_projections"])
        wait_for(conn, WATERMARKS["wait_to_publish"], archive.LOCK)
        batch, dirty = _plan_whole(conn, root)
        step("planned")
        progress("archive", 0, 1)
        archive.finish(conn, settings, root, batch, step)
        progress("archive", 1, 1)
        attempts = _replace_activity(conn, settings, root, dirty, progress)
        step("stored")
    progress("publish", 0, 1)
    partitions = publications.publish_activity(settings, step, whole=True)
    publications.show_builds(settings)
    progress("publish", 1, 1)
    manifest = read_manifest(root, EVENTS)
    return Rebuilt(manifest.rows if manifest else 0, attempts, partitions)


def _plan_whole(conn: Connection, root: Path) -> tuple[archive.Batch, list[int]]:
    """Plan a batch of everything there is, and name the dirty rows that it covers, as of one moment."""
    manifest = read_manifest(root, EVENTS)
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with conn.transaction():
        last = max(int(one(conn, WATERMARKS["read_last_batch"])), manifest.watermark if manifest else 0)
        dirty = [row[0] for row in run(conn, PROJECTIONS["list_dirty_ids"]).fetchall()]
        run(conn, WATERMARKS["abandon_open_batch"])
        run(conn, WATERMARKS["forget_archived"])
        planned_at = one(conn, WATERMARKS["insert_batch"], last + 1, "whole")
        run(conn, WATERMARKS["insert_all_ranges"], last + 1)
        run(conn, WATERMARKS["move_archived"], last + 1)
    conn.isolation_level = None
    return archive.Batch(last + 1, "whole", planned_at), dirty


def _replace_activity(
    conn: Connection,
    settings: Settings,
    root: Path,
    dirty: list[int],
    progress: Progress,
) -> int:
    with snapshot(settings.database_url) as reader:
        sessions = reader.frame(PROJECTIONS["list_all_sessions"])
    manifest = read_manifest(root, EVENTS)
    assert manifest is not None, "the archive was just published"
    events = pl.scan_parquet(part_paths(root, EVENTS, manifest))
    partitions = max(1, -(-manifest.rows // PARTITION_ROWS))
    attempts = 0
    with conn.transaction():
        run(conn, PROJECTIONS["delete_all_activity"])
        for partition in range(partitions):
            progress("attempts", partition, partitions)
            frame = activity_of(sessions, events, partition, partitions)
            for rows in frame.iter_slices(ROWS_MAX):
                store(conn, rows, [])
            attempts += frame.height
        run(conn, PROJECTIONS["delete_dirty"], dirty)
    progress("attempts", partitions, partitions)
    return attempts


def activity_of(
    sessions: pl.DataFrame, events: pl.LazyFrame, partition: int, partitions: int
) -> pl.DataFrame:
    """
    Compute the attempts of one partition.

    Args:
        sessions: all proctor sessions, as `list_all_sessions` gives them, ordered by attempt.
        events: the archive.
        partition: 0 to partitions - 1; an attempt belongs to exactly one.
        partitions: how many there are. The rows are the same for every number.
    """
    own = sessions.filter(pl.col("attempt_id").rank("dense").cast(pl.Int64) % partitions == partition)
    chosen = events.join(own.lazy().select("session_id"), on="session_id", how="semi")
    return attempt_activity_frame(as_sessions(own.lazy()), as_events(chosen)).collect(engine="streaming")
