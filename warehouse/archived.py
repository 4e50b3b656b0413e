"""
The archive of events, as far as a question needs it.
"""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from warehouse.builds import part_paths, read_manifest
from warehouse.datasets.events import EVENTS


def scan_events(root: Path, first_at: datetime, last_at: datetime) -> pl.LazyFrame:
    """
    Return the archived events of the UTC days from one moment's to the other's; none where none are.

    Raises:
        LayoutError: a file has another schema.
    """
    manifest = read_manifest(root, EVENTS)
    days = range((last_at.date() - first_at.date()).days + 1)
    wanted = {str(first_at.date() + timedelta(days=day)) for day in days}
    paths = [] if manifest is None else part_paths(root, EVENTS, manifest, wanted)
    if not paths:
        return pl.LazyFrame(EVENTS.schema.empty_table())
    return pl.scan_parquet(paths)
