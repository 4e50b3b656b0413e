"""
Evaluations: a draft names questions; publishing freezes their newest versions for ever (spec.md E-1).

A published version holds the paper (what candidates see) and the key apart, so that whoever serves the paper
never touches the key.
"""

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.authoring.content import NEWEST, Title, WhichVersion
from core_api.authoring.items import ChoiceContent, ItemKind, KeyedItem, TextContent
from core_api.authoring.questions import Points, item_of
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.ledger import entries as ledger
from core_api.wire import ListPage, Page, as_json, invalid, shown_as
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("evaluations")
ITEMS_MAX: Final = 500
SNAPSHOT_BYTES_MAX: Final = 8 << 20


class DraftItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question of a draft; `points` null: the question's own."""

    question_id: UUID
    points: Points | None = None


class SaveDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A draft whole: it replaces the one before."""

    title: Title
    items: Annotated[list[DraftItem], Meta(max_length=ITEMS_MAX)] = []


class PaperPassage(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as it was at publication."""

    passage_id: UUID
    version: int
    title: str
    body: str


class PaperItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item as candidates see it."""

    position: int
    question_id: UUID
    kind: ItemKind
    points: float
    passage_id: UUID | None
    content: dict[str, Any]


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """What candidates see of an evaluation; there is no key in it."""

    title: str
    passages: list[PaperPassage]
    items: list[PaperItem]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an evaluation, in a list."""

    evaluation_id: UUID
    evaluation_version_id: UUID
    creator_id: UUID
    version: int
    title: str
    status: Literal["draft", "published"]
    max_points: float | None
    published_at: datetime | None


class WholeVersion(Version, frozen=True, kw_only=True):
    """A version with its items; paper and key once it is published."""

    items: list[DraftItem]
    paper: Paper | None
    key: list[KeyedItem] | None
    snapshot_sha256: str | None


class Versions(Page, frozen=True):
    """A page of evaluations by their newest version, newest first; `next_cursor` is null on the last page."""

    evaluations: list[Version]


async def save_draft(
    conn: Connection, actor: Actor, evaluation_id: UUID | None, command: SaveDraft, *, now: datetime
) -> WholeVersion:
    """
    Make an evaluation, or replace the draft of one; after a publication this begins the next version.

    Raises:
        NotFoundError: the evaluation is not theirs.
        InvalidInputError: a question stands twice, or is not theirs to use.
    """
    ids = [item.question_id for item in command.items]
    if len(set(ids)) != len(ids):
        raise invalid("items", "a question stands twice")
    usable = await QUERIES.run(conn.fetchval, "count_usable_questions", ids=ids, **actor.reach)
    if usable != len(ids):
        raise invalid("items", "a question is unknown or archived")
    async with conn.transaction():
        if evaluation_id is None:
            evaluation_id = uuid7()
            await conn.execute(
                QUERIES["insert_evaluation"], evaluation_id, actor.organisation_id, actor.user_id, now
            )
        await _hold(conn, actor, evaluation_id)
        points = [item.points for item in command.items]
        if not await conn.fetchval(QUERIES["matches_draft"], evaluation_id, command.title, ids, points):
            version_id = await _draft_of(conn, actor, evaluation_id, command.title, now=now)
            await conn.execute(QUERIES["clear_items"], version_id)
            await conn.execute(QUERIES["insert_items"], version_id, ids, points)
            await ledger.record(conn, ledger.by(actor, Kind.evaluation_drafted, version_id, now=now))
    return await fetch(conn, actor, evaluation_id)


async def _draft_of(
    conn: Connection, actor: Actor, evaluation_id: UUID, title: str, *, now: datetime
) -> UUID:
    draft = await conn.fetchrow(QUERIES["find_draft"], evaluation_id)
    if draft is not None:
        found: UUID = draft["id"]
        await conn.execute(QUERIES["rename_draft"], found, title)
        return found
    version_id = uuid7()
    await QUERIES.run(
        conn.execute,
        "insert_draft",
        id=version_id,
        evaluation_id=evaluation_id,
        title=title,
        created_by=actor.user_id,
        created_at=now,
    )
    return version_id


async def _hold(conn: Connection, actor: Actor, evaluation_id: UUID) -> None:
    await fetch_one(conn, "evaluation", *QUERIES.bind("hold_evaluation", id=evaluation_id, **actor.reach))


