"""A final *Invalidated* voids the submission's result, an override restores it (spec.md C-1)."""

import asyncio
from typing import Any

from kernel.settings import Settings
from tests.kits.core import Api, Core
from tests.kits.pipeline_child import project_now
from tests.kits.reviews import Ended, decide, end_attempt, make_reviewed_exam, override, reviewable

COUNTS = (False, 100.0, True)
VOID = (True, None, None)


async def seen(api: Api, ended: Ended) -> dict[str, Any]:
    """Return (is void, percentage, passed) wherever a score is shown, and the exam's counts."""
    attempt = (await api.get(f"/api/student/attempts/{ended.attempt_id}", "student")).body
    dashboard = (await api.get("/api/student/dashboard", "student")).body
    graded = (await api.get(f"/api/teacher/submissions/{ended.submission_id}", "teacher")).body
    listed = (await api.get(f"/api/teacher/exams/{ended.exam_id}/submissions", "teacher")).body
    analysed = (await api.get(f"/api/teacher/exams/{ended.exam_id}/analytics", "teacher")).body
    counts = analysed["analytics"]["attempts"]
    told = await api.get(f"/api/student/attempts/{ended.attempt_id}/submission", "student")
    return {
        "candidate": shown(attempt),
        "history": shown(dashboard["exam_history"][0]),
        "totals": (dashboard["totals"]["passed"], dashboard["totals"]["average_percentage"]),
        "staff": {
            graded["is_void"],
            listed["submissions"][0]["is_void"],
            analysed["students"][0]["attempts"][0]["is_void"],
        },
        "counts": (counts["completed"], counts["void"], counts["average_percentage"], counts["pass_rate"]),
        "submission": told.body,
    }


async def projected(core: Core, api: Api, ended: Ended) -> dict[str, Any]:
    """Return the same, once what follows from it has been projected."""
    settings = Settings(
        database_url=core.database_as("veritas_pipeline"), cohort_every_s=0, cohort_settled_s=0
    )
    await asyncio.to_thread(project_now, settings)
    return await seen(api, ended)


def shown(row: dict[str, Any]) -> tuple[bool, float | None, bool | None]:
    return row["is_void"], row["percentage"], row["passed"]


async def test_an_invalidated_session_voids_the_result_and_an_override_restores_it_c1(core: Core) -> None:
    async with core.school() as api:
        ended = await reviewable(api)
        before = await projected(core, api, ended)
        draft = await decide(api, ended.session_id, 4)
        same = await projected(core, api, ended)
        await decide(api, ended.session_id, 4, finalize=True)
        void = await projected(core, api, ended)
        await override(api, draft.body["data"]["id"], 2)
        restored = await projected(core, api, ended)
        rows = await api.owner.fetch("SELECT kind FROM ledger_events WHERE kind ~ '^result[.]'")
        woken = await api.owner.fetch("SELECT kind FROM outbox WHERE kind ~ '^result[.]'")

        assert (before["candidate"], before["history"], before["totals"]) == (COUNTS, COUNTS, (1, 100.0))
        assert before["counts"] == (1, 0, 100.0, 1.0)
        assert same == before, "what is not final voids nothing"
        assert (void["candidate"], void["history"], void["totals"]) == (VOID, VOID, (0, None))
        assert (void["staff"], void["counts"]) == ({True}, (1, 1, None, None))
        assert void["submission"] == before["submission"], "what was handed in never changes"
        assert restored == before
        assert {row["kind"] for row in rows} == {"result.voided", "result.restored"}
        assert {row["kind"] for row in woken} <= {row["kind"] for row in rows}


async def test_a_result_is_void_while_one_of_two_sessions_is_invalidated_c1(core: Core) -> None:
    async with core.school() as api:
        made = await make_reviewed_exam(api)
        ended = await end_attempt(api, made)
        second = await api.owner.fetchval(
            "INSERT INTO public.proctor_sessions (attempt_id, exam_id, candidate_id, organisation_id, mode,"
            " status, started_at, ended_at) SELECT attempt_id, exam_id, candidate_id, organisation_id, 2, 2,"
            " started_at, ended_at FROM proctor_sessions WHERE id = $1 RETURNING id",
            ended.session_id,
        )
        first = (await decide(api, ended.session_id, 4, finalize=True)).body["data"]
        other = (await decide(api, second, 4, finalize=True)).body["data"]
        await override(api, first["id"], 2)
        still = await seen(api, ended)
        await override(api, other["id"], 3)
        counts = await seen(api, ended)

        assert (still["candidate"], counts["candidate"]) == (VOID, COUNTS)


async def test_what_a_candidate_gets_says_nothing_of_who_decided_and_why_decision_6(core: Core) -> None:
    async with core.school() as api:
        ended = await reviewable(api)
        made = await decide(api, ended.session_id, 4, finalize=True, internalNotes="Seat 12.")
        told = [
            (await api.get(path, "student")).body
            for path in (
                f"/api/student/attempts/{ended.attempt_id}", "/api/student/dashboard",
                f"/api/proctor/session/attempt/{ended.attempt_id}",
                f"/api/student/attempts/{ended.attempt_id}/receipt",
            )
        ]  # fmt: skip
        refused = [
            (await api.get(path, "student")).status
            for path in (
                f"/api/proctor/session/{ended.session_id}/decision", "/api/proctor/pending-review",
                f"/api/proctor/session/{ended.session_id}",
            )
        ]  # fmt: skip
        refused += [(await decide(api, ended.session_id, 2, "student")).status]

        assert "decision" not in told[2]["data"]
        text = str(told)
        for secret in (
            made.body["data"]["decisionReasonEn"],
            "Seat 12.",
            "The reviewer",
            "Invalidated",
            str(api.people["reviewer"].id),
        ):
            assert secret not in text
        assert refused == [403] * 4
