"""
Handlers for candidates: exams, attempts, their proctor session.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from core_api import (
    answers,
    attempts,
    availability,
    dashboard,
    receipts,
    session_views,
    sessions,
    submissions,
)
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.views import about
from core_api.wire import (
    Envelope,
    address_of,
    decode_body,
    read_bytes,
    read_json,
    session_id_in_path,
    uuid_in_path,
)
from kernel.access import Action
from kernel.web import OWN, SETTINGS, Route, Shows, decode_query, send_json


async def available(request: web.Request) -> web.Response:
    """
    List the published exams that the candidate may take, newest first, with their own attempt at each.
    """
    query = decode_query(request, availability.ListAvailable)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await availability.list_available(conn, actor_of(request), query, now=datetime.now(UTC))
        )


async def start(request: web.Request) -> web.Response:
    """Start the attempt: 201 the first time, 200 with the same attempt while it runs, 409 once it is over."""
    exam_id = uuid_in_path(request, "exam_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        started = await attempts.start(conn, actor_of(request), exam_id, now=datetime.now(UTC))
    return send_json(started.attempt, status=201 if started.created else 200)


async def attempt(request: web.Request) -> web.Response:
    """Return one of the candidate's own attempts, with the server's time and what is left of it."""
    attempt_id = uuid_in_path(request, "attempt_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await attempts.fetch(conn, actor_of(request), attempt_id, now=datetime.now(UTC)))


async def paper(request: web.Request) -> web.Response:
    """Return the questions of a running attempt, without keys."""
    attempt_id = uuid_in_path(request, "attempt_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await attempts.open_paper(conn, actor_of(request), attempt_id, now=datetime.now(UTC))
        )


async def save_answers(request: web.Request) -> web.Response:
    """
    Save answers, all or none; one that is older than what is stored, or repeated, changes nothing.
    """
    attempt_id = uuid_in_path(request, "attempt_id")
    command = await read_json(request, answers.SaveAnswers)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        saved = await answers.save(conn, actor_of(request), attempt_id, command, now=datetime.now(UTC))
    return send_json(saved)


async def list_answers(request: web.Request) -> web.Response:
    """List what is stored for an attempt, by question."""
    attempt_id = uuid_in_path(request, "attempt_id")
    query = decode_query(request, answers.ListAnswers)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await answers.list_own(conn, actor_of(request), attempt_id, query))


async def submit(request: web.Request) -> web.Response:
    """
    Hand in an attempt: 201 with the receipt the first time, 200 with the same receipt ever after.

    With an `Idempotency-Key`, a retry with another body is a 409.
    """
    attempt_id = uuid_in_path(request, "attempt_id")
    body = await read_bytes(request) or b"{}"
    command = decode_body(body, _SUBMIT)
    asked = submissions.request_of(request.headers.get("Idempotency-Key"), body)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        finalised = await submissions.submit(
            conn, actor_of(request), attempt_id, command, asked, now=datetime.now(UTC)
        )
        receipt = await receipts.submitted(conn, finalised)
    return send_json(receipt, status=201 if finalised.created else 200)


async def submission(request: web.Request) -> web.Response:
    """Return the receipt of an attempt, with the very bytes that its hash is of."""
    attempt_id = uuid_in_path(request, "attempt_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await submissions.fetch_own(conn, actor_of(request), attempt_id))


async def receipt(request: web.Request) -> web.Response:
    """
    Return the receipt of an attempt as a file to keep, which can be checked without us.

    Its `ledger.status` is `pending` for a second; then position, proof and signed head are in it.
    """
    attempt_id = uuid_in_path(request, "attempt_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        document = await receipts.fetch(conn, actor_of(request), attempt_id)
    name = f"veritas-receipt-{document.receipt.submission_id}.json"
    return send_json(document, headers={"Content-Disposition": f'attachment; filename="{name}"'})


async def own_dashboard(request: web.Request) -> web.Response:
    """Return the candidate's profile, totals and history."""
    query = decode_query(request, dashboard.DashboardQuery)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await dashboard.fetch(conn, actor_of(request), query, now=datetime.now(UTC)))


