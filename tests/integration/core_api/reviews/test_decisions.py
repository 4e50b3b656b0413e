"""Decisions about sessions (spec.md C-1; proctor-module.txt, "Decision Workflow", samples 9 and 10)."""

import asyncio
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from kernel.events import Role
from tests.kits.core import Answer, Api, Core
from tests.kits.reviews import REASON, decide, end_attempt, make_reviewed_exam, override, reviewable

# P's samples, with the keys that they show.
MADE = {
    "id": int, "proctorSessionId": int, "attemptId": str, "status": int, "statusName": str,
    "decisionReasonEn": str, "decidedBy": str, "decidedAt": str, "isFinalized": bool,
}  # fmt: skip
OVERRIDDEN = {
    "id": int, "status": int, "statusName": str, "previousStatus": int, "wasOverridden": bool,
    "decidedBy": str, "decidedAt": str, "isFinalized": bool,
}  # fmt: skip


def shape(data: dict[str, Any], keys: dict[str, type]) -> dict[str, type]:
    return {key: type(data[key]) for key in keys}


async def kinds(api: Api) -> list[str]:
    """Return what was decided, claimed and done to results, sorted: two of a moment are in no order."""
    rows = await api.owner.fetch(
        "SELECT kind FROM ledger_events WHERE kind ~ '^(decision|result|review)[.]'"
        " AND kind NOT LIKE '%.viewed'"
    )
    return sorted(row["kind"] for row in rows)


async def acts(api: Api) -> list[tuple[str, int]]:
    rows = await api.owner.fetch("SELECT act, status FROM decision_acts ORDER BY decision_id, number")
    return [tuple(row) for row in rows]


