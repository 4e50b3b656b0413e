"""
Archive events into Parquet, every one exactly once, through any crash.

A batch is first planned in PostgreSQL: which sequences of which session, as of one snapshot, by a number one
above the last. Its rows can no longer change, so writing it again gives the same rows. The manifest's
watermark is the number of the last batch it holds. Whoever finds a planned batch unconfirmed compares the
two: the manifest has it, so it is confirmed; or it has the one before, so the batch is written and published
first. The ledger is told of its files (`archive_told`). Session by session the writer commits in order of the
sequence, so a transaction that commits late cannot slip below a mark that was planned.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
import pyarrow as pa
from msgspec import Struct

from kernel.settings import Settings
from pipeline import archive_told
from pipeline.archive_erased import rewrite
from pipeline.extract import Snapshot, as_frame, as_table, snapshot
from pipeline.features.activity import TYPE_NAMES
from sql import named
from sql.running import Connection, connect, one, run
from warehouse.builds import Part, read_manifest, scan
from warehouse.compacting import gather, merge_small
from warehouse.datasets.events import EVENTS
from warehouse.files import Root, open_root
from warehouse.publish import Draft, Step, add, begin, commit, no_step, previous_parts

RETENTION: Final = named("retention")
WATERMARKS: Final = named("watermarks")
ERASURE: Final = "erasure"  # kind of a batch
BY_SESSION_MAX: Final = 200_000  # sequences; above it a pass over the day is cheaper than the index
DAY: Final = timedelta(days=1)


class ArchiveMismatchError(Exception):
    """The archive on disk is not the one that the database planned for; a rebuild mends it."""


class Batch(Struct, frozen=True):
    """
    A planned batch: `append` adds what is new, `whole` replaces every day that the events table still holds,
    `erasure` writes the files anew that have texts of people who are being erased.
    """

    id: int
    kind: str
    planned_at: datetime


def archive_events(settings: Settings, step: Step = no_step) -> int | None:
    """
    Finish the batch that is open, or plan and publish the next.

    Returns:
        Rows written, 0 for a batch that only had to be confirmed; None when there was nothing to do, or
        another process is doing it.

    Raises:
        ArchiveMismatchError: the manifest holds neither this batch nor the one before it.
    """
    root = open_root(settings.warehouse, settings)
    with connect(settings.database_url) as conn:
        if not one(conn, WATERMARKS["try_publish"], EVENTS.name):
            return None
        batch = open_batch(conn) or plan(conn)
        if batch is None:
            return None
        step("planned")
        return finish(conn, settings, root, batch, step)


def open_batch(conn: Connection) -> Batch | None:
    """Return the batch that was planned and not confirmed, if there is one."""
    row = run(conn, WATERMARKS["read_open_batch"]).fetchone()
    return Batch(*row) if row else None


def plan(conn: Connection) -> Batch | None:
    """Plan the next batch of what is new; None, and nothing planned, when nothing is."""
    if not one(conn, WATERMARKS["has_unarchived"]):
        return None
    with conn.transaction():
        number = int(one(conn, WATERMARKS["read_last_confirmed"])) + 1
        planned_at = one(conn, WATERMARKS["insert_batch"], number, "append")
        run(conn, WATERMARKS["insert_ranges"], number)
        run(conn, WATERMARKS["move_archived"], number)
    return Batch(number, "append", planned_at)


def erase(settings: Settings, step: Step = no_step) -> bool:
    """
    Write the files anew that have texts of people who are being erased; False where another process is at
    the archive.

    Raises:
        ArchiveMismatchError: as `archive_events`.
    """
    root = open_root(settings.warehouse, settings)
    with connect(settings.database_url) as conn:
        if not one(conn, WATERMARKS["try_publish"], EVENTS.name):
            return False
        if (batch := open_batch(conn)) is not None:
            finish(conn, settings, root, batch, step)
        number = int(one(conn, WATERMARKS["read_last_confirmed"])) + 1
        batch = Batch(number, ERASURE, one(conn, WATERMARKS["insert_batch"], number, ERASURE))
        step("planned")
        finish(conn, settings, root, batch, step)
    return True


def finish(
    conn: Connection,
    settings: Settings,
    root: Root,
    batch: Batch,
    step: Step = no_step,
) -> int:
    """Write and publish the batch unless the manifest has it already, then confirm it; return the rows
    written.
    """
    rows = 0
    manifest = read_manifest(root, EVENTS)
    published = manifest.watermark if manifest else 0
    if published != batch.id:
        before = int(one(conn, WATERMARKS["read_last_confirmed"]))
        if batch.kind != "whole" and published != before:
            raise ArchiveMismatchError(
                f"the archive holds batch {published}, the database expects {before}: rebuild"
            )
        rows = _publish(conn, settings, root, batch, step)
    step("published")
    with conn.transaction():
        archive_told.confirm(conn, batch.id, datetime.now(UTC))
        run(conn, WATERMARKS["delete_ranges"], batch.id)
    step("confirmed")
    return rows


def _publish(conn: Connection, settings: Settings, root: Root, batch: Batch, step: Step) -> int:
    with begin(root, EVENTS) as draft:
        with snapshot(settings.database_url) as reader:
            owners = reader.frame(WATERMARKS["list_owners"], batch.id)
            gone = reader.frame(RETENTION["list_gone_of_batch"], batch.id)
            for rows in _slices(reader, batch):
                _add_days(draft, rows, owners)
        fresh = list(draft.parts)
        old = previous_parts(draft, {part.partition for part in fresh})
        if batch.kind == "whole":
            _carry(draft, old, gone)
            replaced = {part for part, _ in old}
        elif batch.kind == ERASURE:
            owned = run(conn, WATERMARKS["list_erased_sessions"]).fetchall()
            replaced = rewrite(draft, [row[0] for row in owned], {day for row in owned for day in row[1]})
        else:
            replaced = merge_small(draft, old)
        archive_told.plan(conn, batch.id, draft, replaced)
        commit(
            draft,
            replaced=replaced,
            watermark=batch.id,
            as_of=batch.planned_at,
            now=datetime.now(UTC),
            step=step,
        )
        return sum(part.rows for part in fresh)


def _carry(draft: Draft, old: list[tuple[Part, str]], gone: pl.DataFrame) -> None:
    """Add what the archive alone has, of days that are written anew: it is as it was."""
    if gone.is_empty():
        return
    kept = gone.lazy().select(
        pl.col("session_id").cast(pl.Int64), gone_through=pl.col("through_seq").cast(pl.Int64)
    )
    for part, key in old:
        rows = (
            scan(draft.root, [f"{draft.root.location}/{key}"])
            .join(kept, on="session_id")
            .filter(pl.col("seq") <= pl.col("gone_through"))
            .drop("gone_through")
            .collect()
        )
        if rows.height:
            add(draft, part.partition, as_table(rows, EVENTS))


def _slices(reader: Snapshot, batch: Batch) -> Iterator[pa.Table]:
    """Yield the batch's rows in tables of at most about PART_ROWS_MAX rows or PART_BYTES_MAX bytes."""
    extent = reader.frame(WATERMARKS["read_extent"], batch.id).row(0, named=True)
    if not extent["sequences"]:
        return
    if extent["sequences"] <= BY_SESSION_MAX:
        yield reader.table(
            WATERMARKS["list_batch_by_session"], batch.id, extent["after_at"], extent["through_at"]
        )
        return
    day = extent["after_at"].replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= extent["through_at"]:
        reader.table(WATERMARKS["choose_day"], str(batch.id), day.isoformat(), (day + DAY).isoformat())
        yield from gather(reader.batches(WATERMARKS["list_batch_by_day"]))
        day += DAY


def _add_days(draft: Draft, rows: pa.Table, owners: pl.DataFrame) -> None:
    """Write one part for each UTC day among the rows."""
    code = pl.col("event_type").cast(pl.Int64)
    known = code.replace_strict(TYPE_NAMES, default="Other", return_dtype=pl.String)
    given = (code == 0) & pl.col("event_name").is_not_null()
    whole = (
        as_frame(rows)
        .join(owners, on="session_id", how="left")
        .with_columns(event_type_name=pl.when(given).then("event_name").otherwise(known))
    )
    dated = whole.with_columns(day=pl.col("occurred_at").dt.date())
    for (day,), part in dated.partition_by("day", as_dict=True, include_key=False).items():
        add(draft, str(day), as_table(part, EVENTS))
