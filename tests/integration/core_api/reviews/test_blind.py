"""Two people review a session apart, and a third decides where they differ (spec.md C-2)."""

import asyncio
from typing import Any

import asyncpg
import pytest

from kernel.events import Role
from tests.integration.core_api.reviews.test_queue import MEET
from tests.kits.authoring import Made
from tests.kits.core import Api, Core
from tests.kits.reviews import decide, end_attempt, make_reviewed_exam, override, review

NOTES = "Seat 12, camera 3."
# Who might review the session second, or decide; `colleague` was made an adjudicator.
OTHERS = ("teacher", "colleague", "admin", "assistant")


async def doubly_reviewed(api: Api) -> Made:
    """Make an exam that two review, the reviewer among them; the colleague adjudicates, as does its maker."""
    made = await make_reviewed_exam(api, double_review=True)
    domain = api.people["admin"].email.partition("@")[2]
    body = {"email": f"assistant@{domain}", "role": "reviewer"}
    found = (await api.post("/api/admin/users", "admin", json=body)).body
    api.people["assistant"] = type(api.people["reviewer"])(
        id=found["id"],
        organisation_id=api.people["reviewer"].organisation_id,
        email=body["email"],
        role=Role.reviewer,
    )
    for name in ("colleague", "assistant"):
        grant = {"user_id": str(api.people[name].id), "can_adjudicate": name == "colleague"}
        granted = await api.post(f"/api/admin/exams/{made.exam_id}/permissions", "admin", json=grant)
        assert granted.status == 200, granted.body
    return made


async def read(api: Api, session_id: int, by: str) -> list[tuple[str, str]]:
    """Return what somebody reads of a session's reviews: by whom, and what."""
    answer = await api.get(f"/api/proctor/session/{session_id}/reviews", by)
    assert answer.status == 200, answer.body
    return [(each["reviewedByName"], each["statusName"]) for each in answer.body["data"]]


async def waits(api: Api, by: str, **query: Any) -> dict[int, str]:
    """Return what waits for somebody, and for what."""
    answer = await api.get("/api/proctor/pending-review", by, params=query)
    assert answer.status == 200, answer.body
    return {row["proctorSessionId"]: row["review"] for row in answer.body["data"]}


async def kinds(api: Api) -> list[str]:
    rows = await api.owner.fetch(
        "SELECT kind FROM ledger_events WHERE kind ~ '^(decision|result|review)[.]' AND kind !~ 'viewed$'"
        " ORDER BY kind"
    )
    return [row["kind"] for row in rows]


async def standing(api: Api) -> tuple[int, ...]:
    """Return how often the first rule fired, was upheld, cleared and overturned."""
    rules = (await api.get("/api/proctor/rules", "admin")).body["data"]
    first = min(each["id"] for each in rules)
    rule = (await api.get(f"/api/proctor/rules/{first}", "admin")).body["data"]
    return tuple(rule["statistics"][name] for name in ("fired", "upheld", "cleared", "overturned"))


async def test_what_two_say_alike_is_the_decision_c2(core: Core) -> None:
    async with core.school() as api:
        ended = await end_attempt(api, await doubly_reviewed(api))
        path = f"/api/proctor/session/{ended.session_id}"
        await api.owner.execute(MEET, [ended.session_id])
        single = [await decide(api, ended.session_id, 2, by, finalize=True) for by in OTHERS]
        first = await review(api, ended.session_id, 4, internalNotes=NOTES)
        again = await review(api, ended.session_id, 4, internalNotes=NOTES)
        other = await review(api, ended.session_id, 2)
        undecided = [(await api.get(f"{path}/decision", by)).status for by in ("reviewer", *OTHERS)]
        second = await review(api, ended.session_id, 4, "assistant", decisionReasonEn="A voice.")
        third = await review(api, ended.session_id, 4, "teacher")
        decision = (await api.get(f"{path}/decision", "teacher")).body["data"]
        attempt = await api.get(f"/api/student/attempts/{ended.attempt_id}", "student")

        assert [(each.status, "blind" in each.body["detail"]) for each in single] == [(409, True)] * 4
        assert (first.status, again.body, other.status, third.status) == (200, first.body, 409, 409)
        assert (first.body["data"]["statusName"], first.body["data"]["internalNotes"]) == (
            "Invalidated",
            NOTES,
        )
        assert undecided == [404] * 5
        assert second.status == 200, second.body
        assert (decision["statusName"], decision["isFinalized"], decision["decisionReasonEn"]) == (
            "Invalidated", True, "A voice.",
        )  # fmt: skip
        assert [(each["act"], each["actedBy"]) for each in decision["history"]] == [
            ("agreed", str(api.people["assistant"].id))
        ]
        assert attempt.body["is_void"] is True
        for name in ("reviewer", *OTHERS):
            assert [what for _, what in await read(api, ended.session_id, name)] == ["Invalidated"] * 2
            assert await waits(api, name) == {}
        assert await kinds(api) == ["decision.finalised", "result.voided", "review.given", "review.given"]
        upheld = await standing(api)
        back = await override(api, decision["id"], 2)
        assert (back.status, back.body["data"]["previousStatus"]) == (200, 4)
        assert (upheld, await standing(api)) == ((1, 1, 0, 0), (1, 0, 1, 1)), "rules learn of it as of any"


