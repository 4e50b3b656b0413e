"""
What a store of objects can do, and which one an address names.

Objects are written whole or not at all, never changed, and read in pieces: nobody holds one in memory. What
clients send by themselves arrives below `INCOMING`, and is nothing until it was copied away from there under
a name of ours and read back. All of it blocks: an event loop calls it in threads.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

INCOMING: Final = "incoming/"
PIECE_BYTES: Final = 256 << 10


class MissingObjectError(Exception):
    """There is no object of that key."""


class Found(msgspec.Struct, frozen=True):
    """An object as it is listed."""

    key: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """
    A place for objects, each under a key: names of letters and digits, the last one with dashes too, divided
    by slashes.
    """

    def put(self, key: str, pieces: Iterable[bytes]) -> None:
        """Write an object; when this returns it is there, whatever crashes. An older one of the key goes."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes from one on, in pieces; raises MissingObjectError before the first."""

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store; raises MissingObjectError."""

    def found(self, prefix: str) -> list[Found]:
        """List the objects below a prefix that ends in a slash."""

    def after(self, key: str, limit: int) -> list[Found]:
        """List the first so many objects whose keys come after one, in the order of their keys."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""

    def upload_url(self, key: str, life_s: int) -> str | None:
        """Return an address to PUT an object to without us; None where uploads come through us."""

    def download_url(self, key: str, life_s: int) -> str | None:
        """Return an address to GET an object from without us; None where downloads go through us."""
