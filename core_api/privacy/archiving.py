"""
A person's data as a ZIP file, a piece at a time: what is written is taken and sent before there is more.

A table is a JSON list below `data/` and a page to read; files stand below `files/`, as they are.
"""

import html
import io
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import PurePath
from typing import IO, Final
from urllib.parse import quote

import asyncpg
import msgspec

UNFIT: Final = re.compile(r"[^\w.-]")  # in the name of a file within the archive
NAME_BYTES: Final = 200  # of such a name: file systems take 255
SUFFIX_BYTES: Final = 16  # of its end, which says what opens it
IN_MEMORY_BYTES: Final = 1 << 20  # of a page that waits for its table's end; the rest of it is in a file
CUT: Final = " (not whole: the store of evidence does not have all of it)"
HEAD: Final = (
    '<!doctype html><meta charset="utf-8"><title>{0}</title>'
    "<style>body{{font-family:sans-serif}}table{{border-collapse:collapse;margin:0 0 1em}}"
    "td,th{{border:1px solid #bbb;padding:.2em .5em;text-align:start;vertical-align:top}}</style><h1>{0}</h1>"
)


class Archive:
    """
    The ZIP file, a piece at a time: a table's rows as they come, its page once they are all there, and files
    after the last table.
    """

    def __init__(self) -> None:
        """Begin, without a table."""
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._counts: dict[str, int] = {}
        self._place: str | None = None
        self._rows: IO[bytes] | None = None
        self._page: IO[bytes] | None = None
        self._files: list[str] = []
        self._cut: set[str] = set()
        self._file: IO[bytes] | None = None

    def piece(self, rows: Sequence[asyncpg.Record]) -> bytes:
        """Return the bytes of some rows: `place`, the table, and `state`, the row as JSON."""
        for row in rows:
            if row["place"] != self._place:
                self._turn(row["place"])
            self._add(row["state"])
        return self._sink.taken()

    def begin_file(self, number: int, name: str) -> None:
        """Begin a file, of that number and name; the tables are over."""
        self._turn(None)
        self._end_file()
        self._files.append(f"files/{number}-{_fitting(name)}")
        self._file = self._zip.open(zipfile.ZipInfo(self._files[-1]), "w", force_zip64=True)

    def file_piece(self, piece: bytes) -> bytes:
        """Return the bytes of what comes next of the file; it is not packed again."""
        assert self._file is not None, "a file has begun"
        self._file.write(piece)
        return self._sink.taken()

    def cut(self) -> None:
        """Note that the file which has begun is not whole."""
        self._cut.add(self._files[-1])

    def end(self) -> bytes:
        """Return what stands after the last row or file: the last table's page, and the list of all."""
        self._turn(None)
        self._end_file()
        listed = "".join(
            f'<li><a href="{name}.html">{name}</a> (<a href="data/{name}.json">JSON</a>): {count}</li>'
            for name, count in self._counts.items()
        )
        page = HEAD.format("What is held about you, table by table") + f"<ul>{listed}</ul>"
        if self._files:
            names = "".join(
                f'<li><a href="{quote(name)}">{html.escape(name)}</a>{CUT if name in self._cut else ""}'
                for name in self._files
            )
            page += f"<h2>Files</h2><ul>{names}</ul>"
        self._zip.writestr("index.html", page)
        self._zip.close()
        return self._sink.taken()

    def close(self) -> None:
        """Let go of what is open where it does not come to its end."""
        for each in (self._rows, self._page, self._file):
            if each is not None:
                each.close()
        self._zip.close()

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _turn(self, place: str | None) -> None:
        """End a table, and begin the next."""
        if self._rows is not None and self._page is not None:
            self._rows.write(b"\n]\n")
            self._rows.close()
            self._page.seek(0)
            with self._zip.open(f"{self._place}.html", "w") as member:
                while some := self._page.read(IN_MEMORY_BYTES):
                    member.write(some)
            self._page.close()
        self._place, self._rows, self._page = place, None, None
        if place is not None:
            self._counts[place] = 0
            self._rows = self._zip.open(f"data/{place}.json", "w")
            self._page = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  closed with its table
            self._page.write(HEAD.format(html.escape(place)).encode())

    def _add(self, state: str) -> None:
        assert self._place is not None, "a table has begun"
        assert self._rows is not None, "and its two files with it"
        assert self._page is not None
        self._rows.write(b",\n" if self._counts[self._place] else b"[\n")
        self._rows.write(state.encode())
        self._page.write(_as_table(state).encode())
        self._counts[self._place] += 1


class _Sink(io.RawIOBase):
    """Keeps what was written until it is taken; cannot be sought."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]  # zipfile writes bytes alone
        self._pieces.append(bytes(piece))
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def _fitting(name: str) -> str:
    """
    Return a file's name as every file system takes it, shorter where it is long.

    >>> _fitting("a/b.webm")
    'a_b.webm'
    >>> len(_fitting("ä" * 196 + ".png").encode()), _fitting("ä" * 196 + ".png")[-5:]
    (200, 'ä.png')
    """
    fit = UNFIT.sub("_", name)
    if len(fit.encode()) <= NAME_BYTES:
        return fit
    suffix = PurePath(fit).suffix.encode()
    suffix = suffix if len(suffix) <= SUFFIX_BYTES else b""
    return (fit.encode()[: NAME_BYTES - len(suffix)] + suffix).decode(errors="ignore")


def _as_table(state: str) -> str:
    """
    Return a row, JSON text, as a table of two columns.

    >>> _as_table('{"text": "<b>", "at": null}')
    '<table><tr><th>text<td>&lt;b&gt;<tr><th>at<td></table>'
    >>> len(_as_table('{"deep": ' + "[" * 5000 + "]" * 5000 + "}"))
    10047
    """
    try:
        columns = {name: _as_text(value) for name, value in msgspec.json.decode(state).items()}
    except (msgspec.DecodeError, RecursionError):  # what no parser reads stands there as it is
        columns = {"": state}
    shown = "".join(f"<tr><th>{html.escape(name)}<td>{html.escape(text)}" for name, text in columns.items())
    return f"<table>{shown}</table>"


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
