"""
A claim as it moves: held, moved by the table, said something about, recorded. Whoever moves it, does it here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.claims.states import ClaimAct, ClaimState, Party, moved, timing
from core_api.database import Connection, fetch_one
from core_api.ledger import entries as ledger
from core_api.wire import SEQUENCE_63_MAX, invalid
from kernel.errors import ConflictError
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("claim_moves")
TEXT_LENGTH_MAX: Final = 4000
EVIDENCE_MAX: Final = 50
Held = Mapping[str, Any] | asyncpg.Record  # the columns of `hold_claim`
Side = Literal["candidate", "staff"]
Consequence = Literal["nothing", "decision", "grade", "remediation"]
Subject = Annotated[
    Literal["result", "decision"],
    Meta(description="`result`: the score; `decision`: that the result was made void."),
]
# PostgreSQL stores no NUL, and blanks say nothing.
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
EvidenceIds = Annotated[
    list[Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX)]],
    Meta(max_length=EVIDENCE_MAX, description="Of evidence of the attempt's proctor sessions."),
]


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one side says of a claim, and the evidence that it speaks of. Both sides read it."""

    text: Text
    evidence_ids: EvidenceIds = []


async def hold(conn: Connection, claim_id: UUID) -> asyncpg.Record:
    """Lock a claim that the caller may move until the transaction ends, and return it as it stands."""
    return await fetch_one(conn, "claim", QUERIES["hold_claim"], claim_id)


async def move(
    conn: Connection,
    claim: asyncpg.Record,
    act: ClaimAct,
    party: Party,
    *,
    settings: Settings,
    now: datetime,
    acknowledged_by: UUID | None = None,
    disputed: bool | None = None,
) -> ClaimState:
    """
    Move a claim that the caller holds; return its state.

    Raises:
        ConflictError: the table does not have it.
        NotFoundError: the caller may not move it any more.
    """
    after = moved(ClaimState(claim["state"]), act, party)
    times = timing(after, settings, now=now, disputed=claim["is_disputed"] if disputed is None else disputed)
    values = {"id": claim["id"], "state": after, "now": now, "acknowledged_by": acknowledged_by}
    moved_it = QUERIES.bind("move_claim", **values, **msgspec.structs.asdict(times))
    await fetch_one(conn, "claim", *moved_it)
    return after


async def dispute(
    conn: Connection,
    claim: asyncpg.Record,
    party: Party,
    actor: Actor | None,
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """
    Let somebody else look at a claim that the caller holds; None: by itself.

    Raises:
        ConflictError: the table does not have it, or it was disputed before.
    """
    moved(ClaimState(claim["state"]), ClaimAct.escalate, party)
    if claim["is_disputed"]:
        raise ConflictError("The claim was looked at twice: that is the last word.")
    await QUERIES.run(
        conn.execute,
        "insert_dispute",
        claim_id=claim["id"],
        raised=party,
        raised_by=None if actor is None else actor.user_id,
        now=now,
    )
    await move(conn, claim, ClaimAct.escalate, party, settings=settings, now=now, disputed=True)


async def say(
    conn: Connection,
    claim: Held,
    actor: Actor,
    side: Side,
    said: Statement,
    *,
    settings: Settings,
    now: datetime,
) -> int:
    """
    Add what one side says to a claim that the caller holds; return its number.

    Raises:
        InvalidInputError: evidence that is none of the attempt's.
        ConflictError: there are as many statements as one claim takes.
    """
    unknown = await QUERIES.run(
        conn.fetch,
        "list_unknown_evidence",
        evidence_ids=said.evidence_ids,
        attempt_id=claim["attempt_id"],
    )
    if unknown:
        raise invalid("evidence_ids", f"{unknown[0]['id']} is no evidence of the attempt that you may see")
    number: int | None = await QUERIES.run(
        conn.fetchval,
        "insert_statement",
        claim_id=claim["id"],
        side=side,
        author_id=actor.user_id,
        text=said.text,
        evidence_ids=said.evidence_ids,
        now=now,
        statements_max=settings.claim_statements_max,
    )
    if number is None:
        raise ConflictError(f"A claim takes {settings.claim_statements_max} statements, and has them.")
    return number


async def record(
    conn: Connection,
    claim: Held,
    actor: Actor | None,
    kind: Kind,
    *,
    now: datetime,
    **detail: object,
) -> None:
    """
    Put what was done about a claim on the ledger, last in the transaction; None: by itself.

    What the candidate did is about them, and theirs to prove.
    """
    is_own = actor is not None and actor.user_id == claim["candidate_id"]
    await ledger.record(
        conn,
        ledger.by_somebody(
            actor,
            kind,
            claim["id"],
            organisation_id=claim["organisation_id"],
            now=now,
            subject_id=claim["candidate_id"] if is_own else None,
            detail={"attempt_id": str(claim["attempt_id"]), **detail},
        ),
    )
