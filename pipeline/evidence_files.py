"""
The files of evidence, for whoever moves or deletes them: one at a time at a piece, and in one's own store.

A store belongs to the first database that knows a file of it, whose mark it carries.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from kernel.storage.opening import key_of
from kernel.storage.stores import INCOMING, MissingObjectError, Store
from sql import named
from sql.running import Connection, one

TIERS: Final = named("evidence_tiers")
MARK: Final = "database"  # key of the object that says whose a store is


class ForeignStoreError(Exception):
    """A store is another database's."""


def is_ours(conn: Connection, store: Store, *, knows_some: bool) -> bool:
    """Mark a store that has no mark, where we know some of it; raises ForeignStoreError for another's."""
    us = str(one(conn, TIERS["read_database"]))
    try:
        owner = b"".join(store.read(MARK)).decode(errors="replace")
    except MissingObjectError:
        if knows_some:
            store.put(MARK, [us.encode()])
        return knows_some
    if owner != us:
        raise ForeignStoreError(
            f"It is the store of the database {owner:.100}, and this is {us}; "
            f"where this one replaces it, delete the object {MARK!r} there"
        )
    return True


@contextmanager
def alone_at(conn: Connection, evidence_id: int) -> Iterator[bool]:
    """Have the files of a piece for oneself; False: somebody else has them. `conn` is in no transaction."""
    taken = bool(one(conn, TIERS["try_files"], evidence_id))
    try:
        yield taken
    finally:
        if taken:
            one(conn, TIERS["let_files"], evidence_id)


def delete_files(stores: Mapping[str, Store], evidence_id: int, step: Callable[[str], None]) -> None:
    """
    Delete a piece's objects, from both tiers and from where clients send them; none is no error.

    Raises:
        OSError, obstore's BaseError: a store is away.
    """
    for store in stores.values():
        for prefix in (key_of(evidence_id), INCOMING + key_of(evidence_id)):
            store.delete([each.key for each in store.found(prefix)])
            step("file_deleted")
