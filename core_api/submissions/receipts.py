"""
The candidate's receipt: one document that shows, without us, what was handed in and that it stands in the
ledger (spec.md S-2).

It holds the exact bytes that were hashed, and from a second after the hand-in on the ledger's event about
them, its position, the path to a root, and the head that was signed over it. `deploy/verify_export.py` and
`veritas ledger receipt` check it; whoever keeps it needs neither.
"""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, of_row
from core_api.ledger import proofs
from core_api.ledger.proofs import SignedHead
from core_api.submissions import submissions
from core_api.submissions.submissions import Receipt, Request, Submit
from kernel.errors import NotSealedError
from kernel.ledger.merkle import leaf_hash
from sql import named

QUERIES: Final = named("receipts")
DOCUMENT_VERSION: Final = 1


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Where the ledger has it. `pending`: the next signed head has it, a second from now.

    The document of a sealed one has everything: `event` is the exact text of the ledger's event, `leaf_hash`
    (hex) is of its UTF-8 bytes, `hashes` (base64) lead from there to the root of `head`.
    """

    status: Literal["pending", "sealed"]
    position: int | UnsetType = UNSET
    event: str | UnsetType = UNSET
    leaf_hash: str | UnsetType = UNSET
    hashes: list[str] | UnsetType = UNSET
    head: SignedHead | UnsetType = UNSET


class Submitted(Receipt, frozen=True, kw_only=True):
    """The receipt as the hand-in answers it; the proof follows in the document."""

    ledger: Place


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """
    The receipt as it is kept: `content` is the very text that `content_sha256` is of, in UTF-8; null once the
    organisation keeps it no longer.
    """

    veritas_receipt: int
    receipt: Receipt
    content: str | None
    ledger: Place


PENDING: Final = Place(status="pending")


async def submit(
    conn: Connection, actor: Actor, attempt_id: UUID, command: Submit, request: Request, *, now: datetime
) -> tuple[Submitted, bool]:
    """
    Hand an attempt in, as `submissions.submit` does; return what that is answered with, and whether it was
    this call. A retry after the sealing is told the position.

    Raises:
        NotFoundError: not the caller's attempt.
        ConflictError: it was abandoned, or it ended without a saved answer.
        AttemptPausedError: it is paused.
        IdempotencyKeyReusedError: the key came with another body, or for another attempt.
        InvalidInputError: an answer cannot be saved; nothing was finalised.
    """
    finalised = await submissions.submit(conn, actor, attempt_id, command, request, now=now)
    stands = PENDING
    if not finalised.created:
        position = await conn.fetchval(QUERIES["find_position"], finalised.receipt.event_id)
        stands = PENDING if position is None else Place(status="sealed", position=position)
    return Submitted(**msgspec.structs.asdict(finalised.receipt), ledger=stands), finalised.created


async def fetch(conn: Connection, actor: Actor, attempt_id: UUID) -> Document:
    """Return the receipt of the caller's attempt; raises NotFoundError when there is none of theirs."""
    row = await fetch_one(conn, "submission", QUERIES["fetch_document"], attempt_id, actor.user_id)
    return Document(
        veritas_receipt=DOCUMENT_VERSION,
        receipt=of_row(row, Receipt),
        content=row["content"],
        ledger=await place(conn, row["event_id"], row["body"], row["position"]),
    )


async def place(conn: Connection, event_id: UUID, body: bytes, position: int | None) -> Place:
    """Return where the ledger has an event, with what proves it once a head covers it."""
    try:
        proof = await proofs.proof_of(conn, event_id, body, position)
    except NotSealedError:
        return PENDING
    return Place(
        status="sealed",
        position=proof.position,
        event=proof.body,
        leaf_hash=leaf_hash(body).hex(),
        hashes=proof.hashes,
        head=proof.head,
    )
