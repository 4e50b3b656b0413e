"""
What an exam's numbers say as a whole: how it went, how its tests measured, whether answers are alike (spec.md
W-5). Each stands in a row that was projected.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.analytics.reasons import Reason, reasons_in
from core_api.database import Connection, of_row
from sql import named

QUERIES: Final = named("reporting")
FORMS_MAX: Final = 20

MetricVersion = Annotated[str, Meta(description="Version of the definitions: docs/analytics.md has them.")]
Coverage = Annotated[float, Meta(description="Share of what the numbers rest on that is known, 0 to 1.")]


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """
    How an exam went, over the submissions that count: void ones do not.

    Averages are over those that are scored, or whose integrity is known; null without any. Labels are those
    of dropout; `high_risk_count` is of all but `safe`. `risk_levels` are those of the peak of each attempt's
    risk. `flagged_count` attempts ask for somebody's attention, `alerting_count` alert of something. What
    speaks of behaviour is null while the caller is still to review a session of the exam blind.
    """

    students: int
    submissions: int
    scored: int
    avg_score: Annotated[float, Meta(description="Percent.")] | None
    pass_rate: Annotated[float, Meta(description="0 to 1.")] | None
    avg_integrity: Annotated[float, Meta(description="0 to 1.")] | None
    high_risk_count: int | None
    copy_count: int | None
    incapable_count: int | None
    no_interest_count: int | None
    risk_levels: dict[str, int] | None
    integrity_bands: dict[str, int] | None
    flagged_count: int | None
    alerting_count: int | None
    last_attempt: datetime | None
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime | None


class FormStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a form measured: totals in points over the `n` submissions whose points are all known.

    Alpha, the reliability of totals, stands with its 95 % interval; `sem`, in points, is how far a total may
    lie from what the person would reach on average. Both are null where they are not defined.
    `distribution` has how many had a total in each step of 5 % of the full points; these are in the last.
    """

    form_id: UUID
    items: int
    n: int
    waiting: Annotated[int, Meta(description="Submissions that wait for a grader, and are in nothing here.")]
    max_points: float
    mean: float | None
    median: float | None
    sd: float | None
    skew: float | None
    lowest: float | None
    highest: float | None
    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None
    sem: float | None
    total_passed: int | None
    pass_rate: Annotated[float, Meta(description="0 to 1.")] | None
    distribution: list[int] | None
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime


class Collusion(msgspec.Struct, frozen=True, kw_only=True):
    """
    How many pairs of attempts were compared, how many of them have answers more alike than chance explains,
    and how many clusters these make. Indications, never findings: the pairs have their reasons.
    """

    pairs: int
    similar_pairs: int
    clusters: int
    largest_cluster: Annotated[int, Meta(description="Its attempts; 0 without one.")]
    as_of: datetime | None


async def performance(conn: Connection, exam_id: UUID) -> Performance | None:
    """Return how an exam went; None before anything was projected."""
    row = await conn.fetchrow(QUERIES["fetch_performance"], exam_id)
    return None if row is None else of_row(row, Performance, reasons=reasons_in(row["reasons"]))


async def tests(conn: Connection, exam_id: UUID) -> list[FormStatistics]:
    """Return the statistics of each of an exam's forms, the one that most sat first."""
    rows = await conn.fetch(QUERIES["list_tests"], exam_id, FORMS_MAX)
    return [_test(row) for row in rows]


async def collusion(conn: Connection, exam_id: UUID) -> Collusion | None:
    """Return how many pairs there are; None before any were compared."""
    row = await conn.fetchrow(QUERIES["fetch_collusion"], exam_id)
    return None if row is None else of_row(row, Collusion)


def _test(row: asyncpg.Record) -> FormStatistics:
    return of_row(row, FormStatistics, reasons=reasons_in(row["reasons"]))
