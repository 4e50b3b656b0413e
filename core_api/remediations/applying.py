"""
A remediation is applied: from one moment on whatever is scored is scored by the new key, and step by step so
is what was scored before (spec.md M-1, S-3).

It begins while nobody scores: who does holds the version until their commit (`published.current_of`), so that
what is there when the steps begin is all that there is by the former key. A step is one transaction of at
most STEP submissions with what the ledger says of them, and with how far it is; whoever dies leaves the last
step that was committed, and any process goes on from there. Nothing is written twice: the row that says how
far it is is held by one, and a submission is rescored by a remediation once.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog

from core_api.actors import Actor
from core_api.authoring import published
from core_api.authoring.published import Current
from core_api.database import Connection, Pool, system_connection
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Entry
from core_api.remediations import remediations, rescoring
from core_api.remediations.changes import moved
from core_api.remediations.remediations import Remediation
from core_api.remediations.rescoring import Rescored
from core_api.remediations.states import Status
from core_api.submissions.contents import score_columns
from core_api.submissions.scoring import SCORING_VERSION
from core_api.wire import as_json
from kernel.errors import ConflictError, UnavailableError
from kernel.ledger.kinds import Kind
from sql import named

log = structlog.get_logger(__name__)

QUERIES: Final = named("rescoring")
STEP: Final = 200  # submissions of one transaction


async def begin(conn: Connection, actor: Actor, remediation_id: UUID, *, now: datetime) -> Remediation:
    """
    Let the new key count; the steps that rescore follow. One that was begun stays so.

    Raises:
        NotFoundError: no exam that it reaches is visible to the caller.
        ForbiddenError: they may not change every one of them.
        ConflictError: it was cancelled, another one of the version is being applied, or what it undoes is
            undone already.
        InvalidInputError: a change does not fit its question any more, nothing would change, or nothing
            count.
        StoredSpoiltError: the key cannot be read.
    """
    async with conn.transaction():
        held = await remediations.require_changeable(conn, actor, remediation_id)
        version = held["evaluation_version_id"]
        status = await conn.fetchval(remediations.QUERIES["hold_remediation"], remediation_id)
        if status == Status.cancelled:
            raise ConflictError("It was cancelled.")
        if status == Status.draft:
            await conn.execute(remediations.QUERIES["hold_version"], version)
            await _begin(conn, actor, version, held, now=now)
        return await remediations.fetch(conn, actor, remediation_id)


async def _begin(
    conn: Connection, actor: Actor, version: UUID, held: asyncpg.Record, *, now: datetime
) -> None:
    remediation_id = held["remediation_id"]
    if await conn.fetchval(QUERIES["is_applying"], version):
        raise ConflictError("Another remediation of this evaluation is being applied; wait until it is.")
    acts = await remediations.acts_of(conn, version)
    key = await remediations.check(conn, version, acts, remediations.act_of(remediation_id, held))
    await remediations.QUERIES.run(
        conn.execute,
        "begin_remediation",
        id=remediation_id,
        key=as_json(key),
        applied_by=actor.user_id,
        applied_at=now,
    )
    await conn.execute(remediations.QUERIES["begin_progress"], remediation_id, version)
    detail = {"evaluation_version_id": str(version)}
    await ledger.record(
        conn, ledger.by(actor, Kind.results_remediated, remediation_id, now=now, detail=detail)
    )


async def sweep(pool: Pool) -> int:
    """
    Rescore what is being applied, to its end, and return how many submissions that were.

    One that fails is logged and does not hold up the others; the next sweep goes on with it.

    Raises:
        UnavailableError: PostgreSQL is away.
    """
    async with system_connection(pool) as conn:
        open_ones = [row["remediation_id"] for row in await conn.fetch(QUERIES["list_open"])]
    rescored = 0
    for remediation_id in open_ones:
        try:
            async with system_connection(pool) as conn:
                while (count := await step(conn, remediation_id, now=datetime.now(UTC))) is not None:
                    rescored += count
        except UnavailableError:
            raise
        except Exception:
            log.exception("remediation_failed", remediation_id=str(remediation_id))
    return rescored


async def step(conn: Connection, remediation_id: UUID, *, now: datetime) -> int | None:
    """
    Rescore the next submissions in a transaction of their own, and return how many; the step after the last
    one ends it.

    None: there is nothing to do, or another process does it.
    """
    async with conn.transaction():
        at = await conn.fetchrow(QUERIES["hold_progress"], remediation_id)
        if at is None:
            return None
        batch = await QUERIES.run(
            conn.fetch,
            "list_batch",
            version=at["evaluation_version_id"],
            remediation=remediation_id,
            after_exam=at["after_exam"],
            after_submission=at["after_submission"],
            limit=STEP,
        )
        if not batch:
            await _end(conn, at, now=now)
            return None
        attempts = [row["attempt_id"] for row in batch if row["attempt_id"] is not None]
        await conn.fetch(QUERIES["lock_attempts"], attempts)
        made = await _rescore(conn, at, [row["id"] for row in batch], now=now)
        await QUERIES.run(
            conn.execute,
            "move_progress",
            remediation=remediation_id,
            after_exam=batch[-1]["exam_id"],
            after_submission=batch[-1]["id"],
            rescored=len(made),
            changed=sum(each.is_changed for each in made),
            now_passed=sum(each.passes_now for each in made),
            now_failed=sum(each.fails_now for each in made),
        )
        return len(made)


async def _rescore(
    conn: Connection, at: asyncpg.Record, submission_ids: Sequence[UUID], *, now: datetime
) -> list[Rescored]:
    """Write the next revision of each score, and the events that say so."""
    current, positions = await _keys(conn, at)
    rows = await conn.fetch(QUERIES["read_batch"], submission_ids, positions)
    made = [rescoring.rescored(row, current, positions) for row in rows]
    await QUERIES.run(
        conn.execute,
        "insert_rescored",
        reason=at["reason"],
        scored_by=at["applied_by"],
        scored_at=now,
        submissions=[row["submission_id"] for row in rows],
        attempts=[row["attempt_id"] for row in rows],
        revisions=[row["revision"] + 1 for row in rows],
        changed=[each.is_changed for each in made],
        **_columns(current, made),
    )
    await ledger.record(conn, *(_entry(at, row, now=now) for row in rows))
    return made


async def _keys(conn: Connection, at: asyncpg.Record) -> tuple[Current, list[int]]:
    """Return the new key, and the positions of what it scores otherwise than the one before."""
    remediation_id = at["remediation_id"]
    key = await published.key_of(conn, at["evaluation_version_id"])
    current = await published.remediated(conn, key, remediation_id)
    former_id = await conn.fetchval(QUERIES["find_former"], remediation_id)
    former = (
        published.as_published(key) if former_id is None else await published.remediated(conn, key, former_id)
    )
    return current, moved(former.items, current.items)


def _columns(current: Current, made: Sequence[Rescored]) -> dict[str, Any]:
    """Return the scores' columns as `insert_rescored` takes them."""
    scores = [score_columns(each.totals, current, each.given) for each in made]

    def column(name: str) -> list[Any]:
        return [each[name] for each in scores]

    return {
        "scoring_version": SCORING_VERSION,
        "remediation": current.remediation_id,
        "reweighted": scores[0]["reweighted"],
        "item_points": column("points_by_item"),
        "points": column("points"),
        "max_points": column("max_points"),
        "ungraded": column("ungraded"),
        "scores": column("score"),
        "percentages": column("percentage"),
        "passes": column("passed"),
        "given_points": column("given_points"),
    }


