"""What waits for a review, in which order, and who takes it (spec.md C-1, R-7)."""

import asyncio
from typing import Any

from tests.kits import evidence
from tests.kits.core import Api, Core
from tests.kits.reviews import decide, end_attempt, make_reviewed_exam, override

SCORE = """
INSERT INTO reporting.session_risk (session_id, attempt_id, exam_id, organisation_id, rule_set_id, risk_score,
                                    peak_risk_score, risk_level, as_of)
SELECT id, attempt_id, exam_id, organisation_id, rule_set_id, $2, $2, $3, now() FROM proctor_sessions
WHERE id = $1
"""
MEET = """
INSERT INTO reporting.session_rule_fires (session_id, rule_id, version, organisation_id, triggers)
SELECT s.id, r.id, 1, s.organisation_id, 2
FROM proctor_sessions s
JOIN (SELECT min(id) AS id, organisation_id FROM public.risk_rules GROUP BY 2) r USING (organisation_id)
WHERE s.id = ANY ($1)
"""
ACT = "INSERT INTO session_actions (session_id, kind, acted_at) VALUES ($1, $2, now())"
CANDIDATES = ("student", "other_student", "third", "fourth")


async def waiting(api: Api) -> tuple[str, list[int]]:
    """Return an exam and four sessions of it: of a critical peak, a high one, a low one, and not scored."""
    for name in CANDIDATES[2:]:
        (user_id,) = api.enrol([f"{name}-{api.exam_id}@x.example"])
        api.people[name] = type(api.people["student"])(
            id=user_id,
            organisation_id=api.people["student"].organisation_id,
            email=name,
            role=api.people["student"].role,
        )
    made = await make_reviewed_exam(api)
    ended = [await end_attempt(api, made, name) for name in CANDIDATES]
    sessions = [each.session_id for each in ended]
    for session_id, peak, level in zip(sessions, (90, 70.5, 5), ("Critical", "High", "Low"), strict=False):
        await api.owner.execute(SCORE, session_id, peak, level)
    return made.exam_id, sessions


async def listed(api: Api, by: str = "reviewer", **query: Any) -> list[int]:
    answer = await api.get("/api/proctor/pending-review", by, params=query)
    assert answer.status == 200, answer.body
    return [row["proctorSessionId"] for row in answer.body["data"]]


async def take_next(api: Api, by: str, **body: Any) -> int | None:
    answer = await api.post("/api/proctor/pending-review/next", by, json=body)
    assert answer.status == 200, answer.body
    row = answer.body["data"]
    return None if row is None else int(row["proctorSessionId"])


async def test_what_waits_comes_by_its_peak_in_pages_until_it_is_final_c1(core: Core) -> None:
    async with core.school() as api:
        exam_id, sessions = await waiting(api)
        pages: list[list[int]] = []
        cursor: dict[str, str] = {}
        while len(pages) < 5:
            page = await api.get("/api/proctor/pending-review", "reviewer", params={"limit": 2, **cursor})
            pages.append([row["proctorSessionId"] for row in page.body["data"]])
            if (following := page.body["paging"]["nextCursor"]) is None:
                break
            cursor = {"cursor": following}

        assert pages == [sessions[:2], sessions[2:]]
        assert await listed(api, level="High") == [sessions[1]]
        assert await listed(api, examId=exam_id, endedBefore="2020-01-01T00:00:00Z") == []
        assert await listed(api, "colleague") == []
        assert (await api.get("/api/proctor/pending-review", "student")).status == 403
        assert (
            await api.get("/api/proctor/pending-review", "colleague", params={"examId": exam_id})
        ).status == 404
        odd = await api.get("/api/proctor/pending-review", "reviewer", params={"cursor": "9;_x"})
        assert odd.status == 422
        await decide(api, sessions[0], 2, finalize=True)
        await decide(api, sessions[1], 5)
        assert await listed(api) == sessions[1:]


async def test_no_two_reviewers_take_the_same_session_c1(core: Core) -> None:
    async with core.school() as api:
        exam_id, sessions = await waiting(api)
        taken = await asyncio.gather(
            *(take_next(api, by, examId=exam_id) for by in ("reviewer", "teacher", "admin"))
        )
        mine = await listed(api, claimed="by_me")
        others = await listed(api, claimed="by_others")
        left = await listed(api, claimed="by_nobody")
        await decide(api, mine[0], 5)
        last = [await take_next(api, "reviewer"), await take_next(api, "reviewer")]

        assert sorted(each or 0 for each in taken) == sorted(sessions[:3])
        assert (mine, sorted([*mine, *others])) == ([taken[0]], sorted(sessions[:3]))
        assert left == [sessions[3]]
        assert last == [sessions[3], None], "what one has escalated is for somebody else"


