"""kill -9 at any table and between any two steps of a remediation: gone on with, nothing twice (M-1, L-1)."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.faults.core_rig import TABLES
from tests.kits.authoring import Made, answer, make_exam, save, start, submit
from tests.kits.core import Api, DatabaseAs, core_api
from tests.kits.remediations import PATH, begin, drafted, scores

WAITS = (
    "SELECT c.relname::text FROM pg_locks w JOIN pg_stat_activity a ON a.pid = w.pid"
    " JOIN pg_class c ON c.oid = w.relation"
    " WHERE a.usename = 'veritas_core' AND a.datname = current_database() AND NOT w.granted"
)
STEPS = {
    "submission_scores",
    "remediated_submissions",
    "exam_attempts",
    "ledger_events",
    "outbox",
    "remediation_progress",
}
END = {"remediations"}


async def child(url: str, steps: int) -> asyncio.subprocess.Process:
    command = ("-m", "tests.faults.remediation_child", url, str(steps))
    return await asyncio.create_subprocess_exec(sys.executable, *command)


async def handed_in(api: Api) -> tuple[Made, str]:
    """Let three candidates hand in, and begin a remediation that changes two of them."""
    made = await make_exam(api, "single_choice", "numeric")
    domain = api.people["student"].email.partition("@")[2]
    (third,) = api.enrol([f"third@{domain}"])
    api.people["third"] = type(api.people["student"])(
        id=third, organisation_id=api.people["student"].organisation_id, email=f"third@{domain}",
        role=api.people["student"].role,
    )  # fmt: skip
    for by, choice in (("student", "b"), ("other_student", "c"), ("third", "d")):
        attempt_id = await start(api, made, by)
        await save(api, attempt_id, answer(made.questions["single_choice"], 1, choice=choice), by=by)
        assert (await submit(api, attempt_id, by)).status == 201
    change = {"kind": "change_key", "position": 1, "key": {"choice": "c"}}
    remediation_id = await drafted(api, made, change)
    assert (await begin(api, remediation_id)).status == 202
    return made, remediation_id


@asynccontextmanager
async def writes_held(url: str, *, but: Sequence[str]) -> AsyncIterator[None]:
    """Let every write to a table wait, those to the tables in `but` excepted."""
    holder = await asyncpg.connect(url)
    try:
        names = set((await holder.fetchval(TABLES)).split(", ")) - set(but)
        await holder.execute("BEGIN")
        await holder.execute(f"LOCK TABLE {', '.join(sorted(names))} IN SHARE MODE")
        yield
    finally:
        await holder.close()


async def check_whole(api: Api, remediation_id: str) -> None:
    """All three have one new revision, by the new key, with an event each; the act has two."""
    shown = (await api.get(f"{PATH}/{remediation_id}", "teacher")).body
    kinds = await api.owner.fetch(
        "SELECT kind, count(*) FROM ledger_events WHERE kind ~ 'scored|remediat' AND kind !~ 'viewed'"
        " GROUP BY 1 ORDER BY 1"
    )
    revisions = await api.owner.fetch(
        "SELECT max(revision), count(*) FROM submission_scores GROUP BY submission_id"
    )

    assert shown["status"] == "applied"
    assert shown["progress"] | {"now_passed": 0, "now_failed": 0} == {
        "submissions": 3, "rescored": 3, "changed": 2, "now_passed": 0, "now_failed": 0,
    }  # fmt: skip
    assert [row["points"] for row in await scores(api.owner)] == [0, 2, 0]
    assert [tuple(row) for row in revisions] == [(2, 2)] * 3
    assert [tuple(row) for row in kinds] == [
        ("remediation.completed", 1), ("remediation.drafted", 1), ("results.remediated", 1),
        ("submission.scored", 3),
    ]  # fmt: skip


@pytest.mark.slow("a new process for each step")
async def test_whoever_dies_between_two_steps_leaves_the_rest_to_the_next_m1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, remediation_sweep_s=3600) as api:
        _, remediation_id = await handed_in(api)
        told = []
        for _ in range(10):
            process = await child(database_as("veritas_core"), 1)
            code = await process.wait()
            told.append(await api.owner.fetchval("SELECT rescored FROM remediation_progress"))
            if code == 0:
                break
            assert code == -signal.SIGKILL

        assert told == [1, 2, 3, 3]
        await check_whole(api, remediation_id)


@pytest.mark.slow("a new process for each table that is written")
async def test_whoever_dies_at_any_table_leaves_nothing_of_the_step_m1(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, remediation_sweep_s=3600) as api:
        _, remediation_id = await handed_in(api)
        passed = list[str]()
        while True:
            async with writes_held(database, but=passed):
                process = await child(database_as("veritas_core"), 99)
                table = await stopped(process, api.owner)
                if table is None:
                    break
                before = await scores(api.owner)  # with the steps that met none of the tables that wait
                process.kill()
                await process.wait()
            assert table not in passed
            passed.append(table)
            assert (await scores(api.owner), table) == (before, table)

        assert set(passed) >= STEPS | END
        await check_whole(api, remediation_id)


async def stopped(process: asyncio.subprocess.Process, owner: Any) -> str | None:
    """Return the table whose lock a process waits for; None once it has ended."""
    while process.returncode is None:
        if (table := await owner.fetchval(WAITS)) is not None:
            return str(table)
        await asyncio.sleep(0.02)
    assert process.returncode == 0
    return None
