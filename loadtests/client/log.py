"""
A client's own history: what it created, sent, was told. The checker's only witness besides the database.

One log serves many clients of one process; the order of its entries is the order in which things happened.
"""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Self

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """What every entry says: which client instance of which session, which of its events, when (seconds)."""

    session: int
    instance: str
    first: int
    last: int
    at: float


class Created(Entry, frozen=True, gc=False):
    """An event came to be; `first` = `last` is its client sequence, `marker` stands in its metadata."""

    marker: str = ""
    event_type: int = 0


class Sent(Entry, frozen=True, gc=False):
    """A request with these events was about to leave; a `probe` only asks how far the server has stored."""

    probe: bool = False


class Acked(Entry, frozen=True, gc=False):
    """A 202 came back; `numbers` are the sequences of `first` … `last`, `duplicates` how many were known."""

    numbers: tuple[int, ...] = ()
    duplicates: int = 0


class Unanswered(Entry, frozen=True, gc=False):
    """No reply came (cut, refused connection, time-out): stored or not, the client cannot know."""

    why: str = ""


class Refused(Entry, frozen=True, gc=False):
    """
    A reply other than 202, or what a 202 says of these events; `final` when the client gives them up, `why`
    in the server's words.
    """

    status: int = 0
    code: str = ""
    final: bool = False
    why: str = ""


class Reoffered(Entry, frozen=True, gc=False):
    """The server said that it no longer has these acknowledged events; the client offers them again."""


AnyEntry = Created | Sent | Acked | Unanswered | Refused | Reoffered
_DECODER = msgspec.json.Decoder(AnyEntry)
_ENCODER = msgspec.json.Encoder()


class Log:
    """An append-only log in memory, and as JSON lines in a file where one is named."""

    def __init__(self, path: Path | None = None) -> None:
        """Start empty; `path` is created or continued."""
        self.entries: list[AnyEntry] = []
        self._file = path.open("ab") if path else None

    def __iter__(self) -> Iterator[AnyEntry]:
        """Yield the entries in the order in which they happened."""
        return iter(self.entries)

    def add(self, entry: AnyEntry) -> None:
        """Append; the line has reached the operating system when this returns."""
        self.entries.append(entry)
        if self._file:
            self._file.write(_ENCODER.encode(entry) + b"\n")
            self._file.flush()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `add` has written to a file."""
        log = cls()
        with path.open("rb") as lines:
            log.entries = [_DECODER.decode(line) for line in lines]
        return log

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file:
            self._file.close()


def now() -> float:
    """Return the log's clock, seconds since an arbitrary moment."""
    return monotonic()
