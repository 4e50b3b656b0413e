"""
Small parts put together: what is appended a little at a time becomes files of a size that readers like.
"""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.builds import Part
from warehouse.layout import PART_BYTES_MAX, PART_ROWS_MAX, assert_file
from warehouse.publish import Draft, add

PARTS_MAX: Final = 32  # of one partition, before the small ones are put together
SMALL_ROWS: Final = PART_ROWS_MAX // 2


def gather(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield batches in tables of about PART_ROWS_MAX rows or PART_BYTES_MAX bytes."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if waiting and (rows + batch.num_rows > PART_ROWS_MAX or size + batch.nbytes > PART_BYTES_MAX):
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if rows:
        yield pa.Table.from_batches(waiting)


def merge_small(draft: Draft, old: list[tuple[Part, str]]) -> set[Part]:
    """Put a partition's small parts together once it has too many; return those that are replaced."""
    replaced: set[Part] = set()
    for partition in {part.partition for part, _ in old}:
        small = {part: key for part, key in old if part.partition == partition and part.rows < SMALL_ROWS}
        if len(small) < PARTS_MAX:
            continue
        tables = [_read(draft, key) for key in small.values()]
        for table in gather(iter(pa.concat_tables(tables).to_batches())):
            add(draft, partition, table)
        replaced |= small.keys()
    return replaced


def _read(draft: Draft, key: str) -> pa.Table:
    """Return a part's rows; raises LayoutError where it has another schema."""
    with draft.root.open(key) as file:
        assert_file(draft.dataset, file, key)
        return pq.read_table(file)