async def publish(conn: Connection, actor: Actor, evaluation_id: UUID, *, now: datetime) -> WholeVersion:
    """
    Freeze the draft; without one, the version that was published last is returned.

    Raises:
        NotFoundError: the evaluation is not theirs.
        ConflictError: the draft is empty, or a question of it was archived.
        InvalidInputError: the snapshot would be over its bound.
        StoredSpoiltError: a question cannot be read.
    """
    async with conn.transaction():
        await _hold(conn, actor, evaluation_id)
        draft = await conn.fetchrow(QUERIES["find_draft"], evaluation_id)
        if draft is not None:
            await _freeze(conn, actor, draft, now=now)
    return await fetch(conn, actor, evaluation_id)


async def _freeze(conn: Connection, actor: Actor, draft: asyncpg.Record, *, now: datetime) -> None:
    rows = await conn.fetch(QUERIES["list_draft_items"], draft["id"])
    if not rows:
        raise ConflictError("The draft has no questions; add some before you publish it.")
    if any(row["archived_at"] is not None for row in rows):
        raise ConflictError("A question in the draft was archived; take it out before you publish.")
    passage_ids = [row["passage_id"] for row in rows if row["passage_id"] is not None]
    passages = await conn.fetch(QUERIES["list_newest_passages"], passage_ids)
    paper = as_json(_paper(draft["title"], rows, passages))
    key = as_json([_keyed(row) for row in rows])
    if len(paper) + len(key) > SNAPSHOT_BYTES_MAX:
        raise invalid("items", f"too long: at most {SNAPSHOT_BYTES_MAX >> 20} MiB in all")
    digest = hashlib.sha256(f"{paper}\n{key}".encode()).digest()
    await conn.execute(
        QUERIES["freeze_items"],
        draft["id"],
        [row["question_id"] for row in rows],
        [row["question_version_id"] for row in rows],
    )
    points = sum((Decimal(row["points"]) for row in rows), Decimal(0))
    await QUERIES.run(
        conn.execute,
        "publish_version",
        id=draft["id"],
        paper=paper,
        key=key,
        max_points=str(points),
        snapshot_sha256=digest,
        published_at=now,
    )
    await ledger.record(
        conn,
        ledger.by(
            actor,
            Kind.evaluation_published,
            draft["id"],
            now=now,
            detail={"version": draft["version"], "snapshot_sha256": digest.hex()},
        ),
    )


def _paper(title: str, rows: list[asyncpg.Record], passages: list[asyncpg.Record]) -> Paper:
    # Through the content's own structs: what they do not name cannot slip in.
    shown = [
        of_row(
            row,
            PaperItem,
            points=float(row["points"]),
            content=msgspec.to_builtins(_content(row)),
        )
        for row in rows
    ]
    return Paper(title=title, passages=[PaperPassage(**row) for row in passages], items=shown)


def _content(row: asyncpg.Record) -> ChoiceContent | TextContent:
    return item_of(row).content


def _keyed(row: asyncpg.Record) -> KeyedItem:
    points, term_ids = Decimal(row["points"]), tuple(row["term_ids"])
    return of_row(row, KeyedItem, points=points, item=item_of(row), term_ids=term_ids)


async def fetch(
    conn: Connection, actor: Actor, evaluation_id: UUID, query: WhichVersion = NEWEST
) -> WholeVersion:
    """Return a version, the newest by default; raises NotFoundError when it is not visible to the caller."""
    wanted = QUERIES.bind("fetch_version", id=evaluation_id, version=query.version, **actor.reach)
    row = await fetch_one(conn, "evaluation", *wanted)
    items = await conn.fetch(QUERIES["list_items"], row["evaluation_version_id"])
    kept = [DraftItem(question_id=each["question_id"], points=each["points"]) for each in items]
    paper, key = shown_as(row["paper"], Paper | None), shown_as(row["key"], list[KeyedItem] | None)
    return WholeVersion(**{**row, "items": kept, "paper": paper, "key": key})


async def list_own(conn: Connection, actor: Actor, query: ListPage) -> Versions:
    """Return a page of the evaluations that the caller may use."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_evaluations", **actor.reach, key="evaluation_id"
    )
    return Versions([Version(**row) for row in page], next_cursor=following)
