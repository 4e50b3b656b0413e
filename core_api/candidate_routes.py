"""
Handlers for candidates: exams, attempts, their proctor session.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api import attempts, exams, session_views, sessions
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.wire import Envelope, address_of, read_json, session_id_in_path, uuid_in_path
from kernel.access import Action
from kernel.web import SETTINGS, Route, decode_query, send_json


async def available(request: web.Request) -> web.Response:
    """
    List the published exams of the candidate's organisation, newest first, with their own attempt at each.
    """
    query = decode_query(request, exams.ListAvailable)
    async with connection(request.app[POOL]) as conn:
        return send_json(await exams.list_available(conn, actor_of(request), query))


async def start(request: web.Request) -> web.Response:
    """Start the attempt: 201 the first time, 200 with the same attempt while it runs, 409 once it is over."""
    exam_id = uuid_in_path(request, "exam_id")
    async with connection(request.app[POOL]) as conn:
        started = await attempts.start(conn, actor_of(request), exam_id, now=datetime.now(UTC))
    return send_json(started.attempt, status=201 if started.created else 200)


async def attempt(request: web.Request) -> web.Response:
    """Return one of the candidate's own attempts, with the server's time and what is left of it."""
    attempt_id = uuid_in_path(request, "attempt_id")
    async with connection(request.app[POOL]) as conn:
        return send_json(await attempts.fetch(conn, actor_of(request), attempt_id, now=datetime.now(UTC)))


async def create_session(request: web.Request) -> web.Response:
    """
    Start proctoring an attempt: 201, or 200 with the same session while it is active; 409 once it has ended.
    """
    command = await read_json(request, sessions.CreateSession)
    async with connection(request.app[POOL]) as conn:
        started, created = await sessions.create(
            conn, actor_of(request), command, address=address_of(request), now=datetime.now(UTC)
        )
    return send_json(Envelope(data=started), status=201 if created else 200)


async def session_of_attempt(request: web.Request) -> web.Response:
    """Return the proctor session of an attempt. Candidates see theirs, without events, violations or risk."""
    attempt_id = uuid_in_path(request, "attemptId")
    query = decode_query(request, session_views.OfAttempt)
    show_numbers = request.app[SETTINGS].show_numbers_to_candidates
    async with connection(request.app[POOL]) as conn:
        session = await session_views.fetch_of_attempt(
            conn, actor_of(request), attempt_id, query.mode, show_numbers=show_numbers
        )
    return send_json(Envelope(data=session))


async def end_session(request: web.Request) -> web.Response:
    """End proctoring. Ending a completed session again changes nothing; a cancelled one is a 409."""
    session_id = session_id_in_path(request)
    async with connection(request.app[POOL]) as conn:
        state = await sessions.end(conn, actor_of(request), session_id, now=datetime.now(UTC))
    return send_json(Envelope(data=state, message="Proctor session ended"))


ROUTES: Final = (
    Route(
        method="GET", path="/student/exams/available", handler=available, action=Action.exam_list_available,
        tag="Candidates", query=exams.ListAvailable, reply=exams.Available, also_bare=True,
    ),
    Route(
        method="POST", path="/student/exams/{exam_id}/start", handler=start, action=Action.attempt_start,
        tag="Candidates", reply=attempts.Attempt, status=201, also_status=(200,), also_bare=True,
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}", handler=attempt, action=Action.attempt_read,
        tag="Candidates", reply=attempts.Attempt, also_bare=True,
    ),
    Route(
        method="POST", path="/proctor/session", handler=create_session, action=Action.session_create,
        tag="Proctoring", body=sessions.CreateSession, reply=Envelope[sessions.SessionStarted], status=201,
        also_status=(200,),
    ),
    Route(
        method="GET", path="/proctor/session/attempt/{attemptId}", handler=session_of_attempt,
        action=Action.session_read_by_attempt, tag="Proctoring", query=session_views.OfAttempt,
        reply=Envelope[session_views.SessionDetail],
    ),
    Route(
        method="POST", path="/proctor/session/{id}/end", handler=end_session, action=Action.session_end,
        tag="Proctoring", reply=Envelope[sessions.SessionState],
    ),
)  # fmt: skip
