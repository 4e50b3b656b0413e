"""
A candidate's dashboard: who they are, what they have taken, how it went (V, "Student Access"; spec.md D-1).

Nothing that was computed from their behaviour is in it (spec.md, decision 6).
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, fetch_page
from core_api.wire import ListPage
from kernel.events import AttemptStatus
from sql import named

ACCOUNTS: Final = named("accounts")
QUERIES: Final = named("attempts")


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
    """The dashboard, with a page of the history, newest first; `next_cursor` is null on the last page."""

    profile: CandidateProfile
    totals: Totals
    exam_history: list[PastAttempt]
    next_cursor: UUID | None
    server_time: datetime


class DashboardQuery(ListPage, frozen=True, kw_only=True):
    """Which page of the history."""

    limit: Annotated[int, Meta(ge=1, le=100, description="Attempts at most; 100 is the most.")] = 20


async def fetch(conn: Connection, actor: Actor, query: DashboardQuery, *, now: datetime) -> Dashboard:
    """Return the caller's dashboard; raises NotFoundError when their account is closed."""
    user = await fetch_one(conn, "account", ACCOUNTS["fetch_user"], actor.user_id, actor.organisation_id)
    totals = await conn.fetchrow(QUERIES["sum_own_attempts"], actor.user_id)
    assert totals is not None, "an aggregate without groups has one row"
    page, following = await fetch_page(
        conn, query, QUERIES, "list_own_attempts", student=actor.user_id, key="attempt_id"
    )
    return Dashboard(
        profile=CandidateProfile(
            user_id=user["id"], email=user["email"], username=user["username"], full_name=user["full_name"]
        ),
        totals=Totals(**totals),
        exam_history=[PastAttempt(**row) for row in page],
        next_cursor=following,
        server_time=now,
    )
