"""
A teacher's exams at once: how each went, and what waits for somebody (V, `GET /teacher/dashboard`).
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.analytics import alerts
from core_api.analytics.alerts import AlertedAttempt, ListAlerts
from core_api.database import Connection, fetch_page, of_row
from core_api.wire import ListPage, Page
from sql import named

QUERIES: Final = named("teaching")
ALERTS_SHOWN: Final = 5
COUNTED_MAX: Final = 100

Counted = Annotated[int, Meta(description=f"{COUNTED_MAX} says: that many or more.")]


class TaughtExam(msgspec.Struct, frozen=True, kw_only=True):
    """
    An exam in short. `in_progress` is as of now, all else as of `as_of`: null while nothing counts, as the
    averages are. Of the `submissions` that count, `ungraded` wait for a grader; `high_risk_count` have a
    dropout label other than safe; `flagged_count` ask for somebody's attention; `alerting_count` alert. What
    speaks of behaviour is null, too, while the caller is still to review a session of the exam blind.
    """

    exam_id: UUID
    title: str
    subject: str
    topic: str
    is_published: bool
    published_at: datetime | None
    in_progress: int
    students: int
    submissions: int
    ungraded: int
    avg_score: Annotated[float, Meta(description="Percent.")] | None
    pass_rate: Annotated[float, Meta(description="0 to 1.")] | None
    avg_integrity: Annotated[float, Meta(description="0 to 1.")] | None
    high_risk_count: int | None
    flagged_count: int | None
    alerting_count: int | None
    last_attempt: datetime | None
    as_of: datetime | None


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """
    What waits for somebody, over all exams of the caller: attempts that alert and that nobody has looked at,
    and proctor sessions to decide on.
    """

    alerts: Counted
    reviews: Counted


class TeacherDashboard(Page, frozen=True):
    """
    A page of the caller's exams, the newest first, archived ones left out; what waits, and of the alerts that
    nobody has looked at the most urgent. `as_of` is the latest of the page's exams.
    """

    exams: list[TaughtExam]
    attention: Attention
    alerts: list[AlertedAttempt]
    as_of: datetime | None


async def dashboard(conn: Connection, query: ListPage) -> TeacherDashboard:
    """Return the exams whose analytics the caller may see, and what waits in them."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await conn.execute(alerts.REPORTING["plan_once"])
        rows, cursor = await fetch_page(conn, query, QUERIES, "list_taught", key="exam_id")
        waiting = await conn.fetchrow(QUERIES["count_attention"], COUNTED_MAX)
        recent = await alerts.list_of_caller(conn, ListAlerts(acknowledged=False, limit=ALERTS_SHOWN))
    assert waiting is not None, "two counts are one row"
    exams = [of_row(row, TaughtExam) for row in rows]
    return TeacherDashboard(
        exams=exams,
        next_cursor=cursor,
        attention=of_row(waiting, Attention),
        alerts=recent.attempts,
        as_of=max((each.as_of for each in exams if each.as_of is not None), default=None),
    )
