"""
Handlers for who may edit exams: their fields, archive, assignments, and the grading of what was
handed in.
"""

from typing import Final

from core_api.cases import case
from core_api.exams import assignments, exam_changes, exams
from core_api.submissions import grading
from kernel.access import Action
from kernel.web import NOBODY, Shows

ROUTES: Final = (
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
    case(
        exams.list_visible, name="list_exams", method="GET", path="/teacher/exams", action=Action.exam_read,
        tag="Teachers", shows=NOBODY, also_bare=True,
        says="List the exams that the caller made or was granted, newest first.",
    ),
    case(
        exams.fetch, name="exam", method="GET", path="/teacher/exams/{exam_id}", action=Action.exam_read,
        tag="Teachers", shows=NOBODY, also_bare=True,
        says="Return an exam.",
    ),
    case(
        exam_changes.update, name="update_exam", method="PATCH", path="/teacher/exams/{exam_id}",
        action=Action.exam_update, tag="Teachers", also_bare=True,
        says="Change some fields of an exam. Its evaluation and its scale are fixed once a candidate has "
        "begun (409).",
    ),
    case(
        exam_changes.archive, name="archive_exam", method="POST", path="/teacher/exams/{exam_id}/archive",
        action=Action.exam_update, tag="Teachers", also_bare=True,
        says="Close an exam for good; attempts that run go on. Archiving twice changes nothing.",
    ),
    case(
        assignments.assign, name="assign", method="POST", path="/teacher/exams/{exam_id}/assignments",
        action=Action.assignment_write, tag="Teachers", shows=Shows("exam_assignments", "exam_id"),
        status=201,
        says="""
        Assign an exam to up to 10,000 users and groups; who has an assignment already gets the new terms.
        """,
    ),
    case(
        assignments.list_of_exam, name="list_assignments", method="GET",
        path="/teacher/exams/{exam_id}/assignments", action=Action.assignment_read, tag="Teachers",
        shows=Shows("exam_assignments", "exam_id"),
        says="List an exam's assignments, revoked ones too, newest first.",
    ),
    case(
        assignments.revoke, name="revoke_assignment", method="POST",
        path="/teacher/exams/{exam_id}/assignments/{assignment_id}/revoke", action=Action.assignment_write,
        tag="Teachers", shows=Shows("exam_assignments", "exam_id"),
        says="Take an assignment back; attempts that run go on. Revoking twice changes nothing.",
    ),
    case(
        assignments.list_overrides, name="list_overrides", method="GET",
        path="/teacher/exams/{exam_id}/assignments/{assignment_id}/overrides", action=Action.assignment_read,
        tag="Teachers", shows=Shows("assignment_overrides", "assignment_id"),
        says="List the exceptions to an assignment, by user.",
    ),
    case(
        assignments.set_override, name="set_override", method="PUT",
        path="/teacher/exams/{exam_id}/assignments/{assignment_id}/overrides/{user_id}",
        action=Action.assignment_write, tag="Teachers",
        shows=Shows("assignment_overrides", "assignment_id", "user_id"),
        says="Make or replace one candidate's exception to an assignment; attempts begun later go by it.",
    ),
    case(
        assignments.remove_override, name="remove_override", method="DELETE",
        path="/teacher/exams/{exam_id}/assignments/{assignment_id}/overrides/{user_id}",
        action=Action.assignment_write, tag="Teachers",
        says="Take an exception back.",
    ),
)  # fmt: skip
