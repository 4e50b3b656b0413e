"""A teacher's exams at once, who is flagged in them, one student in numbers (V; spec.md W-5, A-4)."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import pytest

from core_api import seeding
from tests.kits.core import Api, Core
from tests.kits.reporting import ALERT, put_row

NOW: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
TOPIC = {"topic": "Cells", "effect": 0.2, "n": 14, "p": 0.97}
PASTE = {"code": "LARGE_PASTE", "value": 300, "threshold": 200, "n": 1, "p": None, "text": "300 at once."}
WHY = {"code": "RULES", "value": 0.4, "threshold": 0.5, "n": 3, "text": "The rules take most of it."}


async def judged(api: Api, by: str, **about: Any) -> str:
    """Let somebody start an attempt, of which this was projected."""
    attempt_id = await api.start_attempt(by)
    await put_row(
        api, "behavior_analysis",
        **{
            "attempt_id": attempt_id, "exam_id": str(api.exam_id), "student_id": str(api.people[by].id),
            "alerts": [], "reasons": [WHY], "requires_instructor_attention": True, "risk_level": "Low",
            "completed_at": "2026-03-01T10:00:00Z",
        } | about,
    )  # fmt: skip
    return attempt_id


async def told(api: Api, path: str, by: str = "teacher") -> Any:
    answer = await api.get(f"/api/teacher/{path}", by)
    assert answer.status == 200, answer.body
    return answer.body


async def in_numbers(api: Api, name: str = "student") -> None:
    """Let the numbers over all exams of a student be projected."""
    about = {
        "student_id": str(api.people[name].id), "reasons": [],
        "organisation_id": str(api.people[name].organisation_id),
    }  # fmt: skip
    await put_row(api, "performance_metrics", **about, subject_scores={"Biology": 80.5}, strengths=[TOPIC])
    await put_row(api, "student_risk_summary", **about, flagged_count=3)


async def test_a_dashboard_shows_each_exam_and_what_waits_until_somebody_has_looked_w5(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await judged(api, "student", alerts=[ALERT], alert_rank=6)
        await put_row(
            api, "exam_performance_summary", exam_id=str(api.exam_id), total_attempts=5, scored_attempts=3,
            organisation_id=str(api.people["teacher"].organisation_id), pass_rate=0.5, reasons=[],
        )  # fmt: skip
        before = await told(api, "dashboard")
        url = f"/api/teacher/attempts/{attempt_id}/alerts/acknowledge"
        await api.post(url, "teacher", json={"codes": [ALERT["code"]]})
        after = await told(api, "dashboard")

        [exam] = before["exams"]
        assert (exam["exam_id"], exam["in_progress"], exam["ungraded"]) == (str(api.exam_id), 1, 2)
        assert (exam["pass_rate"], before["as_of"]) == (0.5, exam["as_of"])
        assert [each["attempt_id"] for each in before["alerts"]] == [attempt_id]
        assert (before["attention"]["alerts"], after["attention"]["alerts"], after["alerts"]) == (1, 0, [])
        assert (await told(api, "dashboard", "colleague"))["exams"] == []
        assert (await told(api, "dashboard", "boss"))["attention"] == {"alerts": 0, "reviews": 0}
        assert len((await told(api, "dashboard", "admin"))["exams"]) == 1


@pytest.mark.parametrize("more", [0, 60], ids=["few exams", "many exams"])  # are found in two ways
async def test_flagged_students_are_sorted_filtered_and_paged_without_loss_w5(core: Core, more: int) -> None:
    async with core.school() as api:
        teacher = api.people["teacher"]
        with seeding.connect(core.database) as conn:
            seeding.create_exams(
                conn, teacher.organisation_id, teacher.id, [f"Exam {n}" for n in range(more)], now=NOW
            )
        urgent = await judged(
            api, "student", alerts=[ALERT], alert_rank=1, integrity_score=0.9, risk_level="High"
        )
        other = await judged(
            api, "other_student", integrity_score=0.2, dropout_label="incapable", dropout_confidence=0.4,
            requires_recap=True, requires_instructor_attention=False,
        )  # fmt: skip
        orders: dict[str, list[str]] = {}
        for sort in ("urgency", "integrity"):
            seen: list[Any] = []
            cursor: str | None = ""
            while cursor is not None:
                page = await told(
                    api, f"students/flagged?sort={sort}&limit=1{cursor and f'&cursor={cursor}'}"
                )
                seen += page["students"]
                cursor = page["next_cursor"]
            orders[sort] = [each["attempt_id"] for each in seen]
        found = {
            query: [each["attempt_id"] for each in (await told(api, f"students/flagged?{query}"))["students"]]
            for query in (
                "flag=requires_recap", "flag=dropout_risk", "risk_level=High", "dropout_label=incapable",
                f"exam_id={uuid4()}",
            )
        }  # fmt: skip

        assert orders == {"urgency": [urgent, other], "integrity": [other, urgent]}
        assert list(found.values()) == [[other], [other], [urgent], [other], []]
        assert seen[0]["flags"] == ["requires_recap", "dropout_risk"]
        assert (seen[0]["dropout_label"], seen[0]["dropout_confidence"]) == ("incapable", 0.4)
        assert (seen[0]["student_name"], seen[0]["reasons"]) == ("The other_student", [WHY])
        assert (await told(api, "students/flagged", "colleague"))["students"] == []
        assert (await told(api, "students/flagged", "boss"))["students"] == []


async def test_a_student_is_shown_with_what_is_thought_of_each_attempt_and_why_w5(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await judged(api, "student", alerts=[ALERT], alert_rank=6, integrity_score=0.7,
                                  originality_indicators=[PASTE])  # fmt: skip
        await in_numbers(api)
        found = await told(api, f"students/{api.people['student'].id}")

        assert (found["full_name"], found["is_partial"], found["next_cursor"]) == ("The student", False, None)
        assert (found["standing"]["attempts"], found["standing"]["avg_integrity"]) == (1, 0.7)
        assert (found["standing"]["avg_score"], found["standing"]["alerting_count"]) == (None, 1)
        assert found["metrics"]["subject_scores"] == {"Biology": 80.5}
        assert found["metrics"]["strengths"] == [TOPIC]
        assert found["risk"]["flagged_count"] == 3
        [attempt] = found["attempts"]
        assert (attempt["attempt_id"], attempt["percentage"]) == (attempt_id, None)
        assert attempt["judgement"]["reasons"] == [WHY]
        assert attempt["judgement"]["originality_indicators"] == [PASTE]
        assert attempt["judgement"]["flags"] == ["requires_instructor_attention"]
        nobody = await api.get(f"/api/teacher/students/{api.people['other_student'].id}", "teacher")
        assert nobody.status == 404


async def test_who_may_see_some_of_a_students_exams_sees_no_number_of_the_others_a4(core: Core) -> None:
    """Not by the route, and not by a statement that has lost its filter."""
    async with core.school() as api:
        first = await judged(api, "student")
        await in_numbers(api)
        made = (
            await api.post("/api/teacher/exams", "colleague", json={"title": "B", "duration_minutes": 5})
        ).body
        await api.post(f"/api/teacher/exams/{made['id']}/publish", "colleague")
        started = await api.post(f"/api/student/exams/{made['id']}/start", "student")
        assert started.status == 201, started.body
        path = f"students/{api.people['student'].id}"
        one, other, whole = [await told(api, path, by) for by in ("teacher", "colleague", "admin")]
        body = {"user_id": str(api.people["teacher"].id), "can_view_analytics": True}
        await api.post(f"/api/admin/exams/{made['id']}/permissions", "admin", json=body)
        granted = await told(api, path)

        assert [each["attempt_id"] for each in one["attempts"]] == [first]
        assert (one["is_partial"], one["metrics"], one["risk"]) == (True, None, None)
        assert (one["standing"]["attempts"], other["standing"]["attempts"]) == (1, 1)
        assert (other["is_partial"], other["metrics"], other["attempts"][0]["judgement"]) == (
            True,
            None,
            None,
        )
        assert (whole["is_partial"], len(whole["attempts"])) == (False, 2)
        assert whole["metrics"]["subject_scores"] == {"Biology": 80.5}
        assert (granted["is_partial"], len(granted["attempts"])) == (False, 2)
        assert granted["metrics"] == whole["metrics"]
