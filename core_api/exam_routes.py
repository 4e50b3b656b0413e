"""
Handlers for who may edit exams: their fields, archive, assignments, and the grading of what was
handed in.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api import assignments, exam_changes, exams, grading
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.views import about
from core_api.wire import read_json, uuid_in_path
from kernel.access import Action
from kernel.web import NOBODY, Route, Shows, decode_query, send_json


async def list_exams(request: web.Request) -> web.Response:
    """List the exams that the caller made or was granted, newest first."""
    query = decode_query(request, exams.ListExams)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await exams.list_visible(conn, actor_of(request), query))


async def exam(request: web.Request) -> web.Response:
    """Return an exam."""
    exam_id = uuid_in_path(request, "exam_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await exams.fetch(conn, actor_of(request), exam_id))


async def update_exam(request: web.Request) -> web.Response:
    """
    Change some fields of an exam. Its evaluation and its scale are fixed once a candidate has begun (409).
    """
    exam_id = uuid_in_path(request, "exam_id")
    command = await read_json(request, exam_changes.UpdateExam)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        changed = await exam_changes.update(conn, actor_of(request), exam_id, command, now=datetime.now(UTC))
    return send_json(changed)


async def archive_exam(request: web.Request) -> web.Response:
    """Close an exam for good; attempts that run go on. Archiving twice changes nothing."""
    exam_id = uuid_in_path(request, "exam_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        archived = await exam_changes.archive(conn, actor_of(request), exam_id, now=datetime.now(UTC))
    return send_json(archived)


async def assign(request: web.Request) -> web.Response:
    """
    Assign an exam to up to 10,000 users and groups; who has an assignment already gets the new terms.
    """
    exam_id = uuid_in_path(request, "exam_id")
    command = await read_json(request, assignments.Assign)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        assigned = await assignments.assign(conn, actor_of(request), exam_id, command, now=datetime.now(UTC))
    return send_json(assigned, status=201)


async def list_assignments(request: web.Request) -> web.Response:
    """List an exam's assignments, revoked ones too, newest first."""
    exam_id = uuid_in_path(request, "exam_id")
    query = decode_query(request, assignments.ListAssigned)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await assignments.list_of_exam(conn, actor_of(request), exam_id, query))


async def revoke_assignment(request: web.Request) -> web.Response:
    """Take an assignment back; attempts that run go on. Revoking twice changes nothing."""
    exam_id, assignment_id = uuid_in_path(request, "exam_id"), uuid_in_path(request, "assignment_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        revoked = await assignments.revoke(
            conn, actor_of(request), exam_id, assignment_id, now=datetime.now(UTC)
        )
    return send_json(revoked)


async def list_overrides(request: web.Request) -> web.Response:
    """List the exceptions to an assignment, by user."""
    exam_id, assignment_id = uuid_in_path(request, "exam_id"), uuid_in_path(request, "assignment_id")
    query = decode_query(request, assignments.ListAssigned)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await assignments.list_overrides(conn, actor_of(request), exam_id, assignment_id, query)
        )


async def set_override(request: web.Request) -> web.Response:
    """Make or replace one candidate's exception to an assignment; attempts begun later go by it."""
    exam_id, assignment_id = uuid_in_path(request, "exam_id"), uuid_in_path(request, "assignment_id")
    user_id = uuid_in_path(request, "user_id")
    command = await read_json(request, assignments.Override)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        override = await assignments.set_override(
            conn, actor_of(request), exam_id, assignment_id, user_id, command, now=datetime.now(UTC)
        )
    return send_json(override)


async def remove_override(request: web.Request) -> web.Response:
    """Take an exception back."""
    exam_id, assignment_id = uuid_in_path(request, "exam_id"), uuid_in_path(request, "assignment_id")
    user_id = uuid_in_path(request, "user_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        await assignments.remove_override(
            conn, actor_of(request), exam_id, assignment_id, user_id, now=datetime.now(UTC)
        )
    return web.Response(status=204)


async def list_submissions(request: web.Request) -> web.Response:
    """List an exam's submissions with their scores, newest first."""
    exam_id = uuid_in_path(request, "exam_id")
    query, actor = decode_query(request, grading.ListSubmissions), actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        listed = await grading.list_of_exam(conn, actor, exam_id, query)
    return send_json(listed)


