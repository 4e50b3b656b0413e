"""
The archive of events, as far as a question needs it.
"""

from datetime import datetime, timedelta

import polars as pl

from warehouse.builds import part_addresses, read_manifest, scan
from warehouse.datasets.events import EVENTS
from warehouse.files import Root


def scan_events(root: Root, first_at: datetime, last_at: datetime) -> pl.LazyFrame:
    """
    Return the archived events of the UTC days from one moment's to the other's; none where none are.

    Raises:
        LayoutError: a file has another schema.
    """
    manifest = read_manifest(root, EVENTS)
    days = range((last_at.date() - first_at.date()).days + 1)
    wanted = {str(first_at.date() + timedelta(days=day)) for day in days}
    addresses = [] if manifest is None else part_addresses(root, EVENTS, manifest, wanted)
    if not addresses:
        return pl.LazyFrame(EVENTS.schema.empty_table())
    return scan(root, addresses)
