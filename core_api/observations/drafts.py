"""
Drafts of observations: what an observer writes down as they go, and finalises when it is whole (spec.md M-4).

A draft is the observer's alone and no record: it is checked when it is finalised, with the submission that it
becomes it is gone, and its id is what a retry of that is known by. Two windows do not overwrite one another:
whoever saves names the version that they have read.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.observations import finalising
from core_api.observations.finalising import (
    EVIDENCE_MAX,
    ITEMS_MAX,
    SUBJECTS_MAX,
    Amendment,
    Attached,
    Observation,
    ObservationReceipt,
    Observed,
)
from core_api.submissions.submissions import Request
from core_api.wire import NO_NUL, ListPage, Page, as_json, invalid, shown_as
from kernel.errors import ConflictError, NotFoundError
from sql import named

QUERIES: Final = named("observation_drafts")
DRAFTS_MAX: Final = 200  # of one observer


class ObservationDraftContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in a draft so far; `reason` counts where it is to amend an observation."""

    subject_ids: Annotated[list[UUID], Meta(max_length=SUBJECTS_MAX)] = []
    items: Annotated[list[Observed], Meta(max_length=ITEMS_MAX)] = []
    evidence: Annotated[list[Attached], Meta(max_length=EVIDENCE_MAX)] = []
    reason: Annotated[str, Meta(max_length=2000, pattern=NO_NUL)] = ""


class NewObservationDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A draft to begin; with `amends`, of an amendment of that observation of one's own."""

    amends: UUID | None = None
    content: ObservationDraftContent = ObservationDraftContent()


class SaveObservationDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole content, in the place of that of `version`."""

    version: Annotated[int, Meta(ge=1)]
    content: ObservationDraftContent


class ObservationDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft; `version` counts how often it was saved."""

    id: UUID
    exam_id: UUID
    amends: UUID | None
    version: int
    content: ObservationDraftContent
    created_at: datetime
    updated_at: datetime


class ListedObservationDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft in a list, without its content."""

    id: UUID
    exam_id: UUID
    amends: UUID | None
    version: int
    created_at: datetime
    updated_at: datetime


class ObservationDrafts(Page, frozen=True):
    """A page of drafts, newest first; `next_cursor` is null on the last page."""

    drafts: list[ListedObservationDraft]


class ListObservationDrafts(ListPage, frozen=True):
    """Which of one's own drafts."""

    exam: Annotated[UUID, Meta(description="Only those of this exam.")] | None = None


async def begin(
    conn: Connection, actor: Actor, exam_id: UUID, command: NewObservationDraft, *, now: datetime
) -> ObservationDraft:
    """
    Begin a draft.

    Raises:
        NotFoundError: the exam was not granted to the observer, or the observation to amend is not theirs.
        ConflictError: they have as many drafts as one may have.
    """
    async with conn.transaction():
        await _require_granted(conn, actor, exam_id)
        if command.amends is not None:
            own = command.amends, actor.user_id, exam_id
            await fetch_one(conn, "observation", QUERIES["find_own_observation"], *own)
        if await conn.fetchval(QUERIES["count_drafts"], actor.user_id) >= DRAFTS_MAX:
            raise ConflictError(f"There are {DRAFTS_MAX} drafts already; finalise or delete some.")
        draft_id = uuid7()
        await QUERIES.run(
            conn.execute,
            "insert_draft",
            id=draft_id,
            organisation=actor.organisation_id,
            exam_id=exam_id,
            observer_id=actor.user_id,
            amends=command.amends,
            content=as_json(command.content),
            now=now,
        )
        return await fetch(conn, actor, draft_id)


async def fetch(conn: Connection, actor: Actor, draft_id: UUID) -> ObservationDraft:
    """Return one of the caller's own drafts; raises NotFoundError."""
    row = await fetch_one(conn, "draft", QUERIES["fetch_draft"], draft_id, actor.user_id)
    return of_row(row, ObservationDraft, content=shown_as(row["shown"], ObservationDraftContent))


