"""
Remediations: a key is put right for one version of an evaluation (spec.md M-1).

What was published stays as it was. A remediation is drafted, looked at beforehand (`preview.py`), and applied
(`applying.py`) or cancelled; to undo one is a further one. Every exam that points at the version is reached,
so that whoever changes it may change all of them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.authoring import published
from core_api.authoring.items import EffectiveItem
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.ledger import entries as ledger
from core_api.remediations import changes
from core_api.remediations.changes import CHANGES_MAX, Act, Change
from core_api.remediations.states import Status
from core_api.wire import ListPage, Page, as_json, computed_as, invalid, shown_as
from kernel.errors import ConflictError, ForbiddenError, InvalidInputError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("remediations")
FORBIDDEN: Final = "You may look at this remediation, but not change every exam that it reaches."
_SAYS_SOMETHING: Final = r"^[^\x00]*[^\s\x00][^\x00]*$"
Said = Annotated[str, Meta(min_length=1, max_length=1000, pattern=_SAYS_SOMETHING)]


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why: `reason` for staff, the notes for the candidates whose result changes, in both languages."""

    reason: Said
    note_en: Said
    note_ar: Said


class DraftRemediation(Words, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a published version, one after the other, and why."""

    evaluation_version_id: UUID
    changes: Annotated[list[Change], Meta(min_length=1, max_length=CHANGES_MAX)]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """
    How far it is: `rescored` of the `submissions` that were there when it was applied. Of them `changed` have
    other points, or out of other ones; `now_passed` had failed, `now_failed` had passed.
    """

    submissions: int
    rescored: int
    changed: int
    now_passed: int
    now_failed: int


class Remediation(msgspec.Struct, frozen=True, kw_only=True):
    """
    A remediation. `undoes` names the one that it takes back, and then it changes nothing else. `number` is
    its place among those of the version, and `progress` is there, once it is applied.
    """

    remediation_id: UUID
    evaluation_version_id: UUID
    status: Status
    changes: list[Change]
    undoes: UUID | None
    reason: str
    note_en: str
    note_ar: str
    created_by: UUID
    created_at: datetime
    number: int | None
    applied_by: UUID | None
    applied_at: datetime | None
    completed_at: datetime | None
    cancelled_by: UUID | None
    cancelled_at: datetime | None
    progress: Progress | None


class Remediations(Page, frozen=True):
    """A page of remediations, newest first; `next_cursor` is null on the last page."""

    remediations: list[Remediation]


class ListRemediations(ListPage, frozen=True):
    """Which remediations."""

    evaluation_version_id: Annotated[UUID, Meta(description="Only those of this version.")] | None = None
    exam_id: Annotated[UUID, Meta(description="Only those that reach this exam.")] | None = None


async def draft(conn: Connection, actor: Actor, command: DraftRemediation, *, now: datetime) -> Remediation:
    """
    Write down what is to change; nothing of it holds until it is applied.

    Raises:
        NotFoundError: no exam that the caller sees points at such a published version.
        ForbiddenError: they may not change every exam that does.
        InvalidInputError: a change does not fit its question, or nothing would change.
        StoredSpoiltError: the key cannot be read.
    """
    async with conn.transaction():
        await _require_version(conn, actor, command.evaluation_version_id)
        acts = await acts_of(conn, command.evaluation_version_id)
        act = Act(id=uuid7(), changes=command.changes)
        await check(conn, command.evaluation_version_id, acts, act)
        return await _insert(conn, actor, command.evaluation_version_id, act, command, now=now)


async def undo(
    conn: Connection, actor: Actor, remediation_id: UUID, command: Words, *, now: datetime
) -> Remediation:
    """
    Draft the remediation that takes another one back: the key becomes what it were without that one.

    Raises:
        NotFoundError: no exam that it reaches is visible to the caller.
        ForbiddenError: they may not change every one of them.
        ConflictError: it was not applied, or is undone already.
        StoredSpoiltError: the key cannot be read.
    """
    async with conn.transaction():
        held = await require_changeable(conn, actor, remediation_id)
        version = held["evaluation_version_id"]
        acts = await acts_of(conn, version)
        if remediation_id not in {each.id for each in acts}:
            raise ConflictError("Only what was applied can be undone; cancel a draft.")
        act = Act(id=uuid7(), undoes=remediation_id)
        await check(conn, version, acts, act)
        return await _insert(conn, actor, version, act, command, now=now)


async def cancel(conn: Connection, actor: Actor, remediation_id: UUID, *, now: datetime) -> Remediation:
    """
    Put a draft away for good; one that was cancelled stays so.

    Raises:
        NotFoundError: no exam that it reaches is visible to the caller.
        ForbiddenError: they may not change every one of them.
        ConflictError: it was applied; undo it.
    """
    async with conn.transaction():
        await require_changeable(conn, actor, remediation_id)
        status = await conn.fetchval(QUERIES["hold_remediation"], remediation_id)
        if status in {Status.applying, Status.applied}:
            raise ConflictError("It was applied: only a further remediation undoes it.")
        if status == Status.draft:
            await conn.execute(QUERIES["cancel_remediation"], remediation_id, actor.user_id, now)
            await ledger.record(conn, ledger.by(actor, Kind.remediation_cancelled, remediation_id, now=now))
        return await fetch(conn, actor, remediation_id)


async def fetch(conn: Connection, actor: Actor, remediation_id: UUID) -> Remediation:
    """Return a remediation; raises NotFoundError where the caller sees no exam that it reaches."""
    return _shown(await require_visible(conn, actor, remediation_id))


async def list_visible(conn: Connection, actor: Actor, query: ListRemediations) -> Remediations:
    """Return a page of the remediations that reach an exam which the caller sees."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_remediations", key="remediation_id", **actor.reach
    )
    return Remediations([_shown(row) for row in page], next_cursor=following)


