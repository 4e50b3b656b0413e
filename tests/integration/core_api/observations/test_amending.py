"""
Observations after they were finalised: returned, accepted, amended by a further one (spec.md M-4).
"""

import asyncio
import random
from collections import Counter
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from core_api.observations.states import NEXT, State
from tests.integration.core_api.observations.test_observation_views import another_observer, permit
from tests.integration.core_api.observations.test_observations import found, make_form, observe
from tests.kits.authoring import Made
from tests.kits.core import Answer, Api, Core
from tests.kits.evidence import PNG, sent


async def amend(
    api: Api, form: Made, submission_id: str, *, key: str = "amended", by: str = "observer", **body: Any
) -> Answer:
    """Amend an observation: the finding is at its best level now."""
    said = {
        "subject_ids": [str(api.people["student"].id)],
        "items": found(form, finding={"choice": "d"}),
        "reason": "Another bench.",
    }
    return await api.post(
        f"/api/observer/observations/{submission_id}/amendments",
        by,
        json=said | body,
        headers={"Idempotency-Key": key},
    )


async def review(api: Api, submission_id: str, verdict: str, by: str = "teacher") -> Answer:
    body = {"verdict": verdict, "reason": f"It is {verdict}."}
    return await api.post(f"/api/teacher/observations/{submission_id}/reviews", by, json=body)


async def whole(api: Api, submission_id: str) -> Any:
    return (await api.get(f"/api/teacher/observations/{submission_id}", "teacher")).body


async def test_a_returned_observation_is_amended_and_the_one_in_its_place_accepted_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        first = (await observe(api, form)).body["submission_id"]
        returned = await review(api, first, "returned")
        made = await amend(api, form, first)
        again = await amend(api, form, first)
        second = made.body["submission_id"]
        accepted = await review(api, second, "accepted")
        before, after = await whole(api, first), await whole(api, second)
        own = (await api.get(f"/api/observer/observations/{second}", "observer")).body
        listed = (await api.get("/api/observer/observations?state=amended", "observer")).body["observations"]

        assert [each.status for each in (returned, made, again, accepted)] == [201, 201, 200, 201]
        assert again.body == made.body
        assert (before["state"], before["amended_by"], before["amends"]) == ("amended", second, None)
        assert (after["state"], after["amends"], after["amendment_reason"]) == (
            "accepted", first, "Another bench.",
        )  # fmt: skip
        assert (before["score"], after["score"]) == (25.0, 50.0)
        assert [(each["verdict"], each["reviewer_name"]) for each in before["reviews"]] == [
            ("returned", "The teacher")
        ]
        content = orjson.loads(own["content"])
        assert (content["amends"], content["amendment_reason"]) == (first, "Another bench.")
        assert [each["submission_id"] for each in listed] == [first]
        event = await api.owner.fetchval(
            "SELECT body FROM ledger_events WHERE id = $1", made.body["event_id"]
        )
        assert first.encode() in event
        assert b"Another bench" not in event


async def test_evidence_stays_with_the_one_it_was_attached_to_and_is_shown_with_the_amendment_m4(
    core: Core,
) -> None:
    async with core.school() as api:
        form = await make_form(api)
        picture = {"examId": form.exam_id, "type": 3, "contentType": "image/png", "fileName": "bench.png"}
        one, two = [await sent(api, None, PNG, "observer", **picture) for _ in range(2)]
        first = (await observe(api, form, evidence=[{"evidence_id": one}])).body["submission_id"]
        twice = await amend(api, form, first, key="twice", evidence=[{"evidence_id": one}])
        second = (await amend(api, form, first, evidence=[{"evidence_id": two}])).body["submission_id"]

        assert (twice.status, twice.body["errors"][0]["path"]) == (422, "evidence[0].evidence_id")
        links = (await whole(api, second))["evidence"]
        assert [(each["evidence_id"], each["submission_id"]) for each in links] == [
            (one, first), (two, second),
        ]  # fmt: skip


