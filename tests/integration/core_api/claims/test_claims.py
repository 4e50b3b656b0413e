"""Claims, disputes and resolutions (spec.md M-2; evalium-data-flow.txt, section 5)."""

import asyncio
import json
from typing import Any

import pytest

from tests.kits import evidence
from tests.kits.authoring import make_exam, save_all_right, start, submit
from tests.kits.claims import (
    REASON,
    TEXT,
    acknowledged,
    claimable,
    handle,
    open_claim,
    opened,
    own,
    voided,
)
from tests.kits.core import Api, Core, grant, put
from tests.kits.remediations import apply, drafted
from tests.kits.reviews import decide, end_attempt, make_reviewed_exam, override, reviewable
from tests.kits.secrecy import tells


async def kinds(api: Api) -> list[str]:
    """Return what was done about claims, in order."""
    rows = await api.owner.fetch(
        "SELECT kind FROM ledger_events WHERE kind ~ '^(claim|decision|result|submission.scored)'"
        " AND kind NOT LIKE '%.viewed' ORDER BY id"
    )
    return [row["kind"] for row in rows]


async def states(api: Api) -> list[str]:
    return [row["state"] for row in await api.owner.fetch("SELECT state FROM claims ORDER BY id")]


async def test_a_claim_is_opened_acknowledged_asked_about_answered_and_resolved_m2(core: Core) -> None:
    async with core.school() as api:
        ended = await claimable(api)
        claim_id = await opened(api, ended.attempt_id)
        taken = await handle(api, claim_id, "acknowledge")
        asked = await handle(api, claim_id, "statements", asks=True)
        answered = await own(api, claim_id, "statements", text="The third.")
        done = await handle(api, claim_id, "resolve", outcome="upheld", text_en=REASON, text_ar="صحيح.")
        mine = await api.get(f"/api/student/claims/{claim_id}", "student")
        listed = await api.get("/api/student/claims", "student")

        assert [each.status for each in (taken, asked, answered, done)] == [200, 201, 201, 200]
        assert [each.body["state"] for each in (taken, asked, answered, done)] == [
            "acknowledged", "asked", "acknowledged", "resolved",
        ]  # fmt: skip
        said = [(each["side"], each["text"]) for each in mine.body["statements"]]
        assert said == [
            ("candidate", TEXT), ("staff", "Which question do you mean?"), ("candidate", "The third."),
        ]  # fmt: skip
        (resolution,) = mine.body["resolutions"]
        assert (resolution["outcome"], resolution["led_to"], resolution["text_ar"]) == (
            "upheld", "nothing", "صحيح.",
        )  # fmt: skip
        assert mine.body["state_text_ar"] == "تم البت في اعتراضك."
        assert mine.body["deadline_at"] > mine.body["state_at"]  # until when it may be disputed
        assert [each["claim_id"] for each in listed.body["claims"]] == [claim_id]
        assert await kinds(api) == [
            "claim.opened", "claim.acknowledged", "claim.asked", "claim.answered", "claim.resolved",
        ]  # fmt: skip


async def test_candidates_read_no_name_of_staff_and_nothing_computed_of_them_decision_6(core: Core) -> None:
    """The kit of secrecy looks at members; here are the values of staff, too."""
    async with core.school() as api:
        ended = await voided(api)
        claim_id = await acknowledged(api, ended.attempt_id, subject="decision")
        await handle(api, claim_id, "statements")
        await handle(api, claim_id, "escalate")
        await handle(api, claim_id, "resolve", "admin")
        mine = await api.get(f"/api/student/claims/{claim_id}", "student")

        told = str(mine.body)
        staff = [api.people[name] for name in ("teacher", "admin", "reviewer")]
        assert mine.body["state"] == "resolved"
        assert [who for who in staff if str(who.id) in told or who.email in told] == []
        assert [name for name in mine.body if tells(name)] == []


