"""What is projected, as it stands in reporting and in Parquet, and how it is forgotten."""

from typing import Any, Final

import psycopg

from kernel.settings import Settings
from pipeline.projections.registry import PROJECTIONS, PUBLISHED
from tests.kits.pipeline_world import rows_of
from tests.kits.warehouse import root_of
from warehouse.builds import list_parts, read_manifest

PROJECTED: Final = {each.dataset.name: each.dataset for each in PROJECTIONS}
CARRIED: Final = (
    "exam_parts",
    "exam_sums",
    "form_shares",
    "form_tallies",
    "exam_calibrations",
    "calibration_shares",
)


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of what is projected."""
    return {
        name: rows_of(url, f"SELECT * FROM reporting.{name} ORDER BY {', '.join(dataset.sort)}")
        for name, dataset in PROJECTED.items()
    }


def published(settings: Settings) -> dict[str, set[tuple[str, str]]]:
    """Return the partitions and hashes of the files of every published dataset."""
    root, found = root_of(settings), {}
    for name, dataset in PUBLISHED.items():
        manifest = read_manifest(root, dataset)
        parts = [] if manifest is None else list_parts(root, dataset, manifest)
        found[name] = {(part.partition, part.sha256) for part, _ in parts if part.rows}
    return found


def forget(url: str) -> None:
    """Drop what is projected, and what was carried forward for it."""
    tables = ", ".join(f"reporting.{name}" for name in (*PROJECTED, *CARRIED))
    with psycopg.connect(url) as conn:
        conn.execute(f"TRUNCATE {tables}".encode())
