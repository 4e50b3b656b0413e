"""Exams for who may edit them: fields, publication, assignments with exceptions, permissions."""

from typing import Final

from core_api.cases import case
from core_api.exams import assignments, exams, permissions
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

ROUTES: Final = (
    case(
        permissions.list_of_exam, name="list_permissions", method="GET",
        path="/admin/exams/{exam_id}/permissions", action=Action.permission_manage, tag="Admins",
        shows=Shows("exam_permissions", "exam_id"), also_bare=True,
        says="List who was granted an exam.",
    ),
    case(
        permissions.grant, name="grant_permission", method="POST", path="/admin/exams/{exam_id}/permissions",
        action=Action.permission_manage, tag="Admins", shows=Shows("exam_permissions", "exam_id"),
        also_bare=True,
        says="Let a teacher, reviewer or observer reach an exam; a second grant replaces the first.",
    ),
    case(
        permissions.revoke, name="revoke_permission", method="DELETE",
        path="/admin/exams/{exam_id}/permissions/{user_id}", action=Action.permission_manage, tag="Admins",
        also_bare=True,
        says="Take a permission back.",
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
        exams.update, name="update_exam", method="PATCH", path="/teacher/exams/{exam_id}",
        action=Action.exam_update, tag="Teachers", also_bare=True,
        says="Change some fields of an exam. Its evaluation and its scale are fixed once a candidate has "
        "begun (409).",
    ),
    case(
        exams.archive, name="archive_exam", method="POST", path="/teacher/exams/{exam_id}/archive",
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
    case(
        exams.create, name="create_exam", method="POST", path="/teacher/exams", action=Action.exam_create,
        tag="Teachers", status=201, also_bare=True,
        says="Create an exam; candidates see it once it is published.",
    ),
    case(
        exams.set_published, name="publish", method="POST", path="/teacher/exams/{exam_id}/publish",
        action=Action.exam_publish, tag="Teachers", given={"published": True}, also_bare=True,
        says="Open an exam to the candidates of the organisation. Publishing twice changes nothing.",
    ),
    case(
        exams.set_published, name="unpublish", method="POST",
        path="/teacher/exams/{exam_id}/unpublish", action=Action.exam_publish, tag="Teachers",
        given={"published": False}, also_bare=True,
        says="Close an exam to new attempts; those that run go on.",
    ),
)  # fmt: skip
