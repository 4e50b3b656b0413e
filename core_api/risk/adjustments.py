"""
What a risk rule weighs in one candidate's attempt: an accommodation that was agreed after it began, with its
reason (spec.md R-6). What was agreed beforehand stands in the attempt's policy (`core_api/exams/policy.py`).
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection
from core_api.exams import exams
from core_api.ledger import entries as ledger
from core_api.proctoring import session_views
from core_api.risk.rules import RULE_ID_MAX
from core_api.wire import NO_NUL, invalid
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("risk_adjustments")
PERCENT_MIN: Final = 10


class AdjustRisk(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a rule weighs from now on, and why: 0 exempts the candidate from it, 100 is its whole weight."""

    rule_id: Annotated[int, Meta(ge=1, le=RULE_ID_MAX, description="Of a rule that the session keeps.")]
    percent: Annotated[int, Meta(ge=0, le=100, description="0, or 10 to 100 of its points.")]
    reason: Annotated[str, Meta(min_length=1, max_length=1000, pattern=NO_NUL)]


class RiskAdjustment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a rule weighs in an attempt since when; of several about one rule the newest holds."""

    id: int
    attempt_id: UUID
    rule_id: int
    percent: int
    reason: str
    created_by: UUID
    created_at: datetime


async def adjust(
    conn: Connection, actor: Actor, session_id: int, command: AdjustRisk, *, now: datetime
) -> tuple[RiskAdjustment, bool]:
    """
    Change what a rule weighs in the attempt of a session; its score follows within seconds. The same again
    returns what is there.

    Raises:
        NotFoundError: the caller may not see the session.
        ForbiddenError: they may, and its exam's students are not theirs to manage.
        InvalidInputError: the session keeps no such rule, or no rule weighs so much.
    """
    if 0 < command.percent < PERCENT_MIN:
        raise invalid("percent", f"Expected 0, or {PERCENT_MIN} to 100")
    async with conn.transaction():
        session = await session_views.require_visible(conn, actor, session_id)
        await exams.require_students_managed(conn, actor, session["exam_id"])
        attempt_id = session["attempt_id"]
        if not await conn.fetchval(QUERIES["keeps_rule"], session_id, command.rule_id):
            raise invalid("ruleId", "The session keeps no such rule")
        newest = await conn.fetchrow(QUERIES["find_newest"], attempt_id, command.rule_id)
        if newest is not None and (newest["percent"], newest["reason"]) == (command.percent, command.reason):
            return RiskAdjustment(**newest), False
        made = await QUERIES.run(
            conn.fetchrow,
            "insert_adjustment",
            attempt_id=attempt_id,
            rule_id=command.rule_id,
            percent=command.percent,
            reason=command.reason,
            created_by=actor.user_id,
            created_at=now,
        )
        assert made is not None, "an insert without a conflict returns its row"
        await conn.execute(QUERIES["mark_attempt"], attempt_id)
        detail = {"session_id": session_id, "rule_id": command.rule_id, "percent": command.percent}
        about = ledger.by(
            actor,
            Kind.risk_adjustment_made,
            made["id"],
            now=now,
            subject_id=session["candidate_id"],
            detail=detail,
        )
        await ledger.record(conn, about)
    return RiskAdjustment(**made), True


async def list_of_session(conn: Connection, actor: Actor, session_id: int) -> list[RiskAdjustment]:
    """Return what rules weigh in a session's attempt, newest first; raises NotFoundError."""
    session = await session_views.require_visible(conn, actor, session_id)
    rows = await conn.fetch(QUERIES["list_adjustments"], session["attempt_id"])
    return [RiskAdjustment(**row) for row in rows]
