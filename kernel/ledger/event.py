"""
A ledger event and its canonical bytes. Pure.

The bytes are what the Merkle leaf hashes, so they are made once, stored, and never made again: JSON with
sorted keys, UTF-8, no white space. They hold ids and facts; a personal value stands in them only as a
commitment, sha256(salt || value), so that erasing salt and value leaves the log valid (spec.md L-1,
decision 13).
"""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

SALT_BYTES: Final = 16
SYSTEM: Final = "system"  # the actor's role where no person acts
EPOCH: Final = datetime.fromtimestamp(0, UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
RECORD: Final = "record:"  # before a record's name: what its commitment is called
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


def place_of(body: bytes, record: str) -> int:
    """Return where the commitment to a record goes in an event's bytes, counted from 1 as SQL counts."""
    named_so = f'"{RECORD}{record}":"'.encode()
    return body.index(named_so) + len(named_so) + 1


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
