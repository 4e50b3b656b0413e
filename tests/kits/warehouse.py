"""A published warehouse, as tests look at it."""

from typing import Any

import duckdb

from kernel.settings import Settings
from warehouse.builds import part_addresses, verify
from warehouse.files import Root, open_root
from warehouse.layout import Dataset


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
