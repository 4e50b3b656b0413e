"""What candidates see of themselves at a glance (V, GET /student/dashboard; spec.md D-1, decision 6)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kits.authoring import make_exam, save_all_right, start, submit
from tests.kits.core import Api, Core
from tests.kits.reporting import put_row

HOUR = timedelta(hours=1)
WEAK = [{"topic": "Loops", "effect": -0.255, "n": 12, "p": 0.04}]
# Of the row that is read, everything that is not the candidate's to see.
SECRET = {
    "avg_integrity_score": 0.1234, "integrity_trend": "declining-integrity", "current_risk_label": "copy",
    "avg_lmi": 43.21, "lmi_trend": "declining-momentum", "flagged_for_intervention": True,
    "reasons": [{"code": "SECRET_REASON"}],
}  # fmt: skip


async def dashboard(api: Api, by: str = "student") -> Any:
    answer = await api.get("/api/student/dashboard", by)
    assert answer.status == 200, answer.body
    return answer.body


async def assign(api: Api, exam_id: object, **terms: object) -> None:
    body = {"user_ids": [str(api.people["student"].id)], **terms}
    answer = await api.post(f"/api/teacher/exams/{exam_id}/assignments", "teacher", json=body)
    assert answer.status == 201, answer.body


async def test_what_runs_what_may_begin_and_what_opens_later_stand_apart_d1(core: Core) -> None:
    async with core.school() as api:
        later = await make_exam(api, "numeric", title="Later")
        latest = await make_exam(api, "numeric", title="Latest")
        done = await make_exam(api, "numeric", title="Done")
        now = datetime.now(UTC)
        await assign(api, latest.exam_id, opens_at=(now + 2 * HOUR).isoformat())
        await assign(api, later.exam_id, opens_at=(now + HOUR).isoformat())
        await save_all_right(api, done, handed_in := await start(api, done))
        await submit(api, handed_in)
        before = await dashboard(api)
        running = await api.start_attempt()
        after = await dashboard(api)

        assert [each["title"] for each in before["available"]] == ["Algebra"], "nothing that was taken"
        assert [each["title"] for each in before["upcoming"]] == ["Later", "Latest"]
        assert (before["running"], after["available"]) == ([], [])
        (under_way,) = after["running"]
        assert (under_way["attempt_id"], under_way["exam_title"]) == (running, "Algebra")
        assert 0 < under_way["remaining_seconds"] <= 3600
        assert [each["attempt_id"] for each in after["exam_history"]] == [running, handed_in]
        assert (await dashboard(api, "other_student"))["upcoming"] == []


async def test_standing_is_of_results_and_says_nothing_else_of_its_row_d6(core: Core) -> None:
    async with core.school() as api:
        none = await dashboard(api)
        student = str(api.people["student"].id)
        shown = {"subject_scores": {"Mathematics": 72.5}, "improvement_trend": "improving", "strengths": []}
        await put_row(
            api, "performance_metrics",
            student_id=student, organisation_id=str(api.people["student"].organisation_id),
            weaknesses=WEAK, **shown, **SECRET,
        )  # fmt: skip
        told = await api.get("/api/student/dashboard", "student")
        other = await dashboard(api, "other_student")

        assert (none["standing"], other["standing"]) == (None, None)
        text = "Loops: 26 points of a hundred less than others on the same 12 items."
        assert told.body["standing"] == {
            "subjects": {"Mathematics": 72.5}, "trend": "improving", "strengths": [],
            "weaknesses": [{"topic": "Loops", "points": -25.5, "items": 12, "text": text}],
            "as_of": "2026-09-01T09:00:00Z",
        }  # fmt: skip
        words = ("copy", "declining", "0.1234", "43.21", "SECRET_REASON", "risk", "integrity", "lmi")
        assert [word for word in words if word in str(told.body)] == []
