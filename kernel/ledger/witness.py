"""
Witnesses: places outside the database that remember signed heads (spec.md L-2).

A witness is what makes a rewritten or restored ledger visible even to whoever holds the signing key. The file
takes one JSON string (a note) a line, is synced after each, and should stand on storage of its own. The HTTP
endpoint takes a note as text by POST; the newest note stands for all before it.
"""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

POST_S: Final = 5.0
WITNESS_MODE: Final = 0o640  # who reads it beside the sealer belongs to its group
TAIL_BYTES: Final = 64 << 10  # many times the longest note


def append_note(path: Path, note: str) -> None:
    """Add a note to the file, synced; a line that a crash tore stays, closed off. Raises OSError."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, WITNESS_MODE)
    try:
        os.fchmod(descriptor, WITNESS_MODE)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = b"\n" * torn + msgspec.json.encode(note) + b"\n"
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes were written to {path}")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_notes(path: Path) -> Iterator[tuple[int, str | None]]:
    """
    Yield (line number, note) in order; None for a line that is no JSON string, as a crash may leave behind.

    A file that is not there has no lines. Raises OSError when it cannot be read.
    """
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, _note_in(line)


def last_note(path: Path) -> str | None:
    """Return the newest note of the file, without reading all of it; None where there is none yet."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        notes = [_note_in(line) for line in file]
    return next((note for note in reversed(notes) if note is not None), None)


def _note_in(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line, type=str)
    except msgspec.DecodeError:
        return None


def post_note(url: str, note: str) -> None:
    """Send a note to an HTTP witness; raises OSError unless it answers with success."""
    request = urllib.request.Request(  # noqa: S310  settings allow http and https only
        url, data=note.encode(), headers={"Content-Type": "text/plain; charset=utf-8"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=POST_S):  # noqa: S310  see above
        pass
