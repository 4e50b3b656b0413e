"""
All that is held about a person, as one archive (spec.md G-2): a ZIP file that programs read (`data/`, a JSON
list of each table's rows) and people (`index.html`, and a page for each table).

Which tables those are says `kernel.personal`, by which a person is erased, too; which columns,
`kernel.theirs`. To the person goes what is theirs; what judges them has routes of its own, once it is
released (spec.md, decision 6). To an admin goes all but secrets, in the words of the tables, and the files of
evidence where they ask for them. What the archive of events alone has is read by the routes of events.
"""

import asyncio
import html
import io
import re
import tempfile
import zipfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import PurePath
from typing import IO, Annotated, Final
from urllib.parse import quote
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import web
from msgspec import Meta

from core_api.actors import actor_of
from core_api.database import Connection
from core_api.evidence.storage import STORAGE, NoFileError
from core_api.exports.sending import reading, send
from core_api.exports.tables import PARQUET_TYPE
from core_api.ledger.viewings import VIEWS, note_view
from core_api.people import users
from core_api.wire import uuid_in_path
from kernel.http.web import Shows, decode_query
from sql import named

QUERIES: Final = named("held_about")
SHOWS: Final = Shows("person_export", "user_id", "user_id")
NAME: Final = "personal-data.zip"
ARCHIVE_TYPE: Final = PARQUET_TYPE  # which generated clients take for a file
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


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the archive is to have."""

    files: Annotated[
        bool,
        Meta(description="With the files of evidence, below `files/`; each is a view of it on the ledger."),
    ] = False


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


async def export_own(request: web.Request) -> web.StreamResponse:
    """
    Export what is held about you as one ZIP file: pages to read, and the same as JSON.

    What judges you is not in it: it comes by its own routes, once it is released.
    """
    async with reading(request) as conn:
        whose = actor_of(request).user_id
        with closing(Archive()) as form:
            return await send(
                request, conn, QUERIES["list_own"], whose, form=form, name=NAME, media_type=ARCHIVE_TYPE
            )


async def export_held(request: web.Request) -> web.StreamResponse:
    """
    Export all that is held about a person of the organisation as one ZIP file, but for secrets: pages to
    read, the same as JSON, and files of evidence where asked for. The view is recorded.
    """
    whose, wanted = uuid_in_path(request, "user_id"), decode_query(request, Wanted)
    async with reading(request) as conn:
        await users.fetch(conn, actor_of(request), whose)
        with closing(Archive()) as form:
            return await send(
                request, conn, QUERIES["list_held"], whose, form=form, name=NAME, media_type=ARCHIVE_TYPE,
                seen=lambda: note_view(request, SHOWS, ""),
                more=_files(request, conn, form, whose) if wanted.files else None,
            )  # fmt: skip


async def _files(
    request: web.Request, conn: Connection, form: Archive, whose: UUID
) -> AsyncGenerator[bytes, None]:
    """
    Yield the files of evidence, each read from its store piece by piece; each is a view. What the store does
    not have, as it has gone since or was lost, is left out of its file, and noted.

    Raises:
        UnavailableError: a store is away.
    """
    storage, views, actor = request.app[STORAGE], request.app[VIEWS], actor_of(request)
    before = None
    async for part in conn.cursor(QUERIES["list_files"], whose):
        if part["evidence_id"] != before:
            before = part["evidence_id"]
            views.note(actor, "evidence", before, now=datetime.now(UTC), subject_id=whose)
            await asyncio.to_thread(form.begin_file, before, part["file_name"])
        left = part["size_bytes"]
        with suppress(NoFileError):
            async for piece in await storage.open(part["tier"], part["object_key"], 0, left):
                left -= len(piece)
                yield form.file_piece(piece)
                await conn.execute("SELECT")  # PostgreSQL ends a snapshot that stands idle
        if left:
            form.cut()
