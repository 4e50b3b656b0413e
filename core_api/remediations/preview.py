"""
What a remediation would do, without touching anything; and what one that was applied has done (spec.md M-1).

Only what the key changes is scored, a few pieces of Python a submission: ten thousand take seconds.
"""

from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.authoring import published
from core_api.authoring.published import Current
from core_api.database import Connection, fetch_page, page_of
from core_api.remediations import remediations, rescoring
from core_api.remediations.applying import QUERIES
from core_api.remediations.changes import moved
from core_api.remediations.rescoring import Outcome, Rescored
from core_api.remediations.states import Status
from core_api.submissions.scoring import Totals
from core_api.wire import ListPage, Page
from kernel.errors import ConflictError

BATCH: Final = 500  # submissions that are read at a time
_NOWHERE: Final = UUID(int=0)


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """
    An exam's results that count and wait for nobody: how many, their scores' mean and standard deviation (of
    a sample), and the share that passed, 0 to 1. Null where there are too few.
    """

    n: int
    mean: float | None
    sd: float | None
    pass_rate: float | None


class ReachedExam(msgspec.Struct, frozen=True, kw_only=True):
    """An exam that points at the version, with its results as they are and as they would be."""

    exam_id: UUID
    title: str
    before: Results
    after: Results


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whom a draft reaches: of the `submissions`, `changed` would have another result, `raised` a higher share
    of their points, `lowered` a lower one; `now_passed` fail today, `now_failed` pass. Of those that would
    change, `void` results do not count, by a decision, and stay so; about them `open_claims` are open.
    """

    submissions: int
    changed: int
    raised: int
    lowered: int
    now_passed: int
    now_failed: int
    void: int
    open_claims: int
    exams: list[ReachedExam]


class ChangedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result as it was and as it becomes; score, percentage and passed are null while a grader comes."""

    submission_id: UUID
    exam_id: UUID
    attempt_id: UUID | None
    author_id: UUID
    author_name: str
    points_before: float
    points: float
    max_points_before: float
    max_points: float
    score_before: float | None
    score: float | None
    percentage_before: float | None
    percentage: float | None
    passed_before: bool | None
    passed: bool | None
    is_void: bool


class ChangedResults(Page, frozen=True):
    """A page of results that change; `next_cursor` is null on the last page."""

    results: list[ChangedResult]


async def preview(conn: Connection, actor: Actor, remediation_id: UUID) -> Preview:
    """
    Return what a draft would do, as of now.

    Raises:
        NotFoundError: no exam that it reaches is visible to the caller.
        ForbiddenError: they may not change every one of them.
        ConflictError: it is no draft any more, or what it undoes is undone already.
        StoredSpoiltError: what is stored of key or answers cannot be read.
        InvalidInputError: a change does not fit its question any more, nothing would change, or nothing
            count.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        held = await remediations.require_changeable(conn, actor, remediation_id)
        if held["status"] != Status.draft:
            raise ConflictError("It is no draft any more; see what it has changed.")
        exams = {
            row["exam_id"]: row
            for row in await conn.fetch(QUERIES["list_exams"], held["evaluation_version_id"])
        }
        claims = Counter(
            row["submission_id"]
            for row in await conn.fetch(QUERIES["list_claimed"], held["evaluation_version_id"])
        )
        sums = {exam_id: (_Sums(), _Sums()) for exam_id in exams}
        counts = Counter[str]()
        async for row, made in _walk(conn, held, _NOWHERE, _NOWHERE):
            _count(counts, row, made)
            counts["open_claims"] += made.is_changed * claims[row["submission_id"]]
            if not row["is_void"]:
                before, after = sums[row["exam_id"]]
                before.add(made.before)
                after.add(made.totals)
    return Preview(
        **{each: counts[each] for each in Preview.__struct_fields__ if each != "exams"},
        exams=[
            ReachedExam(
                exam_id=exam_id, title=exams[exam_id]["title"], before=before.shown(), after=after.shown()
            )
            for exam_id, (before, after) in sums.items()
        ],
    )


async def list_changes(
    conn: Connection, actor: Actor, remediation_id: UUID, query: ListPage
) -> ChangedResults:
    """
    Return a page of the results that a draft would change, or that were changed so far.

    Raises:
        NotFoundError: no exam that it reaches is visible to the caller.
        ForbiddenError: they may not change every one of them.
        ConflictError: what it undoes is undone already.
        StoredSpoiltError: what is stored of key or answers cannot be read.
        InvalidInputError: a change does not fit its question any more, nothing would change, or nothing
            count.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        held = await remediations.require_changeable(conn, actor, remediation_id)
        if held["status"] != Status.draft:
            page, following = await fetch_page(
                conn, query, QUERIES, "list_remediated", remediation=remediation_id, key="submission_id"
            )
            return ChangedResults([ChangedResult(**row) for row in page], next_cursor=following)
        found: list[tuple[asyncpg.Record, Rescored]] = []
        async for row, made in _walk(conn, held, *await _place(conn, query.cursor)):
            if made.is_changed:
                found.append((row, made))
            if len(found) > query.limit:
                break
        shown, last = page_of(found, query.limit)
        ids = [row["submission_id"] for row, _ in shown]
        authors = {row["submission_id"]: row for row in await conn.fetch(QUERIES["read_authors"], ids)}
    return ChangedResults(
        [_changed(row, made, authors[row["submission_id"]]["author_name"]) for row, made in shown],
        next_cursor=None if last is None else last[0]["submission_id"],
    )


