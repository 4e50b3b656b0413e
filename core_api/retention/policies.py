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
EvidenceDays = Annotated[
    int,
    Meta(
        ge=1,
        le=3650,
        description="Days that files of evidence are kept: after the attempt, or after the last review or "
        "claim of it has closed; of a finding, after the observation or the last review of it.",
    ),
]
InactiveDays = Annotated[
    Annotated[int, Meta(ge=365, le=36_500)] | None,
    Meta(
        description="Days after which a candidate with whom nothing has happened is erased: who has not "
        "signed in, begun, been assigned, invited, enrolled, observed or given a result for so long. null: "
        "nobody."
    ),
]
SubmissionsDays = Annotated[
    Annotated[int, Meta(ge=365, le=36_500)] | None,
    Meta(
        description="Days after the hand-in that answers in words, drafts and the text of a submission are "
        "kept; its result and its receipt stay. null: they are kept."
    ),
]
RuntimeDays = Annotated[
    int,
    Meta(
        ge=30,
        le=3650,
        description="Days after an attempt that what only the running attempt needed is kept: answers as "
        "they were saved, which the submission has.",
    ),
]
What = Literal["events", "evidence", "people", "runtime", "submissions"]
Why = Literal[
    "legal_hold", "claim_open", "review_open", "attempt_runs", "not_stored", "not_archived", "not_projected",
    "upload_open", "draft_open", "appointment_open", "programme_runs", "not_graded",
]  # fmt: skip


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many days the organisation keeps what; `set_at` is null where the defaults hold."""

    events_days: EventsDays
    evidence_days: EvidenceDays
    inactive_days: InactiveDays
    submissions_days: SubmissionsDays
    runtime_days: RuntimeDays
    set_at: datetime | None


class SetRetentionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    events_days: EventsDays | UnsetType = UNSET
    evidence_days: EvidenceDays | UnsetType = UNSET
    inactive_days: InactiveDays | UnsetType = UNSET
    submissions_days: SubmissionsDays | UnsetType = UNSET
    runtime_days: RuntimeDays | UnsetType = UNSET


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is past the policy, from the oldest to the newest: of events so many `pieces` (proctor sessions) with
    a `total` of rows, of evidence so many files with a total of bytes, of submissions so many with a total of
    bytes of text, of runtime so many attempts with a total of saved answers, of people each for one. They go
    with the next sweep where `why` is null, of people some at a time; else it says why they stay.
    """

    what: What
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
        was = {name: days for name, days in msgspec.structs.asdict(before).items() if name != "set_at"}
        given = msgspec.structs.asdict(command)
        numbers = {name: days if given[name] is UNSET else given[name] for name, days in was.items()}
        if before.set_at is not None and numbers == was:
            return before
        await QUERIES.run(
            conn.execute,
            "set_policy",
            organisation=actor.organisation_id,
            **numbers,
            set_by=actor.user_id,
            set_at=now,
        )
        detail = numbers | {"before": was}
        kind = Kind.retention_policy_set
        await ledger.record(conn, ledger.by(actor, kind, actor.organisation_id, now=now, detail=detail))
    return RetentionPolicy(**numbers, set_at=now)


async def forecast(conn: Connection, *, now: datetime) -> Forecast:
    """Return what a sweep would take now, by the very statement that a sweep goes by."""
    rows = await conn.fetch(QUERIES["forecast"])
    return Forecast(as_of=now, foreseen=[Foreseen(**row) for row in rows])
