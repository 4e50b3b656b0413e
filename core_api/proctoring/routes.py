"""Proctor sessions, for candidates and staff, and their events."""

from typing import Final

from aiohttp import web

from core_api.actors import actor_of
from core_api.cases import case
from core_api.database import POOL, connection
from core_api.proctoring import (
    actions,
    client_socket,
    live,
    live_hub,
    live_messages,
    live_streams,
    session_events,
    session_views,
    sessions,
    tickets,
)
from core_api.wire import Envelope, about, session_id_in_path
from kernel.access import Action
from kernel.errors import UpgradeRequiredError
from kernel.events import EventType
from kernel.http.headers import ACCEPT_LANGUAGE, LAST_EVENT_ID
from kernel.http.web import NOBODY, OWN, SETTINGS, Retry, Route, Shows, decode_query, send_json


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
        events, paging = await session_events.list_of_session(
            conn, row, query, event_type, settings=request.app[SETTINGS]
        )
    candidate = row["candidate_id"]
    about(request, candidate)
    return send_json(Envelope(data=events, paging=paging))


ROUTES: Final = (
    case(
        "POST /proctor/session/{id}/cancel", sessions.cancel, Action.session_cancel, name="cancel_session",
        shows=Shows("session", "id"), envelope=True, message="Proctor session cancelled",
        says="Cancel a proctor session. Cancelling it again changes nothing; a completed one is a 409.",
    ),
    case(
        "POST /proctor/session", sessions.create, Action.session_create, name="create_session", shows=OWN,
        retry=Retry.own_way,
        says="""
        Take up the proctor session of an attempt: 201 the first time, 200 after; 409 once it has ended.

        The session is opened with the attempt. Whatever is still unknown of the client is filled in.
        """,
    ),
    case(
        "GET /proctor/session/attempt/{attemptId}", session_views.fetch_of_attempt,
        Action.session_read_by_attempt, name="get_session_of_attempt", shows=Shows("session", "attemptId"),
        envelope=True, person=lambda found: found.candidate_id,
        says="""
        Return the proctor session of an attempt. Candidates see theirs, without events, violations or risk.
        """,
    ),
    case(
        "POST /proctor/session/{id}/end", sessions.end, Action.session_end, name="end_session",
        shows=Shows("session", "id"), envelope=True, message=sessions.said_of_end,
        says="""
        End proctoring. While the attempt runs, a candidate's session stays active until the attempt ends, and
        the request is recorded. Ending a completed session again changes nothing; a cancelled one is a 409.
        """,
    ),
    case(
        "GET /proctor/session/{id}", session_views.fetch, Action.session_read, name="get_session",
        shows=Shows("session", "id"), envelope=True, person=lambda found: found.candidate_id,
        says="Return a proctor session with its latest events.",
    ),
    case(
        "GET /proctor/sessions", session_views.list_all, Action.session_list, name="list_sessions",
        shows=Shows("sessions"),
        says="List the proctor sessions that the caller may see, newest first or sorted.",
    ),
    case(
        "GET /proctor/sessions/exam/{examId}", session_views.list_visible, Action.session_list,
        name="list_exam_sessions", shows=Shows("exam_sessions", "examId"),
        says="List an exam's proctor sessions, newest first or sorted.",
    ),
    case(
        "GET /proctor/dashboard/exam/{examId}", live.fetch_dashboard, Action.live_watch,
        name="get_exam_dashboard", shows=Shows("exam_dashboard", "examId"), envelope=True,
        says="Return an exam's proctor sessions in numbers: how many there are, their risk, what is decided.",
    ),
    case(
        "GET /proctor/live/exam/{examId}", live.list_live, Action.live_watch,
        name="list_live_sessions", shows=Shows("exam_live", "examId"),
        says="""
        List an exam's sessions as they stand now, the active ones unless others are asked for: score, last
        heartbeat and latest event, and whether the candidate is online.
        """,
    ),
    case(
        "POST /proctor/live/exam/{examId}/ticket", tickets.create_for_exam, Action.live_watch,
        name="create_live_ticket", shows=NOBODY, envelope=True, retry=Retry.own_way,
        says="""
        Make a ticket that opens an exam's stream or socket within a minute, once or again: for browsers,
        which can set no header there.
        """,
    ),
    Route(
        method="GET", path="/proctor/live/exam/{examId}/stream",
        name="stream_live_sessions", shows=live_streams.LIVE,
        handler=live_streams.stream, action=Action.live_watch, ticketed=True, tag="Proctoring",
        query=live_streams.Watch, reply=str, media_type="text/event-stream", reads=(LAST_EVENT_ID,),
        refuses=live_streams.REFUSES, tells=live_messages.LiveMessage,
    ),
    Route(
        method="GET", path="/proctor/live/exam/{examId}/socket",
        name="open_live_socket", shows=live_streams.LIVE,
        handler=live_streams.socket, action=Action.live_watch, ticketed=True, tag="Proctoring",
        query=live_streams.Watch, status=101, media_type="websocket",
        refuses=live_streams.REFUSES | {UpgradeRequiredError: ""}, tells=live_messages.LiveMessage,
    ),
    Route(
        method="POST", path="/hubs/proctor/negotiate", also_bare=True,
        name="negotiate_proctor_hub", shows=NOBODY, retry=Retry.own_way,
        handler=live_hub.negotiate, action=Action.live_watch, ticketed=True, tag="Proctoring",
        reply=live_hub.Negotiated,
    ),
    Route(
        method="GET", path="/hubs/proctor", also_bare=True,
        name="connect_to_proctor_hub", shows=NOBODY,
        handler=live_hub.connect, action=Action.live_watch, ticketed=True, tag="Proctoring",
        status=101, media_type="websocket", refuses={UpgradeRequiredError: ""},
    ),
    case(
        "GET /proctor/session/{id}/actions", actions.list_actions, Action.session_read,
        name="list_session_actions", shows=Shows("session_actions", "id"),
        says="""
        List what staff did in a session, newest first, and whether the client has confirmed it, and when.
        """,
    ),
    case(
        "GET /proctor/session/{id}/commands", actions.list_commands, Action.command_read,
        name="list_commands", shows=OWN, envelope=True, reads=(ACCEPT_LANGUAGE,),
        says="""
        List what the proctor has told the candidate's client and it has not confirmed yet, oldest first.

        The same commands come with the replies to heartbeats and events, until they are confirmed.
        """,
    ),
    case(
        "POST /proctor/session/{id}/commands/{commandId}/confirm", actions.confirm,
        Action.command_confirm, name="confirm_command", shows=OWN, envelope=True, retry=Retry.own_way,
        says="Confirm a command: it was shown, or done. Again changes nothing; the first time counts.",
    ),
    case(
        "POST /proctor/session/{id}/ticket", tickets.create_for_session, Action.command_read,
        name="create_session_ticket", shows=OWN, envelope=True, retry=Retry.own_way,
        says="""
        Make a ticket that opens the socket of the caller's session within a minute, once or again: for
        browsers, which can set no header there.
        """,
    ),
    Route(
        method="GET", path="/proctor/session/{id}/socket",
        name="open_session_socket", shows=OWN,
        handler=client_socket.socket, action=Action.command_read, ticketed=True, tag="Proctoring",
        query=client_socket.Connect, status=101, media_type="websocket", reads=(ACCEPT_LANGUAGE,),
        refuses=client_socket.REFUSES, tells=client_socket.ClientMessage, hears=client_socket.ClientSays,
    ),
    Route(
        method="GET", path="/proctor/session/{id}/events",
        name="list_session_events", shows=Shows("session_events", "id"),
        handler=list_events, action=Action.event_read,
        tag="Proctoring", query=session_events.ListEvents, reply=Envelope[list[session_events.ProctorEvent]],
    ),
    Route(
        method="GET", path="/proctor/session/{id}/events/{type}", name="list_session_events_of_type",
        shows=Shows("session_events", "id"),
        handler=list_events_of_type,
        action=Action.event_read, tag="Proctoring", query=session_events.ListEvents,
        reply=Envelope[list[session_events.ProctorEvent]],
    ),
)  # fmt: skip
