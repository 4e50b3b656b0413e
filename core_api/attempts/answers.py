"""
Answers and drafts of a running attempt: saved in batches, never overwritten by an older one (spec.md D-1).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.attempts import attempts
from core_api.authoring.items import AskedItem, ItemKind, Response, fault_of_response
from core_api.authoring.published import asked_of
from core_api.database import Connection, fetch_one, fetch_page
from core_api.sittings.clock import clock_of
from core_api.wire import SEQUENCE_63_MAX, ListPage, Page, as_json, shown_as
from kernel.errors import (
    AttemptPausedError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StoredSpoiltError,
)
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("answers")
ATTEMPTS: Final = named("attempts")
BATCH_MAX: Final = 200
DRAFTS_MAX: Final = 100
DRAFT_EVERY: Final = timedelta(seconds=30)
SEQUENCE_BURST: Final = 10_000
SEQUENCES_PER_S: Final = 50

Sequence63 = Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX)]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    An answer; `client_seq` counts every change of it on the client, across its restarts too: who begins anew
    goes on from what is stored. At most 10,000, and 50 more for each second of the attempt.
    """

    question_id: UUID
    client_seq: Sequence63
    response: Response


class SaveAnswers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers to save, in any order."""

    answers: Annotated[list[Answer], Meta(min_length=1, max_length=BATCH_MAX)]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored for a question now; `accepted` is false where something newer or the same was there."""

    question_id: UUID
    client_seq: int
    saved_at: datetime
    accepted: bool


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What a save left, and the time by the clock that counts."""

    stored: list[Stored]
    server_time: datetime
    remaining_seconds: float


class SavedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it is stored."""

    question_id: UUID
    client_seq: int
    response: Response
    saved_at: datetime


class ListedDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft that was kept: which change of the answer, and how long; null: it was cleared."""

    client_seq: int
    saved_at: datetime
    characters: int | None


class Drafts(msgspec.Struct, frozen=True, kw_only=True):
    """The drafts of an essay that were kept, newest first: a hundred at most, all on one page."""

    drafts: list[ListedDraft]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft as it was kept."""

    client_seq: int
    saved_at: datetime
    response: Response


class Answers(Page, frozen=True):
    """A page of answers, by question; `next_cursor` is null on the last page."""

    answers: list[SavedAnswer]


async def save(
    conn: Connection,
    actor: Actor,
    attempt_id: UUID,
    command: SaveAnswers,
    *,
    settings: Settings,
    now: datetime,
) -> Saved:
    """
    Save a batch of answers, all or none.

    The lock that it shares on the attempt keeps finalisation from reading past it. What was typed before a
    pause is still on its way when that begins: it is taken for a moment more.

    Raises:
        NotFoundError: not the caller's attempt.
        ConflictError: the attempt is over.
        AttemptPausedError: it was paused some time ago.
        InvalidInputError: an unknown question, an answer that does not fit its item, or a `client_seq` that
            no client can have reached; each is named.
        StoredSpoiltError: the paper cannot be read.
    """
    async with conn.transaction():
        attempt = await fetch_one(conn, "attempt", ATTEMPTS["hold_own_attempt"], attempt_id, actor.user_id)
        if not attempts.is_running(attempt["status"], attempt["expires_at"], now):
            raise ConflictError("Your attempt at this exam is over.")
        clock = clock_of(attempt)
        if clock.is_paused(now) and clock.lasted(now).total_seconds() > settings.pause_grace_s:
            raise AttemptPausedError("Your exam is paused; keep what you wrote, and save it when it goes on.")
        stored = await store(conn, attempt, command.answers, now=now)
    return Saved(stored=stored, server_time=now, remaining_seconds=clock.remaining_s(now))


