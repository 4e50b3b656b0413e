"""What only the running attempt needed goes, and nothing else is another (spec.md G-1, decision 15)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from pipeline.ledger.verify import verify
from pipeline.rebuild import rebuild
from pipeline.retention.forecast import forecast
from pipeline.retention.runtime import sweep_runtime
from sql.running import connect
from tests.kits.authoring import make_exam, save_all_right, start, stored, submit
from tests.kits.core import Api, DatabaseAs
from tests.kits.core import core_api as serving
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_child import kill_at_statement
from tests.kits.recomputed import contents

# A day is over at once; nothing else of the policy is another.
AT_ONCE: Final = "ALTER TABLE retention_policies DROP CONSTRAINT retention_policies_runtime_days_check"
POLICY: Final = (
    "INSERT INTO retention_policies (organisation_id, runtime_days, set_by, set_at)"
    " SELECT organisation_id, 0, id, now() FROM users WHERE id = '{}'"
)
LEFT: Final = """
SELECT (SELECT count(DISTINCT attempt_id) FROM attempt_answers), (SELECT count(*) FROM ended_attempts),
       (SELECT coalesce(sum((convert_from(body, 'UTF8')::json -> 'detail' ->> 'attempts')::int), 0)::int
        FROM ledger_events WHERE kind = 'runtime.removed')
"""


class Attempts(Struct, frozen=True):
    """Two that were handed in, one that runs."""

    api: Api
    over: list[str]
    running: str


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(
        database, database_as, tmp_path,
        warehouse=str(tmp_path / "warehouse"), build_grace_s=0, cohort_settled_s=0, cohort_every_s=0,
    )  # fmt: skip


@pytest.fixture
async def world(database: str, database_as: DatabaseAs, log: Log) -> AsyncIterator[Attempts]:
    async with serving(database, database_as) as api:
        made, other = await make_exam(api), await make_exam(api, "numeric", title="Next")
        over = []
        for by in ("student", "other_student"):
            attempt_id = await start(api, made, by)
            await save_all_right(api, made, attempt_id, by)
            assert (await submit(api, attempt_id, by)).status in {200, 201}
            over.append(attempt_id)
        running = await start(api, other)
        await save_all_right(api, other, running)
        log.run(AT_ONCE)
        log.run(POLICY.format(api.people["admin"].id))
        yield Attempts(api, over, running)


def sweep(log: Log) -> tuple[int, int]:
    with connect(log.settings.database_url) as conn:
        removed = sweep_runtime(conn, now=datetime.now(UTC))
        return removed.attempts, removed.rows


def foreseen(log: Log) -> dict[str | None, tuple[int, int]]:
    with connect(log.settings.database_url) as conn:
        found = forecast(conn, now=datetime.now(UTC))
        return {each.why: (each.pieces, each.total) for each in found if each.what == "runtime"}


async def test_saved_answers_go_and_all_that_rests_on_the_submission_is_the_same(
    world: Attempts, log: Log
) -> None:
    """spec.md G-1, W-2: what was computed before is what a rebuild computes after."""
    api, mine = world.api, world.over[0]
    await asyncio.to_thread(rebuild, log.settings)
    before, answers = contents(log.owner_url), await stored(api, mine)
    receipt = (await api.get(f"/api/student/attempts/{mine}/receipt", "student")).body["receipt"]
    assert (foreseen(log), sweep(log), sweep(log), foreseen(log)) == ({None: (2, 10)}, (2, 10), (0, 0), {})

    assert log.rows("SELECT DISTINCT attempt_id::text FROM attempt_answers") == [(world.running,)]
    assert await stored(api, mine) == answers
    assert (await api.get(f"/api/student/attempts/{mine}/receipt", "student")).body["receipt"] == receipt
    await asyncio.to_thread(rebuild, log.settings)
    assert contents(log.owner_url) == before
    assert (await submit(api, world.running)).status in {200, 201}
    log.seal()
    assert verify(log.owner_url, log.keys, witness=log.witness).findings == []
    assert sweep(log) == (1, 1)


async def test_what_is_held_keeps_its_saved_answers(world: Attempts, log: Log) -> None:
    """spec.md G-1: a hold, a claim."""
    api = world.api
    hold = {"kind": "person", "target_id": str(api.people["other_student"].id), "reason": "A lawsuit."}
    assert (await api.post("/api/admin/legal-holds", "admin", json=hold)).status == 201
    log.run(
        "INSERT INTO session_notices (session_id, event_name, minute, severity, noted_at)"
        f" SELECT id, 'seen', 1, 0, now() FROM proctor_sessions WHERE attempt_id = '{world.over[0]}'"
    )
    assert foreseen(log) == {"legal_hold": (1, 5), "not_stored": (1, 5)}
    assert sweep(log) == (0, 0)
    log.run("UPDATE session_notices SET appended_at = now()")
    assert sweep(log) == (1, 6)


@pytest.mark.slow("a process for each statement of a sweep")
async def test_a_sweep_that_is_killed_anywhere_goes_on(world: Attempts, log: Log) -> None:
    """spec.md G-1: kill -9 in front of any statement."""
    for at in count(1):
        if not await asyncio.to_thread(kill_at_statement, "runtime", log.settings, at):
            break
        ((answered, listed, told),) = log.rows(LEFT)
        assert (answered, told) == (listed + 1, 2 - listed)

    assert log.rows(LEFT) == [(1, 0, 2)]
    assert world.running
