"""
One student in numbers, as far as the caller may see (V, `GET /teacher/students/{student_id}`).

Attempts are those of exams whose analytics the caller may see, and `standing` is of these. What is computed
of all exams of the student together would tell of the others: it is shown to who may see all of them.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.analytics.flagged import StudentFlag, flags_of
from core_api.analytics.measures import Coverage, MetricVersion
from core_api.analytics.reasons import Reason, reasons_in
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.wire import ListPage, Page
from sql import named

QUERIES: Final = named("student_numbers")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """
    The student in the exams that the caller may analyse: attempts, means over those that are scored or whose
    integrity is known (null without any), how many are flagged or alert.
    """

    exams: int
    attempts: int
    completed: int
    passed: int
    avg_score: Annotated[float, Meta(description="Percent.")] | None
    avg_integrity: Annotated[float, Meta(description="0 to 1.")] | None
    flagged_count: int
    alerting_count: int


class TopicEffect(msgspec.Struct, frozen=True, kw_only=True):
    """
    How the student does in a topic beside others on the same items, as a share of the points: over `n`
    responses, and `p` the probability that it is more than nothing.
    """

    topic: str
    effect: float
    n: int
    p: float


class Indicator(Reason, frozen=True, kw_only=True):
    """What stands out in how a text came about; `p` is the chance of that, null where none is known."""

    p: float | None


class StudentMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """
    The student over all their exams. `strengths` and `weaknesses` are topics, at most three each, null where
    there is too little evidence, as trends are. LMI is 0 to 100; 50 is no momentum.
    """

    total_attempts: int
    total_passed: int
    avg_score: float | None
    subject_scores: dict[str, float]
    strengths: list[TopicEffect] | None
    weaknesses: list[TopicEffect] | None
    improvement_trend: str | None
    avg_integrity_score: float | None
    integrity_trend: str | None
    avg_lmi: float | None
    lmi_trend: str | None
    current_risk_label: str | None
    flagged_for_intervention: bool | None
    last_attempt_date: datetime
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime


class StudentRisk(msgspec.Struct, frozen=True, kw_only=True):
    """
    The student's risk over all their exams: the newest dropout label, integrity and LMI over the last ten
    attempts, how many attempts there are and how many are flagged.
    """

    current_dropout_risk: str | None
    cumulative_integrity: float | None
    cumulative_lmi: float | None
    attempt_count: int
    flagged_count: int
    last_attempt: datetime | None
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime | None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is thought of an attempt, with what it rests on; null is too little evidence.

    `summary` and `recommendations` were written by `summary_version`: `rules-1` is no model. `alerts` are
    what stands out, `reasons` the contributions to the numbers, `originality_indicators` those of its texts.
    """

    flags: list[StudentFlag]
    total_monitoring_events: int | None
    anomaly_count: int | None
    critical_events: int | None
    peak_risk_score: float | None
    risk_level: str | None
    integrity_score: float | None
    integrity_band: str | None
    originality_indicators: list[Indicator] | None
    lmi_score: float | None
    improvement_trend: str | None
    dropout_label: str | None
    dropout_confidence: float | None
    recommended_action: str
    summary: str | None
    recommendations: str | None
    summary_version: str
    alerts: list[Reason]
    reasons: list[Reason]
    metric_version: MetricVersion
    coverage: Coverage
    as_of: datetime | None


class AttemptInNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt with its result, null until it is scored; `judgement` is null until it was projected."""

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    status: str
    started_at: datetime
    completed_at: datetime | None
    score: float | None
    percentage: float | None
    passed: bool | None
    is_void: bool
    judgement: Judgement | None


class StudentDetail(Page, frozen=True):
    """
    A student with a page of their attempts, the newest first.

    `metrics` and `risk` are of all exams of the student: null until they were projected, and where
    `is_partial` says that the student has sat exams whose analytics the caller may not see.
    """

    student_id: UUID
    full_name: str
    email: str
    enrollment_id: str | None
    cohort: str | None
    is_partial: bool
    standing: Standing
    metrics: StudentMetrics | None
    risk: StudentRisk | None
    attempts: list[AttemptInNumbers]


async def fetch(conn: Connection, student_id: UUID, query: ListPage) -> StudentDetail:
    """
    Return a student with a page of their attempts, as far as the caller may see.

    Raises:
        NotFoundError: the student has no attempt at an exam whose analytics the caller may see.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        student = await fetch_one(conn, "student", QUERIES["fetch_student"], student_id)
        standing = await fetch_one(conn, "student", QUERIES["sum_standing"], student_id)
        metrics = await conn.fetchrow(QUERIES["fetch_metrics"], student_id)
        risk = await conn.fetchrow(QUERIES["fetch_risk"], student_id)
        rows, cursor = await fetch_page(
            conn, query, QUERIES, "list_attempts", key="attempt_id", student_id=student_id
        )
    return StudentDetail(
        **student,
        standing=of_row(standing, Standing),
        metrics=None if metrics is None else _metrics(metrics),
        risk=None if risk is None else of_row(risk, StudentRisk, reasons=reasons_in(risk["reasons"])),
        attempts=[_attempt(row) for row in rows],
        next_cursor=cursor,
    )


def _metrics(row: asyncpg.Record) -> StudentMetrics:
    topics = {
        each: msgspec.convert(row[each], list[TopicEffect] | None, strict=False)
        for each in ("strengths", "weaknesses")
    }
    return of_row(row, StudentMetrics, **topics, reasons=reasons_in(row["reasons"]))


def _attempt(row: asyncpg.Record) -> AttemptInNumbers:
    judgement = None
    if row["metric_version"] is not None:
        judgement = of_row(
            row,
            Judgement,
            flags=flags_of(row),
            originality_indicators=msgspec.convert(
                row["originality_indicators"], list[Indicator] | None, strict=False
            ),
            alerts=reasons_in(row["alerts"]),
            reasons=reasons_in(row["reasons"]),
        )
    return of_row(row, AttemptInNumbers, judgement=judgement)
