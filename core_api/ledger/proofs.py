"""
What proves an event to be in the ledger, and a ledger to extend an older one (spec.md L-2, S-2).

Everything here can be checked without us: the event's bytes, the hashes, and a head that the ledger's key has
signed. `deploy/verify_export.py` does so.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_one
from kernel.errors import InvalidInputError, NotFoundError, NotSealedError
from kernel.events import Role
from kernel.ledger.checkpoints import parse_head
from kernel.ledger.kinds import PROVABLE
from kernel.ledger.merkle import Range, consistency_ranges, hashes_of, inclusion_ranges, tiles_under
from sql import named

QUERIES: Final = named("ledger")
SIZE_MAX: Final = 2**53 - 1
NOT_SEALED_RETRY_S: Final = 2
Size = Annotated[int, Meta(ge=1, le=SIZE_MAX)]


class SignedHead(msgspec.Struct, frozen=True, kw_only=True):
    """
    The ledger at one moment: how many events it held, and the root over all of them, base64. `note` is the
    signed text itself; the rest is read from it.
    """

    origin: str
    size: int
    root: str
    signed_at: datetime | None
    note: str


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event's place in the ledger.

    `body` is the event's exact text, whose UTF-8 bytes the leaf hashes; `hashes` are base64, the leaf's
    neighbour first, as RFC 6962 orders an audit path; `head` is the signed head they lead to.
    """

    event_id: UUID
    position: int
    body: str
    hashes: list[str]
    head: SignedHead


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """What shows the tree of `second` events to extend the tree of `first`; `hashes` are base64."""

    first: int
    second: int
    hashes: list[str]
    head: SignedHead


class ConsistencyQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Between which sizes."""

    first: Annotated[Size, Meta(description="Size of the older tree.")] = msgspec.field(
        default=1, name="from"
    )
    second: (
        Annotated[Size, Meta(description="Size of the newer tree, that of a signed head; the newest.")] | None
    ) = msgspec.field(default=None, name="to")


class ProofQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Under which head."""

    size: Annotated[
        Size, Meta(description="A signed head of at least this size; the smallest that fits.")
    ] = 1


async def newest_head(conn: Connection) -> SignedHead:
    """Return the newest signed head; raises NotFoundError before the first."""
    return await _head(conn, None)


async def _head(conn: Connection, size: int | None) -> SignedHead:
    """Return the smallest signed head of at least `size`, the newest for None; raises NotFoundError."""
    note: str | None = await conn.fetchval(QUERIES["find_head"], size)
    if note is None:
        raise NotFoundError("The ledger has no such signed head yet.")
    head = parse_head(note)
    return SignedHead(
        origin=head.origin, size=head.size, root=_text(head.root), signed_at=head.signed_at, note=note
    )


def _text(hashed: bytes) -> str:
    return base64.b64encode(hashed).decode()


async def inclusion(conn: Connection, actor: Actor, event_id: UUID, query: ProofQuery) -> InclusionProof:
    """
    Prove that one event, which the actor may see, is under a signed head.

    Raises:
        NotFoundError: no such event, or not visible to the actor.
        NotSealedError: it waits for the sealer, or for the next head.
    """
    is_candidate = actor.role is Role.student
    wanted = QUERIES.bind(
        "fetch_leaf", id=event_id, **actor.reach, provable=PROVABLE, is_candidate=is_candidate
    )
    row = await fetch_one(conn, "event", *wanted)
    return await proof_of(conn, event_id, row["body"], row["position"], query.size)


async def proof_of(
    conn: Connection, event_id: UUID, body: bytes, position: int | None, size_min: int = 1
) -> InclusionProof:
    """Prove an event that the caller has found visible; raises NotSealedError until a head covers it."""
    if position is None:
        raise _not_sealed()
    try:
        head = await _head(conn, max(position + 1, size_min))
    except NotFoundError as error:
        raise _not_sealed() from error
    hashes = await _hashes(conn, inclusion_ranges(position, head.size))
    return InclusionProof(event_id=event_id, position=position, body=body.decode(), hashes=hashes, head=head)


def _not_sealed() -> NotSealedError:
    return NotSealedError("The event is not sealed yet; ask again soon.", retry_after_s=NOT_SEALED_RETRY_S)


async def proofs_under(conn: Connection, head: SignedHead, positions: Sequence[int]) -> dict[int, list[str]]:
    """Return the hashes that prove each position under a head, all of which it covers, in one round trip."""
    asked = {position: inclusion_ranges(position, head.size) for position in positions}
    tiles = await _tiles(conn, [each for ranges in asked.values() for each in ranges])
    return {
        position: [_text(each) for each in hashes_of(ranges, tiles)] for position, ranges in asked.items()
    }


async def consistency(conn: Connection, query: ConsistencyQuery) -> ConsistencyProof:
    """
    Prove that the ledger of a signed head, the newest by default, extends the one of its first events.

    Raises:
        NotFoundError: nothing is signed yet, or no head of at least the newer size.
        InvalidInputError: the older size is over the newer one, or no head was signed at the newer one.
    """
    head = await _head(conn, query.second)
    if query.second not in {None, head.size}:
        raise _wrong("to", f"the size of a signed head; the next one is {head.size}")
    if query.first > head.size:
        raise _wrong("from", f"at most {head.size}")
    hashes = await _hashes(conn, consistency_ranges(query.first, head.size))
    return ConsistencyProof(first=query.first, second=head.size, hashes=hashes, head=head)


def _wrong(path: str, message: str) -> InvalidInputError:
    return InvalidInputError("A query parameter is not allowed.", errors=[{"path": path, "message": message}])


async def _hashes(conn: Connection, ranges: Sequence[Range]) -> list[str]:
    return [_text(each) for each in hashes_of(ranges, await _tiles(conn, ranges))]


async def _tiles(conn: Connection, ranges: Sequence[Range]) -> dict[tuple[int, int], bytes]:
    wanted = list(tiles_under(ranges))
    rows = await conn.fetch(
        QUERIES["list_tiles"], [level for level, _ in wanted], [index for _, index in wanted]
    )
    return {(row["level"], row["index"]): row["hashes"] for row in rows}