async def test_where_two_differ_an_adjudicator_reads_both_and_decides_c2(core: Core) -> None:
    async with core.school() as api:
        ended = await end_attempt(api, await doubly_reviewed(api))
        session_id = ended.session_id
        path = f"/api/proctor/session/{session_id}/claim"
        before = {name: await waits(api, name) for name in ("reviewer", *OTHERS)}
        await review(api, session_id, 3)
        one = {name: await waits(api, name) for name in ("reviewer", *OTHERS)}
        await review(api, session_id, 2, "teacher")
        two = {name: await waits(api, name) for name in ("reviewer", *OTHERS)}
        readable = {name: len(await read(api, session_id, name)) for name in ("reviewer", *OTHERS)}
        next_one = await api.post("/api/proctor/pending-review/next", "assistant", json={})
        refused = {
            name: await decide(api, session_id, 2, name) for name in ("reviewer", "teacher", "assistant")
        }
        claims = {
            name: (await api.post(path, name)).status for name in ("reviewer", "assistant", "colleague")
        }
        draft = await decide(api, session_id, 5, "colleague")
        still = {name: len(await read(api, session_id, name)) for name in ("reviewer", *OTHERS)}
        final = await decide(api, session_id, 3, "admin", finalize=True)

        assert before == {key: {session_id: "blind"} for key in before}
        assert one == before | {"reviewer": {}}
        assert two == {key: {} for key in two} | {
            "colleague": {session_id: "adjudication"}, "admin": {session_id: "adjudication"},
        }  # fmt: skip
        assert readable == {"reviewer": 1, "teacher": 1, "assistant": 0, "colleague": 2, "admin": 2} == still
        assert next_one.body["data"] is None
        assert {name: answer.status for name, answer in refused.items()} == {
            "reviewer": 409, "teacher": 409, "assistant": 403,
        }  # fmt: skip
        assert refused["reviewer"].body["detail"] == refused["teacher"].body["detail"]
        assert claims == {"reviewer": 409, "assistant": 403, "colleague": 200}
        assert (draft.status, final.status) == (200, 200), (draft.body, final.body)
        for name in ("reviewer", *OTHERS):
            assert await read(api, session_id, name) == [
                ("The reviewer", "Suspicious"), ("The teacher", "Cleared"),
            ]  # fmt: skip
        assert await kinds(api) == [
            "decision.finalised", "decision.made", "review.claimed", "review.given", "review.given",
        ]  # fmt: skip