async def test_a_result_is_claimed_against_within_its_window_once_m2(core: Core) -> None:
    async with core.school() as api:
        ended = await claimable(api)
        path = f"/api/teacher/exams/{ended.exam_id}/claim-policy"
        default = await api.get(path, "reviewer")
        closed = await put(api, path, "teacher", window_days=0)
        late = await open_claim(api, ended.attempt_id)
        await put(api, path, "teacher", window_days=14)
        strangers = [await open_claim(api, ended.attempt_id, by) for by in ("other_student", "stranger")]
        counts = await open_claim(api, ended.attempt_id, subject="decision")
        racing = await asyncio.gather(*(open_claim(api, ended.attempt_id) for _ in range(3)))
        (claim_id,) = [each.body["claim_id"] for each in racing if each.status == 201]
        await own(api, claim_id, "withdraw")
        again = await open_claim(api, ended.attempt_id)

        assert default.body == {"window_days": 14, "releases_judgement": False, "releases_files": False}
        assert (closed.status, late.status) == (200, 409)
        assert "The time to claim is over" in late.body["detail"]
        assert [each.status for each in strangers] == [404, 404]
        assert (counts.status, again.status) == (409, 409)
        assert sorted(each.status for each in racing) == [201, 409, 409]
        assert await states(api) == ["withdrawn"]


async def test_a_void_result_is_claimed_against_as_such_and_a_graded_one_anew_m2(core: Core) -> None:
    async with core.school() as api:
        ended = await voided(api)
        wrong = await open_claim(api, ended.attempt_id)
        claim_id = await acknowledged(api, ended.attempt_id, subject="decision")
        decision_id = await api.owner.fetchval("SELECT id FROM proctor_decisions")
        told = {"outcome": "upheld", "text_en": "Nobody else was there."}
        changed: dict[str, Any] = {"decision": {"decision_id": decision_id, "new_status": 2}}
        teachers = await handle(api, claim_id, "resolve", **told, **changed)
        done = await handle(api, claim_id, "resolve", "admin", **told, **changed)
        restored = await open_claim(api, ended.attempt_id)

        assert (wrong.status, teachers.status, done.status, restored.status) == (409, 403, 200, 201)
        (resolution,) = done.body["resolutions"]
        assert (resolution["led_to"], resolution["decision_id"]) == ("decision", decision_id)
        assert done.body["decisions"][0]["status"] == 2
        assert await api.owner.fetchval("SELECT is_void FROM submission_results") is False
        told_of = (await kinds(api))[2:]  # two of a moment are in no order
        assert told_of[:2] + sorted(told_of[2:5]) + told_of[5:] == [
            "claim.opened", "claim.acknowledged", "claim.resolved", "decision.overridden", "result.restored",
            "claim.opened",
        ]  # fmt: skip