async def test_a_recommendation_stands_beside_and_learns_from_final_decisions_r7(core: Core) -> None:
    async with core.school() as api:
        exam_id, sessions = await waiting(api)
        await api.owner.execute(MEET, sessions[:3])
        await api.owner.executemany(
            "INSERT INTO session_progress (session_id, through_seq, total_events, total_violations,"
            " first_event_at, last_event_at) VALUES ($1, 9, 9, 0, now(), now())",
            [(each,) for each in sessions],
        )
        before = await recommended(api, exam_id)
        await decide(api, sessions[0], 3, finalize=True)
        upheld = await recommended(api, exam_id)
        decision = await api.get(f"/api/proctor/session/{sessions[0]}/decision", "reviewer")
        await override(api, decision.body["data"]["id"], 2)
        overturned = await recommended(api, exam_id)

        assert before[sessions[3]] is None, "nothing was scored"
        assert [before[each]["recommendedStatusName"] for each in sessions[:3]] == [
            "Suspicious", "Suspicious", "Cleared",
        ]  # fmt: skip
        assert before[sessions[1]]["confidence"] == 0.5
        assert upheld[sessions[1]]["confidence"] == 0.667
        assert (overturned[sessions[1]]["recommendedStatusName"], overturned[sessions[2]]["confidence"]) == (
            "Escalated", 0.667,
        )  # fmt: skip
        assert before[sessions[1]]["reasons"][0] == "The peak of the score is High."
        assert len(before[sessions[1]]["reasons"]) == len(before[sessions[1]]["reasonsAr"]) == 3


async def test_a_recommendation_rests_on_evidence_flags_findings_and_what_does_not_count_r7(
    core: Core,
) -> None:
    async with core.school() as api:
        exam_id, sessions = await waiting(api)
        quiet, path = sessions[2], f"/api/proctor/session/{sessions[2]}"
        await api.owner.execute(
            "INSERT INTO session_progress (session_id, through_seq, total_events, total_violations,"
            " first_event_at, last_event_at) VALUES ($1, 9, 9, 0, now(), now())",
            quiet,
        )
        rule = (await api.get("/api/proctor/rules", "admin")).body["data"][0]
        weight = {"ruleId": rule["id"], "percent": 0, "reason": "Agreed."}
        assert (await api.post(f"{path}/risk/adjustments", "teacher", json=weight)).status == 201
        await evidence.sent(api, quiet, by="third")
        await evidence.asked(api, quiet, "third", isChunked=True)
        shown = (await recommended(api, exam_id))[quiet]
        await api.owner.execute(ACT, quiet, "flag")
        flagged = (await recommended(api, exam_id))[quiet]
        await api.owner.execute(ACT, quiet, "unflag")
        taken_back = (await recommended(api, exam_id))[quiet]
        await api.owner.execute("UPDATE evidence SET damaged_at = now() WHERE status = 2")
        damaged = (await recommended(api, exam_id))[quiet]
        await api.owner.execute("UPDATE evidence SET damaged_at = NULL, gone_at = now() WHERE status = 2")
        gone = (await recommended(api, exam_id))[quiet]

        assert (shown["recommendedStatusName"], shown["confidence"]) == ("Cleared", 0.5), (
            "half of it is there"
        )
        assert {
            f"{rule['nameEn']} does not count for this candidate.", "Evidence announced and not there: 1.",
            "Evidence to look at: 1.",
        } <= set(shown["reasons"])  # fmt: skip
        assert flagged["recommendedStatusName"] == "Escalated"
        assert set(flagged["reasons"]) - set(shown["reasons"]) == {"A proctor's flag stands."}
        assert taken_back == shown
        assert damaged["recommendedStatusName"] == "Escalated"
        assert set(damaged["reasons"]) - set(shown["reasons"]) == {
            "Evidence whose bytes are not what was stored: 1."
        }
        assert set(gone["reasons"]) - set(shown["reasons"]) == {"There is no evidence to look at."}


async def recommended(api: Api, exam_id: str) -> dict[int, Any]:
    answer = await api.get("/api/proctor/pending-review", "reviewer", params={"examId": exam_id})
    return {row["proctorSessionId"]: row["recommendation"] for row in answer.body["data"]}
