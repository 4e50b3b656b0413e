"""
Publish what was projected: the partitions marked since the last build go into the next one, whole.

The order is what makes it safe to repeat: the draft remembers the build in force, then marks and rows are
read in one snapshot, then the build is swapped in only if that other build still is in force, then the marks
that were read are deleted. A job that is delivered twice, or taken up after a crash, publishes the same
partitions from a later snapshot.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa

from kernel.settings import Settings
from pipeline.durable import FILLS
from pipeline.extract import as_frame, as_table, snapshot, wait_for
from pipeline.projections.reading import few_at_a_time
from pipeline.projections.registry import PUBLISHED
from sql import named
from sql.running import connect, one, run
from warehouse import catalogue
from warehouse.datasets import DATASETS
from warehouse.files import Root, open_root
from warehouse.layout import PART_ROWS_MAX, Dataset
from warehouse.publish import Draft, Step, add, begin, collect, commit, ensure, no_step, previous_parts

WATERMARKS: Final = named("watermarks")
ROWS_MAX: Final = 250_000  # in memory at once, where no partition alone has more


def publish(settings: Settings, dataset: Dataset, step: Step = no_step, *, whole: bool = False) -> int:
    """
    Publish the marked partitions of a dataset, from its table in `reporting` or what FILLS has for it; return
    how many changed.

    Args:
        settings: where database and warehouse are.
        dataset: one of PUBLISHED.
        step: called with a name after each step that a crash could follow.
        whole: every partition, marked or not, waiting for whoever publishes just now; those without rows go.

    Otherwise nothing happens while another process publishes this dataset, or when nothing is marked.
    """
    root = open_root(settings.warehouse, settings)
    with connect(settings.database_url) as conn:
        if whole:
            wait_for(conn, WATERMARKS["wait_to_publish"], dataset.name)
        elif not one(conn, WATERMARKS["try_publish"], dataset.name):
            return 0
        with begin(root, dataset) as draft:
            with snapshot(settings.database_url) as reader:
                marks = reader.frame(WATERMARKS["list_marks"], dataset.name)
                if marks.is_empty() and not whole:
                    return 0
                as_of = reader.frame(WATERMARKS["read_moment"]).item()
                partitions = None if whole else marks["partition"].unique().to_list()
                if fill := FILLS.get(dataset.name):
                    changed = fill(draft, reader, partitions)
                else:
                    key = dataset.partition_key
                    for rows in few_at_a_time(conn, reader, dataset, key, partitions, ROWS_MAX):
                        _add(draft, rows)
                    changed = {part for part, _ in previous_parts(draft, partitions)}
            step("read")
            watermark = max([*marks["id"], draft.previous.watermark if draft.previous else 0])
            now = datetime.now(UTC)
            commit(draft, replaced=changed, watermark=watermark, as_of=as_of, now=now, step=step)
            count = len({part.partition for part in draft.parts})
        run(conn, WATERMARKS["delete_marks"], marks["id"].to_list())
        step("unmarked")
    return count


def publish_marked(settings: Settings, step: Step = no_step, *, whole: bool = False) -> dict[str, int]:
    """
    Publish the datasets of PUBLISHED that are marked, or all; return how many partitions of each
    changed.
    """
    with connect(settings.database_url) as conn:
        marked = set(PUBLISHED) if whole else {name for (name,) in run(conn, WATERMARKS["list_marked"])}
    counts = {
        name: publish(settings, dataset, step, whole=whole)
        for name, dataset in PUBLISHED.items()
        if name in marked
    }
    return {name: count for name, count in counts.items() if count}


def _add(draft: Draft, rows: pa.Table) -> None:
    """Add parts of whole partitions to the draft."""
    dataset = draft.dataset
    for (partition,), part in as_frame(rows).partition_by(dataset.partition_key, as_dict=True).items():
        for piece in part.iter_slices(PART_ROWS_MAX):
            add(draft, str(partition), as_table(piece, dataset))


def lay_out(settings: Settings) -> Root:
    """Return the root with every dataset published at least once."""
    root = open_root(settings.warehouse, settings)
    for dataset in DATASETS.values():
        ensure(root, dataset, datetime.now(UTC))
    return root


def open_warehouse(settings: Settings) -> Root:
    """Return the same with a catalogue over what is in force."""
    root = lay_out(settings)
    catalogue.refresh(root)
    return root


def show_builds(settings: Settings, names: Iterable[str] = tuple(DATASETS)) -> None:
    """Lead the catalogue to the builds in force, then remove builds and drafts that nobody needs any more."""
    open_warehouse(settings)
    make_room(settings, names)


def make_room(settings: Settings, names: Iterable[str] = tuple(DATASETS)) -> None:
    """Remove builds past their grace and drafts that nobody writes any more."""
    root = open_root(settings.warehouse, settings)
    for name in names:
        collect(root, DATASETS[name], grace_s=settings.build_grace_s, now=datetime.now(UTC))
