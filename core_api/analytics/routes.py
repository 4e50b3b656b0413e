"""Exams and attempts in numbers, for staff."""

from typing import Final

from core_api.analytics import alerts, attempts, exams, flagged, items, similarity, students, teaching
from core_api.cases import bare
from kernel.access import Action
from kernel.http.web import NOBODY, Retry, Shows

ROUTES: Final = (
    bare(
        "GET /teacher/dashboard", teaching.dashboard, Action.teaching_read, name="get_teacher_dashboard",
        shows=Shows("alerts"),
        says="""
        Return your exams in numbers, the newest first, and what waits for somebody: alerts that nobody has
        looked at, the most urgent of them with reasons, and proctor sessions to decide on.
        """,
    ),
    bare(
        "GET /teacher/students/flagged", flagged.list_of_caller, Action.student_analytics,
        name="list_flagged_students", shows=Shows("flagged_students"),
        says="""
        List the students who are flagged in your exams, the most urgent first: for risk, integrity or a flag
        that nobody has decided on, a weakness to recap, or dropout; with reasons.
        """,
    ),
    bare(
        "GET /teacher/students/{student_id}", students.fetch, Action.student_analytics, name="get_student",
        shows=Shows("student", "student_id", "student_id"),
        says="""
        Return a student in numbers: their attempts at your exams with what is thought of each and why, how
        they stand in these, and, where all exams of theirs are yours to see, metrics and risk over all.
        """,
    ),
    bare(
        "GET /teacher/exams/{exam_id}/analytics", exams.exam_analytics, Action.exam_analytics,
        name="get_exam_analytics",
        shows=Shows("exam_analytics", "exam_id"),
        says="""
        Return an exam in numbers and a page of its students: attempts, monitoring, how it went, how its tests
        measured, risk and integrity, how many answers are alike; with reasons.
        """,
    ),
    bare(
        "GET /teacher/exams/{exam_id}/analytics/items", items.list_of_exam, Action.exam_analytics,
        name="list_item_statistics", shows=NOBODY,
        says="""
        List how each item of an exam measured: difficulty, discrimination, distractors, times, and what
        stands out, with reasons.
        """,
    ),
    bare(
        "GET /teacher/exams/{exam_id}/analytics/similarity", similarity.list_of_exam, Action.exam_analytics,
        name="list_similar_attempts", shows=Shows("exam_similarity", "exam_id"),
        says="""
        List the pairs of an exam's attempts whose answers are more alike than chance explains, and the
        clusters that they make, with reasons. An indication, never a finding.
        """,
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
