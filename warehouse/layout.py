"""
What a dataset is: one explicit schema, with grain, partition key, sort order and units.

The schema is asserted when a part is written and again when it is read; the descriptions travel in the
Parquet files' field metadata and in the catalogue's view `columns`.
"""

from typing import IO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

ROW_GROUP_ROWS: Final = 122_880  # DuckDB's own row group: one Parquet group is one unit of its work
PART_ROWS_MAX: Final = 8 * ROW_GROUP_ROWS
PART_BYTES_MAX: Final = 256 << 20  # of Arrow memory, before compression
TIME: Final = pa.timestamp("us", tz="UTC")
EMPTY: Final = "empty"  # the partition, and the group, of a dataset without rows


class LayoutError(Exception):
    """Rows or a file do not have their dataset's schema; the message names dataset and column."""


class Dataset(Struct, frozen=True, kw_only=True):
    """A dataset of one version. `sort` orders the rows inside each part; `partition_key` is what a part never
    mixes; `group` is which characters of it name the group of partitions that a part belongs to.
    """

    name: str
    version: int
    grain: str
    partition_key: str
    group: slice
    sort: tuple[str, ...]
    schema: pa.Schema


def column(name: str, kind: pa.DataType, about: str, unit: str = "", *, null: str = "") -> pa.Field:
    """
    Return a column with what it says of itself.

    Args:
        name: its name.
        kind: its Arrow type; text of JSON is a string whose unit begins with `JSON`.
        about: what a value means, in a sentence.
        unit: of the values, where they have one.
        null: what null says; without it null is not allowed.
    """
    described = {"description": about} | ({"unit": unit} if unit else {}) | ({"null": null} if null else {})
    return pa.field(name, kind, nullable=bool(null), metadata=described)


def describe(
    name: str,
    version: int,
    *,
    grain: str,
    partition_key: str,
    group: slice,
    sort: tuple[str, ...],
    columns: list[pa.Field],
) -> Dataset:
    """Return the dataset of these columns, described in its schema's metadata."""
    metadata = {
        "veritas.dataset": name,
        "veritas.version": str(version),
        "veritas.grain": grain,
        "veritas.partition_key": partition_key,
        "veritas.sort": ", ".join(sort),
    }
    return Dataset(
        name=name,
        version=version,
        grain=grain,
        partition_key=partition_key,
        group=group,
        sort=sort,
        schema=pa.schema(columns, metadata=metadata),
    )


def said_of(column: pa.Field) -> str:
    """Return all that a column says of itself, in a line."""
    about = {key.decode(): value.decode() for key, value in column.metadata.items()}
    unit = f" Unit: {about['unit']}." if "unit" in about else ""
    null = f" Null: {about['null']}." if "null" in about else ""
    return f"{about['description']}{unit}{null}"


def json_columns(dataset: Dataset) -> list[str]:
    """Return the columns that hold JSON as text."""
    return [field.name for field in dataset.schema if field.metadata.get(b"unit", b"").startswith(b"JSON")]


def group_of(dataset: Dataset, partition: str) -> str:
    """Return the name of the group that a partition belongs to."""
    return partition if partition == EMPTY else partition[dataset.group]


def conform(dataset: Dataset, table: pa.Table) -> pa.Table:
    """
    Return the rows in the dataset's column order, sorted, under its schema with all metadata.

    Raises:
        LayoutError: a column is missing, left over, of another type, or null where it must not be.
    """
    wanted = dataset.schema
    if sorted(table.column_names) != sorted(wanted.names):
        odd = sorted(set(table.column_names) ^ set(wanted.names))
        raise LayoutError(f"{dataset.name}: columns {', '.join(odd)} are missing or left over")
    for field in wanted:
        column = table[field.name]
        if column.type != field.type:
            raise LayoutError(f"{dataset.name}.{field.name} is {column.type}, not {field.type}")
        if not field.nullable and column.null_count:
            raise LayoutError(f"{dataset.name}.{field.name} has {column.null_count} nulls and allows none")
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in dataset.sort])
    arranged = table.select(wanted.names).take(order)
    return pa.table(arranged.columns, schema=wanted)


def assert_file(dataset: Dataset, file: IO[bytes], name: str) -> None:
    """
    Check a part's footer against the dataset's schema; descriptions may be worded otherwise than they were.

    Args:
        dataset: which.
        file: the part, opened.
        name: what to call it.

    Raises:
        LayoutError: it is another schema, or another version of it.
    """
    found = pq.read_schema(file)
    about, wanted = found.metadata or {}, dataset.schema.metadata
    is_named = all(about.get(key) == wanted[key] for key in (b"veritas.dataset", b"veritas.version"))
    if not is_named or not found.equals(dataset.schema):
        raise LayoutError(f"{name} is not {dataset.name} version {dataset.version}")
