"""
A local folder as the place of a warehouse, as `warehouse.files.Root` says: files with second names, a link
swapped by rename, and `flock` where two compare and set.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

CURRENT: Final = "current"


class Folder(Struct, frozen=True):
    """A warehouse in a folder, by its absolute path. Whoever reads it needs nothing else."""

    location: str
    has_links: bool = True
    options: dict[str, str] | None = None

    @property
    def _path(self) -> Path:
        return Path(self.location)

    def write(self, key: str, content: bytes) -> None:
        """Write a file, as `Root` says."""
        path = self._path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def read(self, key: str) -> bytes:
        """Return a file's content."""
        return (self._path / key).read_bytes()

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return content and tag, as `Root` says: which file it is, and when it was written."""
        try:
            with (self._path / key).open("rb") as file:
                return file.read(), _tag(os.fstat(file.fileno()))
        except FileNotFoundError:
            return None

    def open(self, key: str) -> IO[bytes]:
        """Open a file."""
        return (self._path / key).open("rb")

    def keep(self, key: str, folder: str) -> str:
        """Give the file another name in the folder."""
        kept = self._path / folder / Path(key).name
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.hardlink_to(self._path / key)
        return f"{folder}/{kept.name}"

    def expose(self, folder: str, targets: Mapping[str, str]) -> None:
        """Link to other folders by relative paths, so that the warehouse can be moved."""
        for name, target in targets.items():
            path = self._path / folder / name
            path.symlink_to(os.path.relpath(self._path / target, path.parent), target_is_directory=True)

    def settle(self, folders: Collection[str]) -> None:
        """Sync the folders and those above them, each once."""
        paths = {self._path / each for each in folders}
        above = {each for path in paths for each in path.parents if each.is_relative_to(self._path)}
        for path in paths | above:
            _sync(path)

    def make(self, folder: str) -> None:
        """Make a folder."""
        (self._path / folder).mkdir(parents=True)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        try:
            names = [path.name for path in (self._path / folder).iterdir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if not name.startswith("."))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, and folders that are empty then."""
        for path in (self._path / key for key in keys):
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    def remove(self, folder: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self._path / folder, ignore_errors=True)

    def replace(self, key: str, content: bytes, tag: str | None) -> bool:
        """Compare under a lock, and rename a new file into the place of the old one."""
        path = self._path / key
        with self._locked(path.with_name(f".{path.name}.lock")):
            if self._tag_of(path) != tag:
                return False
            beside = path.with_name(f".{path.name}.new")
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
            _sync(path.parent)
        return True

    def put_in_force(self, dataset: str, folder: str, manifest: bytes, tag: str | None) -> bool:  # noqa: ARG002
        """Compare under the dataset's lock, and let the link lead to the build, which has its manifest."""
        link = self._path / CURRENT / dataset
        link.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(self._path / dataset / ".lock"):
            if self._tag_of(link / "manifest.json") != tag:
                return False
            beside = link.with_name(f".{link.name}")
            beside.unlink(missing_ok=True)
            beside.symlink_to(f"../{dataset}/{folder}", target_is_directory=True)
            beside.rename(link)
            _sync(link.parent)
        return True

    def _tag_of(self, path: Path) -> str | None:
        try:
            return _tag(path.stat())
        except FileNotFoundError:
            return None

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold the lock file; waits for whoever has it. A killed process holds nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _tag(about: os.stat_result) -> str:
    return f"{about.st_ino}.{about.st_mtime_ns}"


def _sync(folder: Path) -> None:
    """Make the folder's names durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
