"""What candidates hand in, and its grading."""

from typing import Final

from aiohttp import web

from core_api.actors import actor_of
from core_api.cases import bare, case
from core_api.database import POOL, connection
from core_api.submissions import grading, importing, receipts, submissions
from core_api.submissions.asking import asked_in
from core_api.wire import uuid_in_path
from kernel.access import Action
from kernel.http.headers import CONTENT_DISPOSITION, IDEMPOTENCY_KEY
from kernel.http.web import NOBODY, OWN, Retry, Route, Shows, send_json


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


ROUTES: Final = (
    *(
        bare(
            f"POST /student/{path}/{{attempt_id}}/submit", receipts.submit, Action.attempt_submit, shows=OWN,
            name=name, parts={"request": asked_in}, bodiless=True, retry=Retry.own_way, deprecated=deprecated,
            reads=(IDEMPOTENCY_KEY,),
            says=f"""
            Hand in an attempt: 201 with the receipt the first time, 200 with the same receipt ever after.

            With an `Idempotency-Key`, a retry with another body is a 409.{further}
            """,
        )
        for path, name, deprecated, further in (
            ("attempts", "submit_attempt", False, ""),
            ("exams", "submit_exam", True, " Call `submit_attempt` instead: it does the same."),
        )
    ),
    bare(
        "GET /student/attempts/{attempt_id}/submission", submissions.fetch_own, Action.attempt_read,
        name="get_submission", shows=Shows("submission", "attempt_id", of_oneself=True),
        says="Return the receipt of an attempt, with the very bytes that its hash is of.",
    ),
    Route(
        method="GET", path="/student/attempts/{attempt_id}/receipt", name="get_receipt",
        shows=Shows("receipt", "attempt_id", of_oneself=True),
        handler=receipt,
        action=Action.attempt_read, tag="Candidates", reply=receipts.Document, also_bare=True,
        sends=(CONTENT_DISPOSITION,),
    ),
    case(
        "GET /teacher/exams/{exam_id}/submissions", grading.list_of_exam, Action.submission_read,
        name="list_submissions", shows=Shows("exam_submissions", "exam_id"),
        says="List an exam's submissions with their scores, newest first.",
    ),
    case(
        "GET /teacher/submissions/{submission_id}", grading.fetch, Action.submission_read,
        name="get_submission_to_grade", shows=Shows("submission", "submission_id"),
        person=lambda found: found.author_id,
        says="Return a submission with its answers and scores; the view is recorded.",
    ),
    case(
        "POST /teacher/submissions/{submission_id}/grades", grading.grade, Action.submission_grade,
        name="grade_submission",
        shows=Shows("submission", "submission_id"), status=201, person=lambda found: found.author_id,
        says="Give points to what no machine scores: a new revision of the score, the old ones stay.",
    ),
    bare(
        "POST /admin/results/import", importing.import_results, Action.result_import, name="import_results",
        retry=Retry.own_way, shows=NOBODY,
        says="""
        Bring results from elsewhere in: an exam that is open to nobody, with its items and keys, and results
        of it, as attempts that are over and submissions of kind `imported`. Candidates are found by the name
        that the file has for them, or get an account that nobody can sign in to. A result is known by
        candidate, exam and attempt: sent again it changes nothing. A faulty result is named by its line and
        nothing is written; `partial` takes the good ones, `dry_run` none.
        """,
    ),
)  # fmt: skip
