"""Exams and attempts in numbers, for staff."""

from typing import Final

from core_api.analytics import attempts, exams
from core_api.cases import case
from kernel.access import Action
from kernel.http.web import Shows

ROUTES: Final = (
    case(
        exams.exam_analytics, name="exam_analytics", method="GET",
        path="/teacher/exams/{exam_id}/analytics", action=Action.exam_analytics, tag="Teachers",
        shows=Shows("exam_analytics", "exam_id"), also_bare=True,
        says="Return an exam's attempts and monitoring in numbers, and a page of its students.",
    ),
    case(
        attempts.fetch, name="attempt_monitoring", method="GET",
        path="/teacher/attempts/{attempt_id}/monitoring", action=Action.attempt_monitoring, tag="Teachers",
        shows=Shows("attempt", "attempt_id"), person=lambda found: found.attempt.student_id, also_bare=True,
        says="Return an attempt's monitoring: sessions, timeline, heartbeat gaps, and a page of its events.",
    ),
)  # fmt: skip
