"""
The orchestrator: enrolments that are due are judged again (spec.md M-3).

An enrolment is due when something became of a submission of its person that it rests on, and when time alone
may change it. The outbox's reader marks it, and writes down the cause: each fact reaches each enrolment once
(`programme_causes`). Judging is one transaction an enrolment, from what is stored, and takes up all causes
that wait; so it may be killed anywhere, and the ledger still has one event for each change, with its causes.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from core_api.database import Connection, Pool, of_row, system_connection
from core_api.ledger import entries as ledger
from core_api.programmes.enrolments import QUERIES
from core_api.programmes.states import EnrolmentState, Party, judged, require_enrolment_move
from core_api.wire import as_json, computed_as
from kernel.errors import UnavailableError
from kernel.ledger.kinds import Kind
from kernel.programmes import AnyRequirement, Fact, Progress, judge
from kernel.settings import Settings

log = structlog.get_logger(__name__)
PAGE: Final = 200
CAUSES_MAX: Final = 100  # that one event names
_KINDS: Final = {
    EnrolmentState.completed: Kind.programme_enrolment_completed,
    EnrolmentState.revoked: Kind.programme_enrolment_revoked,
}


async def sweep(pool: Pool, *, now: datetime) -> int:
    """
    Judge every enrolment that is due, page by page; return how many.

    One that fails is logged and does not hold up the others; the next sweep tries it again.

    Raises:
        UnavailableError: PostgreSQL is away.
    """
    done = 0
    last: dict[str, datetime | UUID | None] = {"after_due": None, "after": None}
    while True:
        async with system_connection(pool) as conn:
            due = await QUERIES.run(conn.fetch, "list_due", now=now, limit=PAGE, **last)
        for row in due:
            done += await _judged(pool, row["id"], now=now)
        if len(due) < PAGE:
            return done
        last = {"after_due": due[-1]["due_at"], "after": due[-1]["id"]}


async def _judged(pool: Pool, enrolment_id: UUID, *, now: datetime) -> bool:
    try:
        async with system_connection(pool) as conn:
            return await judge_due(conn, enrolment_id, now=now)
    except UnavailableError:
        raise
    except Exception:
        log.exception("enrolment_failed", enrolment_id=str(enrolment_id))
        return False


async def judge_due(conn: Connection, enrolment_id: UUID, *, now: datetime) -> bool:
    """Judge an enrolment in one transaction; return whether it was due, and nobody else was at it."""
    async with conn.transaction():
        held = await conn.fetchrow(QUERIES["hold_due"], enrolment_id, now)
        if held is None:
            return False
        causes = await conn.fetch(QUERIES["take_up_causes"], enrolment_id, now)
        rows = await conn.fetch(QUERIES["list_asked"], held["programme_id"], held["version"])
        exams = sorted({exam_id for row in rows for exam_id in row["exam_ids"]})
        facts = await conn.fetch(QUERIES["list_facts"], held["user_id"], exams)
        progress = judge(
            computed_as([row["asked"] for row in rows], list[AnyRequirement], "what the programme asks"),
            [of_row(each, Fact) for each in facts],
            as_of=now,
        )
        await _store(conn, held, progress, [row["event_id"] for row in causes], now=now)
        return True


async def _store(
    conn: Connection, held: asyncpg.Record, progress: Progress, causes: Sequence[UUID], *, now: datetime
) -> None:
    await conn.execute(QUERIES["store_progress"], held["id"], as_json(progress.requirements), now)
    before = EnrolmentState(held["state"])
    after = judged(before, is_complete=progress.is_complete)
    if after is before:
        await conn.execute(QUERIES["set_due"], held["id"], progress.next_at)
        return
    require_enrolment_move(before, after, Party.system)
    await QUERIES.run(
        conn.execute, "set_enrolment_state", id=held["id"], state=after, now=now, due_at=progress.next_at
    )
    rests_on = {each.key: [str(one) for one in each.submission_ids] for each in progress.requirements}
    entry = ledger.Entry(
        kind=_KINDS[after],
        aggregate_id=str(held["id"]),
        organisation_id=held["organisation_id"],
        occurred_at=now,
        subject_id=held["user_id"],
        detail={
            "programme_id": str(held["programme_id"]),
            "version": held["version"],
            "submissions": rests_on,
            "causes": sorted(str(each) for each in causes)[-CAUSES_MAX:],
        },
    )
    await ledger.record(conn, entry)


async def keep_sweeping(pool: Pool, settings: Settings) -> None:
    """Sweep for ever, until cancelled."""
    while True:
        try:
            swept = await sweep(pool, now=datetime.now(UTC))
        except UnavailableError as error:
            log.warning("programmes_wait", detail=error.detail)
        except Exception:
            log.exception("programmes_failed")
        else:
            if swept:
                log.info("enrolments_judged", enrolments=swept)
        await asyncio.sleep(settings.programme_sweep_s)