async def create_session(request: web.Request) -> web.Response:
    """
    Take up the proctor session of an attempt: 201 the first time, 200 after; 409 once it has ended.

    The session is opened with the attempt. Whatever is still unknown of the client is filled in.
    """
    command = await read_json(request, sessions.CreateSession)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        started, created = await sessions.create(
            conn, actor_of(request), command, address=address_of(request), now=datetime.now(UTC)
        )
    return send_json(Envelope(data=started), status=201 if created else 200)


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


async def end_session(request: web.Request) -> web.Response:
    """
    End proctoring. While the attempt runs, a candidate's session stays active until the attempt ends, and the
    request is recorded. Ending a completed session again changes nothing; a cancelled one is a 409.
    """
    session_id = session_id_in_path(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        state = await sessions.end(conn, actor_of(request), session_id, now=datetime.now(UTC))
    return send_json(Envelope(data=state, message="Proctor session ended"))


_SUBMIT: Final = msgspec.json.Decoder(submissions.Submit)

ROUTES: Final = (
    Route(
        method="GET", path="/student/dashboard", shows=OWN,
        handler=own_dashboard, action=Action.dashboard_read,
        tag="Candidates", query=dashboard.DashboardQuery, reply=dashboard.Dashboard, also_bare=True,
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}/paper", shows=OWN,
        handler=paper, action=Action.paper_read,
        tag="Candidates", reply=attempts.OpenPaper, also_bare=True,
    ),
    Route(
        method="PUT", path="/student/attempts/{attempt_id}/answers", handler=save_answers,
        action=Action.answer_save, tag="Candidates", body=answers.SaveAnswers, reply=answers.Saved,
        also_bare=True,
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}/answers", shows=OWN,
        handler=list_answers,
        action=Action.answer_read, tag="Candidates", query=answers.ListAnswers, reply=answers.Answers,
        also_bare=True,
    ),
    Route(
        method="POST", path="/student/attempts/{attempt_id}/submit", shows=OWN, handler=submit,
        action=Action.attempt_submit, tag="Candidates", body=submissions.Submit, reply=receipts.Submitted,
        status=201, also_status=(200,), also_bare=True,
    ),
    Route(
        method="POST", path="/student/exams/{attempt_id}/submit", shows=OWN, handler=submit,
        action=Action.attempt_submit, tag="Candidates", body=submissions.Submit, reply=receipts.Submitted,
        status=201, also_status=(200,), also_bare=True,
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}/submission",
        shows=Shows("submission", "attempt_id", of_oneself=True),
        handler=submission,
        action=Action.attempt_read, tag="Candidates", reply=submissions.Submission, also_bare=True,
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}/receipt",
        shows=Shows("receipt", "attempt_id", of_oneself=True),
        handler=receipt,
        action=Action.attempt_read, tag="Candidates", reply=receipts.Document, also_bare=True,
    ),
    Route(
        method="GET", path="/student/exams/available", shows=OWN,
        handler=available, action=Action.exam_list_available,
        tag="Candidates", query=availability.ListAvailable, reply=availability.Available, also_bare=True,
    ),
    Route(
        method="POST", path="/student/exams/{exam_id}/start", handler=start, action=Action.attempt_start,
        tag="Candidates", reply=attempts.Attempt, status=201, also_status=(200,), also_bare=True,
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}", shows=OWN,
        handler=attempt, action=Action.attempt_read,
        tag="Candidates", reply=attempts.Attempt, also_bare=True,
    ),
    Route(
        method="POST", path="/proctor/session", shows=OWN,
        handler=create_session, action=Action.session_create,
        tag="Proctoring", body=sessions.CreateSession, reply=Envelope[sessions.SessionStarted], status=201,
        also_status=(200,),
    ),
    Route(
        method="GET", path="/proctor/session/attempt/{attemptId}", shows=Shows("session", "attemptId"),
        handler=session_of_attempt,
        action=Action.session_read_by_attempt, tag="Proctoring", query=session_views.OfAttempt,
        reply=Envelope[session_views.SessionDetail],
    ),
    Route(
        method="POST", path="/proctor/session/{id}/end", shows=Shows("session", "id"),
        handler=end_session, action=Action.session_end,
        tag="Proctoring", reply=Envelope[sessions.SessionState],
    ),
)  # fmt: skip
