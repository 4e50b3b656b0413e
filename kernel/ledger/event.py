"""
A ledger event and its canonical bytes. Pure.

The bytes are what the Merkle leaf hashes, so they are made once, stored, and never made again: JSON with
sorted keys, UTF-8, no white space. They hold ids and facts; a personal value stands in them only as a
commitment, sha256(salt || value), so that erasing salt and value leaves the log valid (spec.md L-1,
decision 13).
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

SALT_BYTES: Final = 16
SYSTEM: Final = "system"  # the actor's role where no person acts
EPOCH: Final = datetime.fromtimestamp(0, UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
# What candidates may fetch and prove: what became of their own attempts, submissions and claims, and nothing
# else. Kinds that may hold findings or scores of risk are never among them.
CANDIDATE_KINDS: Final = (
    "attempt.started",
    "attempt.expired",
    "attempt.completed",
    "attempt.abandoned",
    "submission.finalised",
    "submission.scored",
    "claim.filed",
    "claim.resolved",
)

# Which record an event of each kind is about: its rows, as they stand after the change, are committed to in
# the event, and `veritas ledger verify` compares them. What a record covers says `record_rows` in the
# database. None: nothing durable was changed that is not the event itself. A kind that is missing here
# cannot be appended.
RECORDS: Final[Mapping[str, str | None]] = {
    "assignment.created": "assignments",
    "assignment.revoked": "assignment",
    "assignment_override.removed": "assignment",
    "assignment_override.set": "assignment",
    "attempt.abandoned": "attempt",
    "attempt.started": "attempt",
    "auth.launch_refused": None,
    "auth.launched": None,
    "auth.password_changed": "user",
    "auth.signed_in": None,
    "auth.signed_out": None,
    "auth.tokens_revoked": None,
    "evaluation.drafted": "evaluation_version",
    "evaluation.published": "evaluation_version",
    "exam.archived": "exam",
    "exam.created": "exam",
    "exam.published": "exam",
    "exam.unpublished": "exam",
    "exam.updated": "exam",
    "group.created": "group",
    "group.deleted": "group",
    "group.member_added": "group_member",
    "group.member_removed": "group_member",
    "group.updated": "group",
    "launch_links.created": None,
    "login.alert": None,
    "observation.finalised": "submission",
    "organisation.updated": "organisation",
    "passage.archived": "passage",
    "passage.saved": "passage",
    "permission.granted": "permission",
    "permission.revoked": "permission",
    "question.archived": "question",
    "question.saved": "question",
    "session.cancelled": "session",
    "session.ended": "session",
    "session.started": "session",
    "session.updated": "session",
    "student_profile.updated": "student_profile",
    "submission.erased": None,  # what was recorded of it opens to nothing any more
    "submission.finalised": "submission",
    "submission.scored": "submission",
    "term.created": "term",
    "user.approved": "user",
    "user.created": "user",
    "user.locked": "user",
    "user.registered": "user",
    "user.role_changed": "user",
    "user.unlocked": "user",
    "user.updated": "user",
}
PAIRS: Final = ("group_member", "permission")  # records that the aggregate and the subject name together
RECORD: Final = "record:"  # before a record's name: what its commitment is called
VIEWED: Final = ".viewed"
ORIGIN: Final = "origin"  # the personal value that says where an act came from: address and agent, as JSON
# What the database puts a commitment to a record in place of: 16 hex digits of its number, 64 of its hash.
UNCOMMITTED: Final = "0" * 80


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a leaf says. `actor_id` is None for the system; `subject_id` is whom it is about; `commitments`
    are hex, by name.
    """

    event_id: UUID
    organisation_id: UUID
    occurred_at: datetime
    kind: str
    aggregate_type: str
    aggregate_id: str
    actor_id: UUID | None
    actor_role: str
    subject_id: UUID | None = None
    detail: dict[str, Any] = {}
    commitments: dict[str, str] = {}


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(LedgerEvent)


def body_of(event: LedgerEvent) -> bytes:
    """Return the canonical bytes."""
    return _ENCODER.encode(event)


def record_of(kind: str) -> str | None:
    """Return the record that events of a kind are about, None for none; raises KeyError for unknown kinds."""
    return None if kind.endswith(VIEWED) else RECORDS[kind]


def read_body(body: bytes) -> LedgerEvent:
    """Return what canonical bytes say; raises msgspec.DecodeError (or UnicodeDecodeError) for others."""
    return _DECODER.decode(body)


def new_salt() -> bytes:
    """Return a fresh 128-bit salt."""
    return secrets.token_bytes(SALT_BYTES)


def commitment(salt: bytes, value: str) -> str:
    """Return the commitment to a personal value, as hex."""
    return sha256(salt + value.encode()).hexdigest()


def event_id_at(moment: datetime) -> UUID:
    """Return a fresh UUIDv7 of that microsecond: ids order as times do, which the audit log rests on."""
    within = moment.microsecond % 1000 << 2 | secrets.randbits(2)
    return UUID(int=first_id_at(moment).int | 7 << 76 | within << 64 | 2 << 62 | secrets.randbits(62))


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest id that an event of that millisecond or a later one can have."""
    return UUID(int=((moment - EPOCH) // MILLISECOND) << 80)
