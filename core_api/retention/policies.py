"""An organisation's retention policy, and what a sweep would take by it now (spec.md G-1, decision 12)."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core_api.actors import Actor
from core_api.database import Connection, fetch_one
from core_api.ledger import entries as ledger
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("retention_policies")
HELD: Final = named("users")
EventsDays = Annotated[
    int,
    Meta(
        ge=30,
        le=90,
        description="Days after the end of a proctor session that its events are kept at hand; from then on "
        "the archive alone has them.",
    ),
]
Why = Literal[
    "legal_hold", "claim_open", "review_open", "attempt_runs", "not_stored", "not_archived", "not_projected"
]


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many days the organisation keeps what; `set_at` is null where the defaults hold."""

    events_days: EventsDays
    set_at: datetime | None


class SetRetentionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    events_days: EventsDays | UnsetType = UNSET


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is past the policy: so many `pieces` (proctor sessions) with a `total` of rows, from the oldest to
    the newest. They go with the next sweep where `why` is null; else it says why they stay.
    """

    what: Literal["events"]
    days: int
    why: Why | None
    pieces: int
    total: int
    oldest: datetime
    newest: datetime


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep would take now, and what it would leave and why."""

    as_of: datetime
    foreseen: list[Foreseen]


async def fetch(conn: Connection) -> RetentionPolicy:
    """Return the policy of the caller's organisation."""
    return RetentionPolicy(**await fetch_one(conn, "organisation", QUERIES["fetch_policy"]))


async def update(
    conn: Connection, actor: Actor, command: SetRetentionPolicy, *, now: datetime
) -> RetentionPolicy:
    """Set the policy of the caller's organisation; the next sweep goes by it."""
    async with conn.transaction():
        await conn.execute(HELD["hold_organisation"], actor.organisation_id)
        before = await fetch(conn)
        days = before.events_days if command.events_days is UNSET else command.events_days
        if before.set_at is not None and days == before.events_days:
            return before
        await QUERIES.run(
            conn.execute,
            "set_policy",
            organisation=actor.organisation_id,
            events_days=days,
            set_by=actor.user_id,
            set_at=now,
        )
        detail = {"events_days": days, "before": {"events_days": before.events_days}}
        kind = Kind.retention_policy_set
        await ledger.record(conn, ledger.by(actor, kind, actor.organisation_id, now=now, detail=detail))
    return RetentionPolicy(events_days=days, set_at=now)


async def forecast(conn: Connection, *, now: datetime) -> Forecast:
    """Return what a sweep would take now, by the very statement that a sweep goes by."""
    rows = await conn.fetch(QUERIES["forecast"])
    return Forecast(as_of=now, foreseen=[Foreseen(**row) for row in rows])
