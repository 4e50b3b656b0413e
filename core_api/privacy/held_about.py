"""
All that is held about a person, as one archive (spec.md G-2): a ZIP file that programs read (`data/`, a JSON
list of each table's rows) and people (`index.html`, and a page for each table).

Which tables those are says `kernel.personal`, by which a person is erased, too; which columns,
`kernel.theirs`. To the person goes what is theirs; what judges them has routes of its own, once it is
released (spec.md, decision 6). To an admin goes all but secrets, in the words of the tables, and the files of
evidence where they ask for them. What the archive of events alone has is read by the routes of events.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

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
from core_api.privacy.archiving import Archive
from core_api.wire import uuid_in_path
from kernel.http.web import Shows, decode_query
from sql import named

QUERIES: Final = named("held_about")
SHOWS: Final = Shows("person_export", "user_id", "user_id")
NAME: Final = "personal-data.zip"
ARCHIVE_TYPE: Final = PARQUET_TYPE  # which generated clients take for a file


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the archive is to have."""

    files: Annotated[
        bool,
        Meta(description="With the files of evidence, below `files/`; each is a view of it on the ledger."),
    ] = False


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
