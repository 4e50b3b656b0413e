"""
Handlers for teachers, reviewers and admins: exams, launch links, sessions and their events, analytics.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from aiohttp import web

from core_api import exam_changes, exams, launches, monitoring, reporting, session_events, session_views
from core_api.actors import LAUNCH_KEYRING, actor_of
from core_api.database import POOL, connection
from core_api.views import about
from core_api.wire import Envelope, read_json, session_id_in_path, uuid_in_path
from kernel.access import Action
from kernel.events import EventType
from kernel.web import SETTINGS, Route, Shows, decode_query, send_json


async def create_exam(request: web.Request) -> web.Response:
    """Create an exam; candidates see it once it is published."""
    command = await read_json(request, exams.NewExam)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        exam = await exams.create(conn, actor_of(request), command, now=datetime.now(UTC))
    return send_json(exam, status=201)


async def publish(request: web.Request) -> web.Response:
    """Open an exam to the candidates of the organisation. Publishing twice changes nothing."""
    return await _set_published(request, published=True)


async def unpublish(request: web.Request) -> web.Response:
    """Close an exam to new attempts; those that run go on."""
    return await _set_published(request, published=False)


async def _set_published(request: web.Request, *, published: bool) -> web.Response:
    exam_id = uuid_in_path(request, "exam_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        exam = await exam_changes.set_published(
            conn, actor_of(request), exam_id, published=published, now=datetime.now(UTC)
        )
    return send_json(exam)


async def create_links(request: web.Request) -> web.Response:
    """Make single-use launch links for up to 10,000 candidates of an exam that the caller may edit."""
    exam_id = uuid_in_path(request, "exam_id")
    command = await read_json(request, launches.LinkRequest)
    app = request.app
    links = await launches.create_links(
        app[POOL],
        actor_of(request),
        exam_id,
        command,
        launch_keyring=app[LAUNCH_KEYRING],
        settings=app[SETTINGS],
        now=datetime.now(UTC),
    )
    return send_json(links, status=201)


async def session(request: web.Request) -> web.Response:
    """Return a proctor session with its latest events."""
    session_id, actor = session_id_in_path(request), actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        found = await session_views.fetch(conn, actor, session_id)
    candidate = found.candidate_id
    about(request, candidate)
    return send_json(Envelope(data=found))


async def list_sessions(request: web.Request) -> web.Response:
    """
    List the proctor sessions that the caller may see, by cursor (newest first) or in numbered, sorted pages.
    """
    query = decode_query(request, session_views.ListSessions)
    return await _list_sessions(request, query, query.exam_id)


async def list_exam_sessions(request: web.Request) -> web.Response:
    """List an exam's proctor sessions, by cursor (newest first) or in numbered, sorted pages."""
    exam_id = uuid_in_path(request, "examId")
    return await _list_sessions(request, decode_query(request, session_views.ListExamSessions), exam_id)


async def _list_sessions(
    request: web.Request, query: session_views.ListExamSessions, exam_id: UUID | None
) -> web.Response:
    async with connection(request.app[POOL], actor_of(request)) as conn:
        rows, paging = await session_views.list_visible(conn, actor_of(request), query, exam_id)
    return send_json(Envelope(data=rows, paging=paging))


async def list_events(request: web.Request) -> web.Response:
    """List a session's events in order of their sequence number."""
    return await _list_events(request, None)


async def list_events_of_type(request: web.Request) -> web.Response:
    """List a session's events of one type, given by its number or its name."""
    return await _list_events(request, session_events.type_in_path(request.match_info["type"]))


async def _list_events(request: web.Request, event_type: EventType | None) -> web.Response:
    session_id = session_id_in_path(request)
    query, actor = decode_query(request, session_events.ListEvents), actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        row = await session_views.require_visible(conn, actor, session_id)
        events, paging = await session_events.list_of_session(conn, row, query, event_type)
    candidate = row["candidate_id"]
    about(request, candidate)
    return send_json(Envelope(data=events, paging=paging))


