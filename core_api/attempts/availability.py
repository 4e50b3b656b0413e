"""
What a candidate may take: published exams that are open to them, each under their own policy (spec.md D-1,
E-3).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import Connection, fetch_page
from core_api.exams import assignments
from core_api.exams.policy import Grant, Policy
from core_api.wire import ListPage, Page
from sql import named

QUERIES: Final = named("exams")


class AvailableExam(msgspec.Struct, frozen=True, kw_only=True):
    """
    A published exam under the candidate's own policy, with their latest attempt if there is one.
    """

    id: UUID
    title: str
    description: str
    subject: str
    topic: str
    max_score: float
    duration_minutes: int
    passing_score: float
    published_at: datetime | None
    enable_monitoring: bool
    attempt_id: UUID | None
    attempt_status: str | None
    is_open: bool  # an attempt may begin now
    opens_at: datetime | None
    closes_at: datetime | None
    extra_minutes: int
    attempts_allowed: int
    attempts_taken: int  # the one that runs is among them


class Available(Page, frozen=True):
    """
    A page of exams, newest first; `next_cursor` is null on the last page. Exams whose window has passed are
    left out, so that a page may be short.
    """

    exams: list[AvailableExam]


def policy_of(exam: asyncpg.Record, grants: list[Grant], *, now: datetime) -> Policy:
    """Return a candidate's policy at an exam, from its `duration_minutes` and `enable_monitoring`."""
    monitored = exam["enable_monitoring"]
    return assignments.policy_of(exam["duration_minutes"], monitored=monitored, grants=grants, now=now)


async def list_available(conn: Connection, actor: Actor, query: ListPage, *, now: datetime) -> Available:
    """Return a page of the exams that the caller may take, now or later."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_available", organisation=actor.organisation_id, student=actor.user_id
    )
    grants = await assignments.grants_of(conn, [row["id"] for row in page], actor.user_id)
    shown = [_available(row, policy_of(row, grants.get(row["id"], []), now=now), now) for row in page]
    return Available(
        [
            each
            for each in shown
            if each.closes_at is None or now < each.closes_at or each.attempt_id is not None
        ],
        next_cursor=following,
    )


def _available(row: asyncpg.Record, own: Policy, now: datetime) -> AvailableExam:
    return AvailableExam(
        **{
            **row,
            "duration_minutes": own.duration_minutes,
            "enable_monitoring": own.monitoring_mode > 0,
        },
        is_open=own.is_open(now),
        opens_at=own.opens_at,
        closes_at=own.closes_at,
        extra_minutes=own.extra_minutes,
        attempts_allowed=own.attempts_allowed,
    )
