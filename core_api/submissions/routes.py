"""What is handed in, by candidates and observers, and its grading."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from core_api.actors import actor_of
from core_api.cases import case
from core_api.database import POOL, connection
from core_api.submissions import grading, observations, receipts, submissions
from core_api.wire import decode_body, read_bytes, uuid_in_path
from kernel.access import Action
from kernel.http.web import OWN, Route, Shows, send_json

_SUBMIT: Final = msgspec.json.Decoder(submissions.Submit)
_OBSERVATION: Final = msgspec.json.Decoder(observations.Observation)


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


async def finalise_observation(request: web.Request) -> web.Response:
    """
    Finalise an observation of candidates: 201 with the receipt the first time, 200 with the same one after.

    The `Idempotency-Key` is asked for; a retry with another body is a 409.
    """
    exam_id = uuid_in_path(request, "exam_id")
    body = await read_bytes(request)
    command = decode_body(body, _OBSERVATION)
    asked = submissions.request_of(request.headers.get("Idempotency-Key"), body)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        finalised = await observations.finalise(
            conn, actor_of(request), exam_id, command, asked, now=datetime.now(UTC)
        )
    return send_json(finalised.receipt, status=201 if finalised.created else 200)


ROUTES: Final = (
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
        grading.list_of_exam, name="list_submissions", method="GET",
        path="/teacher/exams/{exam_id}/submissions", action=Action.submission_read, tag="Teachers",
        shows=Shows("exam_submissions", "exam_id"),
        says="List an exam's submissions with their scores, newest first.",
    ),
    case(
        grading.fetch, name="submission", method="GET", path="/teacher/submissions/{submission_id}",
        action=Action.submission_read, tag="Teachers", shows=Shows("submission", "submission_id"),
        person=lambda found: found.author_id,
        says="Return a submission with its answers and scores; the view is recorded.",
    ),
    case(
        grading.grade, name="grade", method="POST", path="/teacher/submissions/{submission_id}/grades",
        action=Action.submission_grade, tag="Teachers", shows=Shows("submission", "submission_id"),
        status=201, person=lambda found: found.author_id,
        says="Give points to what no machine scores: a new revision of the score, the old ones stay.",
    ),
    Route(
        method="POST", path="/observer/exams/{exam_id}/observations", shows=OWN, handler=finalise_observation,
        action=Action.observation_finalise, tag="Observers", body=observations.Observation,
        reply=observations.ObservationReceipt, status=201, also_status=(200,),
    ),
    case(
        observations.fetch_own, name="observation", method="GET",
        path="/observer/observations/{submission_id}", action=Action.observation_read, tag="Observers",
        shows=Shows("submission", "submission_id", of_oneself=True),
        says="Return one of the observer's own observations, with the very bytes that its hash is of.",
    ),
)  # fmt: skip
