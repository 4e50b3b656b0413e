"""
Blind double review (spec.md C-2): two people judge a session apart, each once. What both say is the decision;
where they differ, an adjudicator reads both and decides.

Until the decision is final nobody reads what another has said but whoever may adjudicate, has not reviewed
the session, and finds both reviews there. Row security says it too (`sees_reviews`).
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import Connection, of_row
from core_api.ledger import entries as ledger
from core_api.reviews import claims, decisions, reaching, stages
from core_api.reviews.decisions import SESSION_COLUMNS, STATUS_NAMES_AR, VERDICTS, Said
from core_api.wire import invalid
from kernel.events import DecisionStatus
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("blind_reviews")


class GiveReview(Said, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    What the caller finds of a session, for good: 2 Cleared, 3 Suspicious or 4 Invalidated. The latter two
    need a reason in English or Arabic.
    """


class BlindReview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one of two reviewers has said of a session."""

    proctor_session_id: int
    status: DecisionStatus
    status_name: str
    status_name_ar: str
    decision_reason_en: str | None
    decision_reason_ar: str | None
    internal_notes: str | None
    reviewed_by: UUID
    reviewed_by_name: str
    reviewed_at: datetime


async def give(
    conn: Connection,
    actor: Actor,
    session_id: int,
    command: GiveReview,
    *,
    settings: Settings,
    now: datetime,
) -> BlindReview:
    """
    Review a session of an exam whose sessions are reviewed twice. The same again changes nothing.

    The second review that says what the first says makes the decision, final, with the second's reasons.

    Raises:
        NotFoundError: the session is not visible to the caller.
        ForbiddenError: it is, and they may only look at its exam, or it is their own.
        ConflictError: the attempt has not ended, it is not reviewed twice, somebody else is at it, both
            reviews are in, or the caller's is and says something else.
        InvalidInputError: a reason is missing, or the status is no verdict.
    """
    if command.status not in VERDICTS:
        raise invalid("status", "Expected a verdict: 2 Cleared, 3 Suspicious or 4 Invalidated")
    decisions.check_reason(command.status, command.decision_reason_en, command.decision_reason_ar)
    async with conn.transaction():
        session = await reaching.hold(conn, actor, session_id)
        own = await _list(conn, actor, session_id, own=True)
        if own and _says_the_same(own[0], command):
            return own[0]
        stage = await stages.read(conn, actor, session)
        stages.check_reviews(stage)
        await claims.take(conn, actor, session, settings=settings, now=now)
        await QUERIES.run(
            conn.execute,
            "insert_review",
            **{name: session[name] for name in SESSION_COLUMNS},
            session_id=session_id,
            number=stage.reviews + 1,
            status=command.status,
            reason_en=command.decision_reason_en,
            reason_ar=command.decision_reason_ar,
            internal_notes=command.internal_notes,
            reviewed_by=actor.user_id,
            reviewed_at=now,
        )
        await claims.end(conn, session_id)
        await _record(conn, actor, session, now=now)
        if (await stages.read(conn, actor, session)).agree:
            await decisions.save(conn, actor, session, command, "agreed", now=now)
        return (await _list(conn, actor, session_id, own=True))[0]


async def list_of_session(conn: Connection, actor: Actor, session_id: int) -> list[BlindReview]:
    """Return the reviews of a session that the caller may read, oldest first; raises NotFoundError."""
    await reaching.require_visible(conn, actor, session_id)
    return await _list(conn, actor, session_id)


async def _list(conn: Connection, actor: Actor, session_id: int, *, own: bool = False) -> list[BlindReview]:
    rows = await QUERIES.run(
        conn.fetch, "list_reviews", session_id=session_id, user_id=actor.user_id, own=own
    )
    return [_shown(row) for row in rows]


def _shown(row: asyncpg.Record) -> BlindReview:
    status = DecisionStatus(row["status"])
    further: dict[str, Any] = {"status_name": status.name, "status_name_ar": STATUS_NAMES_AR[status]}
    return of_row(row, BlindReview, **further)


def _says_the_same(review: BlindReview, command: GiveReview) -> bool:
    return all(getattr(review, name) == getattr(command, name) for name in Said.__struct_fields__)


async def _record(conn: Connection, actor: Actor, session: asyncpg.Record, *, now: datetime) -> None:
    """Record that there is one review more; what it says is in the commitment alone."""
    detail = {"attempt_id": str(session["attempt_id"])}
    await ledger.record(conn, ledger.by(actor, Kind.review_given, session["id"], now=now, detail=detail))
