"""
One exam in numbers and its students, from what the pipeline has projected (spec.md W-5).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.analytics import measures
from core_api.analytics.measures import Collusion, FormStatistics, Performance
from core_api.database import Connection, narrow, of_row, page_of
from core_api.exams import exams
from core_api.wire import ListPage
from kernel.errors import ForbiddenError
from sql import named

QUERIES: Final = named("reporting")


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Events, violations among them, and events by type name and by severity number."""

    events: int
    violations: int
    by_type: dict[str, int]
    by_severity: dict[str, int]


class AnalyticsQuery(ListPage, frozen=True):
    """Whether the exam's totals are summed up, and which page of its students."""

    totals: (
        Annotated[
            bool,
            Meta(description="Sum up all attempts. When not given: on the first page of students only."),
        ]
        | None
    ) = None


class AnalysedExam(msgspec.Struct, frozen=True, kw_only=True):
    """The exam that the numbers are about."""

    id: UUID
    title: str
    subject: str
    topic: str
    max_score: float
    passing_score: float
    duration_minutes: int
    is_published: bool
    published_at: datetime | None


class AttemptCounts(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attempts by status, as they are now. The `void` ones are among the completed, and in no average; averages
    are those of `performance`, as of then.
    """

    total: int
    students: int
    in_progress: int
    completed: int
    abandoned: int
    void: int
    average_percentage: float | None
    pass_rate: float | None


class MonitoringTotals(Counts, frozen=True, kw_only=True):
    """
    What monitoring saw over all attempts of the exam; coverage is the mean share of heartbeats that came.
    """

    attempts_monitored: int
    late_events: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    longest_silence_s: float | None
    heartbeat_coverage: float | None


class Analytics(msgspec.Struct, frozen=True, kw_only=True):
    """
    The exam's numbers: attempts as they are now, monitoring within seconds, and what needs all of them within
    about a minute, each with its own `as_of`. `performance` and `collusion` are null, and `tests` is empty,
    until there is something to tell.
    """

    attempts: AttemptCounts
    monitoring: MonitoringTotals
    performance: Performance | None
    tests: list[FormStatistics]
    collusion: Collusion | None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """
    What monitoring saw of one attempt (analytics.md, attempt_activity); numbers without evidence are null.
    """

    session_ids: list[int]
    events: int
    violations: int
    by_type: dict[str, int]
    by_severity: dict[str, int]
    first_event_at: datetime
    last_event_at: datetime
    longest_silence_s: float | None
    heartbeat_coverage: float | None
    clock_skew_ms: float | None
    late_events: int
    coverage: float
    as_of: datetime


class StudentAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """
    One attempt; `activity` is null until it was projected. A result that `is_void` does not count.
    `risk_level` is that of the peak.
    """

    attempt_id: UUID
    status: str
    started_at: datetime
    completed_at: datetime | None
    score: float | None
    percentage: float | None
    passed: bool | None
    is_void: bool
    integrity_score: float | None
    lmi: float | None
    dropout_label: str | None
    flagged: bool
    risk_level: str | None
    integrity_band: str | None
    activity: Activity | None


class StudentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A student's attempts, oldest first; the scores are the latest attempt's."""

    student_id: UUID
    student_name: str
    attempts: list[StudentAttempt]
    integrity_score: float | None
    dropout_label: str | None


class ExamAnalytics(msgspec.Struct, frozen=True, kw_only=True):
    """
    An exam's totals and a page of its students.

    `analytics` is null where the totals were left out. `as_of` is how far the projections reach, those of the
    page where the totals were left out; null until something was projected.
    """

    exam: AnalysedExam
    analytics: Analytics | None
    students: list[StudentRow]
    next_cursor: UUID | None
    as_of: datetime | None


async def exam_analytics(
    conn: Connection, actor: Actor, exam_id: UUID, query: AnalyticsQuery
) -> ExamAnalytics:
    """
    Return an exam's totals and a page of its students, all from one snapshot.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, without the right to its analytics.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await conn.execute(QUERIES["plan_once"])
        await narrow(conn, exam_id)
        exam = await require_analysed(conn, actor, exam_id)
        is_first = query.cursor is None
        totals = (
            await _totals(conn, exam_id) if (is_first if query.totals is None else query.totals) else None
        )
        rows = await conn.fetch(QUERIES["list_students"], exam_id, query.cursor, query.limit + 1)
    students = [_student(list(group)) for _, group in groupby(rows, key=_student_id)]
    page, last = page_of(students, query.limit)
    analytics, as_of = totals or (None, max((row["as_of"] for row in rows if row["as_of"]), default=None))
    return ExamAnalytics(
        exam=of_row(exam, AnalysedExam),
        analytics=analytics,
        students=page,
        next_cursor=None if last is None else last.student_id,
        as_of=as_of,
    )


async def require_analysed(conn: Connection, actor: Actor, exam_id: UUID) -> asyncpg.Record:
    """
    Return an exam whose analytics the caller may see.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, without the right to its analytics.
    """
    exam = await exams.require_visible(conn, actor, exam_id)
    if not exam["can_view_analytics"]:
        raise ForbiddenError("You may look at this exam, but not at its analytics.")
    return exam


async def _totals(conn: Connection, exam_id: UUID) -> tuple[Analytics, datetime | None]:
    """Return the numbers over all attempts of the exam, and how far what was projected of them reaches."""
    attempts = await conn.fetchrow(QUERIES["count_attempts"], exam_id)
    activity = await conn.fetchrow(QUERIES["sum_activity"], exam_id)
    counts = await conn.fetch(QUERIES["sum_activity_counts"], exam_id)
    assert attempts is not None, "an aggregate without grouping gives one row"
    assert activity is not None, "as does this one"
    performance = await measures.performance(conn, exam_id)
    monitoring = MonitoringTotals(
        **{name: activity[name] for name in activity.keys() if name != "as_of"},  # noqa: SIM118  a record, no dict
        by_type=_of_kind(counts, "type"),
        by_severity=_of_kind(counts, "severity"),
    )
    analytics = Analytics(
        attempts=AttemptCounts(
            **attempts,
            average_percentage=None if performance is None else performance.avg_score,
            pass_rate=None if performance is None else performance.pass_rate,
        ),
        monitoring=monitoring,
        performance=performance,
        tests=await measures.tests(conn, exam_id),
        collusion=await measures.collusion(conn, exam_id),
    )
    reached = [activity["as_of"], None if performance is None else performance.as_of]
    return analytics, max((each for each in reached if each is not None), default=None)


def _of_kind(rows: Iterable[asyncpg.Record], kind: str) -> dict[str, int]:
    return {row["key"]: row["events"] for row in rows if row["kind"] == kind}


def _student_id(row: asyncpg.Record) -> UUID:
    student_id: UUID = row["student_id"]
    return student_id


def _student(rows: Sequence[asyncpg.Record]) -> StudentRow:
    attempts = [_student_attempt(row) for row in rows]
    return StudentRow(
        student_id=rows[0]["student_id"],
        student_name=rows[0]["student_name"],
        attempts=attempts,
        integrity_score=attempts[-1].integrity_score,
        dropout_label=attempts[-1].dropout_label,
    )


def _student_attempt(row: asyncpg.Record) -> StudentAttempt:
    activity = None if row["as_of"] is None else of_row(row, Activity)
    return of_row(row, StudentAttempt, activity=activity)
