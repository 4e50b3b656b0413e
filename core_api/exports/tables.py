"""
Rows of a dataset as CSV for people and Parquet for programs, both in the dataset's columns.

A CSV file is safe to open in a spreadsheet: no text in it is a formula. Where one would be, a text gets an
apostrophe in front, and a character within JSON is written as its number, which says the same. Times are
ISO 8601 in UTC, null is nothing and an empty text is `""`. A Parquet file holds the values as they are, with
all that the dataset says of its columns, as the warehouse's own files have it.
"""

import io
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import asyncpg
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from core_api.csv_files import FORMULA_SIGNS, inert
from sql import shaped
from warehouse.datasets import DATASETS
from warehouse.layout import ROW_GROUP_ROWS, Dataset, json_columns

CSV_TYPE: Final = "text/csv"
PARQUET_TYPE: Final = "application/octet-stream"  # which generated clients take for a file
GROUP_BYTES: Final = 16 << 20  # of Arrow memory, in which a row group is gathered
BOM: Final = b"\xef\xbb\xbf"
# What is published of durable tables, and stands in no table of `reporting` (`pipeline.durable`).
ELSEWHERE: Final = frozenset({"events", "risk_snapshots"})
_OPENS: Final = rf"(?:^|[;,\t\r\n])[{FORMULA_SIGNS}\t\r]"  # RE2's way to say what `inert` looks for
_IN_JSON: Final = re.compile(rf"([;,])([{FORMULA_SIGNS}])")  # PostgreSQL puts a space after its own commas
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"

_NAMES: Final = sorted(
    name for name, each in DATASETS.items() if "exam_id" in each.schema.names and name not in ELSEWHERE
)
Exported = StrEnum("Exported", _NAMES)  # type: ignore[misc]  # mypy has it only of names that stand here
Exported.__doc__ = "The datasets that have rows of an exam (docs/warehouse.md)."


def statement_of(dataset: Dataset) -> str:
    """Return the statement for the rows of an exam ($1), in the dataset's columns, types and order."""
    columns = [f"{each.name}::{_sql_type(each.type)} AS {each.name}" for each in dataset.schema]
    return shaped(
        "list_rows_of_exam", dataset=dataset.name, columns=", ".join(columns), order=", ".join(dataset.sort)
    )


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    if pa.types.is_floating(kind):
        return "float8"
    if pa.types.is_integer(kind):
        return "bigint"
    if pa.types.is_boolean(kind):
        return "boolean"
    return f"{_sql_type(kind.value_type)}[]" if pa.types.is_list(kind) else "text"


def table_of(dataset: Dataset, rows: Sequence[asyncpg.Record]) -> pa.Table:
    """Return rows of `statement_of` under the dataset's schema."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in dataset.schema)
    arrays = [pa.array(values, each.type) for values, each in zip(columns, dataset.schema, strict=True)]
    return pa.table(arrays, schema=dataset.schema)


class Csv:
    """A CSV file, in UTF-8, its first line the columns' names."""

    def __init__(self, dataset: Dataset, *, bom: bool) -> None:
        """Begin; with a byte order mark, by which Excel knows UTF-8, where asked."""
        self._dataset, self._begin = dataset, BOM if bom else b""
        self._json = frozenset(json_columns(dataset))
        self._is_first = True

    def piece(self, rows: Sequence[asyncpg.Record]) -> bytes:
        """Return some rows' lines."""
        table = table_of(self._dataset, rows)
        columns = [self._shown(field, table[field.name]) for field in self._dataset.schema]
        sink = io.BytesIO()
        sink.write(self._begin)
        options = pyarrow.csv.WriteOptions(include_header=self._is_first)
        pyarrow.csv.write_csv(pa.table(columns, names=table.column_names), sink, options)
        self._begin, self._is_first = b"", False
        return sink.getvalue()

    def end(self) -> bytes:
        """Return the header of a file without rows, else nothing."""
        return self.piece([]) if self._is_first else b""

    def _shown(self, field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        if pa.types.is_timestamp(field.type):
            return pc.strftime(column, _TIME)
        if pa.types.is_list(field.type):
            return pa.array([_json_text(each) for each in column.to_pylist()], pa.string())
        if not pa.types.is_string(field.type) or not pc.any(pc.match_substring_regex(column, _OPENS)).as_py():
            return column
        safe = _inert_json if field.name in self._json else inert
        return pa.array([each and safe(each) for each in column.to_pylist()], pa.string())


def _json_text(value: object) -> str | None:
    return None if value is None else _inert_json(msgspec.json.encode(value).decode())


def _inert_json(text: str) -> str:
    """Return JSON whose texts hold no beginning of a formula, and which says the same."""
    return _IN_JSON.sub(lambda found: f"{found[1]}\\u{ord(found[2]):04x}", text)


class Parquet:
    """A Parquet file, a row group at a time."""

    def __init__(self, dataset: Dataset) -> None:
        """Begin."""
        self._dataset = dataset
        self._waiting: list[pa.Table] = []
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, dataset.schema, compression="zstd")

    def piece(self, rows: Sequence[asyncpg.Record]) -> bytes:
        """Return a row group, once as many rows have gathered; nothing before that."""
        self._waiting.append(table_of(self._dataset, rows))
        rows_waiting = sum(each.num_rows for each in self._waiting)
        if rows_waiting < ROW_GROUP_ROWS and sum(each.nbytes for each in self._waiting) < GROUP_BYTES:
            return b""
        return self._group()

    def end(self) -> bytes:
        """Return the last row group and the footer."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._writer.close()
        return self._sink.getvalue()

    def _group(self) -> bytes:
        self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting.clear()
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()  # the writer counts by itself what it has written
        return written
