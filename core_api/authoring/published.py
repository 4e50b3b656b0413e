"""
Published evaluations as scoring needs them. A published version never changes, and neither does the key that
a remediation has left (spec.md M-1), so each is read once a process.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from core_api.authoring.items import AskedItem, EffectiveItem, Item, KeyedItem
from core_api.database import Connection
from core_api.wire import computed_as
from sql import named

T = TypeVar("T")

QUERIES: Final = named("evaluations")
VERSIONS_MAX: Final = 32


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A published evaluation as scoring needs it; without one there are no items. `asked` by question."""

    snapshot: dict[str, Any]
    items: list[KeyedItem]
    asked: dict[UUID, Item]


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """
    The key that counts: the published one with every remediation over it. `remediation_id` is the newest of
    them; `reweighted` the points of items that are not those that were published, by position.
    """

    remediation_id: UUID | None
    items: Sequence[KeyedItem]
    reweighted: Mapping[int, Decimal]

    @property
    def by_position(self) -> dict[int, KeyedItem]:
        """Return the items by position."""
        return {each.position: each for each in self.items}


NOTHING: Final = Key(snapshot={"evaluation_version_id": None}, items=[], asked={})
_read: Final[dict[UUID, Key]] = {}
_current: Final[dict[UUID, Current]] = {}  # by remediation
_asked: Final[dict[UUID, Mapping[UUID, AskedItem]]] = {}


class _Asks(msgspec.Struct, frozen=True):
    """Of a paper, what is asked."""

    items: list[AskedItem]


async def asked_of(conn: Connection, evaluation_version_id: UUID | None) -> Mapping[UUID, AskedItem]:
    """
    Return what a published evaluation asks, by question, from its paper: who answers needs no key.

    Raises:
        StoredSpoiltError: the paper cannot be read.
    """
    if evaluation_version_id is None:
        return {}
    asked = _asked.get(evaluation_version_id)
    if asked is None:
        paper = await conn.fetchval(QUERIES["fetch_asked"], evaluation_version_id)
        asked = {each.question_id: each for each in computed_as(paper, _Asks, "the paper").items}
        _keep(_asked, evaluation_version_id, asked)
    return asked


async def key_of(conn: Connection, evaluation_version_id: UUID | None) -> Key:
    """
    Return the key of a published evaluation; one without items where there is none.

    Raises:
        StoredSpoiltError: it cannot be read.
    """
    if evaluation_version_id is None:
        return NOTHING
    key = _read.get(evaluation_version_id)
    if key is None:
        key = await _fetch(conn, evaluation_version_id)
        _keep(_read, evaluation_version_id, key)
    return key


async def current_of(conn: Connection, evaluation_version_id: UUID | None) -> Current:
    """
    Return the key that whoever scores has to go by, in their transaction: until it ends, no remediation of
    the version begins, so that none misses what they write.

    Raises:
        StoredSpoiltError: it cannot be read.
    """
    key = await key_of(conn, evaluation_version_id)
    if evaluation_version_id is None:
        return as_published(key)
    assert conn.is_in_transaction(), "the lock is the transaction's"
    remediation_id: UUID | None = await conn.fetchval(QUERIES["hold_remediations"], evaluation_version_id)
    if remediation_id is None:
        return as_published(key)
    return await remediated(conn, key, remediation_id)


def as_published(key: Key) -> Current:
    """Return a key that nothing has changed yet."""
    return Current(remediation_id=None, items=key.items, reweighted={})


async def remediated(conn: Connection, key: Key, remediation_id: UUID) -> Current:
    """
    Return the key as a remediation has left it, over `key` as it was published.

    Raises:
        StoredSpoiltError: it cannot be read.
    """
    current = _current.get(remediation_id)
    if current is None:
        row = await conn.fetchval(QUERIES["fetch_remediated_key"], remediation_id)
        items = computed_as(row, list[EffectiveItem], "the key")
        current = changed(key, items, remediation_id)
        _keep(_current, remediation_id, current)
    return current


def changed(key: Key, items: Sequence[KeyedItem], remediation_id: UUID | None) -> Current:
    """Return these items as the key that counts, over `key` as it was published."""
    published = {each.position: each.points for each in key.items}
    points = {each.position: each.points for each in items if each.points != published[each.position]}
    return Current(remediation_id=remediation_id, items=items, reweighted=points)


def forget() -> None:
    """Forget what was read, as a process that begins anew."""
    for each in (_read, _current, _asked):
        each.clear()


def _keep(known: dict[UUID, T], by: UUID, value: T) -> None:
    while len(known) >= VERSIONS_MAX:
        del known[next(iter(known))]
    known[by] = value


async def _fetch(conn: Connection, evaluation_version_id: UUID) -> Key:
    row = await conn.fetchrow(QUERIES["fetch_key"], evaluation_version_id)
    assert row is not None, "published versions are never deleted"
    items = computed_as(row["key"], list[KeyedItem], "the key")
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
