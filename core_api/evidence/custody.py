"""
The chain of custody of a session's evidence, as one file that can be checked without us (spec.md V-3).

It names what is kept, with its hashes, and holds every event about it with its position in the ledger and the
path to a signed head: who asked to send it, what arrived, who confirmed it, to whom it was given, who looked,
where it was moved, when its file went. Each event's proof is checked as one of
`/ledger/events/{event_id}/proof` is.
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, of_row
from core_api.evidence.pieces import QUERIES
from core_api.ledger.proofs import SignedHead, newest_head, proofs_under
from core_api.proctoring import session_views
from core_api.wire import SEQUENCE_63_MAX
from kernel.errors import NotFoundError, NotSealedError, TooLargeError
from kernel.events import EvidenceStatus, EvidenceType

VERSION: Final = 1
EVENTS_MAX: Final = 20_000
RETRY_S: Final = 2


class KeptChunk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A chunk that is kept; `checksum` is the SHA-256 of its bytes."""

    number: int
    size: int
    checksum: str


class KeptEvidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A piece of evidence that is kept, or was asked for; `checksum` as in the list of evidence. `goneAt`: when
    its file went by the organisation's policy, which an event says.
    """

    evidence_id: int
    type_name: str
    status_name: str
    tier: Literal["hot", "cold"]
    file_name: str
    content_type: str
    file_size: int | None
    checksum: str | None
    gone_at: datetime | None
    chunks: list[KeptChunk]


class ProvenEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    An event of the ledger: its exact text, and its place under the head with the hashes that prove it; null
    where it waits to be sealed.
    """

    event_id: UUID
    evidence_id: int
    body: str
    position: int | None
    hashes: list[str] | None


class Custody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session's evidence with its chain of custody, under one signed head of the ledger."""

    veritas_custody: Literal[1]
    proctor_session_id: int
    attempt_id: UUID
    exam_id: UUID
    evidence: list[KeptEvidence]
    events: list[ProvenEvent]
    head: SignedHead


class WhichEvidence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """All of the session's evidence, or one piece."""

    evidence_id: (
        Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX, description="Only this piece of evidence.")] | None
    ) = None


async def export(conn: Connection, actor: Actor, session_id: int, query: WhichEvidence) -> Custody:
    """
    Return the chain of custody.

    Raises:
        NotFoundError: the caller may not see the session.
        NotSealedError: the ledger has no signed head yet.
        TooLargeError: there are more events than one file takes; ask for one piece of evidence at a time.
    """
    session = await session_views.require_visible(conn, actor, session_id)
    asked = {"session_id": session_id, "evidence_id": query.evidence_id}
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        try:
            head = await newest_head(conn)
        except NotFoundError as error:
            raise NotSealedError("Nothing is sealed yet; ask again soon.", retry_after_s=RETRY_S) from error
        events = await QUERIES.run(conn.fetch, "list_custody_events", **asked, limit=EVENTS_MAX + 1)
        if len(events) > EVENTS_MAX:
            raise TooLargeError(f"There are over {EVENTS_MAX} events; ask for one evidenceId at a time.")
        kept = await QUERIES.run(conn.fetch, "list_custody_evidence", **asked)
        chunks = await QUERIES.run(conn.fetch, "list_custody_chunks", **asked)
        sealed = [
            row["position"] for row in events if row["position"] is not None and row["position"] < head.size
        ]
        hashes = await proofs_under(conn, head, sealed)
    of_piece: dict[int, list[KeptChunk]] = {}
    for row in chunks:
        chunk = KeptChunk(number=row["number"], size=row["size_bytes"], checksum=row["sha256"].hex())
        of_piece.setdefault(row["evidence_id"], []).append(chunk)
    return Custody(
        veritas_custody=VERSION,
        proctor_session_id=session_id,
        attempt_id=session["attempt_id"],
        exam_id=session["exam_id"],
        evidence=[
            of_row(
                row,
                KeptEvidence,
                evidence_id=row["id"],
                type_name=EvidenceType(row["type"]).name,
                status_name=EvidenceStatus(row["status"]).name,
                file_size=row["size_bytes"],
                checksum=None if row["sha256"] is None else row["sha256"].hex(),
                chunks=of_piece.get(row["id"], []),
            )
            for row in kept
        ],
        events=[
            ProvenEvent(
                event_id=row["event_id"],
                evidence_id=row["evidence_id"],
                body=row["body"].decode(),
                position=row["position"] if row["position"] in hashes else None,
                hashes=hashes.get(row["position"]),
            )
            for row in events
        ],
        head=head,
    )
