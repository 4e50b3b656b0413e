"""
Datasets that come straight from durable tables: what is added to a draft of each, and what that replaces.

Two are appended to. The ledger's positions have no gap, so what is published are the first so many; of risk
snapshots each session's come one after the other, so the last that is published says where to go on. Both are
read from the build that the draft follows, hence nothing else can disagree with it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from pipeline.archive import ArchiveMismatchError
from pipeline.extract import Snapshot, as_frame, as_table
from sql import named
from warehouse.builds import Part, scan
from warehouse.compacting import merge_small
from warehouse.datasets.ledger_events import LEDGER_EVENTS
from warehouse.datasets.risk_snapshots import RISK_SNAPSHOTS
from warehouse.datasets.rule_precision import RULE_PRECISION
from warehouse.publish import Draft, add, previous_parts

DURABLE: Final = named("durable")
LEDGER_ROWS: Final = 200_000  # in memory at once
EXAMS: Final = 20  # in memory at once, where all are read

# From one snapshot of the database: the marked partitions, None for all. Returns the parts that go.
Fill = Callable[[Draft, Snapshot, Sequence[str] | None], set[Part]]


def fill_ledger(draft: Draft, reader: Snapshot, marked: Sequence[str] | None) -> set[Part]:
    """
    Add the sealed events that come after those published.

    Raises:
        ArchiveMismatchError: more of them are published than the database has; a rebuild mends it.
    """
    before = [] if draft.previous is None else previous_parts(draft)
    after = 0 if marked is None else sum(part.rows for part, _ in before)
    size = reader.frame(DURABLE["read_sealed_size"]).item()
    if size < after:
        raise ArchiveMismatchError(f"{after} ledger events are published, the database has {size}: rebuild")
    while after < size:
        rows = as_frame(reader.table(DURABLE["list_sealed"], after, LEDGER_ROWS))
        dated = rows.with_columns(day=pl.col("occurred_at").dt.date())
        for (day,), part in dated.partition_by("day", as_dict=True, include_key=False).items():
            add(draft, str(day), as_table(part, LEDGER_EVENTS))
        after += LEDGER_ROWS
    if marked is None:
        return {part for part, _ in before}
    days = {part.partition for part in draft.parts}
    return merge_small(draft, [(part, key) for part, key in before if part.partition in days])


def fill_snapshots(draft: Draft, reader: Snapshot, marked: Sequence[str] | None) -> set[Part]:
    """Add the exams' snapshots that come after those published, session by session."""
    if marked is None:
        exams = reader.frame(DURABLE["list_scored_exams"])["exam_id"].to_list()
        for some in range(0, len(exams), EXAMS):
            _add_snapshots(draft, reader, exams[some : some + EXAMS], None)
        return {part for part, _ in previous_parts(draft)}
    old = previous_parts(draft, set(marked))
    known = None
    if old:
        known = (
            scan(draft.root, [f"{draft.root.location}/{key}" for _, key in old])
            .group_by("session_id")
            .agg(pl.col("snapshot_id").max())
            .collect()
        )
    _add_snapshots(draft, reader, sorted(set(marked)), known)
    return merge_small(draft, old)


def _add_snapshots(draft: Draft, reader: Snapshot, exams: Sequence[str], known: pl.DataFrame | None) -> None:
    last = {} if known is None else dict(known.iter_rows())
    rows = as_frame(reader.table(DURABLE["list_snapshots"], list(exams), list(last), list(last.values())))
    for (exam,), part in rows.partition_by("exam_id", as_dict=True).items():
        add(draft, str(exam), as_table(part, RISK_SNAPSHOTS))


def fill_precision(draft: Draft, reader: Snapshot, marked: Sequence[str] | None) -> set[Part]:
    """Add the organisations' rules, in the place of those published."""
    wanted = None if marked is None else sorted(set(marked))
    rows = as_frame(reader.table(DURABLE["list_rule_precision"], wanted))
    for (organisation,), part in rows.partition_by("organisation_id", as_dict=True).items():
        add(draft, str(organisation), as_table(part, RULE_PRECISION))
    return {part for part, _ in previous_parts(draft, None if marked is None else set(marked))}


FILLS: Final[dict[str, Fill]] = {
    LEDGER_EVENTS.name: fill_ledger,
    RISK_SNAPSHOTS.name: fill_snapshots,
    RULE_PRECISION.name: fill_precision,
}
