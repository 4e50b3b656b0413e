"""
The DuckDB catalogue: one small file whose views lead analysts to the builds in force.

Its views name immutable build folders by absolute path, so whoever has it open keeps one consistent state for
the grace period, from any working directory; opening it again shows the newest. It is written beside and
renamed in, in the storage version of DuckDB 1.0, so that every later DuckDB opens it. Blocking: never call it
on an event loop.
"""

import os
from importlib.resources import files as resources
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from warehouse import files
from warehouse.builds import Manifest, build_folder, read_manifest
from warehouse.datasets import DATASETS
from warehouse.layout import Dataset, json_columns

NAME: Final = "catalogue.duckdb"


def mart(name: str) -> str:
    """Return the text of `marts/<name>.sql`."""
    return (resources("warehouse") / "marts" / f"{name}.sql").read_text(encoding="utf-8")


def refresh(root: Path) -> Path:
    """
    Write the catalogue for the builds in force and rename it in; return its path.

    Every dataset must have been published at least once (`publish.ensure`). Two processes take turns, so that
    neither puts back what the other has moved on.
    """
    path = root / NAME
    with files.locked(root / f".{NAME}.lock"):
        in_force = {name: _manifest(root, dataset) for name, dataset in DATASETS.items()}
        beside = root / f".{NAME}.{os.getpid()}"
        for leftover in root.glob(f".{NAME}.[0-9]*"):
            leftover.unlink()
        _write(root, beside, in_force)
        files.sync_file(beside)
        # A log left by somebody who opened the old file for writing would be replayed over the new one.
        path.with_name(f"{NAME}.wal").unlink(missing_ok=True)
        beside.rename(path)
        files.sync_folder(root)
    return path


def _manifest(root: Path, dataset: Dataset) -> Manifest:
    manifest = read_manifest(root, dataset)
    assert manifest is not None, "publish.ensure comes first"
    return manifest


def _write(root: Path, path: Path, in_force: dict[str, Manifest]) -> None:
    with duckdb.connect() as conn:
        conn.register("given_datasets", _datasets_table(root, in_force))
        conn.register("given_columns", _columns_table())
        conn.execute(mart("catalogue").replace("{path}", _quoted(path)))
        for name, manifest in in_force.items():
            pattern = build_folder(root, name, manifest.build) / "*" / "*.parquet"
            conn.execute(_view(DATASETS[name], _quoted(pattern)))
        conn.execute(mart("close"))


def _view(dataset: Dataset, pattern: str) -> str:
    parsed = ", ".join(f"{name}::JSON AS {name}" for name in json_columns(dataset))
    replaced = f"REPLACE ({parsed})" if parsed else ""
    text = mart("dataset").replace("{name}", dataset.name).replace("{replaced}", replaced)
    return text.replace("{files}", pattern)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _datasets_table(root: Path, in_force: dict[str, Manifest]) -> pa.Table:
    rows = [
        {
            "dataset": name,
            "grain": DATASETS[name].grain,
            "partition_key": DATASETS[name].partition_key,
            "sorted_by": ", ".join(DATASETS[name].sort),
            "schema_version": manifest.schema_version,
            "build": manifest.build,
            "watermark": manifest.watermark,
            "as_of": manifest.as_of,
            "published_at": manifest.published_at,
            "rows": manifest.rows,
            "parts": manifest.parts,
            "bytes": manifest.bytes,
            "folder": str(build_folder(root, name, manifest.build)),
        }
        for name, manifest in in_force.items()
    ]
    return pa.Table.from_pylist(rows)


def _columns_table() -> pa.Table:
    rows = [
        {
            "dataset": dataset.name,
            "position": position,
            "column_name": field.name,
            "type": str(field.type),
            **{key.decode(): value.decode() for key, value in field.metadata.items()},
        }
        for dataset in DATASETS.values()
        for position, field in enumerate(dataset.schema, start=1)
    ]
    text = ("dataset", "column_name", "type", "description", "unit", "null")
    schema = pa.schema([("position", pa.int32()), *((name, pa.string()) for name in text)])
    return pa.Table.from_pylist(rows, schema=schema)