async def list_own(conn: Connection, actor: Actor, query: ListObservationDrafts) -> ObservationDrafts:
    """Return a page of the caller's own drafts."""
    page, following = await fetch_page(conn, query, QUERIES, "list_drafts", observer_id=actor.user_id)
    return ObservationDrafts([of_row(row, ListedObservationDraft) for row in page], next_cursor=following)


async def save(
    conn: Connection, actor: Actor, draft_id: UUID, command: SaveObservationDraft, *, now: datetime
) -> ObservationDraft:
    """
    Save a draft.

    Raises:
        NotFoundError: it is not the caller's, was finalised, or its exam is not granted to them any more.
        ConflictError: it was saved by another window since the version that is named.
    """
    async with conn.transaction():
        held = await _hold(conn, actor, draft_id)
        await _require_granted(conn, actor, held["exam_id"])
        if held["version"] != command.version:
            raise ConflictError(f"The draft was saved since: it is at version {held['version']}.")
        await conn.execute(QUERIES["update_draft"], draft_id, as_json(command.content), now)
        return await fetch(conn, actor, draft_id)


async def delete(conn: Connection, actor: Actor, draft_id: UUID) -> None:
    """Delete a draft; raises NotFoundError when it is not the caller's."""
    await fetch_one(conn, "draft", QUERIES["delete_draft"], draft_id, actor.user_id)


async def finalise(
    conn: Connection, actor: Actor, draft_id: UUID, *, now: datetime
) -> tuple[ObservationReceipt, bool]:
    """
    Make an observation, or an amendment, of a draft, which is gone with that; tell whether this call did.

    Raises:
        NotFoundError: it is not the caller's, or its exam is not granted to them any more.
        ConflictError: the exam is not published; or what it is to amend was amended already.
        InvalidInputError: what stands in it cannot be finalised: nobody is named, an item does not fit.
        StoredSpoiltError: the key cannot be read.
    """
    key = f"draft {draft_id}"
    async with conn.transaction():
        held = await conn.fetchrow(QUERIES["hold_draft"], draft_id, actor.user_id)
        if held is None:
            first = await finalising.fetch_receipt(conn, actor, key)
            if first is None:
                raise NotFoundError("There is no such draft.")
            return first, False
        request = Request(idempotency_key=key, body_sha256=hashlib.sha256(held["content"].encode()).digest())
        command = _command(_content(held), held["amends"])
        of = conn, actor, held["exam_id"], held["amends"]
        made = await finalising.made_once(*of, command, request, now=now)
        await conn.execute(QUERIES["delete_draft"], draft_id, actor.user_id)
        return made


def _command(content: ObservationDraftContent, amends: UUID | None) -> Observation:
    """Return what a draft says; raises InvalidInputError where it does not say enough."""
    if not content.subject_ids:
        raise invalid("content.subject_ids", "An observation names whom or what it is about")
    about, items, evidence = content.subject_ids, content.items, content.evidence
    if amends is None:
        return Observation(subject_ids=about, items=items, evidence=evidence)
    if not content.reason:
        raise invalid("content.reason", "An amendment has a reason")
    return Amendment(subject_ids=about, items=items, evidence=evidence, reason=content.reason)


async def _require_granted(conn: Connection, actor: Actor, exam_id: UUID) -> None:
    of = exam_id, actor.organisation_id, actor.user_id
    await fetch_one(conn, "exam", QUERIES["find_observable"], *of)


async def _hold(conn: Connection, actor: Actor, draft_id: UUID) -> asyncpg.Record:
    return await fetch_one(conn, "draft", QUERIES["hold_draft"], draft_id, actor.user_id)


def _content(row: asyncpg.Record) -> ObservationDraftContent:
    """Return what was saved; raises ConflictError where another hand has left something else."""
    try:
        return msgspec.json.decode(row["content"], type=ObservationDraftContent)
    except msgspec.DecodeError as error:
        raise ConflictError("What stands in the draft cannot be read; save it again.") from error
