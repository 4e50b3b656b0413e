"""Proctor sessions, for candidates and staff, and their events."""

from typing import Final

from aiohttp import web

from core_api.actors import actor_of
from core_api.cases import case
from core_api.database import POOL, connection
from core_api.proctoring import session_events, session_views, sessions
from core_api.wire import Envelope, about, session_id_in_path, uuid_in_path
from kernel.access import Action
from kernel.events import EventType
from kernel.http.web import OWN, SETTINGS, Route, Shows, decode_query, send_json


async def session_of_attempt(request: web.Request) -> web.Response:
    """Return the proctor session of an attempt. Candidates see theirs, without events, violations or risk."""
    attempt_id = uuid_in_path(request, "attemptId")
    query = decode_query(request, session_views.OfAttempt)
    show_numbers = request.app[SETTINGS].show_numbers_to_candidates
    async with connection(request.app[POOL], actor_of(request)) as conn:
        session = await session_views.fetch_of_attempt(
            conn, actor_of(request), attempt_id, query.mode, show_numbers=show_numbers
        )
    about(request, session.candidate_id)
    return send_json(Envelope(data=session))


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
        sessions.cancel, name="cancel_session", method="POST", path="/proctor/session/{id}/cancel",
        action=Action.session_cancel, tag="Proctoring", shows=Shows("session", "id"), envelope=True,
        message="Proctor session cancelled",
        says="Cancel a proctor session. Cancelling it again changes nothing; a completed one is a 409.",
    ),
    case(
        sessions.create, name="create_session", method="POST", path="/proctor/session",
        action=Action.session_create, tag="Proctoring", shows=OWN, envelope=True,
        says="""
        Take up the proctor session of an attempt: 201 the first time, 200 after; 409 once it has ended.

        The session is opened with the attempt. Whatever is still unknown of the client is filled in.
        """,
    ),
    Route(
        method="GET", path="/proctor/session/attempt/{attemptId}", shows=Shows("session", "attemptId"),
        handler=session_of_attempt,
        action=Action.session_read_by_attempt, tag="Proctoring", query=session_views.OfAttempt,
        reply=Envelope[session_views.SessionDetail],
    ),
    case(
        sessions.end, name="end_session", method="POST", path="/proctor/session/{id}/end",
        action=Action.session_end, tag="Proctoring", shows=Shows("session", "id"), envelope=True,
        message="Proctor session ended",
        says="""
        End proctoring. While the attempt runs, a candidate's session stays active until the attempt ends, and
        the request is recorded. Ending a completed session again changes nothing; a cancelled one is a 409.
        """,
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