def _entry(at: asyncpg.Record, row: asyncpg.Record, *, now: datetime) -> Entry:
    return Entry(
        kind=Kind.submission_scored,
        aggregate_id=str(row["submission_id"]),
        organisation_id=row["organisation_id"],
        occurred_at=now,
        subject_id=None if row["kind"] == "observation" else row["author_id"],
        detail={"remediation_id": str(at["remediation_id"])},
    )


async def _end(conn: Connection, at: asyncpg.Record, *, now: datetime) -> None:
    remediation_id = at["remediation_id"]
    await conn.execute(QUERIES["end_progress"], remediation_id)
    await conn.execute(QUERIES["complete_remediation"], remediation_id, now)
    completed = Entry(
        kind=Kind.remediation_completed,
        aggregate_id=str(remediation_id),
        organisation_id=at["organisation_id"],
        occurred_at=now,
        detail={"submissions": at["rescored"]},
    )
    await ledger.record(conn, completed)


async def keep_sweeping(pool: Pool, every_s: float) -> None:
    """Sweep for ever, until cancelled."""
    while True:
        try:
            rescored = await sweep(pool)
        except UnavailableError as error:
            log.warning("remediations_wait", detail=error.detail)
        except Exception:
            log.exception("remediations_failed")
        else:
            if rescored:
                log.info("submissions_rescored", count=rescored)
        await asyncio.sleep(every_s)
