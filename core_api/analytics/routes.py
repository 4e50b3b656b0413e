"""Exams and attempts in numbers, for staff."""

from typing import Final

from core_api.analytics import attempts, exams
from core_api.cases import bare
from kernel.access import Action
from kernel.http.web import Shows

ROUTES: Final = (
    bare(
        "GET /teacher/exams/{exam_id}/analytics", exams.exam_analytics, Action.exam_analytics,
        name="get_exam_analytics",
        shows=Shows("exam_analytics", "exam_id"),
        says="Return an exam's attempts and monitoring in numbers, and a page of its students.",
    ),
    bare(
        "GET /teacher/attempts/{attempt_id}/monitoring", attempts.fetch, Action.attempt_monitoring,
        name="get_attempt_monitoring", shows=Shows("attempt", "attempt_id"),
        person=lambda found: found.attempt.student_id,
        says="Return an attempt's monitoring: sessions, timeline, heartbeat gaps, and a page of its events.",
    ),
)  # fmt: skip
