"""
The DuckDB catalogue: one small file whose views lead analysts to the builds in force.

Its views name immutable files by their addresses, so whoever has it open keeps one consistent state for the
grace period, from any working directory; opening it again shows the newest. Who has a folder elsewhere than
it was published, a copy or a volume under another path, says so by a variable of DuckDB's. It takes the place
of the one before at one instant, in the storage version of DuckDB 1.0; every DuckDB from 1.1 on, which has
variables, opens it. What each dataset and column means is in the views `datasets` and `columns`, and in
comments on every view. Blocking: never call it on an event loop.

A view is bound when it is made, for which DuckDB opens a file. In a bucket every file has the dataset's
schema, so it is shown an empty one of that schema, whatever it asks for, and nothing is fetched.
"""

from datetime import UTC, datetime
from importlib.resources import files as resources
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from warehouse.builds import Manifest, list_parts, read_manifest
from warehouse.datasets import DATASETS
from warehouse.files import Root
from warehouse.layout import Dataset, json_columns, said_of

NAME: Final = "catalogue.duckdb"
NEVER: Final = datetime.fromtimestamp(0, UTC)  # what a dataset is as of that nothing was published of yet


def mart(name: str) -> str:
    """Return the text of `marts/<name>.sql`."""
    return (resources("warehouse") / "marts" / f"{name}.sql").read_text(encoding="utf-8")


def refresh(root: Root) -> str:
    """
    Put the catalogue for the builds in force in place; return its address.

    Every dataset must have been published at least once (`publish.ensure`). Of two processes the later one
    looks again, so that neither puts back what the other has moved on.
    """
    while True:
        before = root.read_tagged(NAME)
        in_force = {name: _manifest(root, dataset) for name, dataset in DATASETS.items()}
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            _write(root, path, in_force)
            content = path.read_bytes()
        # A log left by somebody who opened the old file for writing would be replayed over the new one.
        root.delete([f"{NAME}.wal"])
        if root.replace(NAME, content, before[1] if before else None):
            return f"{root.location}/{NAME}"


def _manifest(root: Root, dataset: Dataset) -> Manifest:
    manifest = read_manifest(root, dataset)
    assert manifest is not None, "publish.ensure comes first"
    return manifest


def _write(root: Root, path: Path, in_force: dict[str, Manifest]) -> None:
    with duckdb.connect() as conn:
        conn.register("given_datasets", _datasets_table(root, in_force))
        conn.register("given_columns", _columns_table())
        conn.execute(mart("catalogue").replace("{path}", _quoted(str(path))))
        for name, manifest in in_force.items():
            dataset = DATASETS[name]
            if not root.has_links:
                conn.register_filesystem(_Shape(dataset))
            conn.execute(_view(dataset, _files(root, dataset, manifest)))
            if not root.has_links:
                conn.unregister_filesystem("s3")
        conn.execute(mart("close"))


def _files(root: Root, dataset: Dataset, manifest: Manifest) -> list[str]:
    """
    Return what `read_parquet` finds a build by, in SQL: in a folder a pattern, wherever that lies now; in a
    bucket all of its files.
    """
    if root.has_links:
        place = mart("place").replace("{location}", _quoted(root.location)).strip()
        return [f"{place} || '/{dataset.name}/{manifest.name}/*/*.parquet'"]
    return [f"'{_quoted(f'{root.location}/{key}')}'" for _, key in list_parts(root, dataset, manifest)]


def _view(dataset: Dataset, files: list[str]) -> str:
    """Return the statements that make a dataset's view, with its comments."""
    parsed = ", ".join(f"{name}::JSON AS {name}" for name in json_columns(dataset))
    replaced = f"REPLACE ({parsed})" if parsed else ""
    view = mart("dataset").replace("{name}", dataset.name).replace("{replaced}", replaced)
    about = mart("about").replace("{name}", dataset.name).replace("{about}", _quoted(dataset.grain))
    columns = [
        mart("column")
        .replace("{name}", dataset.name)
        .replace("{column}", field.name)
        .replace("{about}", _quoted(said_of(field)))
        for field in dataset.schema
    ]
    return "\n".join([view.replace("{files}", ", ".join(files)), about, *columns])


class _Shape(AbstractFileSystem):  # type: ignore[misc]  # it comes without types
    """A bucket in which every file is empty, and has the schema of one dataset."""

    protocol = "s3"
    cachable = False

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        file = BytesIO()
        pq.write_table(dataset.schema.empty_table(), file)
        self._content = file.getvalue()

    def glob(self, path: str, **_: object) -> list[str]:
        return [path]

    def info(self, path: str, **_: object) -> dict[str, object]:
        return {"name": path, "size": len(self._content), "type": "file"}

    def modified(self, path: str) -> datetime:  # noqa: ARG002
        return datetime.fromtimestamp(0, UTC)

    def open(self, path: str, mode: str = "rb", **_: object) -> BytesIO:  # noqa: ARG002
        return BytesIO(self._content)


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _datasets_table(root: Root, in_force: dict[str, Manifest]) -> pa.Table:
    rows = [
        {
            "dataset": name,
            "grain": DATASETS[name].grain,
            "partition_key": DATASETS[name].partition_key,
            "sorted_by": ", ".join(DATASETS[name].sort),
            "schema_version": manifest.schema_version,
            "build": manifest.build,
            "watermark": manifest.watermark,
            "as_of": None if manifest.as_of == NEVER else manifest.as_of,
            "published_at": manifest.published_at,
            "rows": manifest.rows,
            "parts": manifest.parts,
            "bytes": manifest.bytes,
            "folder": f"{root.location}/{name}/{manifest.name}",
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