async def test_of_three_who_review_at_once_two_are_heard_and_one_decision_comes_of_it_c2(core: Core) -> None:
    async with core.school() as api:
        ended = await end_attempt(api, await doubly_reviewed(api))
        answers = await asyncio.gather(
            *(review(api, ended.session_id, 2, by) for by in ("reviewer", "assistant", "teacher", "reviewer"))
        )
        rows = await api.owner.fetch("SELECT number, reviewed_by FROM blind_reviews ORDER BY number")
        acts = await api.owner.fetch("SELECT act FROM decision_acts")

        heard = {each.body["data"]["reviewedBy"] for each in answers if each.status == 200}
        assert (len(heard), {each.status for each in answers}) == (2, {200, 409})
        assert ([row["number"] for row in rows], {str(row["reviewed_by"]) for row in rows}) == ([1, 2], heard)
        assert [row["act"] for row in acts] == ["agreed"]
        for statement in ("UPDATE public.blind_reviews SET status = 4", "DELETE FROM public.blind_reviews"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await api.owner.execute(statement)


async def test_what_began_one_way_ends_that_way_and_who_may_only_look_reviews_nothing_c2(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        drafted, begun = [await end_attempt(api, made, name) for name in ("student", "other_student")]
        exam = f"/api/teacher/exams/{made.exam_id}"
        assert (await decide(api, drafted.session_id, 5)).status == 200
        single = await review(api, begun.session_id, 2)
        assert (await api.call("PATCH", exam, "teacher", json={"double_review": True})).status == 200
        stays = await decide(api, drafted.session_id, 2, finalize=True)
        first = await review(api, begun.session_id, 2)
        assert (await api.call("PATCH", exam, "teacher", json={"double_review": False})).status == 200
        still = await decide(api, begun.session_id, 2, "teacher", finalize=True)
        grant = {"user_id": str(api.people["colleague"].id)}
        await api.post(f"/api/admin/exams/{made.exam_id}/permissions", "admin", json=grant)
        looks = await review(api, begun.session_id, 2, "colleague")
        hidden = await review(api, begun.session_id, 2, "boss")
        faults = [
            (await review(api, begun.session_id, status, "teacher", **more)).body["errors"][0]["path"]
            for status, more in (
                (1, {}), (5, {}), (4, {"decisionReasonEn": None}), (2, {"finalize": True}),
                (2, {"internalNotes": " "}),
            )
        ]  # fmt: skip
        second = await review(api, begun.session_id, 2, "admin")

        assert (single.status, stays.status, first.status, still.status) == (409, 200, 200, 409)
        assert "POST /api/proctor/decision" in single.body["detail"]
        assert (looks.status, hidden.status, second.status) == (403, 404, 200)
        assert faults == ["status", "status", "decisionReasonEn", "body", "internalNotes"]
        with pytest.raises(asyncpg.CheckViolationError, match="reviewed_by_somebody_else"):
            await api.owner.execute(
                "INSERT INTO public.blind_reviews SELECT session_id, 1, attempt_id, exam_id, candidate_id,"
                " organisation_id, 2, NULL, NULL, NULL, candidate_id, now() FROM proctor_decisions LIMIT 1"
            )


async def test_how_far_reviewers_agree_is_told_by_exam_and_period_to_who_adjudicates_c2(core: Core) -> None:
    async with core.school() as api:
        made = await doubly_reviewed(api)
        agreed, differing = [await end_attempt(api, made, name) for name in ("student", "other_student")]
        for ended, second in ((agreed, 2), (differing, 3)):
            await review(api, ended.session_id, 2)
            assert (await review(api, ended.session_id, second, "teacher")).status == 200
        asked = {
            name: await api.get("/api/proctor/review-agreement", name, params={"examId": made.exam_id})
            for name in ("colleague", "admin", "teacher", "reviewer", "assistant", "boss")
        }
        later = await api.get(
            "/api/proctor/review-agreement", "admin", params={"reviewedFrom": "2999-01-01T00:00:00Z"}
        )
        await decide(api, differing.session_id, 2, "colleague", finalize=True)
        settled = await api.get("/api/proctor/review-agreement", "teacher")
        reviewers = await api.get("/api/proctor/review-agreement", "reviewer")

        assert {name: answer.status for name, answer in asked.items()} == {
            "colleague": 200, "admin": 200, "teacher": 200, "reviewer": 403, "assistant": 403, "boss": 404,
        }  # fmt: skip
        known = asked["admin"].body["data"]
        assert known == asked["colleague"].body["data"]
        assert known["counts"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
        assert (known["pairs"], known["undecided"], known["kappa"], known["reason"]) == (
            2,
            1,
            0.0,
            "few_pairs",
        )
        own = asked["teacher"].body["data"]
        assert (own["pairs"], own["kappa"], own["reason"]) == (1, None, "one_status"), "their own, undecided"
        assert (later.body["data"]["pairs"], later.body["data"]["reason"]) == (0, "no_pairs")
        assert (settled.body["data"]["pairs"], settled.body["data"]["undecided"]) == (2, 0)
        assert reviewers.body["data"]["pairs"] == 0, "who adjudicates nothing is told of nothing"