async def test_a_correction_that_changes_nothing_of_a_result_opens_no_claim_anew_m2(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric", "short_text")
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        await submit(api, attempt_id)
        await own(api, await opened(api, attempt_id), "withdraw")
        also = {"kind": "accept_answer", "position": 1, "response": {"number": 7}}
        await apply(api, await drafted(api, made, also))
        unchanged = await open_claim(api, attempt_id)
        await apply(api, await drafted(api, made, {"kind": "reweight", "position": 1, "points": 3}))
        changed = await open_claim(api, attempt_id)
        made_of = await api.post(f"/api/student/claims/{changed.body['claim_id']}/bundle", "student")
        scores = json.loads(made_of.body["parts"]["scores"])

        assert (unchanged.status, changed.status) == (409, 201)
        told = [(each["graded"], each["corrected"]) for each in scores]
        assert told == [(False, False), (False, True), (False, True)]


async def test_who_puts_a_key_right_for_a_claim_may_resolve_it_and_none_that_follows_m2(
    core: Core,
) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric", "short_text")
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        await submit(api, attempt_id)
        claim_id = await acknowledged(api, attempt_id)
        await apply(api, await drafted(api, made, {"kind": "reweight", "position": 1, "points": 3}))
        answered = await handle(api, claim_id, "resolve", outcome="upheld")
        following = await acknowledged(api, attempt_id)
        refused = await handle(api, following, "resolve")

        assert (answered.status, refused.status) == (200, 403), (answered.body, refused.body)


async def graded(api: Api) -> str:
    """Return the attempt of a result that the colleague has graded, at an exam that they may edit."""
    made = await make_exam(api, "essay")
    await grant(api, made.exam_id, can_edit=True)
    attempt_id = await start(api, made)
    await save_all_right(api, made, attempt_id)
    submission_id = (await submit(api, attempt_id)).body["submission_id"]
    early = await open_claim(api, attempt_id)
    points = {"grades": [{"position": 1, "points": 1}]}
    done = await api.post(f"/api/teacher/submissions/{submission_id}/grades", "colleague", json=points)
    assert (early.status, done.status) == (409, 201)
    return attempt_id


async def test_an_upheld_claim_gives_points_and_who_graded_gives_none_m2(core: Core) -> None:
    async with core.school() as api:
        claim_id = await acknowledged(api, await graded(api), "colleague")
        told: dict[str, Any] = {"outcome": "upheld", "grades": [{"position": 1, "points": 2}]}
        refused = await handle(api, claim_id, "resolve", "colleague", **told)
        shown = [await api.get(f"/api/teacher/claims/{claim_id}", by) for by in ("colleague", "teacher")]
        done = await handle(api, claim_id, "resolve", **told)
        scores = await api.owner.fetch("SELECT score, reason FROM submission_scores ORDER BY revision")

        assert (refused.status, done.status) == (403, 200)
        assert [(each.body["had_hand"], each.body["may_resolve"]) for each in shown] == [
            (True, False), (False, True),
        ]  # fmt: skip
        assert (done.body["resolutions"][0]["led_to"], done.body["resolutions"][0]["graded_as"]) == (
            "grade", 3,
        )  # fmt: skip
        assert [row["score"] for row in scores] == [None, 50, 100]
        assert scores[2]["reason"] == REASON


async def test_a_first_resolution_is_disputed_once_and_the_second_by_somebody_else_m2(core: Core) -> None:
    async with core.school() as api:
        ended = await claimable(api)
        claim_id = await acknowledged(api, ended.attempt_id)
        await handle(api, claim_id, "resolve", "admin")
        disputed = await own(api, claim_id, "dispute", text="You have not looked.")
        by_hands = [await handle(api, claim_id, "resolve", by) for by in ("teacher", "admin", "reviewer")]
        adjudicates = {"user_id": str(api.people["reviewer"].id), "can_adjudicate": True}
        await api.post(f"/api/admin/exams/{ended.exam_id}/permissions", "admin", json=adjudicates)
        done = await handle(api, claim_id, "resolve", "reviewer")
        again = await own(api, claim_id, "dispute")

        assert (disputed.status, disputed.body["state"]) == (200, "under_dispute")
        assert [each.status for each in by_hands] == [403, 403, 403]
        assert "adjudicates" in by_hands[2].body["detail"]
        assert (done.status, again.status) == (200, 409)
        assert [each["number"] for each in done.body["resolutions"]] == [1, 2]
        assert done.body["deadline_at"] is None
        assert done.body["dispute"]["raised"] == "candidate"


HANDS = ("decided", "reviewed", "warned", "graded")


@pytest.mark.parametrize("hand", HANDS)
async def test_who_judged_graded_or_proctored_resolves_nothing_in_the_database_either_m2(
    core: Core, hand: str
) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api, double_review=hand == "reviewed")
        attempt_id = await start(api, made)
        session_id = await api.start_session(attempt_id=attempt_id)
        if hand == "warned":
            warned = {"reason": "Talks."}
            await api.post(f"/api/proctor/session/{session_id}/warn", "reviewer", json=warned)
        await save_all_right(api, made, attempt_id)
        submission_id = (await submit(api, attempt_id)).body["submission_id"]
        if hand == "decided":
            await decide(api, session_id, 1)
        if hand == "reviewed":
            await api.post(f"/api/proctor/session/{session_id}/review", "reviewer", json={"status": 2})
        if hand == "graded":
            await api.owner.execute(
                "INSERT INTO submission_scores SELECT submission_id, 2, scoring_version, item_points, points,"
                " max_points, ungraded, score, percentage, passed, 'Seen.', $2, scored_at"
                " FROM submission_scores WHERE submission_id = $1",
                submission_id, api.people["reviewer"].id,
            )  # fmt: skip
        claim_id = await acknowledged(api, attempt_id)
        refused = await handle(api, claim_id, "resolve", "reviewer")

        assert refused.status == 403
        with pytest.raises(Exception, match="who had a hand"):
            await api.owner.execute(
                "INSERT INTO resolutions VALUES ($1, 1, 'rejected', 'nothing', NULL, NULL, 'No.', NULL,"
                " $2, now())",
                claim_id, api.people["reviewer"].id,
            )  # fmt: skip
        assert (await handle(api, claim_id, "resolve", "teacher")).status == 200