async def require_visible(conn: Connection, actor: Actor, remediation_id: UUID) -> asyncpg.Record:
    """Return a row of `fetch_remediation`; raises NotFoundError where it is not visible to the caller."""
    wanted = QUERIES.bind("fetch_remediation", id=remediation_id, **actor.reach)
    return await fetch_one(conn, "remediation", *wanted)


async def require_changeable(conn: Connection, actor: Actor, remediation_id: UUID) -> asyncpg.Record:
    """
    Return a row of `fetch_remediation`.

    Raises:
        NotFoundError: no exam that it reaches is visible to the caller.
        ForbiddenError: they may not change every one of them.
    """
    row = await require_visible(conn, actor, remediation_id)
    if not row["can_edit"]:
        raise ForbiddenError(FORBIDDEN)
    return row


async def acts_of(conn: Connection, evaluation_version_id: UUID) -> list[Act]:
    """Return what was applied to a version, oldest first."""
    rows = await conn.fetch(QUERIES["list_acts"], evaluation_version_id)
    return [act_of(row["id"], row) for row in rows]


def act_of(remediation_id: UUID, row: asyncpg.Record) -> Act:
    """Return what a stored remediation does; raises StoredSpoiltError."""
    changed = computed_as(row["changes"], list[Change], "a remediation")
    return Act(id=remediation_id, changes=changed, undoes=row["undoes"])


async def check(
    conn: Connection, evaluation_version_id: UUID, acts: Sequence[Act], act: Act
) -> list[EffectiveItem]:
    """
    Return the key as it would stand after one more act.

    Raises:
        ConflictError: what it undoes is undone already.
        InvalidInputError: a change does not fit its question; nothing would change, or nothing count.
        StoredSpoiltError: the key cannot be read.
    """
    items = (await published.key_of(conn, evaluation_version_id)).items
    before = changes.effective(items, acts)
    faults = [{"path": path, "message": message} for path, message in changes.faults(before, act.changes)]
    if faults:
        raise InvalidInputError("Some changes do not fit their questions.", errors=faults)
    if act.undoes is not None and act.undoes not in changes.standing(acts):
        raise ConflictError("It is undone already.")
    after = changes.effective(items, [*acts, act])
    if act.undoes is None and not changes.moved(before, after):
        raise invalid("changes", "nothing would change")
    if not any(each.points for each in after):
        raise invalid("changes", "no question would count any more")
    return after


async def _require_version(conn: Connection, actor: Actor, evaluation_version_id: UUID) -> None:
    wanted = QUERIES.bind("find_version", id=evaluation_version_id, **actor.reach)
    row = await fetch_one(conn, "evaluation", *wanted)
    if not row["can_edit"]:
        raise ForbiddenError("You may look at this evaluation, but not change every exam that points at it.")


async def _insert(
    conn: Connection, actor: Actor, evaluation_version_id: UUID, act: Act, words: Words, *, now: datetime
) -> Remediation:
    await QUERIES.run(
        conn.execute,
        "insert_remediation",
        id=act.id,
        organisation=actor.organisation_id,
        evaluation_version_id=evaluation_version_id,
        changes=as_json(act.changes),
        undoes=act.undoes,
        reason=words.reason,
        note_en=words.note_en,
        note_ar=words.note_ar,
        created_by=actor.user_id,
        created_at=now,
    )
    detail = {"evaluation_version_id": str(evaluation_version_id)}
    await ledger.record(conn, ledger.by(actor, Kind.remediation_drafted, act.id, now=now, detail=detail))
    return await fetch(conn, actor, act.id)


def _shown(row: asyncpg.Record) -> Remediation:
    progress = None if row["submissions"] is None else of_row(row, Progress)
    changed = shown_as(row["changes"], list[Change])
    return of_row(row, Remediation, status=Status(row["status"]), changes=changed, progress=progress)
