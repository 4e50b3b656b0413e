"""A published warehouse, as tests look at it."""

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from kernel.settings import Settings
from warehouse.builds import part_addresses, verify
from warehouse.datasets import DATASETS
from warehouse.files import Root, open_root
from warehouse.layout import Dataset, json_columns
from warehouse.publish import add, begin, commit

AT = datetime(2026, 9, 1, 9, tzinfo=UTC)


def root_of(settings: Settings) -> Root:
    """Return the warehouse that the settings name."""
    return open_root(settings.warehouse, settings)


def read(settings: Settings, dataset: Dataset, columns: str, order: str) -> list[tuple[Any, ...]]:
    """Return columns of the build in force, which is whole, in an order."""
    root = root_of(settings)
    manifest = verify(root, dataset)
    assert manifest is not None
    with duckdb.connect() as conn:
        text = f"SELECT {columns} FROM read_parquet($1) ORDER BY {order}"
        return conn.execute(text, [part_addresses(root, dataset, manifest)]).fetchall()


def publish_some(root: Root) -> None:
    """Publish three rows of every dataset, whose ids join."""
    for dataset in DATASETS.values():
        with begin(root, dataset) as draft:
            rows = some_rows(dataset)
            key = dataset.partition_key
            partition = rows[key][0].as_py() if key in rows.column_names else str(AT.date())
            add(draft, str(partition), rows)
            commit(draft, replaced=(), watermark=1, as_of=AT, now=AT)


def some_rows(dataset: Dataset) -> pa.Table:
    """Return three rows of a dataset; those of one number belong together in all of them."""
    columns = [
        pa.array([_value(dataset, field, n) for n in (1, 2, 3)], field.type) for field in dataset.schema
    ]
    return pa.table(columns, names=dataset.schema.names)


def _value(dataset: Dataset, field: pa.Field, number: int) -> Any:
    if field.name in json_columns(dataset):
        is_list = field.metadata[b"unit"].startswith(b"JSON list")
        return '[{"code": "paste", "value": 4, "text": "Four pastes."}]' if is_list else '{"Heartbeat": 2}'
    if field.name == dataset.partition_key:
        return f"{field.name}-0a"
    if pa.types.is_string(field.type):
        return f"{field.name}-{number}" if field.name != "exam_id" else "exam_id-0a"
    if pa.types.is_timestamp(field.type):
        return AT
    if pa.types.is_boolean(field.type):
        return field.name != "is_void"
    return [] if pa.types.is_list(field.type) else number