async def test_only_its_observer_amends_and_only_whom_it_names_already_may_have_left_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        await another_observer(api, form)
        thing = await api.post("/api/admin/subjects", "admin", json={"name": "Bench", "category": "bench"})
        first = await observe(api, form, subject_ids=[thing.body["id"]])
        retired = await api.call(
            "PUT", f"/api/admin/subjects/{thing.body['id']}", "admin", json={"is_active": False}
        )
        new = await observe(api, form, key="new", subject_ids=[thing.body["id"]])
        others = await amend(api, form, first.body["submission_id"], by="watcher")
        own = await amend(api, form, first.body["submission_id"], subject_ids=[thing.body["id"]])
        unknown = await amend(api, form, str(uuid4()), key="unknown")

        assert [each.status for each in (first, retired, new, others, own, unknown)] == [
            201, 200, 422, 404, 201, 404,
        ]  # fmt: skip
        assert (await whole(api, own.body["submission_id"]))["subjects"] == [
            {"id": thing.body["id"], "kind": "entity", "full_name": "Bench"}
        ]
        event = await api.owner.fetchrow(
            "SELECT subject_id FROM ledger_events WHERE id = $1", own.body["event_id"]
        )
        assert event["subject_id"] is None  # a thing has no record of its own to fetch


async def test_a_review_is_of_others_in_exams_that_one_judges_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        await permit(api, form, "reviewer")
        first = (await observe(api, form)).body["submission_id"]
        answers = [await review(api, first, "accepted", by) for by in ("observer", "colleague", "student")]
        by_reviewer = await review(api, first, "accepted", "reviewer")
        again = await review(api, first, "accepted")
        await amend(api, form, first)
        late = await review(api, first, "returned")

        assert [each.status for each in answers] == [403, 404, 403]
        assert (by_reviewer.status, again.status, late.status) == (201, 201, 409)
        with pytest.raises(asyncpg.CheckViolationError):  # whoever has the tables is refused as well
            await api.owner.execute(
                "INSERT INTO public.observation_reviews SELECT submission_id, 9, organisation_id, exam_id,"
                " observer_id, 'returned', reason, reviewed_by, reviewed_at FROM observation_reviews"
            )


async def test_of_many_that_amend_and_review_at_once_one_goes_first_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        first = (await observe(api, form)).body["submission_id"]
        acts = [amend(api, form, first, key=f"k{n}") for n in range(6)]
        acts += [review(api, first, verdict) for verdict in ("accepted", "returned") * 3]
        answers = await asyncio.gather(*acts)

        assert Counter(each.status for each in answers[:6]) == {201: 1, 409: 5}
        assert {each.status for each in answers[6:]} <= {201, 409}
        assert await api.owner.fetchval("SELECT count(*) FROM submissions WHERE amends = $1", first) == 1


async def test_the_databases_table_of_steps_is_the_programs_m4(core: Core) -> None:
    async with core.school() as api:
        rows = await api.owner.fetch("SELECT state, next FROM public.observation_steps")

    assert {(row["state"], row["next"]) for row in rows} == {
        (str(state), str(following)) for state, after in NEXT.items() for following in after
    }


@pytest.mark.parametrize("seed", range(4))
async def test_random_acts_of_random_roles_follow_the_table_m4(core: Core, seed: int) -> None:
    """What a chain of observations comes to is what the table allows, whoever tries whatever."""
    chance = random.Random(seed)
    async with core.school() as api:
        form = await make_form(api)
        chain = [(await observe(api, form)).body["submission_id"]]
        states = {chain[0]: State.finalised}
        for n in range(25):
            of, by = (
                chance.choice(chain),
                chance.choice(["observer", "teacher", "admin", "colleague"]),
            )
            act = chance.choice(list(State)[1:])
            if act is State.amended:
                answer = await amend(api, form, of, key=f"k{n}", by=by)
                may = by == "observer"
            else:
                answer = await review(api, of, act, by)
                may = by in {"teacher", "admin"}
            follows = act in NEXT[states[of]]
            refused = {403, 404} if not may else {409}
            wanted = {201} if may and follows else refused
            assert answer.status in wanted, (act, by, states[of])
            if answer.status == 201:
                states[of] = act
                if act is State.amended:
                    chain.append(answer.body["submission_id"])
                    states[chain[-1]] = State.finalised
        path = f"/api/teacher/exams/{form.exam_id}/observations"
        shown = (await api.get(path, "teacher")).body["observations"]

        assert {each["submission_id"]: each["state"] for each in shown} == states
        assert [each["amends"] for each in shown] == [*reversed(chain[:-1]), None]
