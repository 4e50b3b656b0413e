"""
Whom new terms reach now: which students, and which of them are at work under the terms of before (spec.md
E-3).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from core_api.actors import Actor
from core_api.database import Connection
from sql import named

QUERIES: Final = named("assignments")
SHOWN_MAX: Final = 20


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A student whom the terms reach, with their attempt that is under way and its end, if there is one."""

    user_id: UUID
    full_name: str
    attempt_id: UUID | None
    expires_at: datetime | None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whom the terms reach now: how many active students, how many of them have an attempt under way, which
    keeps the terms that it began under, and the first twenty, those at work first.
    """

    students: int
    under_way: int
    first: list[Reached]


async def of(
    conn: Connection,
    actor: Actor,
    exam_id: UUID,
    *,
    users: Sequence[UUID] = (),
    groups: Sequence[UUID] = (),
    now: datetime,
) -> Reach:
    """Return whom terms for these users and groups reach; the caller has checked that the exam is theirs."""
    rows = await QUERIES.run(
        conn.fetch,
        "list_reached",
        organisation=actor.organisation_id,
        exam_id=exam_id,
        user_ids=list(users),
        group_ids=list(groups),
        now=now,
        limit=SHOWN_MAX,
    )
    shown = [Reached(**{name: row[name] for name in Reached.__struct_fields__}) for row in rows]
    first = rows[0] if rows else {"students": 0, "under_way": 0}
    return Reach(students=first["students"], under_way=first["under_way"], first=shown)
