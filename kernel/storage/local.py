"""
A folder as a store. An object is a file that was written under a passing name, synced, and renamed; whoever
finds it under its own name finds it whole.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from kernel.storage.stores import INCOMING, PIECE_BYTES, Found, MissingObjectError

T = TypeVar("T")


class Arriving:
    """A file that is being written: it is kept under a key, or discarded."""

    def __init__(self, root: Path) -> None:
        """Begin an empty one."""
        self._root = root
        self._path = root / INCOMING / secrets.token_hex(16)
        self._file = _within(self._path.parent, lambda: self._path.open("xb"))

    def write(self, piece: bytes) -> None:
        """Append."""
        self._file.write(piece)

    def sync(self) -> None:
        """Bring what was written to the disk, and write no more."""
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._file.close()

    def keep(self, key: str) -> None:
        """Give the file its name, in one step; after `sync`."""
        target = self._root / key
        _within(target.parent, lambda: self._path.rename(target))
        _sync_folder(target.parent)

    def discard(self) -> None:
        """Leave nothing behind; nothing happens to a file that was kept."""
        with suppress(OSError):  # a full disk does not take what is still to be written now either
            self._file.close()
        self._path.unlink(missing_ok=True)


class LocalStore:
    """Objects in a folder that all processes share."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made when something is written."""
        self._root = root.absolute()

    def begin(self) -> Arriving:
        """Begin a file."""
        return Arriving(self._root)

    def put(self, key: str, pieces: Iterable[bytes]) -> None:
        """Write an object, as `Store` says."""
        arriving = self.begin()
        try:
            for piece in pieces:
                arriving.write(piece)
            arriving.sync()
            arriving.keep(key)
        finally:
            arriving.discard()

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield what an object holds, as `Store` says."""
        pieces = _pieces(self._root / key, start, length)
        try:
            next(pieces)
        except FileNotFoundError as error:
            raise MissingObjectError from error
        return pieces

    def copy(self, source: str, target: str) -> None:
        """Copy an object, as `Store` says."""
        self.put(target, self.read(source))

    def found(self, prefix: str) -> list[Found]:
        """List objects, as `Store` says."""
        return list(_listed(self._root / prefix, prefix, ""))

    def after(self, key: str, limit: int) -> list[Found]:
        """List the next objects, as `Store` says; of a folder of files that is all names of their folders."""
        return list(islice(_listed(self._root, "", key), limit))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, and the folder that the last one leaves empty."""
        for key in keys:
            path = self._root / key
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    def upload_url(self, key: str, life_s: int) -> str | None:  # noqa: ARG002
        """Return None: uploads come through us."""
        return None

    def download_url(self, key: str, life_s: int) -> str | None:  # noqa: ARG002
        """Return None: downloads go through us."""
        return None


def _pieces(path: Path, start: int, length: int | None) -> Iterator[bytes]:
    """Yield nothing once the file is open, and then its pieces; whoever leaves off closes it."""
    with path.open("rb") as file:
        file.seek(start)
        yield b""
        left = length
        while left is None or left > 0:
            piece = file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
            if not piece:
                return
            if left is not None:
                left -= len(piece)
            yield piece


def _listed(folder: Path, prefix: str, after: str) -> Iterator[Found]:
    """Yield what a folder holds, at any depth, in the order of the keys; they begin with `prefix`."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in entries)
    except (FileNotFoundError, NotADirectoryError):
        return  # deleted meanwhile, or never made
    for name in names:
        key = prefix + name
        if key.endswith("/"):
            if key > after or after.startswith(key):
                yield from _listed(folder / name, key, after)
        elif key > after:
            with suppress(FileNotFoundError):  # deleted or renamed meanwhile
                about = (folder / name).stat()
                yield Found(key, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))


def _within(folder: Path, work: Callable[[], T]) -> T:
    """Do something in a folder that is made for it, however often whoever empties it takes it away again."""
    while True:
        _make(folder)
        try:
            return work()
        except FileNotFoundError:
            if folder.is_dir():
                raise


def _make(folder: Path) -> None:
    """Make a folder, and see to it that a crash does not take it away again."""
    if folder.is_dir():
        return
    _make(folder.parent)
    with suppress(FileNotFoundError):  # the one above was empty, and is gone again
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