async def submission(request: web.Request) -> web.Response:
    """Return a submission with its answers and scores; the view is recorded."""
    submission_id = uuid_in_path(request, "submission_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        found = await grading.fetch(conn, actor_of(request), submission_id)
    about(request, found.author_id)
    return send_json(found)


async def grade(request: web.Request) -> web.Response:
    """Give points to what no machine scores: a new revision of the score, the old ones stay."""
    submission_id = uuid_in_path(request, "submission_id")
    command = await read_json(request, grading.Grade)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        graded = await grading.grade(conn, actor_of(request), submission_id, command, now=datetime.now(UTC))
    about(request, graded.author_id)
    return send_json(graded, status=201)


ROUTES: Final = (
    Route(
        method="GET", path="/teacher/exams/{exam_id}/submissions",
        shows=Shows("exam_submissions", "exam_id"),
        handler=list_submissions,
        action=Action.submission_read, tag="Teachers", query=grading.ListSubmissions,
        reply=grading.Submissions,
    ),
    Route(
        method="GET", path="/teacher/submissions/{submission_id}",
        shows=Shows("submission", "submission_id"),
        handler=submission,
        action=Action.submission_read, tag="Teachers", reply=grading.GradedSubmission,
    ),
    Route(
        method="POST", path="/teacher/submissions/{submission_id}/grades",
        shows=Shows("submission", "submission_id"),
        handler=grade,
        action=Action.submission_grade, tag="Teachers", body=grading.Grade, reply=grading.GradedSubmission,
        status=201,
    ),
    Route(
        method="GET", path="/teacher/exams", shows=NOBODY,
        handler=list_exams, action=Action.exam_read, tag="Teachers",
        query=exams.ListExams, reply=exams.Exams, also_bare=True,
    ),
    Route(
        method="GET", path="/teacher/exams/{exam_id}", shows=NOBODY,
        handler=exam, action=Action.exam_read, tag="Teachers",
        reply=exams.Exam, also_bare=True,
    ),
    Route(
        method="PATCH", path="/teacher/exams/{exam_id}", handler=update_exam, action=Action.exam_update,
        tag="Teachers", body=exam_changes.UpdateExam, reply=exams.Exam, also_bare=True,
    ),
    Route(
        method="POST", path="/teacher/exams/{exam_id}/archive", handler=archive_exam,
        action=Action.exam_update, tag="Teachers", reply=exams.Exam, also_bare=True,
    ),
    Route(
        method="POST", path="/teacher/exams/{exam_id}/assignments",
        shows=Shows("exam_assignments", "exam_id"),
        handler=assign,
        action=Action.assignment_write, tag="Teachers", body=assignments.Assign, reply=assignments.Assigned,
        status=201,
    ),
    Route(
        method="GET", path="/teacher/exams/{exam_id}/assignments",
        shows=Shows("exam_assignments", "exam_id"),
        handler=list_assignments,
        action=Action.assignment_read, tag="Teachers", query=assignments.ListAssigned,
        reply=assignments.Assignments,
    ),
    Route(
        method="POST", path="/teacher/exams/{exam_id}/assignments/{assignment_id}/revoke",
        shows=Shows("exam_assignments", "exam_id"),
        handler=revoke_assignment, action=Action.assignment_write, tag="Teachers",
        reply=assignments.Assignment,
    ),
    Route(
        method="GET", path="/teacher/exams/{exam_id}/assignments/{assignment_id}/overrides",
        shows=Shows("assignment_overrides", "assignment_id"),
        handler=list_overrides, action=Action.assignment_read, tag="Teachers",
        query=assignments.ListAssigned, reply=assignments.Overrides,
    ),
    Route(
        method="PUT", path="/teacher/exams/{exam_id}/assignments/{assignment_id}/overrides/{user_id}",
        shows=Shows("assignment_overrides", "assignment_id", "user_id"),
        handler=set_override, action=Action.assignment_write, tag="Teachers", body=assignments.Override,
        reply=assignments.StoredOverride,
    ),
    Route(
        method="DELETE", path="/teacher/exams/{exam_id}/assignments/{assignment_id}/overrides/{user_id}",
        handler=remove_override, action=Action.assignment_write, tag="Teachers", status=204,
    ),
)  # fmt: skip
