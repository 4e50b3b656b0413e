"""Exams and attempts in numbers, for staff."""

from typing import Final

from core_api.analytics import alerts, attempts, exams
from core_api.cases import bare
from kernel.access import Action
from kernel.http.web import Retry, Shows

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
    bare(
        "GET /teacher/alerts", alerts.list_of_caller, Action.alert_list, name="list_alerts",
        shows=Shows("alerts"),
        says="""
        List the attempts in which something stands out, the most urgent first: critical and high risk,
        evidence that was tampered with, unexplained silence, clusters of anomalies, dropout; with reasons.
        """,
    ),
    bare(
        "POST /teacher/attempts/{attempt_id}/alerts/acknowledge", alerts.acknowledge,
        Action.alert_acknowledge, name="acknowledge_alerts", shows=Shows("attempt", "attempt_id"),
        retry=Retry.own_way,
        says="Note that you have looked at an attempt's alerts; others see who did. Again changes nothing.",
    ),
)  # fmt: skip
