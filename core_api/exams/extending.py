"""
Time that an override gives to an attempt under way, at once (spec.md E-3, D-2).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection
from core_api.exams.policy import Policy
from core_api.sittings import acts, timing
from core_api.sittings.acts import Act
from core_api.wire import computed_as
from kernel.commands import SessionAction
from kernel.errors import ConflictError
from sql import named

QUERIES: Final = named("assignments")


class Extended(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt under way that got longer, by how much, and when it ends now."""

    attempt_id: UUID
    seconds: int
    expires_at: datetime


async def extend(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    user_id: UUID,
    holds: Callable[[datetime], Policy],
    *,
    reason: str,
    by: UUID,
    now: datetime,
) -> Extended | None:
    """
    Give the candidate's attempt under way the time that terms would have given it from its beginning.

    Args:
        conn: in a transaction, as the system.
        actor: who gives it.
        exam_id: at which exam.
        user_id: the candidate.
        holds: returns the policy under which an attempt begins at a moment.
        reason: why.
        by: the assignment whose override gives it.
        now: when.
    """
    found = await conn.fetchval(QUERIES["find_attempt_under_way"], exam_id, user_id, now)
    if found is None:
        return None
    try:
        attempt = await timing.hold(conn, found, now=now)
    except ConflictError:  # handed in while the lock was waited for
        return None
    began = attempt["started_at"]
    policy = attempt["policy"]
    frozen = computed_as(policy, Policy, "the attempt's policy") if policy else holds(began)
    given = timedelta(seconds=await conn.fetchval(acts.QUERIES["sum_grants_of_overrides"], found))
    seconds = int((holds(began).expires_at(began) - frozen.expires_at(began) - given).total_seconds())
    if seconds <= 0:
        return None
    clock = await timing.extend(conn, attempt, seconds, by=actor, reason=reason, assignment_id=by, now=now)
    sessions = await conn.fetch(acts.QUERIES["list_active_sessions"], found)
    told = Act(action=SessionAction.extra_time, reason=reason, clock=clock)
    await acts.note(conn, sessions, told, by=actor, organisation_id=actor.organisation_id, now=now)
    return Extended(attempt_id=found, seconds=seconds, expires_at=clock.expires_at)
