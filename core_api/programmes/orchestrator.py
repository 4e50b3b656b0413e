"""
The orchestrator: enrolments that are due are judged again (spec.md M-3).

An enrolment is due when something became of a submission of its person that it rests on (the outbox's reader
marks it), and when time alone may change it. Judging is one transaction an enrolment, from what is stored: it
may be asked for twice, or be killed anywhere, and the ledger still has one event for each change.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from core_api.database import Connection, Pool, of_row, system_connection
from core_api.ledger import entries as ledger
from core_api.programmes.enrolments import QUERIES
from core_api.programmes.programmes import asked
from core_api.programmes.states import EnrolmentState, Party, judged, require_enrolment_move
from kernel.errors import UnavailableError
from kernel.ledger.kinds import Kind
from kernel.programmes import Fact, Progress, judge
from kernel.settings import Settings

log = structlog.get_logger(__name__)
PAGE: Final = 200
_KINDS: Final = {
    EnrolmentState.completed: Kind.programme_enrolment_completed,
    EnrolmentState.revoked: Kind.programme_enrolment_revoked,
}


async def sweep(pool: Pool, *, now: datetime) -> int:
    """Judge every enrolment that is due, page by page; return how many. Raises UnavailableError."""
    done = 0
    while True:
        async with system_connection(pool) as conn:
            due = await conn.fetch(QUERIES["list_due"], now, PAGE)
            swept = [await judge_due(conn, row["id"], now=now) for row in due]
        done += sum(swept)
        if len(due) < PAGE or not any(swept):  # others may be at work on the same
            return done


async def judge_due(conn: Connection, enrolment_id: UUID, *, now: datetime) -> bool:
    """Judge an enrolment in one transaction; return whether it was due, and nobody else was at it."""
    async with conn.transaction():
        held = await conn.fetchrow(QUERIES["hold_due"], enrolment_id, now)
        if held is None:
            return False
        rows = await conn.fetch(QUERIES["list_asked"], held["programme_id"], held["version"])
        exams = sorted({exam_id for row in rows for exam_id in row["exam_ids"]})
        facts = await conn.fetch(QUERIES["list_facts"], held["user_id"], exams)
        progress = judge(
            asked([row["asked"] for row in rows]), [of_row(each, Fact) for each in facts], as_of=now
        )
        await _store(conn, held, progress, now=now)
        return True


async def _store(conn: Connection, held: asyncpg.Record, progress: Progress, *, now: datetime) -> None:
    for number, each in enumerate(progress.requirements, start=1):
        await QUERIES.run(
            conn.execute, "store_progress", enrolment_id=held["id"], number=number, key=each.key,
            state=each.state, counted=each.counted, needed=each.needed,
            submission_ids=list(each.submission_ids), lapses_at=each.lapses_at, now=now,
        )  # fmt: skip
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
            "programme_id": str(held["programme_id"]), "version": held["version"], "submissions": rests_on
        },
    )  # fmt: skip
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
