"""
Asking for a person's erasure (spec.md G-2, decision 13).

They are locked out at once; what is held about them goes in steps, by the pipeline. Statistics, scores and
the ledger stay, under an id that leads to nobody. It cannot be taken back.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, fetch_one
from core_api.identity.throttle import account_of
from core_api.ledger import entries as ledger
from core_api.people import users
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from kernel.privacy import ErasureStatus, Step
from kernel.revocation import Revocations
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("person_erasures")
_HINDERED: Final = {
    "attempt_runs": "An attempt of theirs is running: wait until it has ended.",
    "legal_hold": "They, or an exam of theirs, are held: the hold has to be lifted first.",
    "claim_open": "A claim of theirs, or about them, is open: it has to be closed first.",
}


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Where a person's erasure is, and what has gone so far."""

    id: UUID
    user_id: UUID
    status: ErasureStatus
    step: Annotated[Step, Meta(description="What is done next, or waited for.")]
    taken: Annotated[dict[str, int], Meta(description="What went: rows, or pieces, by table.")]
    waits_for: Annotated[
        str | None,
        Meta(description="What keeps it from going on: `attempt_runs`, `legal_hold`, `claim_open`."),
    ]
    requested_by: Annotated[
        UUID | None,
        Meta(
            description="null: nobody, the policy says so of who is inactive; or a restored backup does not "
            "know them."
        ),
    ]
    requested_at: datetime
    done_at: datetime | None


async def request(
    pool: Pool, actor: Actor, user_id: UUID, *, revocations: Revocations, settings: Settings, now: datetime
) -> tuple[Erasure, bool]:
    """
    Have a person erased: lock them out now, and let the rest go in steps; asked again, the same erasure.

    Raises:
        NotFoundError: not of the organisation.
        ConflictError: they are the caller, or the last active admin; or an attempt of theirs runs, they are
            held, a claim is open.
    """
    if user_id == actor.user_id:
        raise ConflictError("Somebody else has to ask for your own erasure.")
    async with connection(pool, actor) as conn, conn.transaction():
        taken = await users.lock_out(conn, actor, user_id, settings=settings, now=now)
        if await conn.fetchval(QUERIES["find_erasure"], user_id):
            return await fetch(conn, actor, user_id), False
        if hindered := await conn.fetchval(QUERIES["find_hindrance"], user_id):
            raise ConflictError(_HINDERED[hindered])
        person = await users.fetch(conn, actor, user_id)
        accounts = [account_of(each) for each in (person.email, person.username)]
        await conn.execute(QUERIES["forget_attempts"], accounts)
        erasure_id = uuid7()
        await QUERIES.run(
            conn.execute, "insert_erasure",
            id=erasure_id, organisation=actor.organisation_id, person=user_id, by=actor.user_id, now=now,
        )  # fmt: skip
        event = ledger.by(actor, Kind.erasure_requested, erasure_id, now=now, subject_id=user_id)
        await ledger.record(conn, event)
        erasure = await fetch(conn, actor, user_id)
    await revocations.publish(taken)
    return erasure, True


async def fetch(conn: Connection, actor: Actor, user_id: UUID) -> Erasure:
    """Return a person's erasure; raises NotFoundError where nobody has asked for one."""
    row = await fetch_one(conn, "erasure", QUERIES["fetch_erasure"], user_id, actor.organisation_id)
    return Erasure(**{**row, "taken": msgspec.json.decode(row["taken"], type=dict[str, int])})
