"""
Handlers for candidates: exams, attempts, their proctor session.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from core_api.actors import actor_of
from core_api.attempts import answers, attempts, availability, dashboard
from core_api.cases import case
from core_api.database import POOL, connection
from core_api.proctoring import session_views, sessions
from core_api.submissions import receipts, submissions
from core_api.wire import (
    Envelope,
    about,
    decode_body,
    read_bytes,
    uuid_in_path,
)
from kernel.access import Action
from kernel.web import OWN, SETTINGS, Route, Shows, decode_query, send_json


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


_SUBMIT: Final = msgspec.json.Decoder(submissions.Submit)

ROUTES: Final = (
    case(
        dashboard.fetch, name="own_dashboard", method="GET", path="/student/dashboard",
        action=Action.dashboard_read, tag="Candidates", shows=OWN, also_bare=True,
        says="Return the candidate's profile, totals and history.",
    ),
    case(
        attempts.open_paper, name="paper", method="GET", path="/student/attempts/{attempt_id}/paper",
        action=Action.paper_read, tag="Candidates", reply=attempts.OpenPaper, shows=OWN, also_bare=True,
        says="Return the questions of a running attempt, without keys.",
    ),
    case(
        answers.save, name="save_answers", method="PUT", path="/student/attempts/{attempt_id}/answers",
        action=Action.answer_save, tag="Candidates", also_bare=True,
        says="""
        Save answers, all or none; one that is older than what is stored, or repeated, changes nothing.
        """,
    ),
    case(
        answers.list_own, name="list_answers", method="GET", path="/student/attempts/{attempt_id}/answers",
        action=Action.answer_read, tag="Candidates", shows=OWN, also_bare=True,
        says="List what is stored for an attempt, by question.",
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
    case(
        submissions.fetch_own, name="submission", method="GET",
        path="/student/attempts/{attempt_id}/submission", action=Action.attempt_read, tag="Candidates",
        shows=Shows("submission", "attempt_id", of_oneself=True), also_bare=True,
        says="Return the receipt of an attempt, with the very bytes that its hash is of.",
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}/receipt",
        shows=Shows("receipt", "attempt_id", of_oneself=True),
        handler=receipt,
        action=Action.attempt_read, tag="Candidates", reply=receipts.Document, also_bare=True,
    ),
    case(
        availability.list_available, name="available", method="GET", path="/student/exams/available",
        action=Action.exam_list_available, tag="Candidates", shows=OWN, also_bare=True,
        says="""
        List the published exams that the candidate may take, newest first, with their own attempt at each.
        """,
    ),
    case(
        attempts.start, name="start", method="POST", path="/student/exams/{exam_id}/start",
        action=Action.attempt_start, tag="Candidates", also_bare=True,
        says="""
        Start the attempt: 201 the first time, 200 with the same attempt while it runs, 409 once it is over.
        """,
    ),
    case(
        attempts.fetch, name="attempt", method="GET", path="/student/attempts/{attempt_id}",
        action=Action.attempt_read, tag="Candidates", shows=OWN, also_bare=True,
        says="Return one of the candidate's own attempts, with the server's time and what is left of it.",
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
)  # fmt: skip
