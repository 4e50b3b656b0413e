"""
Whether a submission's result counts: a state beside the submission, which itself never changes (spec.md C-1).
"""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from core_api.actors import Actor
from core_api.database import Connection
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Entry
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("results")

ResultState = Literal["valid", "void"]


async def set_void(
    conn: Connection, actor: Actor, attempt_id: UUID, *, is_void: bool, because_of: int, now: datetime
) -> list[Entry]:
    """
    Make the result of an attempt void, or restore it, in the caller's transaction; return what the caller has
    to record last: nothing where it is so already, or where nothing was handed in.

    Args:
        conn: in a transaction that holds what the state follows from, so that two do not set it at once.
        actor: who decided.
        attempt_id: of the submission.
        is_void: as the result is to stand.
        because_of: the decision's id, for the ledger.
        now: when.
    """
    row = await conn.fetchrow(QUERIES["set_result"], attempt_id, is_void, now)
    if row is None:
        return []
    detail = {"attempt_id": str(attempt_id), "decision_id": because_of}
    kind = Kind.result_voided if is_void else Kind.result_restored
    return [ledger.by(actor, kind, row["submission_id"], now=now, subject_id=row["author_id"], detail=detail)]
