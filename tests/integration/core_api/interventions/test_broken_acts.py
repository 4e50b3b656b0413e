"""
An act that loses its connection at any step leaves nothing, and asked again it is done once (spec.md S-1).

The steps find themselves: every write to a table waits, the first one met is a step, and its backend is ended
there; next time that table lets it pass. What an act writes more of is met as well.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from tests.integration.core_api.interventions.test_acting import REASON, act, seated
from tests.kits.authoring import save_all_right
from tests.kits.core import Answer, Api, Core

WITHIN_S: Final = 40.0
TABLES: Final = (
    "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables"
    " WHERE schemaname = 'public' AND tablename NOT IN ('events', 'schema_migrations')"
)
# A backend that waits to write, and holds the attempt.
WAITS: Final = (
    "SELECT w.pid, w.relation::regclass::text AS relation FROM pg_locks w"
    " WHERE NOT w.granted AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND EXISTS (SELECT FROM pg_locks h WHERE h.pid = w.pid AND h.granted AND h.mode = 'RowShareLock'"
    " AND h.relation = 'public.exam_attempts'::regclass)"
)
LEFT: Final = """
SELECT (SELECT count(*) FROM session_actions) AS actions, (SELECT count(*) FROM session_commands) AS commands,
       (SELECT count(*) FROM session_notices) AS notices, (SELECT count(*) FROM attempt_pauses) AS pauses,
       (SELECT count(*) FROM time_grants) AS grants, (SELECT count(*) FROM submissions) AS submissions,
       (SELECT count(*) FROM ledger_events WHERE kind NOT LIKE '%.viewed') AS recorded,
       (SELECT string_agg(a::text, ' ' ORDER BY id) FROM exam_attempts a) AS attempts,
       (SELECT string_agg(s::text, ' ' ORDER BY id) FROM proctor_sessions s) AS sessions
"""
WRITTEN: Final = {"session_actions", "session_commands", "session_notices", "ledger_events", "exam_attempts"}


@asynccontextmanager
async def writes_held(core: Core, but: Sequence[str]) -> AsyncIterator[None]:
    """Let every write wait, but for those to the tables in `but`; reads and row locks go through."""
    holder = await asyncpg.connect(core.database)
    try:
        names = set((await holder.fetchval(TABLES)).split(", ")) - {f"public.{each}" for each in but}
        await holder.execute(f"BEGIN; LOCK TABLE {', '.join(sorted(names))} IN SHARE MODE")
        yield
    finally:
        await holder.close()


async def killed(watch: Any, asked: "asyncio.Task[Answer]") -> str | None:
    """End the backend that waits; return the table it waits for, None where the answer came first."""
    deadline = time.monotonic() + WITHIN_S
    while not asked.done():
        found = await watch.fetchrow(WAITS)
        if found is not None:
            await watch.execute("SELECT pg_terminate_backend($1)", found["pid"])
            return str(found["relation"]).removeprefix("public.")
        assert time.monotonic() < deadline, "neither an answer nor a write that waits"
        await asyncio.sleep(0.005)
    return None


async def walk(core: Core, api: Api, session_id: int, what: str, **body: Any) -> tuple[list[str], Answer]:
    """Break an act at each table that it writes; return these in order, and the answer in the end."""
    watch, steps = await asyncpg.connect(core.database), list[str]()
    try:
        before = await api.owner.fetchrow(LEFT)
        while True:
            async with writes_held(core, steps):
                asked = asyncio.create_task(act(api, session_id, what, **body))
                table = await killed(watch, asked)
                if table is None:
                    return steps, await asked
                refused = await asked
            assert refused.status == 503, table
            assert await api.owner.fetchrow(LEFT) == before, table
            assert table not in steps
            steps.append(table)
    finally:
        await watch.close()


@pytest.mark.parametrize(
    ("what", "body", "written"),
    [
        ("pause", REASON, {"attempt_pauses"}),
        ("resume", REASON, {"attempt_pauses"}),
        ("extra-time", {"minutes": 5, **REASON}, {"time_grants"}),
        ("terminate", REASON, {"submissions", "submission_items", "proctor_sessions", "outbox"}),
    ],
)
async def test_an_act_that_breaks_at_any_table_leaves_nothing_and_is_done_once_when_asked_again_s1(
    core: Core, what: str, body: dict[str, Any], written: set[str]
) -> None:
    async with core.school() as api:
        made, attempt_id, session_id = await seated(api)
        await save_all_right(api, made, attempt_id)
        if what == "resume":
            await act(api, session_id, "pause")
        before = await api.owner.fetchrow(LEFT)
        steps, done = await walk(core, api, session_id, what, **body)
        after = await api.owner.fetchrow(LEFT)

    assert set(steps) >= WRITTEN | written
    assert done.status == 200
    for each in ("actions", "commands", "notices"):
        assert after[each] == before[each] + 1
    assert after["recorded"] == before["recorded"] + (3 if what == "terminate" else 2)
