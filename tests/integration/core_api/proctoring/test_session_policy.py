"""A proctor session is as strict as the policy that its attempt began under (spec.md E-3, P-1)."""

from typing import Any

import orjson

from tests.kits.authoring import Made, make_exam, start
from tests.kits.core import Answer, Api, Core, put


async def assign(api: Api, made: Made, **terms: Any) -> str:
    """Assign the exam to the student and return the assignment's id."""
    body = {"user_ids": [str(api.people["student"].id)], **terms}
    assigned = await api.post(f"/api/teacher/exams/{made.exam_id}/assignments", "teacher", json=body)
    assert assigned.status == 201, assigned.body
    assignment_id: str = assigned.body["assignments"][0]["id"]
    return assignment_id


async def override(api: Api, made: Made, assignment_id: str, **terms: Any) -> None:
    student = api.people["student"].id
    path = f"/api/teacher/exams/{made.exam_id}/assignments/{assignment_id}/overrides/{student}"
    assert (await put(api, path, "teacher", reason="Agreed.", **terms)).status == 200


async def begin(api: Api, attempt_id: str, **asked: Any) -> Answer:
    return await api.post("/api/proctor/session", "student", json={"attemptId": attempt_id, **asked})


async def test_a_client_cannot_ask_for_less_than_the_policy_demands_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        await override(api, made, await assign(api, made, monitoring_mode=1), monitoring_mode=2)
        attempt_id = await start(api, made)
        answers = [
            await begin(api, attempt_id, mode=1),
            await begin(api, attempt_id),
            await begin(api, attempt_id, mode=2),
        ]

        assert [(each.status, each.body["data"]["mode"]) for each in answers] == [
            (201, 2),
            (200, 2),
            (200, 2),
        ]
        assert await api.owner.fetchval("SELECT array_agg(mode) FROM proctor_sessions") == [2]


async def test_create_advanced_proctor_session_beside_the_soft_one_decision_8(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Create advanced proctor session"."""
    async with core.school() as api:
        attempt_id = await start(api, await make_exam(api, "numeric"))
        answers = [await begin(api, attempt_id), await begin(api, attempt_id, mode=2)]

        assert [(each.status, each.body["data"]["mode"]) for each in answers] == [(201, 1), (201, 2)]


async def test_an_attempt_that_is_not_proctored_gets_no_session_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        await assign(api, made, monitoring_mode=0)
        attempt_id = await start(api, made)
        refused = [await begin(api, attempt_id, mode=mode) for mode in (1, 2)]
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert [(each.status, each.body["code"]) for each in refused] == [(409, "conflict")] * 2
        assert await api.owner.fetchval("SELECT count(*) FROM proctor_sessions") == 0
        assert (shown["enable_monitoring"], shown["monitoring_mode"]) == (False, 0)


async def test_an_exam_without_monitoring_is_proctored_where_an_assignment_says_so_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric", enable_monitoring=False)
        await assign(api, made, monitoring_mode=2)
        attempt_id = await start(api, made)
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert (shown["enable_monitoring"], shown["monitoring_mode"]) == (True, 2)
        assert (await begin(api, attempt_id)).body["data"]["mode"] == 2


async def test_what_is_agreed_after_the_start_changes_neither_mode_nor_exemptions_e3(core: Core) -> None:
    """The session belongs to an attempt, and the attempt keeps its policy: whoever scores reads it there."""
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        assignment_id = await assign(api, made, monitoring_mode=2, rule_exemptions=[4])
        await override(api, made, assignment_id, rule_exemptions=[7])
        attempt_id = await start(api, made)
        await override(api, made, assignment_id, monitoring_mode=1, rule_exemptions=[8])
        begun = await begin(api, attempt_id)
        policy = orjson.loads(
            await api.owner.fetchval(
                "SELECT a.policy FROM proctor_sessions s JOIN exam_attempts a ON a.id = s.attempt_id"
            )
        )

        assert begun.body["data"]["mode"] == 2
        assert (policy["monitoring_mode"], policy["rule_exemptions"]) == (2, [4, 7])
