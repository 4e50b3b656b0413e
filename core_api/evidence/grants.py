"""
Addresses that are good for one thing for a while: to send one file, or to fetch one (spec.md V-1).

What an address grants stands in it, signed with a key that is derived from the deployment's own: nothing of
it can be changed, and no token can be made of it, nor it of a token.
"""

import base64
import binascii
import hmac
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from kernel.access import Scope
from kernel.errors import ForbiddenError
from kernel.events import Role
from kernel.http.web import API_PREFIX
from kernel.tokens import Keyring

LABEL: Final = "evidence addresses, 1"
GRANT_CHARS_MAX: Final = 2000
_SIGNED: Final = 43  # characters of a signature
WHOLE: Final = 0  # in place of a chunk's number: all of them, one after the other


class Grant(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """
    What may be done, by whom, until when.

    `bytes_max` and `content_type` bound what is sent; nothing is asked of what is fetched. `until` is in
    seconds since 1970. The rest is the actor that the address was given to.
    """

    method: Literal["PUT", "GET"]
    evidence_id: int
    chunk: int
    until: int
    bytes_max: int
    content_type: str
    user_id: UUID
    organisation_id: UUID
    role: Role
    scope: Scope
    exam_id: UUID | None

    def actor(self, origin: str) -> Actor:
        """Return whoever was given the address, as they ask now; `origin` is where the request came from."""
        return Actor(
            user_id=self.user_id,
            organisation_id=self.organisation_id,
            email="",
            role=self.role,
            scope=self.scope,
            exam_id=self.exam_id,
            origin=origin,
        )


class WithGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of an address that was given."""

    grant: Annotated[
        str, Meta(max_length=GRANT_CHARS_MAX, description="As it stands in the address that was given.")
    ]


def granted(
    actor: Actor,
    method: Literal["PUT", "GET"],
    evidence_id: int,
    *,
    until: datetime,
    chunk: int = WHOLE,
    bytes_max: int = 0,
    content_type: str = "",
) -> Grant:
    """Return a grant to an actor."""
    return Grant(
        method=method,
        evidence_id=evidence_id,
        chunk=chunk,
        until=int(until.timestamp()),
        bytes_max=bytes_max,
        content_type=content_type,
        user_id=actor.user_id,
        organisation_id=actor.organisation_id,
        role=actor.role,
        scope=actor.scope,
        exam_id=actor.exam_id,
    )


_DECODER: Final = msgspec.json.Decoder(Grant)


def address_of(grant: Grant, keyring: Keyring) -> str:
    """Return the address that a grant is given by."""
    says = base64.urlsafe_b64encode(msgspec.json.encode(grant)).rstrip(b"=")
    signed = _signature(says, keyring.derived(LABEL)[0])
    verb = "upload" if grant.method == "PUT" else "download"
    return f"{API_PREFIX}/proctor/evidence/{grant.evidence_id}/{verb}?grant={(says + signed).decode()}"


def opened(text: str, keyring: Keyring, *, method: str, evidence_id: int, now: datetime) -> Grant:
    """
    Return what an address grants.

    Raises:
        ForbiddenError: it was not given by us, for something else, or is over.
    """
    given = text.encode()
    says, signed = given[:-_SIGNED], given[-_SIGNED:]
    ours = any(hmac.compare_digest(signed, _signature(says, key)) for key in keyring.derived(LABEL))
    if not ours:
        raise ForbiddenError("This is no address that was given to you; ask for one.")
    try:
        grant = _DECODER.decode(base64.urlsafe_b64decode(says + b"=" * (-len(says) % 4)))
    except (binascii.Error, msgspec.DecodeError) as error:
        raise ForbiddenError("This is no address that was given to you; ask for one.") from error
    if (grant.method, grant.evidence_id) != (method, evidence_id):
        raise ForbiddenError("This address was given for something else; ask for one.")
    if now >= datetime.fromtimestamp(grant.until, UTC):
        raise ForbiddenError("This address is over; ask for a new one.")
    return grant


def _signature(says: bytes, key: bytes) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(key, says, "sha256")).rstrip(b"=")