async def store(
    conn: Connection, attempt: asyncpg.Record, answers: Sequence[Answer], *, now: datetime
) -> list[Stored]:
    """
    Store answers of an attempt that the caller holds; raises InvalidInputError as `save` does.

    Args:
        conn: in a transaction.
        attempt: its id, started_at and evaluation_version_id.
        answers: in any order; of several to one question the highest sequence counts.
        now: becomes `saved_at`.
    """
    newest = {each.question_id: each for each in sorted(answers, key=lambda each: each.client_seq)}
    asked = await asked_of(conn, attempt["evaluation_version_id"])
    _check_all(asked, answers, sequence_max=sequence_max(attempt["started_at"], now))
    ids = list(newest)
    rows = await QUERIES.run(
        conn.fetch,
        "save_answers",
        attempt_id=attempt["id"],
        question_ids=ids,
        client_seqs=[each.client_seq for each in newest.values()],
        responses=[as_json(each.response) for each in newest.values()],
        saved_at=now,
    )
    accepted = {row["question_id"] for row in rows}
    essays = [each for each in accepted if asked[each].kind is ItemKind.essay]
    if essays:
        await conn.execute(QUERIES["keep_drafts"], attempt["id"], essays, now - DRAFT_EVERY)
        await conn.execute(QUERIES["trim_drafts"], attempt["id"], essays, DRAFTS_MAX)
    found = await conn.fetch(QUERIES["list_answers_to"], attempt["id"], ids)
    return [Stored(**row, accepted=row["question_id"] in accepted) for row in found]


def sequence_max(started_at: datetime, now: datetime) -> int:
    """
    Return the highest `client_seq` that a client can have reached: a burst, and so many changes a second
    since the attempt began. A higher one would shut out all that the client writes from then on.
    """
    return SEQUENCE_BURST + SEQUENCES_PER_S * max(0, int((now - started_at).total_seconds()))


def _check_all(asked: Mapping[UUID, AskedItem], answers: Sequence[Answer], *, sequence_max: int) -> None:
    faults = []
    for n, each in enumerate(answers):
        item = asked.get(each.question_id)
        if each.client_seq > sequence_max:
            message = f"at most {sequence_max} so far: it counts the changes of this answer"
            faults.append({"path": f"answers[{n}].client_seq", "message": message})
        if item is None:
            faults.append({"path": f"answers[{n}].question_id", "message": "no question of this paper"})
        elif (fault := fault_of_response(item, each.response)) is not None:
            faults.append({"path": f"answers[{n}].response", "message": fault})
    if faults:
        raise InvalidInputError("Some answers cannot be saved; none was.", errors=faults)


async def list_own(conn: Connection, actor: Actor, attempt_id: UUID, query: ListPage) -> Answers:
    """Return a page of what is stored; raises NotFoundError when the attempt is not the caller's."""
    await fetch_one(conn, "attempt", ATTEMPTS["fetch_own_attempt"], attempt_id, actor.user_id)
    own = {"attempt_id": attempt_id, "student": actor.user_id}
    page, following = await fetch_page(conn, query, QUERIES, "list_answers", **own, key="question_id")
    shown = [SavedAnswer(**{**row, "response": shown_as(row["response"], Response)}) for row in page]
    return Answers(shown, next_cursor=following)


async def list_drafts(conn: Connection, actor: Actor, attempt_id: UUID, question_id: UUID) -> Drafts:
    """
    Return how an essay grew, also once it is handed in: what somebody wrote stays theirs to read.

    Raises:
        NotFoundError: not the caller's attempt, or no essay of its paper.
    """
    await _require_essay(conn, actor, attempt_id, question_id)
    rows = await conn.fetch(QUERIES["list_drafts"], attempt_id, question_id, DRAFTS_MAX)
    return Drafts(drafts=[ListedDraft(**row) for row in rows])


async def fetch_draft(
    conn: Connection, actor: Actor, attempt_id: UUID, question_id: UUID, client_seq: int
) -> Draft:
    """Return one draft with its text; raises NotFoundError as `list_drafts` does, or it was not kept."""
    await _require_essay(conn, actor, attempt_id, question_id)
    row = await fetch_one(conn, "draft", QUERIES["fetch_draft"], attempt_id, question_id, client_seq)
    return Draft(**{**row, "response": shown_as(row["response"], Response)})


async def _require_essay(conn: Connection, actor: Actor, attempt_id: UUID, question_id: UUID) -> None:
    found = await fetch_one(conn, "attempt", QUERIES["find_written"], attempt_id, actor.user_id)
    try:
        item = (await asked_of(conn, found["evaluation_version_id"])).get(question_id)
    except StoredSpoiltError:
        return  # what was written is theirs to read, whatever has become of the paper
    if item is None or item.kind is not ItemKind.essay:
        raise NotFoundError("There is no such essay on your paper.")
