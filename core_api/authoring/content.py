"""
Taxonomy terms, which an organisation shares, and passages, which belong to who wrote them (spec.md E-1).
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page
from core_api.ledger import entries as ledger
from core_api.wire import NO_NUL, ListPage, Page, invalid
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("content")
PASSAGE_LENGTH_MAX: Final = 100_000
VERSION_MAX: Final = 2**31 - 1

TermKind = Literal["term", "skill"]
Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
Version = Annotated[int, Meta(ge=1, le=VERSION_MAX, description="A version; the newest unless given.")]


class NewTerm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A term of the taxonomy, or a skill; below another one where `parent_id` is given."""

    kind: TermKind
    name: Title
    parent_id: UUID | None = None


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """A term or a skill."""

    id: UUID
    kind: TermKind
    name: str
    parent_id: UUID | None
    created_at: datetime


class Terms(Page, frozen=True):
    """A page of terms, newest first; `next_cursor` is null on the last page."""

    terms: list[Term]


class ListTerms(ListPage, frozen=True):
    """Which terms."""

    kind: Annotated[TermKind, Meta(description="Only these.")] | None = None


class SavePassage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text that questions refer to."""

    title: Title
    body: Annotated[str, Meta(min_length=1, max_length=PASSAGE_LENGTH_MAX, pattern=NO_NUL)]


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a passage."""

    passage_id: UUID
    creator_id: UUID
    version: int
    title: str
    body: str
    archived_at: datetime | None
    saved_at: datetime


class Passages(Page, frozen=True):
    """A page of passages, newest first; `next_cursor` is null on the last page."""

    passages: list[Passage]


class ListPassages(ListPage, frozen=True, kw_only=True):
    """Which page: passages are long."""

    limit: Annotated[int, Meta(ge=1, le=50, description="Rows at most; 50 is the most.")] = 20


class WhichVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version of a question or a passage."""

    version: Version | None = None


NEWEST: Final = WhichVersion()


async def create_term(
    conn: Connection, actor: Actor, command: NewTerm, *, now: datetime
) -> tuple[Term, bool]:
    """
    Return the organisation's term of that name, and whether this call made it.

    Raises:
        InvalidInputError: there is no such parent.
    """
    if command.parent_id is not None:
        await require_terms(conn, actor, [command.parent_id], path="parent_id")
    async with conn.transaction():
        row = await QUERIES.run(
            conn.fetchrow,
            "insert_term",
            id=uuid7(),
            organisation=actor.organisation_id,
            **msgspec.structs.asdict(command),
            created_by=actor.user_id,
            created_at=now,
        )
        created = row is not None
        if row is not None:
            await ledger.record(conn, ledger.by(actor, Kind.term_created, row["id"], now=now))
    if row is None:
        row = await conn.fetchrow(QUERIES["find_term"], actor.organisation_id, command.kind, command.name)
    assert row is not None, "terms are never deleted"
    return Term(**row), created


async def require_terms(conn: Connection, actor: Actor, ids: list[UUID], *, path: str) -> None:
    """Check that these are terms of the caller's organisation; raises InvalidInputError when one is not."""
    found = await conn.fetchval(QUERIES["count_terms"], actor.organisation_id, ids)
    if found != len(set(ids)):
        raise invalid(path, "no such term or skill in your organisation")


async def list_terms(conn: Connection, actor: Actor, query: ListTerms) -> Terms:
    """Return a page of the organisation's terms."""
    page, following = await fetch_page(conn, query, QUERIES, "list_terms", organisation=actor.organisation_id)
    return Terms([Term(**row) for row in page], next_cursor=following)


async def save_passage(
    conn: Connection, actor: Actor, passage_id: UUID | None, command: SavePassage, *, now: datetime
) -> Passage:
    """
    Make a passage, or a new version of one of the caller's unless it is as its newest.

    Raises:
        NotFoundError: it is not theirs.
        ConflictError: it is archived.
    """
    async with conn.transaction():
        if passage_id is None:
            passage_id = uuid7()
            await conn.execute(
                QUERIES["insert_passage"], passage_id, actor.organisation_id, actor.user_id, now
            )
        else:
            await _hold_passage(conn, actor, passage_id)
        made = await QUERIES.run(
            conn.fetchval,
            "insert_passage_version",
            id=uuid7(),
            passage_id=passage_id,
            **msgspec.structs.asdict(command),
            created_by=actor.user_id,
            created_at=now,
        )
        if made is not None:
            await ledger.record(conn, ledger.by(actor, Kind.passage_saved, passage_id, now=now))
    return await fetch_passage(conn, actor, passage_id)


async def archive_passage(conn: Connection, actor: Actor, passage_id: UUID, *, now: datetime) -> Passage:
    """Take a passage out of use; published evaluations keep it. Raises NotFoundError when not theirs."""
    async with conn.transaction():
        if not await _hold_passage(conn, actor, passage_id, archived_too=True):
            await conn.execute(QUERIES["archive_passage"], passage_id, now)
            await ledger.record(conn, ledger.by(actor, Kind.passage_archived, passage_id, now=now))
    return await fetch_passage(conn, actor, passage_id)


async def _hold_passage(
    conn: Connection, actor: Actor, passage_id: UUID, *, archived_too: bool = False
) -> bool:
    """Hold one of the caller's and tell whether it is archived; raises NotFoundError, ConflictError."""
    row = await fetch_one(conn, "passage", *QUERIES.bind("hold_passage", id=passage_id, **actor.reach))
    if row["archived_at"] is not None and not archived_too:
        raise ConflictError("The passage is archived and cannot be changed.")
    return row["archived_at"] is not None


async def fetch_passage(
    conn: Connection, actor: Actor, passage_id: UUID, query: WhichVersion = NEWEST
) -> Passage:
    """Return a version of a passage, the newest by default; raises NotFoundError when it is not theirs."""
    wanted = QUERIES.bind("fetch_passage", id=passage_id, version=query.version, **actor.reach)
    row = await fetch_one(conn, "passage", *wanted)
    return Passage(**row)


async def list_passages(conn: Connection, actor: Actor, query: ListPassages) -> Passages:
    """Return a page of the passages that the caller may use."""
    page, following = await fetch_page(conn, query, QUERIES, "list_passages", **actor.reach, key="passage_id")
    return Passages([Passage(**row) for row in page], next_cursor=following)
