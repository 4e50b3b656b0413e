"""
Questions: every save is a new version, and versions never change (spec.md E-1).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.authoring import content
from core_api.authoring.content import NEWEST, WhichVersion
from core_api.authoring.items import POINTS_MAX, Item, ItemKind, fault_of_item, kind_of
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.ledger import entries as ledger
from core_api.wire import ListPage, Page, as_json, computed_as, invalid, shown_as
from kernel.errors import ConflictError, NotFoundError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("questions")
TERMS_MAX: Final = 50

Points = Annotated[float, Meta(ge=0, le=POINTS_MAX)]


class SaveQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question: its item, what it is worth, the passage it quotes, the terms and skills it is about."""

    item: Item
    points: Points = 1.0
    passage_id: UUID | None = None
    term_ids: Annotated[list[UUID], Meta(max_length=TERMS_MAX)] = []


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a question, with its key."""

    question_id: UUID
    question_version_id: UUID
    version: int
    creator_id: UUID
    item: Item
    points: float
    passage_id: UUID | None
    term_ids: list[UUID]
    archived_at: datetime | None
    saved_at: datetime


class Questions(Page, frozen=True):
    """A page of questions, newest first; `next_cursor` is null on the last page."""

    questions: list[Question]


class ListQuestions(ListPage, frozen=True):
    """Which questions."""

    kind: Annotated[ItemKind, Meta(description="Only this kind.")] | None = None
    term_id: Annotated[UUID, Meta(description="Only those about this term or skill.")] | None = None


async def save(
    conn: Connection, actor: Actor, question_id: UUID | None, command: SaveQuestion, *, now: datetime
) -> Question:
    """
    Make a question, or a new version of one of the caller's unless it is as its newest.

    Raises:
        InvalidInputError: key and content contradict each other; an unknown passage or term.
        NotFoundError: the question is not theirs.
        ConflictError: it is archived.
    """
    if question_id is None:
        (question_id,) = await make(conn, actor, [command], now=now)
        return await fetch(conn, actor, question_id)
    await _check(conn, actor, [command])
    async with conn.transaction():
        await _hold(conn, actor, question_id)
        made = await QUERIES.run(
            conn.fetchval,
            "insert_question_version",
            id=uuid7(),
            question_id=question_id,
            kind=kind_of(command.item),
            content=as_json(command.item.content),
            key=as_json(command.item.key),
            points=command.points,
            passage_id=command.passage_id,
            created_by=actor.user_id,
            created_at=now,
        )
        terms = await conn.fetch(QUERIES["clear_terms"], question_id, command.term_ids)
        terms += await conn.fetch(
            QUERIES["insert_terms"], [question_id] * len(command.term_ids), command.term_ids
        )
        if made is not None or terms:
            await ledger.record(conn, ledger.by(actor, Kind.question_saved, question_id, now=now))
    return await fetch(conn, actor, question_id)


async def make(
    conn: Connection, actor: Actor, commands: Sequence[SaveQuestion], *, now: datetime
) -> list[UUID]:
    """
    Make new questions, as many statements for a hundred as for one; return their ids in order.

    Raises:
        InvalidInputError: key and content contradict each other; an unknown passage or term.
    """
    await _check(conn, actor, commands)
    ids = [uuid7() for _ in commands]
    about = [(made, term) for made, each in zip(ids, commands, strict=True) for term in each.term_ids]
    by = {"created_by": actor.user_id, "created_at": now}
    async with conn.transaction():
        # Row security must see them before what hangs on them: statements of their own.
        await QUERIES.run(conn.execute, "insert_questions", ids=ids, organisation=actor.organisation_id, **by)
        await QUERIES.run(
            conn.execute,
            "insert_first_versions",
            ids=[uuid7() for _ in commands],
            questions=ids,
            kinds=[kind_of(each.item) for each in commands],
            contents=[as_json(each.item.content) for each in commands],
            keys=[as_json(each.item.key) for each in commands],
            points=[each.points for each in commands],
            passages=[each.passage_id for each in commands],
            **by,
        )
        await conn.fetch(QUERIES["insert_terms"], [made for made, _ in about], [term for _, term in about])
        await ledger.record(conn, *(ledger.by(actor, Kind.question_saved, each, now=now) for each in ids))
    return ids


async def _check(conn: Connection, actor: Actor, commands: Sequence[SaveQuestion]) -> None:
    for command in commands:
        fault = fault_of_item(command.item)
        if fault is not None:
            raise invalid(f"item.{fault[0]}", fault[1])
        if command.passage_id is not None:
            try:
                passage = await content.fetch_passage(conn, actor, command.passage_id)
            except NotFoundError as error:
                raise invalid("passage_id", "no such passage") from error
            if passage.archived_at is not None:
                raise invalid("passage_id", "the passage is archived")
    terms = {term for command in commands for term in command.term_ids}
    if terms:
        await content.require_terms(conn, actor, list(terms), path="term_ids")


def item_of(row: asyncpg.Record) -> Item:
    """Return the item of a stored version: its kind, content and key; raises StoredSpoiltError."""
    item: Item = computed_as(_stored_item(row), Item, "a question")
    return item


def _stored_item(row: asyncpg.Record) -> dict[str, Any]:
    return {"kind": row["kind"], "content": row["content"], "key": row["key"]}


async def archive(conn: Connection, actor: Actor, question_id: UUID, *, now: datetime) -> Question:
    """Take a question out of use; published evaluations keep it. Raises NotFoundError when not theirs."""
    async with conn.transaction():
        if not await _hold(conn, actor, question_id, archived_too=True):
            await conn.execute(QUERIES["archive_question"], question_id, now)
            await ledger.record(conn, ledger.by(actor, Kind.question_archived, question_id, now=now))
    return await fetch(conn, actor, question_id)


async def _hold(conn: Connection, actor: Actor, question_id: UUID, *, archived_too: bool = False) -> bool:
    """Hold one of the caller's and tell whether it is archived; raises NotFoundError, ConflictError."""
    row = await fetch_one(conn, "question", *QUERIES.bind("hold_question", id=question_id, **actor.reach))
    if row["archived_at"] is not None and not archived_too:
        raise ConflictError("The question is archived and cannot be changed.")
    return row["archived_at"] is not None


async def fetch(conn: Connection, actor: Actor, question_id: UUID, query: WhichVersion = NEWEST) -> Question:
    """Return a version of a question, the newest by default; raises NotFoundError when it is not theirs."""
    wanted = QUERIES.bind("fetch_question", id=question_id, version=query.version, **actor.reach)
    return _question(await fetch_one(conn, "question", *wanted))


async def list_own(conn: Connection, actor: Actor, query: ListQuestions) -> Questions:
    """Return a page of the questions that the caller may use."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_questions", **actor.reach, key="question_id"
    )
    return Questions([_question(row) for row in page], next_cursor=following)


def _question(row: asyncpg.Record) -> Question:
    return of_row(row, Question, item=shown_as(_stored_item(row), Item))
