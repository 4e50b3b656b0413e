"""How long an exam's results may be claimed against (spec.md M-2)."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, of_row
from core_api.exams import exams
from core_api.ledger import entries as ledger
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("claim_policies")


class ClaimPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Of an exam: its results may be claimed against for `window_days` after they were shown; 0: never. An
    appeal's bundle has the final decisions with their reasons, and the trace of the risk score, where
    `releases_judgement`; a claim's candidate may fetch the evidence taken of them where `releases_files`.
    """

    window_days: Annotated[int, Meta(ge=0, le=365)]
    releases_judgement: bool = False
    releases_files: bool = False


async def fetch(conn: Connection, actor: Actor, exam_id: UUID, *, settings: Settings) -> ClaimPolicy:
    """Return an exam's policy; raises NotFoundError when the caller may not see the exam."""
    await exams.require_visible(conn, actor, exam_id)
    return await of_exam(conn, exam_id, settings)


async def replace(
    conn: Connection, actor: Actor, exam_id: UUID, command: ClaimPolicy, *, now: datetime
) -> ClaimPolicy:
    """
    Set an exam's policy. Claims that are open go on.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, and they may not edit it.
    """
    async with conn.transaction():
        await exams.require_editable(conn, actor, exam_id)
        row = await conn.fetchrow(QUERIES["fetch_claim_policy"], exam_id)
        if row is None or of_row(row, ClaimPolicy) != command:
            await QUERIES.run(
                conn.execute,
                "set_claim_policy",
                exam_id=exam_id,
                organisation=actor.organisation_id,
                **msgspec.structs.asdict(command),
            )
            detail = msgspec.structs.asdict(command)
            await ledger.record(
                conn, ledger.by(actor, Kind.claim_policy_set, exam_id, now=now, detail=detail)
            )
    return command


async def of_exam(conn: Connection, exam_id: UUID, settings: Settings) -> ClaimPolicy:
    """Return the policy that holds for an exam: its own, or the deployment's."""
    row = await conn.fetchrow(QUERIES["fetch_claim_policy"], exam_id)
    return ClaimPolicy(window_days=settings.claim_window_days) if row is None else of_row(row, ClaimPolicy)
