"""
Students who are flagged, with what for: the most urgent first (V, "find flagged students"; docs/analytics.md,
flags).

A flag is of an attempt: who is flagged in two of them is there twice.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.analytics.measures import Coverage, MetricVersion
from core_api.analytics.reasons import Reason, reasons_in
from core_api.database import Connection, of_row, page_of
from core_api.wire import LIMIT_DEFAULT, Limit, invalid
from sql import named

QUERIES: Final = named("flagged")


class StudentFlag(StrEnum):
    """What an attempt is flagged for."""

    attention = "requires_instructor_attention"  # not yet decided, and high risk, low integrity or a flag
    recap = "requires_recap"  # a topic of the exam is a weakness
    dropout = "dropout_risk"  # a dropout label other than safe


class PeakLevel(StrEnum):
    """A band of the peak of risk."""

    low = "Low"
    medium = "Medium"
    high = "High"
    critical = "Critical"


class DropoutLabel(StrEnum):
    """A dropout label; `incapable` is to be shown as "needs academic support"."""

    incapable = "incapable"
    copy = "copy"
    no_interest = "no_interest"
    safe = "safe"


class FlaggedOrder(StrEnum):
    """By urgency, then the latest; by the greatest risk; the least integrity; the latest."""

    urgency = "urgency"
    risk = "risk"
    integrity = "integrity"
    recent = "recent"


class FlaggedStudent(msgspec.Struct, frozen=True, kw_only=True):
    """
    A student in an attempt for which they are flagged. `alerts` are what stands out, the most urgent first,
    `reasons` what the numbers rest on. `completed_at` is null while it runs.
    """

    student_id: UUID
    student_name: str
    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    completed_at: datetime | None
    flags: list[StudentFlag]
    peak_risk_score: float | None
    risk_level: str | None
    integrity_score: float | None
    integrity_band: str | None
    lmi_score: float | None
    dropout_label: str | None
    dropout_confidence: float | None
    recommended_action: str
    alerts: list[Reason]
    reasons: list[Reason]
    metric_version: MetricVersion
    coverage: Coverage
    as_of: datetime | None


class FlaggedStudents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of flagged students; `next_cursor` is null on the last page."""

    students: list[FlaggedStudent]
    next_cursor: str | None


class ListFlagged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of them, in which order."""

    exam_id: Annotated[UUID, Meta(description="Only in this exam.")] | None = None
    flag: Annotated[StudentFlag, Meta(description="Only with this flag.")] | None = None
    risk_level: Annotated[PeakLevel, Meta(description="Only with this level at the peak.")] | None = None
    dropout_label: Annotated[DropoutLabel, Meta(description="Only with this label.")] | None = None
    sort: Annotated[
        FlaggedOrder, Meta(description="What comes first; who has no such number comes last.")
    ] = FlaggedOrder.urgency
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9.e+-]{1,25}_[0-9a-f-]{36}$(?!\n)",
                description="`next_cursor` of the page before, in the same order.",
            ),
        ]
        | None
    ) = None


async def list_of_caller(conn: Connection, query: ListFlagged) -> FlaggedStudents:
    """Return a page of the students who are flagged in exams whose analytics the caller may see."""
    place, attempt_id = _after(query.cursor)
    rows = await QUERIES.run(
        conn.fetch,
        "list_flagged",
        exam_id=query.exam_id,
        flag=query.flag,
        risk_level=query.risk_level,
        dropout_label=query.dropout_label,
        sort=query.sort,
        place=place,
        attempt_id=attempt_id,
        limit=query.limit + 1,
    )
    page, last = page_of(rows, query.limit)
    return FlaggedStudents(
        students=[_student(row) for row in page],
        next_cursor=None if last is None else f"{last['place']!r}_{last['attempt_id']}",
    )


def flags_of(row: asyncpg.Record) -> list[StudentFlag]:
    """Return what a row of `behavior_analysis` is flagged for."""
    found = []
    if row["requires_instructor_attention"]:
        found.append(StudentFlag.attention)
    if row["requires_recap"]:
        found.append(StudentFlag.recap)
    if row["dropout_label"] not in {None, DropoutLabel.safe}:
        found.append(StudentFlag.dropout)
    return found


def _student(row: asyncpg.Record) -> FlaggedStudent:
    return of_row(
        row,
        FlaggedStudent,
        flags=flags_of(row),
        alerts=reasons_in(row["alerts"]),
        reasons=reasons_in(row["reasons"]),
    )


def _after(cursor: str | None) -> tuple[float | None, UUID | None]:
    """Return what a page follows; raises InvalidInputError."""
    if cursor is None:
        return None, None
    place, attempt_id = cursor.split("_")
    try:
        return float(place), UUID(attempt_id)
    except ValueError as error:
        raise invalid("cursor", "Expected `next_cursor` of the page before") from error
