"""Attempts whose time is over: handed in with what was saved, or abandoned (spec.md D-2)."""

import asyncio
from datetime import UTC, datetime, timedelta

from core_api.submissions import expiry
from core_api.submissions.expiry import Swept
from kernel.postgres import open_pool
from kernel.settings import load
from tests.kits.authoring import (
    answer,
    count,
    make_exam,
    save,
    save_all_right,
    start,
    submit,
)
from tests.kits.core import DatabaseAs, change, core_api


async def sweep(database_as: DatabaseAs, now: datetime, times: int = 1) -> list[Swept]:
    settings = load({}, database_url=database_as("veritas_core"))
    async with await open_pool(settings) as pool:
        return await asyncio.gather(*(expiry.sweep(pool, now=now) for _ in range(times)))


async def test_the_sweep_hands_in_what_was_saved_and_abandons_what_was_not_d2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, expiry_sweep_s=3600) as api:
        made, second = await make_exam(api), await make_exam(api, title="Chemistry")
        saved = await start(api, made)
        await api.start_session(attempt_id=saved)
        await save_all_right(api, made, saved)
        empty = await start(api, made, "other_student")
        await api.owner.execute("UPDATE exam_attempts SET expires_at = now() - interval '1 second'")
        running = await start(api, second)
        swept = await sweep(database_as, datetime.now(UTC), times=4)
        again = await sweep(database_as, datetime.now(UTC))

        assert sum(each.finalised for each in swept) == 1
        assert sum(each.abandoned for each in swept) == 1
        assert again == [Swept(finalised=0, abandoned=0, failed=0)]
        shown = {
            each: (await api.get(f"/api/student/attempts/{each}", by)).body
            for each, by in ((saved, "student"), (empty, "other_student"), (running, "student"))
        }
        assert (shown[saved]["status"], shown[saved]["submitted_by"]) == ("completed", "expiry")
        assert (shown[empty]["status"], shown[empty]["submitted_by"]) == ("abandoned", "expiry")
        assert shown[running]["status"] == "in_progress"
        sessions = await api.owner.fetch("SELECT attempt_id::text, status FROM proctor_sessions")
        assert {row["attempt_id"]: row["status"] for row in sessions} == {saved: 2, empty: 2, running: 1}
        late = await submit(api, saved)
        assert (late.status, late.body["submitted_by"]) == (200, "expiry")
        assert (await submit(api, empty, "other_student")).status == 409


async def test_a_hand_in_after_the_end_counts_what_was_saved_before_it_d2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, expiry_sweep_s=3600) as api:
        made = await make_exam(api, "numeric")
        question = made.questions["numeric"]
        saved, empty = await start(api, made), await start(api, made, "other_student")
        await save(api, saved, answer(question, 1, number=5))
        await api.owner.execute("UPDATE exam_attempts SET expires_at = now() - interval '1 second'")
        late = [answer(question, 2, number=0.3)]
        handed_in = await submit(api, saved, answers=late)
        refused = await submit(api, empty, "other_student", answers=late)

        assert (handed_in.status, handed_in.body["submitted_by"]) == (201, "expiry")
        assert (await api.get(f"/api/student/attempts/{saved}", "student")).body["score"] == 0.0
        assert refused.status == 409
        assert await count(api, "exam_attempts WHERE status = 'abandoned'") == 1


async def test_the_running_api_sweeps_by_itself_d2(database: str, database_as: DatabaseAs) -> None:
    async with core_api(database, database_as, expiry_sweep_s=0.05) as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        await api.owner.execute("UPDATE exam_attempts SET expires_at = now()")
        for _ in range(500):
            if await count(api, "submissions"):
                break
            await asyncio.sleep(0.02)
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert shown["submitted_by"] == "expiry"


async def test_a_sweep_that_fails_is_tried_again_d2(database: str, database_as: DatabaseAs) -> None:
    await change(database, "REVOKE SELECT ON exam_attempts FROM veritas_core")
    async with core_api(database, database_as, expiry_sweep_s=0.05) as api:
        await asyncio.sleep(0.3)
        await api.owner.execute("GRANT SELECT ON public.exam_attempts TO veritas_core")
        await start(api, await make_exam(api))
        await api.owner.execute("UPDATE exam_attempts SET expires_at = now()")
        for _ in range(500):
            if await count(api, "exam_attempts WHERE status = 'abandoned'"):
                break
            await asyncio.sleep(0.02)

        assert await count(api, "exam_attempts WHERE status = 'abandoned'") == 1


async def test_one_attempt_that_cannot_be_finalised_does_not_hold_up_the_others_d2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, expiry_sweep_s=3600) as api:
        made = await make_exam(api)
        bad, good = await start(api, made), await start(api, made, "other_student")
        await save_all_right(api, made, bad)
        await save_all_right(api, made, good, "other_student")
        await api.owner.execute(
            "UPDATE attempt_answers SET response = '{\"riddle\": 1}' WHERE attempt_id = $1", bad
        )
        swept = await sweep(database_as, datetime.now(UTC) + timedelta(hours=1))

        assert swept == [Swept(finalised=1, abandoned=0, failed=1)]
        assert (await api.get(f"/api/student/attempts/{good}", "other_student")).body["status"] == "completed"
