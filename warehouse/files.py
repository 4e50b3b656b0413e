"""
The warehouse's hands: the few file operations that publishing needs, each durable when it returns.

Everything that touches storage is here, so that an object store can take the folder's place. What it would
need: put and get of whole objects; the pointer `current/<dataset>` as an object replaced with a conditional
put (If-Match on the old one's tag) instead of a link swapped by rename; parts named by key in their group's
list instead of hard-linked into its folder; leases with an expiry in place of `flock`. There the manifest is
the promise, and globbing is not.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WarehouseError(Exception):
    """The warehouse's root cannot be used; the message says why."""


def open_root(location: str) -> Path:
    """
    Return the root folder, made if it is not there.

    Raises:
        WarehouseError: the location is a URL; only folders are written so far.
    """
    if "://" in location:
        raise WarehouseError(f"{location}: only a folder can be the warehouse's root")
    root = Path(location).resolve()
    (root / "current").mkdir(parents=True, exist_ok=True)
    return root


def sync_folder(folder: Path) -> None:
    """Make the folder's names durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the file's bytes durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_file(path: Path, content: bytes) -> None:
    """Write a new file, durable but for its name (`sync_folder`)."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sha256(path: Path) -> str:
    """Return the file's SHA-256 as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def point(link: Path, target: str) -> None:
    """Let `link` lead to `target` from one instant to the next: whoever opens it sees the old or the new."""
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target, target_is_directory=True)
    beside.rename(link)
    sync_folder(link.parent)


def try_lock(path: Path) -> int | None:
    """Lock a file or folder that exists and return the handle to close; None when somebody holds it, dead
    holders not.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; waits for whoever has it. A killed process holds nothing."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_tree(folder: Path) -> None:
    """Remove a folder under a hidden name first, so that a crash in between never leaves half a build that
    looks whole.
    """
    hidden = (
        folder.with_name(f".draft-gone-{folder.name}") if not folder.name.startswith(".draft-") else folder
    )
    if hidden != folder:
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
