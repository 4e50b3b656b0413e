"""A programme's progress follows every cause exactly once, whoever is killed when (spec.md M-3)."""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from kernel.errors import UnavailableError
from kernel.settings import Settings
from tests.kits.authoring import RIGHT, Made, answer, make_exam, save, start, submit
from tests.kits.core import Api, Core
from tests.kits.killing import killing
from tests.kits.pipeline_child import drain_outbox, kill_at
from tests.kits.programmes import asks, enrol, enrolments, follow, published
from tests.kits.remediations import apply, drafted, undone
from tests.kits.reviews import decide, end_attempt, make_reviewed_exam, override
from warehouse.publish import no_step

STEPS = (
    "UPDATE ON programme_causes", "UPDATE ON programme_enrolment_progress",
    "UPDATE ON programme_enrolments", "INSERT ON ledger_events",
)  # fmt: skip
JUDGED = (
    "SELECT l.kind FROM programme_causes c JOIN ledger_events l ON l.id = c.event_id"
    " WHERE c.judged_at IS NOT NULL ORDER BY l.id"
)
BECAME = (
    "SELECT kind, convert_from(body, 'UTF8')::json #>> '{detail,causes,0}' AS cause,"
    " convert_from(body, 'UTF8')::json #>> '{detail,causes,1}' AS more FROM ledger_events"
    " WHERE kind IN ('programme_enrolment.completed', 'programme_enrolment.revoked') ORDER BY id"
)


async def causes(api: Api) -> list[str]:
    """Return what enrolments were judged for, in order."""
    return [row["kind"] for row in await api.owner.fetch(JUDGED)]


async def changes(api: Api) -> list[tuple[str, str | None]]:
    """Return what became of enrolments, as the ledger says it, each with its one cause."""
    known = {
        str(row["id"]): row["kind"] for row in await api.owner.fetch("SELECT id, kind FROM ledger_events")
    }
    rows = await api.owner.fetch(BECAME)
    assert [row["more"] for row in rows] == [None] * len(rows)
    return [(row["kind"].rpartition(".")[2], known.get(row["cause"])) for row in rows]


async def state(api: Api, programme_id: str) -> Any:
    (enrolment,) = await enrolments(api, programme_id)
    return enrolment["state"]


async def test_finalised_voided_and_restored_are_followed_once_each_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        await enrol(api, await published(api, asks(made.exam_id, must_pass=True)), "student")
        await follow(core)
        ended = await end_attempt(api, made)
        await follow(core)
        assert (await decide(api, ended.session_id, 4, finalize=True)).status == 200
        await follow(core)
        await override(api, await api.owner.fetchval("SELECT max(id) FROM proctor_decisions"), 2)
        await follow(core)

        assert await causes(api) == ["submission.finalised", "result.voided", "result.restored"]
        assert await changes(api) == [
            ("completed", "submission.finalised"), ("revoked", "result.voided"),
            ("completed", "result.restored"),
        ]  # fmt: skip


async def graded(api: Api, submission_id: str, points: int) -> None:
    body = {"grades": [{"position": 1, "points": points}]}
    done = await api.post(f"/api/teacher/submissions/{submission_id}/grades", "teacher", json=body)
    assert done.status == 201, done.body


async def test_a_grade_completes_and_a_lower_one_revokes_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay")
        programme_id = await published(api, asks(made.exam_id, min_percentage=50))
        await enrol(api, programme_id, "student")
        attempt_id = await start(api, made)
        await save(api, attempt_id, answer(made.questions["essay"], 1, **RIGHT["essay"]))
        submission_id = (await submit(api, attempt_id)).body["submission_id"]
        await follow(core)
        states = [await state(api, programme_id)]
        for points in (1, 0, 1):
            await graded(api, submission_id, points)
            await follow(core)
            states.append(await state(api, programme_id))

        assert states == ["active", "completed", "revoked", "completed"]
        assert await causes(api) == ["submission.finalised", *["submission.scored"] * 3]


