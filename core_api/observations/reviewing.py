"""
What staff say of an observation: accepted, or returned to its observer with a reason (spec.md M-4).

The last word counts until the observation is amended; then the one in its place is reviewed. Nobody reviews
their own.
"""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import Connection, fetch_one
from core_api.ledger import entries as ledger
from core_api.observations import views
from core_api.observations.finalising import Reason
from core_api.observations.views import WholeObservation
from kernel.errors import ConflictError, ForbiddenError
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("observation_reviews")


class ReviewObservation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of an observation, and why."""

    verdict: Literal["accepted", "returned"]
    reason: Reason


async def review(
    conn: Connection, actor: Actor, submission_id: UUID, command: ReviewObservation, *, now: datetime
) -> WholeObservation:
    """
    Accept an observation, or return it to its observer; return it as it stands then.

    Raises:
        NotFoundError: it is of an exam that the caller may not see.
        ForbiddenError: it is, and they may only look at that; or it is their own.
        ConflictError: it was amended: the one in its place is reviewed.
    """
    try:
        async with conn.transaction():
            wanted = QUERIES.bind("find_reviewed", id=submission_id, **actor.reach)
            found = await fetch_one(conn, "observation", *wanted)
            if found["observer_id"] == actor.user_id:
                raise ForbiddenError("Nobody reviews their own observation.")
            if not found["may_judge"]:
                raise ForbiddenError("You may look at this exam's observations, but not review them.")
            await QUERIES.run(
                conn.execute,
                "insert_observation_review",
                submission_id=submission_id,
                verdict=command.verdict,
                reason=command.reason,
                reviewed_by=actor.user_id,
                reviewed_at=now,
            )
            reviewed, about = Kind.observation_reviewed, found["observer_id"]
            detail = {"verdict": command.verdict}
            await ledger.record(
                conn, ledger.by(actor, reviewed, submission_id, now=now, subject_id=about, detail=detail)
            )
            return await views.fetch(conn, actor, submission_id)
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "observation_step":
            raise
        raise ConflictError("The observation was amended: the one in its place is reviewed.") from error
