"""A key or an answer that a hand has spoilt costs nobody what they wrote (spec.md S-1, D-1)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core_api.authoring import published
from core_api.submissions import expiry
from kernel.postgres import open_pool
from kernel.settings import load
from tests.kits.authoring import RIGHT, Made, answer, make_exam, save, save_all_right, start, submit
from tests.kits.core import Answer, Api, Core

COLUMNS = {"key": '[null, "text", {"": {"": []}}]', "paper": '[null, "text"]'}
SPOILT = "stored_spoilt"


async def spoil(api: Api, made: Made, column: str, text: str | None = None) -> str:
    """Put another text into a column of the published version, past its triggers; return what was there."""
    version = made.evaluation_version_id
    async with api.owner.transaction():
        await api.owner.execute("SET LOCAL session_replication_role = replica")
        await api.owner.execute("ALTER TABLE public.evaluation_versions DISABLE TRIGGER USER")
        before: str = await api.owner.fetchval(
            f"SELECT {column}::text FROM evaluation_versions WHERE id = $1", version
        )
        await api.owner.execute(
            f"UPDATE public.evaluation_versions SET {column} = $2::text::jsonb WHERE id = $1",
            version,
            COLUMNS[column] if text is None else text,
        )
        await api.owner.execute("ALTER TABLE public.evaluation_versions ENABLE TRIGGER USER")
    published.forget()
    return before


def right(made: Made, kind: str) -> dict[str, Any]:
    return answer(made.questions[kind], 1, **RIGHT[kind])


def assert_spoilt(answered: Answer) -> None:
    assert (answered.status, answered.body["code"]) == (409, SPOILT), answered.body


@pytest.mark.parametrize("ends", ["handed in again", "at its end"])
async def test_a_hand_in_without_a_readable_key_keeps_its_answers_s1(core: Core, ends: str) -> None:
    """It is refused by name, what it brought is saved, and once the key is mended nothing is missing."""
    async with core.school() as api:
        made = await make_exam(api, "numeric", "short_text")
        attempt_id = await start(api, made)
        whole = await spoil(api, made, "key")
        await save(api, attempt_id, right(made, "numeric"))
        brought = [right(made, "short_text")]

        for _ in range(2):
            assert_spoilt(await submit(api, attempt_id, answers=brought, key="handed in"))
        shown = await api.get(f"/api/student/attempts/{attempt_id}", "student")
        assert shown.body["status"] == "in_progress"

        await spoil(api, made, "key", whole)
        if ends == "at its end":
            settings = load({}, database_url=core.database_as("veritas_core"))
            async with await open_pool(settings) as pool:
                await expiry.sweep(pool, now=datetime.now(UTC) + timedelta(days=2))
        else:
            done = await submit(api, attempt_id, answers=brought, key="handed in")
            assert done.status == 201, done.body
        ended = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body
        assert (ended["status"], ended["score"]) == ("completed", 100.0)


async def test_grading_without_a_readable_key_or_answer_says_so_s3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", "numeric")
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        submission_id = (await submit(api, attempt_id)).body["submission_id"]
        grades = f"/api/teacher/submissions/{submission_id}/grades"
        points = {"grades": [{"position": 1, "points": 1}]}

        whole = await spoil(api, made, "key")
        assert_spoilt(await api.post(grades, "teacher", json=points))
        await spoil(api, made, "key", whole)
        async with api.owner.transaction():
            await api.owner.execute("SET LOCAL session_replication_role = replica")
            await api.owner.execute("ALTER TABLE public.submission_items DISABLE TRIGGER USER")
            await api.owner.execute(
                "UPDATE public.submission_items SET response = '[1]' WHERE submission_id = $1", submission_id
            )
            await api.owner.execute("ALTER TABLE public.submission_items ENABLE TRIGGER USER")
        assert_spoilt(await api.post(grades, "teacher", json=points))
        shown = (await api.get(f"/api/teacher/submissions/{submission_id}", "teacher")).body
        assert [each["revision"] for each in shown["scores"]] == [1]


async def test_an_answer_is_saved_by_the_paper_alone_d1(core: Core) -> None:
    """Whoever writes needs no key; without a paper an answer cannot be told from anything else."""
    async with core.school() as api:
        made = await make_exam(api, "numeric", "single_choice")
        attempt_id = await start(api, made)
        await spoil(api, made, "key")
        assert (await save(api, attempt_id, right(made, "single_choice"))).status == 200
        wrong = answer(made.questions["single_choice"], 2, choice="z")
        assert (await save(api, attempt_id, wrong)).status == 422
        await spoil(api, made, "paper")
        assert_spoilt(await save(api, attempt_id, right(made, "numeric")))
