"""
Where a warehouse lies, and the few file operations that publishing needs: one small interface, over a local
folder (`warehouse.folder`) and a bucket of an S3-compatible object store (`warehouse.bucket`).

A file has a key, names divided by slashes, below the root's location; both together are its address. It is
written once, under a name that nobody had before, and never changed. Two things change, each by comparing
and setting, so that of two publishers one is refused: which build of a dataset is in force, and the
catalogue. What was read under a tag is replaced only while it still has that tag.

What only a folder can do, and a bucket has no need of, are second names. They let a plain glob find the
files of the build in force. In a bucket the manifest is the promise: it lists them.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Protocol
from urllib.parse import urlsplit

from kernel.settings import Settings
from kernel.storage.s3 import AWAY
from warehouse.bucket import bucket_at
from warehouse.folder import Folder

ROOT_FAILS: Final = (OSError, AWAY)  # what any root raises that cannot be reached, read or written


class WarehouseError(Exception):
    """The warehouse's root cannot be used; the message says why."""


class Root(Protocol):
    """A warehouse's place. Whatever is missing is a FileNotFoundError; whatever else fails, of ROOT_FAILS."""

    def __hash__(self) -> int:
        """Two of one location are one."""

    @property
    def location(self) -> str:
        """What every address begins with: an absolute folder, or `s3://bucket/prefix`."""

    @property
    def options(self) -> dict[str, str] | None:
        """What Polars needs to know (`storage_options`) to read an address; None for a folder."""

    @property
    def has_links(self) -> bool:
        """Whether files can have second names, so that a glob finds what is in force."""

    def write(self, key: str, content: bytes) -> None:
        """Write a new file; what it holds is durable when this returns, its name with `settle`."""

    def read(self, key: str) -> bytes:
        """Return a file's content."""

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return a file's content and its tag, which no other content of the key ever has; None without."""

    def open(self, key: str) -> IO[bytes]:
        """Open a file to read here and there in it."""

    def keep(self, key: str, folder: str) -> str:
        """Return under which key a folder has a file from now on: another name of it, or where it lies."""

    def expose(self, folder: str, targets: Mapping[str, str]) -> None:
        """Let a folder have names for others, where there are links."""

    def settle(self, folders: Collection[str]) -> None:
        """Make durable what is in folders, by its name, and the folders themselves."""

    def make(self, folder: str) -> None:
        """Make a new folder, which `names` lists from now on."""

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies directly in a folder, in order; hidden ones are left out."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, and the folder that the last one leaves empty; one that is not there is no error."""

    def remove(self, folder: str) -> None:
        """Delete a folder with all that is in it; one that is not there is no error."""

    def replace(self, key: str, content: bytes, tag: str | None) -> bool:
        """Put a file in the place of what has the tag (None: of nothing); False when that is not there."""

    def put_in_force(self, dataset: str, folder: str, manifest: bytes, tag: str | None) -> bool:
        """
        Let `current/<dataset>` be a build that is whole, from one instant to the next; False when what is
        in force has another tag.

        Args:
            dataset: which.
            folder: the build's, in the dataset's.
            manifest: what its manifest holds.
            tag: of the manifest that was in force when the build was begun; None before the first.
        """


def open_root(location: str, settings: Settings) -> Root:
    """
    Return the place that an address names, a folder or `s3://bucket/prefix`; nothing is asked of it yet.

    Raises:
        WarehouseError: it is an address of another kind.
    """
    if "://" not in location:
        return Folder(str(Path(location).resolve()))
    parts = urlsplit(location)
    if parts.scheme != "s3" or not parts.netloc:
        raise WarehouseError(f"{location}: a warehouse is a folder or s3://bucket/prefix")
    return bucket_at(parts.netloc, parts.path.strip("/"), settings)
