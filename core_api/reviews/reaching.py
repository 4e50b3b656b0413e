"""
Which sessions somebody may decide on: those of exams that they may judge, never their own, once the attempt
has ended.
"""

from typing import Final

import asyncpg

from core_api.actors import Actor
from core_api.database import Connection, fetch_one
from kernel.errors import ConflictError, ForbiddenError
from kernel.events import AttemptStatus
from sql import named

QUERIES: Final = named("decisions")


async def require_visible(conn: Connection, actor: Actor, session_id: int) -> asyncpg.Record:
    """Return a session's row for its reviewers; raises NotFoundError when the caller may not see it."""
    return await fetch_one(
        conn, "proctor session", *QUERIES.bind("find_reviewable", id=session_id, **actor.reach)
    )


async def hold(conn: Connection, actor: Actor, session_id: int) -> asyncpg.Record:
    """
    Return a session that the caller may decide on, and let nobody else decide on its attempt meanwhile.

    Raises:
        NotFoundError: it is not visible to them.
        ForbiddenError: it is, and they may only look at its exam, or it is their own.
        ConflictError: the attempt has not ended.
    """
    session = await require_visible(conn, actor, session_id)
    if not session["may_decide"]:
        raise ForbiddenError("You may look at this exam's sessions, but not decide on them.")
    if session["candidate_id"] == actor.user_id:
        raise ForbiddenError("This session is your own: somebody else has to decide on it.")
    if session["attempt_status"] == AttemptStatus.in_progress:
        raise ConflictError("The attempt has not ended yet; decide once it has.")
    await lock(conn, session)
    return session


async def lock(conn: Connection, session: asyncpg.Record) -> None:
    """Let nobody else decide on the session's attempt, or claim it, until the transaction ends."""
    await conn.execute(QUERIES["lock_attempt"], str(session["attempt_id"]))
