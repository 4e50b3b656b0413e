"""Candidates at an exam, and the links that let them in."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api.actors import KEYRING, LAUNCH_KEYRING, origin_of
from core_api.attempts import answers, attempts, availability, dashboard, launches
from core_api.cases import case
from core_api.database import POOL, system_connection
from core_api.wire import read_json
from kernel.access import Action
from kernel.http.web import OWN, SETTINGS, Route, send_json


async def launch(request: web.Request) -> web.Response:
    """
    Open an attempt with a launch link's token, once. A second use is a 409, an expired or void link a 401.

    Until a moment after the first use, the same browser at the same address gets the same sign-in again: a
    reply that got lost shuts nobody out.
    """
    command = await read_json(request, launches.Launch)
    app = request.app
    async with system_connection(app[POOL]) as conn:
        launched = await launches.launch(
            conn,
            command,
            launch_keyring=app[LAUNCH_KEYRING],
            keyring=app[KEYRING],
            settings=app[SETTINGS],
            origin=origin_of(request),
            now=datetime.now(UTC),
        )
    return send_json(launched)


ROUTES: Final = (
    Route(
        method="POST", path="/auth/launch", handler=launch, action=None, tag="Authentication",
        body=launches.Launch, reply=launches.Launched, also_bare=True,
    ),
    case(
        dashboard.fetch, name="own_dashboard", method="GET", path="/student/dashboard",
        action=Action.dashboard_read, tag="Candidates", shows=OWN, also_bare=True,
        says="Return the candidate's profile, totals and history.",
    ),
    case(
        attempts.open_paper, name="paper", method="GET", path="/student/attempts/{attempt_id}/paper",
        action=Action.paper_read, tag="Candidates", reply=attempts.OpenPaper, shows=OWN, also_bare=True,
        says="Return the questions of a running attempt, without their answer keys.",
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
        launches.create_links, name="create_links", method="POST",
        path="/teacher/exams/{exam_id}/launch-links", action=Action.launch_link_create, tag="Teachers",
        status=201, also_bare=True,
        says="Make single-use launch links for up to 10,000 candidates of an exam that the caller may edit.",
    ),
)  # fmt: skip
