"""Scores computed at once, and what rules weigh (spec.md R-3, R-4, R-6; proctor-module.txt, 6)."""

from typing import Any

from kernel.events import EventType
from tests.kits.core import Api, Core, store_events

SAMPLE = [
    "proctorSessionId", "riskScore", "riskLevel", "totalEvents", "totalViolations", "triggeredRules",
    "eventBreakdown", "calculatedAt",
]  # fmt: skip


async def calculated(api: Api, session_id: int, by: str = "teacher") -> Any:
    answer = await api.post(f"/api/proctor/session/{session_id}/calculate-risk", by)
    assert answer.status == 200, answer.body
    return answer.body["data"]


async def test_calculate_risk_score(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Calculate risk score"."""
    async with core.school() as api:
        session_id = await api.start_session()
        assert (await calculated(api, session_id))["triggeredRules"] == []
        await store_events(
            api,
            session_id,
            [(EventType.Heartbeat, 0)] * 4
            + [(EventType.FullscreenExited, 2)] * 2
            + [(EventType.CopyAttempt, 3)] * 3,
        )
        found = await calculated(api, session_id, "reviewer")

        assert [name for name in found if name in SAMPLE] == SAMPLE
        assert (found["riskScore"], found["peakRiskScore"], found["riskLevel"]) == (75.0, 75.0, "High")
        assert (found["totalEvents"], found["totalViolations"]) == (9, 5)
        assert found["eventBreakdown"] == {"Heartbeat": 4, "CopyAttempt": 3, "FullscreenExited": 2}
        assert [
            (each["ruleName"], each["riskPoints"], each["triggerCount"], each["eventIds"])
            for each in found["triggeredRules"]
        ] == [
            ("Fullscreen Exit", 60.0, 2, [session_id * 2**22 + seq for seq in (5, 6)]),
            ("Copy Attempt", 15.0, 1, [session_id * 2**22 + seq for seq in (7, 8)]),
        ]
        assert found["peak"]["triggeredRules"] == found["triggeredRules"]


async def test_a_rule_that_was_adjusted_weighs_less_with_its_reason_r6(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        await store_events(api, session_id, [(EventType.FullscreenExited, 2), (EventType.DevToolsOpened, 3)])
        before = await calculated(api, session_id)
        rules = {each["ruleName"]: each["ruleId"] for each in before["triggeredRules"]}
        path = f"/api/proctor/session/{session_id}/risk/adjustments"
        half = {"ruleId": rules["Fullscreen Exit"], "percent": 50, "reason": "A second screen was agreed."}

        assert [(await api.post(path, "teacher", json=half)).status for _ in range(2)] == [201, 200]
        exempt = {"ruleId": rules["DevTools"], "percent": 0, "reason": "A screen reader opens them."}
        assert (await api.post(path, "admin", json=exempt)).status == 201
        after = await calculated(api, session_id)
        assert (before["riskScore"], after["riskScore"]) == (70.0, 15.0)
        assert [(each["ruleName"], each["percent"]) for each in after["triggeredRules"]] == [
            ("Fullscreen Exit", 50)
        ]
        listed = (await api.get(path, "reviewer")).body["data"]
        assert [(each["percent"], each["reason"]) for each in listed] == [
            (0, exempt["reason"]), (50, half["reason"]),
        ]  # fmt: skip
        assert await api.owner.fetchval("SELECT count(*) FROM dirty_sessions") >= 2
        for wrong, at in (
            ({"percent": 5}, "percent"),
            ({"ruleId": 10**9}, "ruleId"),
            ({"reason": ""}, "reason"),
        ):
            refused = await api.post(path, "teacher", json=half | wrong)
            assert (refused.status, refused.body["errors"][0]["path"]) == (422, at)
        assert (await api.post(path, "reviewer", json=half)).status == 403


async def test_the_exemptions_of_the_attempts_policy_count_from_its_beginning_r6(core: Core) -> None:
    async with core.school() as api:
        rules = (await api.get("/api/proctor/rules", "admin")).body["data"]
        exempted = next(each["id"] for each in rules if each["eventTypeName"] == "FullscreenExited")
        body = {"user_ids": [str(api.people["student"].id)], "rule_exemptions": [exempted]}
        path = f"/api/teacher/exams/{api.exam_id}/assignments"
        assert (await api.post(path, "teacher", json=body)).status == 201
        session_id = await api.start_session()
        await store_events(api, session_id, [(EventType.FullscreenExited, 2), (EventType.DevToolsOpened, 3)])

        assert (await calculated(api, session_id))["riskScore"] == 40.0


async def test_sessions_are_sorted_and_filtered_by_risk_and_candidates_see_none_p1(core: Core) -> None:
    """Decisions 6 and 10: both scores for staff, the band of the peak; nothing for the candidate."""
    async with core.school() as api:
        ids = [await api.start_session(), *(each.session_id for each in api.seat(3))]
        await api.owner.executemany(
            "INSERT INTO reporting.session_risk SELECT id, attempt_id, exam_id, organisation_id, rule_set_id,"
            " $2, $3, $4, now(), now() FROM public.proctor_sessions WHERE id = $1",
            [(ids[0], 10, 60, "High"), (ids[1], 20, 20, "Low"), (ids[2], 0, 80, "Critical")],
        )
        path = "/api/proctor/sessions"
        for query, expected in (
            ("?sort=-peakRiskScore", [ids[2], ids[0], ids[1], ids[3]]),
            ("?sort=riskScore", [ids[2], ids[0], ids[1], ids[3]]),
            ("?riskLevel=High", [ids[0]]),
            ("?riskLevel=Low&sort=id", [ids[1]]),
        ):
            for person in ("teacher", "admin"):
                found = (await api.get(path + query, person)).body
                assert [each["id"] for each in found["data"]] == expected, (query, person)
        staffs = (await api.get(f"/api/proctor/session/{ids[0]}", "reviewer")).body["data"]
        attempt = f"/api/proctor/session/attempt/{staffs['attemptId']}"
        own = (await api.get(attempt, "student")).body["data"]

        scores = ("riskScore", "peakRiskScore", "riskLevel")
        assert [staffs[name] for name in scores] == [10.0, 60.0, "High"]
        assert own.keys().isdisjoint(scores)
