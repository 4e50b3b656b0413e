"""
What has its name in a store has its row, or goes after a while (spec.md V-1).

A crash can leave a file that was never recorded, one that was never finished, one in the tier that its piece
was moved from. The stores are walked in the order of their keys, so many objects a sweep, and round again.
Only names that evidence has are looked at; everything else in a store is somebody else's. Only the database
whose mark a store carries deletes anything there (`pipeline/evidence_files.py`).
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field

from kernel.settings import Settings
from kernel.storage.opening import COLD, KEPT
from kernel.storage.stores import INCOMING, Found, Store
from pipeline.evidence_files import is_ours
from sql import named
from sql.running import Connection, run

TIERS: Final = named("evidence_tiers")
LISTED_AT_ONCE: Final = 1000
LEFT_FOR: Final = timedelta(minutes=5)  # what was moved: addresses of the object store are good for a minute
_UNFINISHED: Final = re.compile(INCOMING + "[0-9a-f]{32}")


class Walk(Struct):
    """How far each store was walked, by tier: the last key that was looked at; and which carry our mark."""

    at: dict[str, str] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)


class Known(Struct, frozen=True):
    """What the rows say of a key: size, and when it was moved to the cold tier; None where it is hot."""

    size_bytes: int
    moved_at: datetime | None


def sweep_orphans(
    conn: Connection, stores: Mapping[str, Store], settings: Settings, walk: Walk, *, now: datetime
) -> int:
    """
    Look at the next objects of each store, up to `evidence_swept_max`, and delete those that are nobody's.

    Returns:
        How many were deleted.

    Raises:
        ForeignStoreError: a store is another database's.
        OSError, obstore's BaseError: a store is away.
    """
    kept_for = timedelta(days=settings.evidence_orphan_days)
    old = now - max(kept_for, 2 * timedelta(seconds=settings.evidence_url_s))
    deleted = 0
    for tier, store in stores.items():
        left = settings.evidence_swept_max
        while left > 0:
            asked = min(left, LISTED_AT_ONCE)
            page = store.after(walk.at.get(tier, ""), asked)
            known = _known(conn, page)
            if page and tier not in walk.ours and is_ours(conn, store, knows_some=bool(known)):
                walk.ours.add(tier)
            if tier in walk.ours:
                gone = [*_unfinished(conn, page, old), *_unknown(page, known, old)]
                gone += [] if tier == COLD else _moved(stores[COLD], known, now - LEFT_FOR)
                store.delete(gone)
                deleted += len(gone)
            is_over = len(page) < asked
            walk.at[tier] = "" if is_over else page[-1].key
            left = 0 if is_over else left - asked
    return deleted


def _known(conn: Connection, page: list[Found]) -> dict[str, Known]:
    """Return what the rows say of the objects that they know."""
    pieces = {int(named_so["evidence_id"]) for each in page if (named_so := KEPT.fullmatch(each.key))}
    if not pieces:
        return {}
    keys = [each.key for each in page]
    return {row[0]: Known(*row[1:]) for row in run(conn, TIERS["list_known"], sorted(pieces), keys)}


def _unfinished(conn: Connection, page: list[Found], old: datetime) -> list[str]:
    """Return the keys of what was not finished, and of what clients sent to evidence that takes no more."""
    keys = [each.key for each in page if each.modified_at < old and each.key.startswith(INCOMING)]
    pieces = {
        key: int(named_so["evidence_id"])
        for key in keys
        if (named_so := KEPT.fullmatch(key.removeprefix(INCOMING)))
    }
    pending = set[int]()
    if pieces:
        pending = {row[0] for row in run(conn, TIERS["list_pending"], sorted(set(pieces.values())))}
    return [key for key in keys if _UNFINISHED.fullmatch(key) or pieces.get(key) not in {None, *pending}]


def _unknown(page: list[Found], known: Mapping[str, Known], old: datetime) -> list[str]:
    """Return the keys that evidence has and no row knows."""
    return [
        each.key
        for each in page
        if each.modified_at < old and each.key not in known and KEPT.fullmatch(each.key)
    ]


def _moved(cold: Store, known: Mapping[str, Known], before: datetime) -> list[str]:
    """Return the keys of what was moved before then, and is in the cold store."""
    keys = {key for key, row in known.items() if row.moved_at is not None and row.moved_at < before}
    there = set[tuple[str, int]]()
    for folder in {f"{key.rpartition('/')[0]}/" for key in keys}:
        there |= {(each.key, each.size_bytes) for each in cold.found(folder)}
    return [key for key in keys if (key, known[key].size_bytes) in there]
