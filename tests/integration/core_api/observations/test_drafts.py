"""Drafts of observations: one's own, saved without overwriting, finalised once (spec.md M-4, S-1)."""

import asyncio
from collections import Counter
from typing import Any

from core_api.observations import drafts
from tests.integration.core_api.observations.test_amending import whole
from tests.integration.core_api.observations.test_observation_views import another_observer
from tests.integration.core_api.observations.test_observations import found, make_form, observe
from tests.kits.authoring import Made, outcome
from tests.kits.core import Answer, Api, Core

PATH = "/api/observer/observation-drafts"


async def begin(api: Api, form: Made, by: str = "observer", **body: Any) -> Answer:
    return await api.post(f"/api/observer/exams/{form.exam_id}/observation-drafts", by, json=body)


async def save(api: Api, draft_id: str, version: int, by: str = "observer", **content: Any) -> Answer:
    body = {"version": version, "content": content}
    return await api.call("PUT", f"{PATH}/{draft_id}", by, json=body)


async def finalise(api: Api, draft_id: str, by: str = "observer") -> Answer:
    return await api.post(f"{PATH}/{draft_id}/finalise", by)


async def test_a_draft_is_written_bit_by_bit_and_becomes_one_observation_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        begun = await begin(api, form)
        draft_id = begun.body["id"]
        empty = await finalise(api, draft_id)
        student = str(api.people["student"].id)
        saved = await save(api, draft_id, 1, subject_ids=[student])
        late = await save(api, draft_id, 1, subject_ids=[])
        await save(api, draft_id, 2, subject_ids=[student], items=found(form, finding={"choice": "z"}))
        wrong = await finalise(api, draft_id)
        await save(api, draft_id, 3, subject_ids=[student], items=found(form, finding={"choice": "c"}))
        kept = (await api.get(f"{PATH}/{draft_id}", "observer")).body
        answers = await asyncio.gather(*(finalise(api, draft_id) for _ in range(10)))
        gone = await api.get(f"{PATH}/{draft_id}", "observer")

        assert (begun.status, begun.body["version"], begun.body["content"]["items"]) == (201, 1, [])
        assert (empty.status, empty.body["errors"][0]["path"]) == (422, "content.subject_ids")
        assert (saved.status, saved.body["version"], late.status) == (200, 2, 409)
        assert (wrong.status, wrong.body["errors"][0]["path"]) == (422, "items[0].response")
        assert (kept["version"], kept["content"]["items"]) == (4, found(form, finding={"choice": "c"}))
        assert Counter(each.status for each in answers) == {201: 1, 200: 9}
        assert len({each.body["submission_id"] for each in answers}) == 1
        assert gone.status == 404
        assert (await outcome(api))["submissions"] == 1
        assert (await whole(api, answers[0].body["submission_id"]))["score"] == 25.0


async def test_a_draft_is_nobody_elses_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        await another_observer(api, form)
        draft_id = (await begin(api, form)).body["id"]
        others = [
            await api.get(f"{PATH}/{draft_id}", "watcher"),
            await save(api, draft_id, 1, "watcher"),
            await finalise(api, draft_id, "watcher"),
            await api.call("DELETE", f"{PATH}/{draft_id}", "watcher"),
        ]
        listed = (await api.get(PATH, "watcher")).body["drafts"]
        refused = [await api.get(f"{PATH}/{draft_id}", by) for by in ("teacher", "admin", "student")]
        deleted = await api.call("DELETE", f"{PATH}/{draft_id}", "observer")

        assert [each.status for each in others] == [404] * 4
        assert (listed, [each.status for each in refused], deleted.status) == ([], [403] * 3, 204)
        assert (await finalise(api, draft_id)).status == 404


async def test_whose_exam_is_no_longer_granted_reads_and_deletes_a_draft_m4(core: Core) -> None:
    """And neither saves nor finalises it: that would be refused by row security at the latest."""
    async with core.school() as api:
        form = await make_form(api)
        draft_id = (await begin(api, form)).body["id"]
        await save(api, draft_id, 1, subject_ids=[str(api.people["student"].id)])
        observer = api.people["observer"].id
        await api.call("DELETE", f"/api/admin/exams/{form.exam_id}/permissions/{observer}", "admin")
        refused = [await save(api, draft_id, 2), await finalise(api, draft_id)]
        read = await api.get(f"{PATH}/{draft_id}", "observer")
        deleted = await api.call("DELETE", f"{PATH}/{draft_id}", "observer")

        assert [each.status for each in refused] == [404, 404]
        assert (read.status, deleted.status) == (200, 204)


async def test_a_draft_of_an_amendment_says_why_m4(core: Core) -> None:
    async with core.school() as api:
        form, other = await make_form(api), await make_form(api)
        first = (await observe(api, form)).body["submission_id"]
        elsewhere = await begin(api, other, amends=first)
        draft_id = (await begin(api, form, amends=first)).body["id"]
        about = [str(api.people["student"].id)]
        await save(api, draft_id, 1, subject_ids=about)
        without = await finalise(api, draft_id)
        await save(api, draft_id, 2, subject_ids=about, reason="The wrong bench.")
        made = await finalise(api, draft_id)

        assert (elsewhere.status, without.status, made.status) == (404, 422, 201)
        assert without.body["errors"][0]["path"] == "content.reason"
        assert (await whole(api, made.body["submission_id"]))["amendment_reason"] == "The wrong bench."


async def test_there_are_so_many_drafts_and_no_more_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        first = (await begin(api, form)).body["id"]
        await api.owner.execute(
            "INSERT INTO public.observation_drafts SELECT gen_random_uuid(), organisation_id, exam_id,"
            " observer_id, amends, content, version, created_at, updated_at"
            " FROM observation_drafts, generate_series(2, $1) WHERE id = $2",
            drafts.DRAFTS_MAX,
            first,
        )
        refused = await begin(api, form)
        page = (await api.get(f"{PATH}?limit=200&exam={form.exam_id}", "observer")).body

        assert (refused.status, refused.body["code"]) == (409, "conflict")
        assert (len(page["drafts"]), page["next_cursor"]) == (drafts.DRAFTS_MAX, None)
