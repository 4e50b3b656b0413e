"""
Published evaluations as scoring needs them. A published version never changes, so each is read once a
process.
"""

from typing import Any, Final
from uuid import UUID

import msgspec

from core_api.authoring.items import Item, KeyedItem
from core_api.database import Connection
from sql import named

QUERIES: Final = named("evaluations")
VERSIONS_MAX: Final = 32


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A published evaluation as scoring needs it; without one there are no items. `asked` by question."""

    snapshot: dict[str, Any]
    items: list[KeyedItem]
    asked: dict[UUID, Item]


NOTHING: Final = Key(snapshot={"evaluation_version_id": None}, items=[], asked={})
_read: Final[dict[UUID, Key]] = {}


async def key_of(conn: Connection, evaluation_version_id: UUID | None) -> Key:
    """Return the key of a published evaluation; one without items where there is none."""
    if evaluation_version_id is None:
        return NOTHING
    key = _read.get(evaluation_version_id)
    if key is None:
        key = await _fetch(conn, evaluation_version_id)
        while len(_read) >= VERSIONS_MAX:
            del _read[next(iter(_read))]
        _read[evaluation_version_id] = key
    return key


async def _fetch(conn: Connection, evaluation_version_id: UUID) -> Key:
    row = await conn.fetchrow(QUERIES["fetch_key"], evaluation_version_id)
    assert row is not None, "published versions are never deleted"
    items = msgspec.convert(row["key"], list[KeyedItem])
    return Key(
        snapshot={
            "evaluation_version_id": str(evaluation_version_id),
            "evaluation_id": str(row["evaluation_id"]),
            "version": row["version"],
            "snapshot_sha256": row["snapshot_sha256"].hex(),
        },
        items=items,
        asked={each.question_id: each.item for each in items},
    )