async def test_make_decision_pending_cleared_suspicious(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Make decision (pending, cleared, suspicious)"."""
    async with core.school() as api:
        ended = await reviewable(api)
        answers = [await decide(api, ended.session_id, status) for status in (1, 2, 3)]

        assert [answer.status for answer in answers] == [200, 200, 200]
        shown = answers[2].body["data"]
        assert shape(shown, MADE) == MADE
        assert (shown["proctorSessionId"], shown["attemptId"]) == (ended.session_id, ended.attempt_id)
        assert [each.body["data"]["statusName"] for each in answers] == ["Pending", "Cleared", "Suspicious"]
        assert {each.body["data"]["id"] for each in answers} == {shown["id"]}
        assert shown["decidedBy"] == str(api.people["reviewer"].id)
        assert (shown["decidedByName"], shown["statusNameAr"]) == ("The reviewer", "مشتبه به")
        assert (shown["decisionReasonEn"], shown["isFinalized"]) == (REASON, False)
        assert await acts(api) == [("made", 1), ("made", 2), ("made", 3)]
        assert await kinds(api) == ["decision.made"] * 3


async def test_finalize_decision(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Finalize decision": it stays, and frees the session."""
    async with core.school() as api:
        ended = await reviewable(api)
        final = await decide(api, ended.session_id, 2, finalize=True, internalNotes="Looked at all of it.")
        again = await decide(api, ended.session_id, 2, finalize=True, internalNotes="Looked at all of it.")
        refused = [await decide(api, ended.session_id, 3, by) for by in ("reviewer", "teacher", "admin")]
        refused.append(await api.post(f"/api/proctor/session/{ended.session_id}/claim", "reviewer"))
        read = await api.get(f"/api/proctor/session/{ended.session_id}/decision", "teacher")
        session = await api.get(f"/api/proctor/session/{ended.session_id}", "teacher")
        listed = await api.get(f"/api/proctor/sessions/exam/{ended.exam_id}", "teacher")

        assert (final.status, final.body["data"]["isFinalized"]) == (200, True)
        assert again.body == final.body
        assert [answer.status for answer in refused] == [409] * 4
        assert "The reviewer has decided on this session: Cleared" in refused[2].body["detail"]
        history = read.body["data"].pop("history")
        assert read.body["data"] == final.body["data"]
        assert [(each["act"], each["actedByName"]) for each in history] == [("finalised", "The reviewer")]
        short = session.body["data"]["decision"]
        assert (short["id"], short["statusName"], short["isFinalized"]) == (
            final.body["data"]["id"], "Cleared", True,
        )  # fmt: skip
        assert [each["decision"] for each in listed.body["data"]] == [short]
        assert await kinds(api) == ["decision.finalised"]


async def test_override_decision_admin_only(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Override decision (admin only)"; its sample, too."""
    async with core.school() as api:
        ended = await reviewable(api)
        made = (await decide(api, ended.session_id, 3)).body["data"]
        refused = [
            await override(api, made["id"], 4, by) for by in ("reviewer", "teacher", "boss", "student")
        ]
        done = await override(api, made["id"], 4, decisionReasonEn="A telephone was used.")
        same = await override(api, made["id"], 4)
        back = await override(api, made["id"], 2)

        assert [answer.status for answer in refused] == [403, 403, 404, 403]
        assert (done.status, same.status, back.status) == (200, 409, 200)
        shown = done.body["data"]
        assert shape(shown, OVERRIDDEN) == OVERRIDDEN
        assert (shown["status"], shown["previousStatus"], shown["isFinalized"]) == (4, 3, True)
        assert (shown["decidedBy"], shown["wasOverridden"]) == (str(api.people["admin"].id), True)
        assert shown["decisionReasonEn"] == "A telephone was used."
        assert (back.body["data"]["status"], back.body["data"]["previousStatus"]) == (2, 4)
        read = await api.get(f"/api/proctor/session/{ended.session_id}/decision", "reviewer")
        assert [(each["act"], each["status"]) for each in read.body["data"]["history"]] == [
            ("made", 3), ("overridden", 4), ("overridden", 2),
        ]  # fmt: skip


async def test_nothing_is_decided_before_the_attempt_has_ended_c1(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        refused = [await decide(api, session_id, 2, by) for by in ("reviewer", "teacher", "admin")]
        claimed = await api.post(f"/api/proctor/session/{session_id}/claim", "reviewer")
        absent = await api.get(f"/api/proctor/session/{session_id}/decision", "reviewer")

        assert [answer.status for answer in refused] == [409, 409, 409]
        assert "has not ended" in refused[0].body["detail"]
        assert (claimed.status, absent.status) == (409, 404)
        assert await kinds(api) == []


@pytest.mark.parametrize("role", ["admin", "reviewer", "teacher"])
async def test_nobody_decides_on_themselves_whatever_they_have_become_c1(core: Core, role: str) -> None:
    """A candidate who was given another role, and the exam; the database refuses them as well."""
    async with core.school() as api:
        ended = await reviewable(api)
        other = await end_attempt(api, await make_reviewed_exam(api), "other_student")
        student = api.people["student"]
        await api.owner.execute("UPDATE users SET role = $2 WHERE id = $1", student.id, role)
        for exam_id in (ended.exam_id, other.exam_id):
            grant = {"user_id": str(student.id), "can_edit": role == "teacher"}
            await api.post(f"/api/admin/exams/{exam_id}/permissions", "admin", json=grant)
        api.people["student"] = msgspec.structs.replace(student, role=Role(role))
        refused = await decide(api, ended.session_id, 2, "student")
        claimed = await api.post(f"/api/proctor/session/{ended.session_id}/claim", "student")
        allowed = await decide(api, other.session_id, 2, "student")
        made = (await decide(api, ended.session_id, 5)).body["data"]
        overridden = await override(api, made["id"], 2, "student")

        assert (refused.status, claimed.status, overridden.status) == (403, 403, 403)
        assert allowed.status == 200
        with pytest.raises(asyncpg.CheckViolationError, match="decided_by_somebody_else"):
            await api.owner.execute("UPDATE proctor_decisions SET decided_by = candidate_id")


async def test_of_two_who_decide_at_once_one_does_and_the_other_is_told_who_c1(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        for finalize in (False, True):
            ended = await end_attempt(api, made, "student" if finalize else "other_student")
            session_id, everybody = ended.session_id, ("reviewer", "teacher", "admin")
            answers = await asyncio.gather(
                *(decide(api, session_id, 2, by, finalize=finalize) for by in everybody)
            )
            decisions = await api.owner.fetch(
                "SELECT decided_by FROM proctor_decisions WHERE session_id = $1", ended.session_id
            )

            assert sorted(answer.status for answer in answers) == [200, 409, 409]
            (winner,) = (answer.body["data"] for answer in answers if answer.status == 200)
            assert [str(row["decided_by"]) for row in decisions] == [winner["decidedBy"]]
            for answer in answers:
                if answer.status == 409:
                    assert winner["decidedByName"] in answer.body["detail"]


async def test_what_a_decision_must_say_is_named_by_its_path_c1(core: Core) -> None:
    async with core.school() as api:
        ended = await reviewable(api)
        body = {"proctorSessionId": ended.session_id}
        for wrong, path in (
            ({"status": 3}, "decisionReasonEn"),
            ({"status": 4, "finalize": True}, "decisionReasonEn"),
            ({"status": 3, "decisionReasonAr": " \n "}, "decisionReasonAr"),
            ({"status": 1, "finalize": True}, "status"),
            ({"status": 5, "finalize": True}, "status"),
            ({"status": 6}, "status"),
            ({"status": 2, "internalNotes": "x" * 4001}, "internalNotes"),
            ({"status": 2, "decidedBy": "me"}, "body"),
        ):
            answer = await api.post("/api/proctor/decision", "reviewer", json=body | wrong)
            assert (answer.status, answer.body["errors"][0]["path"]) == (422, path), (wrong, answer.body)
        arabic = await decide(
            api, ended.session_id, 3, decisionReasonEn=None, decisionReasonAr="شخصان في الصورة"
        )
        decision_id = arabic.body["data"]["id"]
        for name, value in (("newStatus", 1), ("newStatus", 5), ("overrideReason", "")):
            given: dict[str, Any] = {name: value}
            answer = await override(api, decision_id, 2, **given)
            assert (answer.status, answer.body["errors"][0]["path"]) == (422, name), (given, answer.body)

        assert arabic.status == 200, arabic.body
        assert await acts(api) == [("made", 3)]


async def test_a_claimed_session_is_its_reviewers_until_the_claim_ends_c1(core: Core) -> None:
    async with core.school() as api:
        ended = await reviewable(api)
        path = f"/api/proctor/session/{ended.session_id}/claim"
        claimed = await api.post(path, "reviewer")
        renewed = await api.post(path, "reviewer")
        refused = [await api.post(path, "teacher"), await decide(api, ended.session_id, 2, "admin")]
        forbidden = await api.call("DELETE", path, "teacher")
        taken_back = await api.call("DELETE", path, "admin")
        nothing = await api.call("DELETE", path, "teacher")
        by_teacher = await api.post(path, "teacher")
        await api.owner.execute(
            "UPDATE review_claims SET claimed_at = now() - interval '1 h', expires_at = now() - interval '1s'"
        )
        expired = await decide(api, ended.session_id, 2)

        assert [answer.status for answer in (claimed, renewed, *refused)] == [200, 200, 409, 409]
        assert claimed.body["data"]["claimedByName"] == "The reviewer"
        assert renewed.body["data"]["claimedAt"] == claimed.body["data"]["claimedAt"]
        assert renewed.body["data"]["expiresAt"] >= claimed.body["data"]["expiresAt"]
        lasts = moment(claimed, "expiresAt") - moment(claimed, "claimedAt")
        assert lasts.total_seconds() == 900
        assert "The reviewer is at work on this session until" in refused[1].body["detail"]
        assert [each.status for each in (forbidden, taken_back, nothing, by_teacher)] == [403, 204, 204, 200]
        assert expired.status == 200
        assert await kinds(api) == [
            "decision.made", "review.claimed", "review.claimed", "review.released",
        ]  # fmt: skip


def moment(answer: Answer, name: str) -> datetime:
    return datetime.fromisoformat(answer.body["data"][name])


async def test_what_a_history_holds_changes_for_nobody_c1(core: Core) -> None:
    async with core.school() as api:
        await decide(api, (await reviewable(api)).session_id, 2)
        for statement in (
            "UPDATE public.decision_acts SET status = 4",
            "DELETE FROM public.decision_acts",
            "TRUNCATE public.decision_acts",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await api.owner.execute(statement)