async def test_evidence_is_named_by_both_sides_and_is_the_attempts_m2(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        attempt_id = await start(api, made)
        evidence_id = await evidence.sent(api, await api.start_session(attempt_id=attempt_id))
        await save_all_right(api, made, attempt_id)
        await submit(api, attempt_id)
        others = await reviewable(api)
        wrong = await open_claim(api, others.attempt_id, evidence_ids=[evidence_id])
        claim_id = await opened(api, attempt_id, evidence_ids=[evidence_id])
        shown = await handle(api, claim_id, "statements", evidence_ids=[evidence_id])

        assert (wrong.status, wrong.body["errors"][0]["path"]) == (422, "evidence_ids")
        assert [each["evidence_ids"] for each in shown.body["statements"]] == [[evidence_id], [evidence_id]]


async def test_staff_list_what_is_due_first_by_page_and_by_filter_m2(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        ids = []
        for by in ("student", "other_student"):
            ended = await end_attempt(api, made, by)
            ids.append((await open_claim(api, ended.attempt_id, by)).body["claim_id"])
        await handle(api, ids[0], "acknowledge")  # due later than what waits to be acknowledged

        async def listed(query: str, by: str = "reviewer") -> list[str]:
            answer = await api.get(f"/api/teacher/claims?{query}", by)
            return [each["claim_id"] for each in answer.body["claims"]]

        page = (await api.get("/api/teacher/claims?limit=1", "teacher")).body
        assert await listed("") == [ids[1], ids[0]]
        assert [page["claims"][0]["claim_id"]] == [ids[1]]
        assert await listed(f"limit=1&cursor={page['next_cursor']}", "teacher") == [ids[0]]
        cursor = page["next_cursor"]
        await handle(api, ids[1], "acknowledge")  # due after what follows it on the list
        assert await listed(f"limit=1&cursor={cursor}", "teacher") == [ids[0]]
        assert await listed("state=opened") == []
        wrong = [await api.get(f"/api/teacher/claims?cursor={each}", "teacher") for each in ("1.x", ids[0])]
        assert [each.status for each in wrong] == [422, 422]
        assert await listed(f"exam_id={made.exam_id}&subject=decision") == []
        assert await listed("due_before=2020-01-01T00:00:00Z") == []
        assert await listed("is_open=false", "admin") == []
        assert [await listed("", by) for by in ("colleague", "rival", "boss")] == [[], [], []]


async def test_nobody_else_looks_at_a_claim_or_moves_it_m2(core: Core) -> None:
    async with core.school() as api:
        ended = await claimable(api)
        claim_id = await opened(api, ended.attempt_id)
        looker = {"user_id": str(api.people["colleague"].id)}
        await api.post(f"/api/admin/exams/{ended.exam_id}/permissions", "admin", json=looker)
        acts = ("acknowledge", "statements", "escalate", "resolve")
        looks = [(await handle(api, claim_id, act, "colleague")).status for act in acts]
        foreign = [(await handle(api, claim_id, act, by)).status for act in acts for by in ("rival", "boss")]
        wrong = [(await handle(api, claim_id, act, "observer")).status for act in acts]
        owns = [
            (await own(api, claim_id, act, by)).status
            for act in ("statements", "withdraw", "dispute")
            for by in ("other_student", "stranger")
        ]
        early = await handle(api, claim_id, "resolve")

        assert looks == [403] * 4
        assert foreign == [404] * 8
        assert wrong == [403] * 4
        assert owns == [404] * 6
        assert early.status == 409
        assert await states(api) == ["opened"]


async def test_a_resolution_says_why_and_leads_to_what_goes_with_it_m2(core: Core) -> None:
    async with core.school() as api:
        ended, other = await voided(api), await reviewable(api)
        claim_id = await acknowledged(api, ended.attempt_id, subject="decision")
        await decide(api, other.session_id, 3)
        foreign = await api.owner.fetchval(
            "SELECT id FROM proctor_decisions WHERE session_id = $1", other.session_id
        )
        cleared: dict[str, Any] = {"decision": {"decision_id": foreign, "new_status": 2}}
        wrong = [
            await handle(api, claim_id, "resolve", "admin", **body)
            for body in (
                {"text_en": None},
                {"outcome": "rejected", **cleared},
                {"outcome": "upheld", **cleared, "grades": [{"position": 1, "points": 1}]},
                {"outcome": "upheld", **cleared},
                {"outcome": "upheld", "grades": [{"position": 1, "points": 1}]},
            )
        ]

        assert [each.status for each in wrong] == [422] * 5
        assert await api.owner.fetchval("SELECT count(*) FROM resolutions") == 0
        assert await states(api) == ["acknowledged"]


async def test_what_an_open_claim_is_about_is_held_and_let_go_when_it_is_over_m2(core: Core) -> None:
    async with core.school() as api:
        ended = await claimable(api)

        async def held() -> tuple[bool, Any]:
            """Whether it is held; and when claims about it were over, or will be."""
            attempt = ended.attempt_id
            return (
                await api.owner.fetchval(
                    "SELECT EXISTS (SELECT FROM held_attempts WHERE attempt_id = $1)", attempt
                ),
                await api.owner.fetchval(
                    "SELECT closed_at FROM claims_closed WHERE attempt_id = $1", attempt
                ),
            )

        before = await held()
        claim_id = await acknowledged(api, ended.attempt_id)
        during = await held()
        await handle(api, claim_id, "resolve")
        disputable, ends = await held()
        await own(api, claim_id, "dispute")
        await own(api, claim_id, "withdraw")
        after, ended_at = await held()

        assert (before, during) == ((False, None), (True, None))
        assert (disputable, after) == (True, False)
        assert ends > ended_at


async def test_a_claim_goes_only_with_an_event_that_says_so_l1(core: Core) -> None:
    async with core.school() as api:
        claim_id = await opened(api, (await claimable(api)).attempt_id)

        with pytest.raises(Exception, match="no event of this transaction says"):
            await api.owner.execute("DELETE FROM claims WHERE id = $1", claim_id)
        with pytest.raises(Exception, match="UPDATE"):
            await api.owner.execute("UPDATE claim_statements SET text = 'x' WHERE claim_id = $1", claim_id)


async def test_an_override_elsewhere_leaves_the_claim_to_its_resolution_m2(core: Core) -> None:
    """What an admin does beside a claim is a hand of theirs: somebody else resolves it."""
    async with core.school() as api:
        ended = await voided(api)
        claim_id = await acknowledged(api, ended.attempt_id, subject="decision")
        await override(api, await api.owner.fetchval("SELECT id FROM proctor_decisions"), 2)
        refused = await handle(api, claim_id, "resolve", "admin")

        assert refused.status == 403
        assert await states(api) == ["acknowledged"]
