"""
Whose turn it is on a session: anybody's who may decide on it or, where two review it blind (spec.md C-2), the
first's, the second's, the adjudicator's.

What has begun as a blind review ends as one, and a session that somebody had decided on before its exam asked
for two reviews goes on as it began. No sentence here tells a reviewer what the other has said, or whether
there is another yet.
"""

from typing import Final

import asyncpg
import msgspec

from core_api.actors import Actor
from core_api.database import Connection, of_row
from kernel.errors import ConflictError, ForbiddenError
from sql import named

QUERIES: Final = named("blind_reviews")
PAIR: Final = 2
NEITHERS: Final = "You have reviewed this session; what comes of it is for somebody else to say."


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """
    How far a session is, for the caller. `is_double`: two people review it; `reviews` that are in, of which
    one may be theirs; `agree`: both are, and say the same.
    """

    is_double: bool
    reviews: int
    has_reviewed: bool
    agree: bool
    may_adjudicate: bool


async def read(conn: Connection, actor: Actor, session: asyncpg.Record) -> Stage:
    """Return the stage of a session that the caller holds."""
    row = await QUERIES.run(
        conn.fetchrow,
        "read_stage",
        session_id=session["id"],
        exam_id=session["exam_id"],
        sees_organisation=actor.sees_organisation,
    )
    assert row is not None, "a session's exam is there"
    return of_row(row, Stage)


def check_reviews(stage: Stage) -> None:
    """Check that a blind review by the caller is what the session waits for; raises ConflictError."""
    if not stage.is_double:
        raise ConflictError("This session is not reviewed twice: decide on it by POST /api/proctor/decision.")
    if stage.has_reviewed:
        raise ConflictError("You have reviewed this session already, and what was said stays.")
    if stage.reviews == PAIR:
        raise ConflictError("Both reviews of this session are in: it waits for its adjudicator.")


def check_decides(stage: Stage) -> None:
    """
    Check that a decision by the caller is what the session waits for.

    Raises:
        ConflictError: it is reviewed twice and they have reviewed it, or the reviews are not both in.
        ForbiddenError: they are, and the caller is no adjudicator.
    """
    if not stage.is_double:
        return
    if stage.has_reviewed:
        raise ConflictError(NEITHERS)
    if stage.reviews < PAIR:
        raise ConflictError(
            "Two people review this session, blind: say what you find by"
            " POST /api/proctor/session/{id}/review. What both say is the decision."
        )
    if not stage.may_adjudicate:
        raise ForbiddenError("The two reviews of this session differ: an adjudicator of its exam decides.")


def check_claims(stage: Stage) -> None:
    """Check that there is anything for the caller to do about the session; raises as `check_decides`."""
    if stage.is_double and (stage.has_reviewed or stage.reviews == PAIR):
        check_decides(stage)
