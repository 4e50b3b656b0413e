"""
Handlers for teachers, reviewers and admins: exams, launch links, sessions and their events, analytics.
"""

from typing import Final

from aiohttp import web

from core_api.actors import actor_of
from core_api.analytics import attempts as monitoring
from core_api.analytics import exams as reporting
from core_api.attempts import launches
from core_api.cases import case
from core_api.database import POOL, connection
from core_api.exams import exam_changes, exams
from core_api.proctoring import session_events, session_views
from core_api.wire import Envelope, about, session_id_in_path
from kernel.access import Action
from kernel.events import EventType
from kernel.web import Route, Shows, decode_query, send_json


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


ROUTES: Final = (
    case(
        exams.create, name="create_exam", method="POST", path="/teacher/exams", action=Action.exam_create,
        tag="Teachers", status=201, also_bare=True,
        says="Create an exam; candidates see it once it is published.",
    ),
    case(
        exam_changes.set_published, name="publish", method="POST", path="/teacher/exams/{exam_id}/publish",
        action=Action.exam_publish, tag="Teachers", given={"published": True}, also_bare=True,
        says="Open an exam to the candidates of the organisation. Publishing twice changes nothing.",
    ),
    case(
        exam_changes.set_published, name="unpublish", method="POST",
        path="/teacher/exams/{exam_id}/unpublish", action=Action.exam_publish, tag="Teachers",
        given={"published": False}, also_bare=True,
        says="Close an exam to new attempts; those that run go on.",
    ),
    case(
        launches.create_links, name="create_links", method="POST",
        path="/teacher/exams/{exam_id}/launch-links", action=Action.launch_link_create, tag="Teachers",
        status=201, also_bare=True,
        says="Make single-use launch links for up to 10,000 candidates of an exam that the caller may edit.",
    ),
    case(
        reporting.exam_analytics, name="exam_analytics", method="GET",
        path="/teacher/exams/{exam_id}/analytics", action=Action.exam_analytics, tag="Teachers",
        shows=Shows("exam_analytics", "exam_id"), also_bare=True,
        says="Return an exam's attempts and monitoring in numbers, and a page of its students.",
    ),
    case(
        monitoring.fetch, name="attempt_monitoring", method="GET",
        path="/teacher/attempts/{attempt_id}/monitoring", action=Action.attempt_monitoring, tag="Teachers",
        shows=Shows("attempt", "attempt_id"), person=lambda found: found.attempt.student_id, also_bare=True,
        says="Return an attempt's monitoring: sessions, timeline, heartbeat gaps, and a page of its events.",
    ),
    case(
        session_views.fetch, name="session", method="GET", path="/proctor/session/{id}",
        action=Action.session_read, tag="Proctoring", shows=Shows("session", "id"), envelope=True,
        person=lambda found: found.candidate_id,
        says="Return a proctor session with its latest events.",
    ),
    case(
        session_views.list_all, name="list_sessions", method="GET", path="/proctor/sessions",
        action=Action.session_list, tag="Proctoring", shows=Shows("sessions"),
        says="List the proctor sessions that the caller may see, by cursor (newest first) or in numbered, "
        "sorted pages.",
    ),
    case(
        session_views.list_visible, name="list_exam_sessions", method="GET",
        path="/proctor/sessions/exam/{examId}", action=Action.session_list, tag="Proctoring",
        shows=Shows("exam_sessions", "examId"),
        says="List an exam's proctor sessions, by cursor (newest first) or in numbered, sorted pages.",
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