async def half_right(api: Api) -> Made:
    """Make an exam of two questions, the first of which the student has wrong."""
    made = await make_exam(api, "single_choice", "numeric")
    attempt_id = await start(api, made)
    wrong = answer(made.questions["single_choice"], 1, choice="c")
    await save(api, attempt_id, wrong, answer(made.questions["numeric"], 1, **RIGHT["numeric"]))
    assert (await submit(api, attempt_id)).status == 201
    return made


async def test_a_remediation_completes_and_its_undoing_revokes_m3(core: Core) -> None:
    async with core.school() as api:
        made = await half_right(api)
        programme_id = await published(api, asks(made.exam_id, min_percentage=100))
        await enrol(api, programme_id, "student")
        await follow(core)
        before = await state(api, programme_id)
        remediation_id = await drafted(api, made, {"kind": "drop_question", "position": 1})
        await apply(api, remediation_id)
        await follow(core)
        (moved,) = await enrolments(api, programme_id)
        await apply(api, await undone(api, remediation_id))
        await follow(core)

        assert (before, moved["state"], await state(api, programme_id)) == ("active", "completed", "revoked")
        assert (moved["progress"][0]["state"], moved["progress"][0]["counted"]) == ("met", 1)
        assert await changes(api) == [("completed", "submission.scored"), ("revoked", "submission.scored")]


async def test_a_kill_at_any_step_loses_no_cause_and_doubles_none_m3(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        await enrol(api, await published(api, asks(made.exam_id)), "student")
        await follow(core)
        await end_attempt(api, made)
        reader = Settings(database_url=core.database_as("veritas_pipeline"))
        for at in ("claimed", "handed_over", "deleted"):
            assert await asyncio.to_thread(kill_at, "outbox", reader, at)
            assert await api.owner.fetchval("SELECT count(*) FROM programme_causes") == 0, at
        await asyncio.to_thread(drain_outbox, reader, no_step)
        for step in STEPS:
            for at_commit in (False, True):
                async with killing(api, step, at_commit=at_commit):
                    with suppress(UnavailableError):
                        await follow(core)
                assert (step, await causes(api), await changes(api)) == (step, [], [])
        both = await asyncio.gather(follow(core), follow(core))

        assert sum(both) == 1
        assert await causes(api) == ["submission.finalised"]
        assert await changes(api) == [("completed", "submission.finalised")]


async def test_a_fact_that_is_told_twice_is_one_cause_m3(core: Core) -> None:
    """Whoever tells it; and what was taken up stays so, even for the owner."""
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        await enrol(api, await published(api, asks(made.exam_id)), "student")
        await follow(core)
        await end_attempt(api, made)
        await api.owner.execute("CREATE TEMPORARY TABLE told AS SELECT * FROM outbox")
        judged = [await follow(core)]
        await api.owner.execute("INSERT INTO public.outbox OVERRIDING SYSTEM VALUE SELECT * FROM told")
        judged.append(await follow(core))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.owner.execute("UPDATE programme_causes SET judged_at = NULL")

        assert judged == [1, 0]
        assert await causes(api) == ["submission.finalised"]


async def test_an_enrolment_that_cannot_be_judged_holds_up_no_other_m3(core: Core) -> None:
    async with core.school() as api:
        await follow(core)
        made = await make_reviewed_exam(api)
        programme_id = await published(api, asks(made.exam_id))
        await enrol(api, programme_id, "student", "other_student")
        stuck, other = await enrolments(api, programme_id)
        await api.owner.execute(STICK.format(stuck["enrolment_id"]))
        try:
            first = await follow(core)
        finally:
            await api.owner.execute(FREE)

        assert (first, await follow(core)) == (1, 1)
        assert other["state"] == "active"


STICK = """
CREATE FUNCTION public.stick() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER stick BEFORE UPDATE ON public.programme_enrolments FOR EACH ROW WHEN (OLD.id = '{}')
    EXECUTE FUNCTION public.stick()
"""
FREE = "DROP TRIGGER stick ON public.programme_enrolments; DROP FUNCTION public.stick()"
