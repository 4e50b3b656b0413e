"""Candidates at an exam, and the links that let them in."""

from functools import partial
from typing import Any, Final

from core_api.attempts import answers, attempts, availability, dashboard, exports, launches
from core_api.cases import bare
from core_api.exports.learning import NDJSON_TYPE
from core_api.exports.tables import CSV_TYPE
from kernel.access import Action
from kernel.errors import OverloadedError, RateLimitedError
from kernel.http.headers import CONTENT_DISPOSITION
from kernel.http.web import OWN, Retry, Route

EXPORT: Final[Any] = partial(
    Route, method="GET", action=Action.result_export, tag="Candidates", also_bare=True, shows=OWN, reply=str,
    sends=(CONTENT_DISPOSITION,),
    refuses={
        RateLimitedError: "another export of yours is under way",
        OverloadedError: "as many exports are under way as may be",
    },
)  # fmt: skip

ROUTES: Final = (
    bare(
        "POST /auth/launch", launches.launch, None, name="launch",
        says="""
    Open an attempt with a launch link's token, once. A second use is a 409, an expired or void link a 401.

    Until a moment after the first use, the same browser at the same address gets the same sign-in again: a
    reply that got lost shuts nobody out.
    """,
    ),
    bare(
        "GET /student/dashboard", dashboard.fetch, Action.dashboard_read, name="get_dashboard", shows=OWN,
        says="""
        Return the candidate's dashboard: what runs, what they may take now and later, how they do and in
        which topics, and what they have taken.
        """,
    ),
    EXPORT(
        path="/student/export/csv", name="export_own_csv", handler=exports.export_csv,
        query=exports.ExportOwnCsv, media_type=CSV_TYPE,
    ),
    EXPORT(
        path="/student/export/xapi", name="export_own_xapi", handler=exports.export_xapi,
        media_type=NDJSON_TYPE,
    ),
    EXPORT(
        path="/student/export/caliper", name="export_own_caliper", handler=exports.export_caliper,
        media_type=NDJSON_TYPE,
    ),
    bare(
        "GET /student/attempts/{attempt_id}/paper", attempts.open_paper, Action.paper_read, name="get_paper",
        reply=attempts.OpenPaper, shows=OWN,
        says="Return the questions of a running attempt, without their answer keys.",
    ),
    bare(
        "PUT /student/attempts/{attempt_id}/answers", answers.save, Action.answer_save, name="save_answers",
        retry=Retry.own_way,
        says="""
        Save answers, all or none; one that is older than what is stored, or repeated, changes nothing.
        """,
    ),
    bare(
        "GET /student/attempts/{attempt_id}/answers", answers.list_own, Action.answer_read,
        name="list_answers", shows=OWN,
        says="List what is stored for an attempt, by question.",
    ),
    bare(
        "GET /student/attempts/{attempt_id}/answers/{question_id}/drafts", answers.list_drafts,
        Action.answer_read, name="list_drafts", shows=OWN,
        says="""
        List how an essay grew, newest first: when each draft was kept and how long it was. One is kept every
        30 seconds at most; of more than a hundred, the first stays and the newest. What is stored now stands
        among the answers.
        """,
    ),
    bare(
        "GET /student/attempts/{attempt_id}/answers/{question_id}/drafts/{client_seq}", answers.fetch_draft,
        Action.answer_read, name="get_draft", shows=OWN,
        says="Return one draft of an essay with its text, also once it was handed in.",
    ),
    bare(
        "GET /student/exams/available", availability.list_available, Action.exam_list_available,
        name="list_available_exams", shows=OWN,
        says="""
        List the published exams that the candidate may take, newest first, with their own attempt at each.
        """,
    ),
    bare(
        "POST /student/exams/{exam_id}/start", attempts.start, Action.attempt_start, name="start_attempt",
        says="""
        Start the attempt: 201 the first time, 200 with the same attempt while it runs, 409 once it is over.
        """,
    ),
    bare(
        "GET /student/attempts/{attempt_id}", attempts.fetch, Action.attempt_read,
        name="get_attempt", shows=OWN,
        says="Return one of the candidate's own attempts, with the server's time and what is left of it.",
    ),
    bare(
        "POST /teacher/exams/{exam_id}/launch-links", launches.create_links, Action.launch_link_create,
        name="create_launch_links",
        status=201, retry=Retry.told,
        says="""
        Make single-use launch links for up to 10,000 candidates of an exam whose students the caller manages.
        """,
    ),
)  # fmt: skip
