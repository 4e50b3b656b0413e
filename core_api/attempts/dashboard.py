"""
A candidate's dashboard: who they are, what they may take, what is under way, how it went (V, "Student
Access"; spec.md D-1).

Nothing that was computed from their behaviour is in it (spec.md, decision 6): what it says of strengths,
weaknesses and trend comes from results alone, and so does every sentence.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.attempts import availability
from core_api.attempts.availability import AvailableExam
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.sittings.clock import clock_of
from core_api.wire import ListPage
from kernel.events import AttemptStatus
from sql import named

QUERIES: Final = named("attempts")
EXAMS_SHOWN: Final = 20  # the newest that reach the candidate; `list_available_exams` has all of them
BETTER: Final = "{}: {:.0f} points of a hundred more than others on the same {} items."
WORSE: Final = "{}: {:.0f} points of a hundred less than others on the same {} items."


class CandidateProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate themselves."""

    user_id: UUID
    email: str
    username: str
    full_name: str


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """
    Numbers over all attempts; `average_percentage` (0 to 100) is null before anything is scored. A void
    result is not in `passed`, nor in the average.
    """

    attempts: int
    running: int
    completed: int
    passed: int
    average_percentage: float | None


class OwnTopic(msgspec.Struct, frozen=True, kw_only=True):
    """
    A topic that stands out among the candidate's own: by how many points of a hundred they have more or less
    than others on the same items, shrunken where those are few; of how many items; the same in a sentence.
    """

    topic: str
    points: float
    items: int
    text: str


class OwnStanding(msgspec.Struct, frozen=True, kw_only=True):
    """
    How the candidate does over all results that count.

    `subjects` has the mean percentage of each subject. `trend` is null under two results; `strengths` and
    `weaknesses`, the surest first, are null while there is too little to tell, and empty where nothing stands
    out.
    """

    subjects: dict[str, float]
    trend: Literal["improving", "stagnant", "declining"] | None
    strengths: list[OwnTopic] | None
    weaknesses: list[OwnTopic] | None
    as_of: datetime


class RunningAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt under way, and what is left of it; `paused_until` is null while its clock runs."""

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    started_at: datetime
    expires_at: datetime
    remaining_seconds: float
    paused_until: datetime | None


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt in the history; a result that `is_void` does not count, and has no score."""

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    subject: str
    status: AttemptStatus
    started_at: datetime
    expires_at: datetime
    completed_at: datetime | None
    score: float | None
    max_score: float | None
    percentage: float | None
    passed: bool | None
    is_void: bool


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """
    The dashboard, with a page of the history, newest first; `next_cursor` is null on the last page.

    `available` are exams that the candidate may begin now, `upcoming` those that open later, the first to
    open first: of the 20 newest that reach them. `standing` is null until a result of theirs has counted.
    """

    profile: CandidateProfile
    totals: Totals
    running: list[RunningAttempt]
    available: list[AvailableExam]
    upcoming: list[AvailableExam]
    standing: OwnStanding | None
    exam_history: list[PastAttempt]
    next_cursor: UUID | None
    server_time: datetime


class DashboardQuery(ListPage, frozen=True, kw_only=True):
    """Which page of the history."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Attempts at most; 100 is the most.")] = 20


async def fetch(conn: Connection, actor: Actor, query: DashboardQuery, *, now: datetime) -> Dashboard:
    """Return the caller's dashboard; raises NotFoundError when their account is closed."""
    own = await fetch_one(conn, "account", QUERIES["read_own_standing"], actor.user_id)
    running = await conn.fetch(QUERIES["list_own_running"], actor.user_id)
    exams = (await availability.list_available(conn, actor, ListPage(limit=EXAMS_SHOWN), now=now)).exams
    page, following = await fetch_page(
        conn, query, QUERIES, "list_own_attempts", student=actor.user_id, key="attempt_id"
    )
    return Dashboard(
        profile=of_row(own, CandidateProfile),
        totals=of_row(own, Totals),
        running=[_running(row, now) for row in running],
        available=[each for each in exams if each.is_open and _is_left(each)],
        upcoming=sorted(
            (each for each in exams if each.opens_at is not None and now < each.opens_at), key=_opens_at
        ),
        standing=None if own["as_of"] is None else _standing(own),
        exam_history=[PastAttempt(**row) for row in page],
        next_cursor=following,
        server_time=now,
    )


def _is_left(exam: AvailableExam) -> bool:
    return exam.attempts_taken < exam.attempts_allowed and exam.attempt_status != AttemptStatus.in_progress


def _opens_at(exam: AvailableExam) -> datetime:
    assert exam.opens_at is not None, "it opens later"
    return exam.opens_at


def _running(row: asyncpg.Record, now: datetime) -> RunningAttempt:
    clock = clock_of(row)
    return of_row(
        row,
        RunningAttempt,
        remaining_seconds=clock.remaining_s(now),
        paused_until=clock.paused_until if clock.is_paused(now) else None,
    )


def _standing(row: asyncpg.Record) -> OwnStanding:
    return OwnStanding(
        subjects=row["subject_scores"],
        trend=row["improvement_trend"],
        strengths=_topics(row["strengths"], BETTER),
        weaknesses=_topics(row["weaknesses"], WORSE),
        as_of=row["as_of"],
    )


def _topics(found: Sequence[dict[str, Any]] | None, text: str) -> list[OwnTopic] | None:
    """Return topics as they are shown; how sure they are is said by their order."""
    if found is None:
        return None
    return [
        OwnTopic(
            topic=each["topic"],
            points=round(100 * each["effect"], 1),
            items=each["n"],
            text=text.format(each["topic"], abs(100 * each["effect"]), each["n"]),
        )
        for each in found
    ]
