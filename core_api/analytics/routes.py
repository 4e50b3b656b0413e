"""Exams and attempts in numbers, for staff."""

from functools import partial
from typing import Any, Final

from core_api.analytics import (
    alerts,
    attempts,
    exams,
    exports,
    flagged,
    items,
    similarity,
    students,
    teaching,
)
from core_api.cases import bare
from core_api.exports.learning import NDJSON_TYPE
from core_api.exports.tables import CSV_TYPE, PARQUET_TYPE
from kernel.access import Action
from kernel.errors import ForbiddenError, NotFoundError, OverloadedError, RateLimitedError
from kernel.http.headers import CONTENT_DISPOSITION
from kernel.http.web import NOBODY, Retry, Route, Shows

EXPORT_REFUSES: Final = {
    NotFoundError: "the exam is not visible to you",
    ForbiddenError: "it is, without its analytics",
    RateLimitedError: "another export of yours is under way",
    OverloadedError: "as many exports are under way as may be",
}
EXPORT: Final[Any] = partial(
    Route, method="GET", action=Action.exam_export, tag="Teachers", also_bare=True, shows=exports.SHOWS,
    refuses=EXPORT_REFUSES, sends=(CONTENT_DISPOSITION,),
)  # fmt: skip

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
    EXPORT(
        path="/teacher/exams/{exam_id}/export/csv", name="export_exam_csv",
        handler=exports.export_csv, query=exports.ExportCsv, reply=str, media_type=CSV_TYPE,
    ),
    EXPORT(
        path="/teacher/exams/{exam_id}/export/parquet", name="export_exam_parquet",
        handler=exports.export_parquet, query=exports.ExportParquet, reply=bytes, media_type=PARQUET_TYPE,
    ),
    EXPORT(
        path="/teacher/exams/{exam_id}/export/xapi", name="export_exam_xapi",
        handler=exports.export_xapi, reply=str, media_type=NDJSON_TYPE,
    ),
    EXPORT(
        path="/teacher/exams/{exam_id}/export/caliper", name="export_exam_caliper",
        handler=exports.export_caliper, reply=str, media_type=NDJSON_TYPE,
    ),
)  # fmt: skip