async def _place(conn: Connection, cursor: UUID | None) -> tuple[UUID, UUID]:
    """Return behind which exam and submission a page begins."""
    if cursor is None:
        return _NOWHERE, _NOWHERE
    return await conn.fetchval(QUERIES["find_exam_of"], cursor) or _NOWHERE, cursor


async def _walk(
    conn: Connection, held: asyncpg.Record, after_exam: UUID, after_submission: UUID
) -> AsyncIterator[tuple[asyncpg.Record, Rescored]]:
    """Yield every submission that a draft reaches as it would be, by exam and id."""
    current, positions = await _draft_key(conn, held)
    while True:
        batch = await QUERIES.run(
            conn.fetch,
            "list_batch",
            version=held["evaluation_version_id"],
            remediation=held["remediation_id"],
            after_exam=after_exam,
            after_submission=after_submission,
            limit=BATCH,
        )
        rows = (
            await conn.fetch(QUERIES["read_batch"], [each["id"] for each in batch], positions)
            if batch
            else []
        )
        for row in rows:
            yield row, rescoring.rescored(row, current, positions)
        if len(batch) < BATCH:
            return
        after_exam, after_submission = batch[-1]["exam_id"], batch[-1]["id"]


async def _draft_key(conn: Connection, held: asyncpg.Record) -> tuple[Current, list[int]]:
    """Return the key as the draft would leave it, and the positions of what that scores otherwise."""
    version = held["evaluation_version_id"]
    key = await published.key_of(conn, version)
    acts = await remediations.acts_of(conn, version)
    after = await remediations.check(conn, version, acts, remediations.act_of(held["remediation_id"], held))
    newest = await conn.fetchval(QUERIES["find_in_force"], version)
    now = published.as_published(key) if newest is None else await published.remediated(conn, key, newest)
    return published.changed(key, after, held["remediation_id"]), moved(now.items, after)


class _Sums:
    """Scores as they come: how many, what they sum up to, plain and squared, and how many passed."""

    def __init__(self) -> None:
        self.n = self.passed = 0
        self.total = self.squares = Decimal(0)

    def add(self, result: Outcome | Totals) -> None:
        """Count a result, if it waits for nobody."""
        if result.score is not None:
            self.n += 1
            self.passed += result.passed is True
            self.total += result.score
            self.squares += result.score**2

    def shown(self) -> Results:
        """Return what they come to."""
        n, total = self.n, self.total
        variance = None if n < 2 else (self.squares - total**2 / n) / (n - 1)
        return Results(
            n=n,
            mean=float(total / n) if n else None,
            sd=None if variance is None else float(variance.sqrt()) if variance > 0 else 0.0,
            pass_rate=self.passed / n if n else None,
        )


def _count(counts: Counter[str], row: asyncpg.Record, made: Rescored) -> None:
    counts["submissions"] += 1
    counts["changed"] += made.is_changed
    counts["raised"] += _share(made.totals) > _share(made.before)
    counts["lowered"] += _share(made.totals) < _share(made.before)
    counts["now_passed"] += made.passes_now
    counts["now_failed"] += made.fails_now
    counts["void"] += made.is_changed and row["is_void"]


def _share(result: Outcome | Totals) -> Decimal:
    return result.points / result.max_points if result.max_points else Decimal(0)


def _changed(row: asyncpg.Record, made: Rescored, author_name: str) -> ChangedResult:
    was, now = made.before, made.totals
    return ChangedResult(
        submission_id=row["submission_id"],
        exam_id=row["exam_id"],
        attempt_id=row["attempt_id"],
        author_id=row["author_id"],
        author_name=author_name,
        points_before=float(was.points),
        points=float(now.points),
        max_points_before=float(was.max_points),
        max_points=float(now.max_points),
        score_before=_number(was.score),
        score=_number(now.score),
        percentage_before=_number(was.percentage),
        percentage=_number(now.percentage),
        passed_before=was.passed,
        passed=now.passed,
        is_void=row["is_void"],
    )


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