async def attempt_monitoring(request: web.Request) -> web.Response:
    """Return an attempt's monitoring: sessions, timeline, heartbeat gaps, and a page of its events."""
    attempt_id = uuid_in_path(request, "attempt_id")
    query = decode_query(request, monitoring.MonitoringQuery)
    actor = actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        found = await monitoring.fetch(conn, actor, attempt_id, query)
    candidate = found.attempt.student_id
    about(request, candidate)
    return send_json(found)


async def exam_analytics(request: web.Request) -> web.Response:
    """Return an exam's attempts and monitoring in numbers, and a page of its students."""
    exam_id = uuid_in_path(request, "exam_id")
    query, actor = decode_query(request, reporting.AnalyticsQuery), actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        analytics = await reporting.exam_analytics(conn, actor, exam_id, query)
    return send_json(analytics)


ROUTES: Final = (
    Route(
        method="POST", path="/teacher/exams", handler=create_exam, action=Action.exam_create, tag="Teachers",
        body=exams.NewExam, reply=exams.Exam, status=201, also_bare=True,
    ),
    Route(
        method="POST", path="/teacher/exams/{exam_id}/publish", handler=publish, action=Action.exam_publish,
        tag="Teachers", reply=exams.Exam, also_bare=True,
    ),
    Route(
        method="POST", path="/teacher/exams/{exam_id}/unpublish", handler=unpublish,
        action=Action.exam_publish, tag="Teachers", reply=exams.Exam, also_bare=True,
    ),
    Route(
        method="POST", path="/teacher/exams/{exam_id}/launch-links", handler=create_links,
        action=Action.launch_link_create, tag="Teachers", body=launches.LinkRequest, reply=launches.Links,
        status=201, also_bare=True,
    ),
    Route(
        method="GET", path="/teacher/exams/{exam_id}/analytics", shows=Shows("exam_analytics", "exam_id"),
        handler=exam_analytics,
        action=Action.exam_analytics, tag="Teachers", query=reporting.AnalyticsQuery,
        reply=reporting.ExamAnalytics, also_bare=True,
    ),
    Route(
        method="GET", path="/teacher/attempts/{attempt_id}/monitoring",
        shows=Shows("attempt", "attempt_id"),
        handler=attempt_monitoring,
        action=Action.attempt_monitoring, tag="Teachers", query=monitoring.MonitoringQuery,
        reply=monitoring.Monitoring, also_bare=True,
    ),
    Route(
        method="GET", path="/proctor/session/{id}", shows=Shows("session", "id"),
        handler=session, action=Action.session_read,
        tag="Proctoring", reply=Envelope[session_views.SessionDetail],
    ),
    Route(
        method="GET", path="/proctor/sessions", shows=Shows("sessions"),
        handler=list_sessions, action=Action.session_list,
        tag="Proctoring", query=session_views.ListSessions, reply=Envelope[list[session_views.Session]],
    ),
    Route(
        method="GET", path="/proctor/sessions/exam/{examId}", shows=Shows("exam_sessions", "examId"),
        handler=list_exam_sessions,
        action=Action.session_list, tag="Proctoring", query=session_views.ListExamSessions,
        reply=Envelope[list[session_views.Session]],
    ),
    Route(
        method="GET", path="/proctor/session/{id}/events", shows=Shows("session_events", "id"),
        handler=list_events, action=Action.event_read,
        tag="Proctoring", query=session_events.ListEvents, reply=Envelope[list[session_events.ProctorEvent]],
    ),
    Route(
        method="GET", path="/proctor/session/{id}/events/{type}", shows=Shows("session_events", "id"),
        handler=list_events_of_type,
        action=Action.event_read, tag="Proctoring", query=session_events.ListEvents,
        reply=Envelope[list[session_events.ProctorEvent]],
    ),
)  # fmt: skip
