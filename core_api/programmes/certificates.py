"""
A programme's certificate: what somebody completed, as a small file that is checked without us (spec.md M-3).

The facts stand in an event of the ledger, so that the head signed over it says that they stood so then: that
the programme was completed and the completion had not been revoked, or that it had. The holder's name is in
the event as a commitment only; the file opens it, and once the person is erased nothing does. Who doubts an
old certificate asks for a new one: `deploy/verify_export.py --certificate` says of when it is.
"""

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection, as_system, fetch_one
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Personal
from core_api.programmes.enrolments import QUERIES
from core_api.programmes.states import EnrolmentState
from core_api.submissions import receipts
from core_api.submissions.receipts import Place
from core_api.wire import computed_as
from kernel.errors import ConflictError
from kernel.ledger.event import read_body
from kernel.ledger.kinds import Kind

VERSION: Final = 1
CERTIFICATES_MAX: Final = 100
HOLDER: Final = "holder"  # the commitment to their name
CERTIFIED: Final = {EnrolmentState.completed, EnrolmentState.revoked}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the ledger's event says: in which state the enrolment was, and since when. `requirements_sha256` is
    of the very text that says what the version asks.
    """

    programme_id: UUID
    version: int
    title: str
    title_ar: str | None
    state: EnrolmentState
    state_at: datetime
    requirements_sha256: str


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Whose it is. The event commits to the name: SHA-256 of `salt` (hex) and the name's UTF-8 bytes."""

    user_id: UUID
    full_name: str
    salt: str


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate. `requirements` is JSON, the text that its hash is of; `ledger` proves the event."""

    veritas_certificate: Literal[1]
    enrolment_id: UUID
    certified_at: datetime
    holder: Holder
    facts: Facts
    requirements: str
    event_id: UUID
    ledger: Place


async def make(conn: Connection, actor: Actor, enrolment_id: UUID, *, now: datetime) -> Certificate:
    """
    Certify how an own enrolment stands now; the proof is there a second later.

    Raises:
        NotFoundError: there is no such enrolment of the caller's.
        ConflictError: the programme was never completed, the enrolment was withdrawn, or there are as many
            certificates of it as there may be.
    """
    async with conn.transaction():
        await _require_own(conn, enrolment_id)
        async with as_system(conn, actor):
            row = await fetch_one(conn, "enrolment", QUERIES["hold_certifiable"], enrolment_id, actor.user_id)
            made = await conn.fetchval(QUERIES["count_certificates"], str(enrolment_id))
        if row["state"] not in CERTIFIED:
            raise ConflictError(f"The enrolment is {row['state']}: only what was completed is certified.")
        if made >= CERTIFICATES_MAX:
            raise ConflictError(f"There are {CERTIFICATES_MAX} certificates of it: that is all there may be.")
        entry = ledger.by(
            actor,
            Kind.programme_enrolment_certified,
            enrolment_id,
            now=now,
            subject_id=actor.user_id,
            detail=msgspec.structs.asdict(Facts(**{name: row[name] for name in Facts.__struct_fields__})),
            personal={HOLDER: Personal(row["full_name"], actor.user_id)},
        )
        await ledger.record(conn, entry)
        return await fetch(conn, actor, enrolment_id)


async def fetch(conn: Connection, actor: Actor, enrolment_id: UUID) -> Certificate:
    """
    Return the newest certificate of an own enrolment.

    Raises:
        NotFoundError: there is none of the caller's.
        ConflictError: what it says is so no more; a new one says what is.
    """
    async with conn.transaction():
        await _require_own(conn, enrolment_id)
        async with as_system(conn, actor):
            row = await fetch_one(
                conn, "certificate", QUERIES["fetch_certificate"], enrolment_id, actor.user_id
            )
    event = read_body(row["body"])
    facts: Facts = computed_as(event.detail, Facts, "the certificate")
    if (facts.state, facts.state_at) != (row["state"], row["state_at"]):
        raise ConflictError(f"The enrolment is {row['state']} now: make a new certificate.")
    return Certificate(
        veritas_certificate=VERSION,
        enrolment_id=enrolment_id,
        certified_at=event.occurred_at,
        holder=Holder(user_id=actor.user_id, full_name=row["holder_name"], salt=row["holder_salt"]),
        facts=facts,
        requirements=row["requirements"],
        event_id=event.event_id,
        ledger=await receipts.place(conn, event.event_id, row["body"], row["position"]),
    )


async def _require_own(conn: Connection, enrolment_id: UUID) -> None:
    """Raise NotFoundError where the caller does not see it; who came by a link to one exam sees none."""
    await fetch_one(conn, "enrolment", QUERIES["fetch_enrolment"], enrolment_id)
