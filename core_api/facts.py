"""
The one place where a change of a durable record is recorded, in the transaction that makes it.

Every use case that publishes, assigns, submits, … calls `record` before it commits: either both are there, or
neither is (spec.md L-1, S-1; evalium-data-flow.txt, section 3).
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from core_api.database import Connection
from core_api.wire import as_json
from sql import named

QUERIES: Final = named("facts")


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something that happened to a durable record.

    `kind` is noun.past_participle; `actor_id` is None where the system itself acted. `payload` holds ids,
    hashes and numbers, never a name or a text of somebody's (spec.md, decision 13).
    """

    kind: str
    organisation_id: UUID
    actor_id: UUID | None
    resource_id: UUID
    payload: dict[str, Any]
    at: datetime


async def record(conn: Connection, fact: Fact) -> UUID:
    """Record a fact in the caller's transaction; return the id of its event."""
    event_id = uuid7()
    await conn.execute(
        QUERIES["insert_fact"],
        event_id,
        fact.kind,
        fact.organisation_id,
        fact.actor_id,
        fact.resource_id,
        as_json(fact.payload),
        fact.at,
    )
    return event_id
