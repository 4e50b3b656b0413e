"""
Grading: people give points to what no machine scores; each time a new revision of the score (spec.md S-3).
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.authoring import published
from core_api.authoring.items import ItemKind, Response
from core_api.authoring.published import Current
from core_api.authoring.questions import Points
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.exams import exams
from core_api.ledger import entries as ledger
from core_api.submissions import scoring
from core_api.submissions.contents import outcome_of, score_columns
from core_api.submissions.scoring import Given
from core_api.wire import NO_NUL, ListPage, Page, computed_as, invalid, shown_as
from kernel.errors import ForbiddenError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("grading")
GRADES_MAX: Final = 500
REVISIONS_SHOWN: Final = 50


class ItemGrade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for one item, within its own."""

    position: Annotated[int, Meta(ge=1, le=GRADES_MAX)]
    points: Points


class Grade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for some items, and why; items left out keep theirs."""

    grades: Annotated[list[ItemGrade], Meta(min_length=1, max_length=GRADES_MAX)]
    reason: Annotated[str, Meta(min_length=1, max_length=1000, pattern=NO_NUL)] = "graded"


class GradedItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a submission; `awaits` is true where only people give points."""

    position: int
    question_id: UUID
    kind: ItemKind
    response: Response | None
    points: float | None  # at finalisation
    max_points: float
    awaits: bool


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of a score; `item_points` by position, null where a grader is awaited."""

    revision: int
    scoring_version: str
    item_points: dict[str, float | None]
    points: float
    max_points: float
    ungraded: int
    score: float | None
    percentage: float | None
    passed: bool | None
    reason: str
    scored_by: UUID | None
    scored_at: datetime


class GradedSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """
    A submission as its graders see it, with the newest fifty revisions of its score, newest first. A result
    that `is_void` does not count, whatever its score.
    """

    submission_id: UUID
    exam_id: UUID
    attempt_id: UUID
    author_id: UUID
    submitted_by: str
    finalised_at: datetime
    is_void: bool
    items: list[GradedItem]
    scores: list[Revision]


class ListedSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """A submission in a list, with the newest revision of its score, which counts unless it `is_void`."""

    submission_id: UUID
    attempt_id: UUID
    author_id: UUID
    author_name: str
    submitted_by: str
    finalised_at: datetime
    revision: int
    ungraded: int
    score: float | None
    percentage: float | None
    passed: bool | None
    is_void: bool


class Submissions(Page, frozen=True):
    """A page of an exam's submissions, newest first; `next_cursor` is null on the last page."""

    submissions: list[ListedSubmission]


class ListSubmissions(ListPage, frozen=True):
    """Which submissions."""

    awaiting: Annotated[bool, Meta(description="Only those that await a grader.")] = False


async def list_of_exam(conn: Connection, actor: Actor, exam_id: UUID, query: ListSubmissions) -> Submissions:
    """Return a page of an exam's submissions; raises NotFoundError when the caller may not see the exam."""
    await exams.require_visible(conn, actor, exam_id)
    page, following = await fetch_page(
        conn, query, QUERIES, "list_submissions", exam_id=exam_id, key="submission_id"
    )
    return Submissions([ListedSubmission(**row) for row in page], next_cursor=following)


async def fetch(conn: Connection, actor: Actor, submission_id: UUID) -> GradedSubmission:
    """Return a submission; raises NotFoundError when the exam is not visible to them."""
    async with conn.transaction():
        held = await _hold(conn, actor, submission_id)
        return await _shown(conn, held)


async def grade(
    conn: Connection, actor: Actor, submission_id: UUID, command: Grade, *, now: datetime
) -> GradedSubmission:
    """
    Append a revision of the score with these points, and give the attempt its outcome.

    Raises:
        NotFoundError: the submission's exam is not visible to the caller.
        ForbiddenError: it is, and they may not edit the exam.
        InvalidInputError: an item that a machine scores, one that is not there, or more than its points.
        StoredSpoiltError: what is stored of key or answers cannot be read.
    """
    async with conn.transaction():
        held = await _hold(conn, actor, submission_id)
        if not held["can_edit"]:
            raise ForbiddenError("You may look at this exam, but not grade it.")
        before = await _shown(conn, held)
        current = await published.current_of(conn, held["evaluation_version_id"])
        given = await _given(conn, before, current, command)
        totals = scoring.totals(
            current.items,
            {
                each.question_id: computed_as(msgspec.to_builtins(each.response), Response, "an answer")
                for each in before.items
                if each.response is not None
            },
            max_score=Decimal(held["max_score"]),
            passing_score=Decimal(held["passing_score"]),
            given=given,
        )
        await QUERIES.run(
            conn.execute,
            "insert_score",
            submission_id=submission_id,
            **score_columns(totals, current, given),
            reason=command.reason,
            scored_by=actor.user_id,
            scored_at=now,
        )
        outcome = outcome_of(totals)
        await QUERIES.run(conn.execute, "set_outcome", id=held["attempt_id"], **outcome)
        scored, author_id = Kind.submission_scored, held["author_id"]
        await ledger.record(conn, ledger.by(actor, scored, submission_id, now=now, subject_id=author_id))
        return await _shown(conn, held)


async def _hold(conn: Connection, actor: Actor, submission_id: UUID) -> asyncpg.Record:
    """Return a visible submission; its attempt is locked for whoever may grade it: revisions are numbered."""
    row = await fetch_one(conn, "submission", *QUERIES.bind("find_graded", id=submission_id, **actor.reach))
    if row["can_edit"]:  # who may only look sees no row that they could change
        await conn.execute(QUERIES["lock_graded"], row["attempt_id"])
    return row


async def _given(
    conn: Connection, before: GradedSubmission, current: Current, command: Grade
) -> dict[int, Given]:
    """Return what people have given so far, with the new points over it, out of what the items have now."""
    items, counting = {each.position: each for each in before.items}, current.by_position
    stored = await conn.fetchval(QUERIES["fetch_given"], before.submission_id)
    given: dict[int, Given] = computed_as(stored, dict[int, Given], "points that were given", strict=False)
    for n, each in enumerate(command.grades):
        item = items.get(each.position)
        if item is None or not item.awaits:
            raise invalid(f"grades[{n}].position", "this question is not waiting for a grader")
        most = counting[each.position].points
        points = Decimal(repr(each.points))
        if points > most:
            raise invalid(f"grades[{n}].points", f"at most {most.normalize():f}")
        given[each.position] = Given(points, most)
    return given


async def _shown(conn: Connection, held: asyncpg.Record) -> GradedSubmission:
    items = await conn.fetch(QUERIES["list_graded_items"], held["submission_id"])
    scores = await conn.fetch(QUERIES["list_scores"], held["submission_id"], REVISIONS_SHOWN)
    return of_row(
        held,
        GradedSubmission,
        items=[
            GradedItem(**{**row, "response": shown_as(row["response"], Response | None)}) for row in items
        ],
        scores=[_revision(row) for row in scores],
    )


def _revision(row: asyncpg.Record) -> Revision:
    """Return a row of `list_scores`; its points are stored as decimal texts, and shown as numbers."""
    points = shown_as(row["item_points"], dict[str, float | None], strict=False)
    return Revision(**{**row, "item_points": points})
