"""
Publish what was projected: the exams marked since the last build go into the next one, whole.

The order is what makes it safe to repeat: the draft remembers the build in force, then marks and rows are
read in one snapshot, then the build is swapped in only if that other build still is in force, then the marks
that were read are deleted. A job that is delivered twice, or taken up after a crash, publishes the same exams
from a later snapshot.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa

from kernel.settings import Settings
from pipeline.extract import as_frame, as_table, snapshot, wait_for
from sql import named
from sql.running import connect, one, run
from warehouse import catalogue
from warehouse.builds import Part
from warehouse.datasets import DATASETS
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.files import Root, open_root
from warehouse.layout import PART_ROWS_MAX
from warehouse.publish import Draft, Step, add, begin, collect, commit, ensure, no_step, previous_parts

PROJECTIONS: Final = named("projections")
WATERMARKS: Final = named("watermarks")
LOCK: Final = 4  # of this dataset, in watermarks.sql


def publish_activity(settings: Settings, step: Step = no_step, *, whole: bool = False) -> int:
    """
    Publish the marked exams of `attempt_activity`; return how many partitions changed.

    Args:
        settings: where database and warehouse are.
        step: called with a name after each step that a crash could follow.
        whole: every exam, marked or not, waiting for whoever publishes just now; exams without rows go.

    Otherwise nothing happens while another process publishes this dataset, or when nothing is marked.
    """
    root = open_root(settings.warehouse, settings)
    with connect(settings.database_url) as conn:
        if whole:
            wait_for(conn, WATERMARKS["wait_to_publish"], LOCK)
        elif not one(conn, WATERMARKS["try_publish"], LOCK):
            return 0
        with begin(root, ATTEMPT_ACTIVITY) as draft:
            with snapshot(settings.database_url) as reader:
                marks = reader.frame(WATERMARKS["list_marks"], ATTEMPT_ACTIVITY.name)
                if marks.is_empty() and not whole:
                    return 0
                as_of = reader.frame(WATERMARKS["read_moment"]).item()
                exams = marks["partition"].unique().to_list()
                rows = reader.table(PROJECTIONS["list_activity"], None if whole else exams)
            step("read")
            changed = _replace(draft, rows, None if whole else set(exams))
            watermark = max([*marks["id"], draft.previous.watermark if draft.previous else 0])
            now = datetime.now(UTC)
            commit(draft, replaced=changed, watermark=watermark, as_of=as_of, now=now, step=step)
            partitions = len({part.partition for part in draft.parts})
        run(conn, WATERMARKS["delete_marks"], marks["id"].to_list())
        step("unmarked")
    return partitions


def _replace(draft: Draft, rows: pa.Table, exams: set[str] | None) -> set[Part]:
    """Add the exams' parts to the draft; return those of the previous build whose place they take."""
    for (exam,), part in as_frame(rows).partition_by("exam_id", as_dict=True).items():
        for piece in part.iter_slices(PART_ROWS_MAX):
            add(draft, str(exam), as_table(piece, ATTEMPT_ACTIVITY))
    return {part for part, _ in previous_parts(draft, exams)}


def open_warehouse(settings: Settings) -> Root:
    """Return the root with every dataset published at least once, and a catalogue over what is in force."""
    root = open_root(settings.warehouse, settings)
    for dataset in DATASETS.values():
        ensure(root, dataset, datetime.now(UTC))
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
