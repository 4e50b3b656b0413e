"""Exams for their staff: fields, publication, who takes them and on which terms, permissions, forms."""

from typing import Final

from core_api.cases import bare, case
from core_api.exams import assignments, exams, forms, importing, permissions
from kernel.access import Action
from kernel.http.web import NOBODY, Shows

ROUTES: Final = (
    bare(
        "GET /admin/exams/{exam_id}/permissions", permissions.list_of_exam, Action.permission_manage,
        name="list_permissions", shows=Shows("exam_permissions", "exam_id"),
        says="List who was granted an exam.",
    ),
    bare(
        "POST /admin/exams/{exam_id}/permissions", permissions.grant, Action.permission_manage,
        name="grant_permission", shows=Shows("exam_permissions", "exam_id"),
        says="""
        Let a teacher, reviewer or observer reach an exam; a second grant replaces the first.

        A teacher may look at it (`can_view`), change it (`can_edit`), say who takes it
        (`can_manage_students`, which `can_edit` includes) and see its analytics (`can_view_analytics`).
        """,
    ),
    bare(
        "DELETE /admin/exams/{exam_id}/permissions/{user_id}", permissions.revoke, Action.permission_manage,
        name="revoke_permission",
        says="Take a permission back.",
    ),
    bare(
        "GET /teacher/exams", exams.list_visible, Action.exam_read, name="list_exams", shows=NOBODY,
        says="List the exams that the caller made or was granted, newest first.",
    ),
    bare(
        "POST /teacher/exams/import", importing.import_exams, Action.exam_create, name="import_exams",
        says="""
        Make, assign and publish up to 200 exams by a CSV file, an exam a row, known by its title. A fault is
        named by line and column, and nothing is written; `partial` takes the good rows, `dry_run` none. The
        same file again changes nothing.
        """,
    ),
    bare(
        "GET /teacher/exams/{exam_id}", exams.fetch_shown, Action.exam_read, name="get_exam", shows=NOBODY,
        says="Return an exam, and what the caller may do with it.",
    ),
    *(
        case(
            f"GET /{whose}/exams/{{exam_id}}/form", forms.fetch, Action.form_read, name=name,
            reply=forms.Form, shows=NOBODY,
            says="Return what an observer fills in: the exam's questions, without their keys. Observers read "
            "it while the exam is open, its staff before that as well.",
        )
        for whose, name in (("teacher", "get_form"), ("observer", "get_form_to_observe"))
    ),
    case(
        "GET /observer/exams", forms.list_observable, Action.exam_list_observable,
        name="list_observable_exams", shows=NOBODY,
        says="List the open exams whose candidates the observer may observe, newest first.",
    ),
    bare(
        "PATCH /teacher/exams/{exam_id}", exams.update, Action.exam_update, name="update_exam",
        says="Change some fields of an exam. Its evaluation and its scale are fixed once a candidate has "
        "begun (409).",
    ),
    bare(
        "POST /teacher/exams/{exam_id}/archive", exams.archive, Action.exam_update, name="archive_exam",
        says="Close an exam for good; attempts that run go on. Archiving twice changes nothing.",
    ),
    case(
        "POST /teacher/exams/{exam_id}/assignments", assignments.assign, Action.assignment_write,
        name="assign_exam",
        shows=Shows("exam_assignments", "exam_id"), status=201,
        says="""
        Assign an exam to up to 10,000 users and groups; who has an assignment already gets the new terms.

        The reply's `reach` says whom they reach now, and who of them is at work under the terms of before.
        """,
    ),
    case(
        "GET /teacher/exams/{exam_id}/assignments", assignments.list_of_exam, Action.assignment_read,
        name="list_assignments", shows=Shows("exam_assignments", "exam_id"),
        says="List an exam's assignments, revoked ones too, newest first.",
    ),
    case(
        "GET /teacher/exams/{exam_id}/assignments/{assignment_id}", assignments.fetch, Action.assignment_read,
        name="get_assignment", shows=Shows("assignment", "assignment_id"),
        says="Return one of an exam's assignments, a revoked one too.",
    ),
    case(
        "POST /teacher/exams/{exam_id}/assignments/{assignment_id}/revoke", assignments.revoke,
        Action.assignment_write, name="revoke_assignment", shows=Shows("exam_assignments", "exam_id"),
        says="Take an assignment back; attempts that run go on. Revoking twice changes nothing.",
    ),
    case(
        "GET /teacher/exams/{exam_id}/assignments/{assignment_id}/overrides", assignments.list_overrides,
        Action.assignment_read, name="list_overrides", shows=Shows("assignment_overrides", "assignment_id"),
        says="List the exceptions to an assignment, by user.",
    ),
    case(
        "PUT /teacher/exams/{exam_id}/assignments/{assignment_id}/overrides/{user_id}",
        assignments.set_override, Action.assignment_write, name="set_override",
        shows=Shows("assignment_overrides", "assignment_id", "user_id"),
        says="""
        Make or replace one candidate's exception to an assignment; attempts begun later go by it.

        One that is under way (`reach`) keeps the terms that it began under, but for its time: what it gains
        by this it gets at once (`extended`), and it never ends sooner. The reply says, too, what holds for an
        attempt that they begin now (`policy`).
        """,
    ),
    case(
        "DELETE /teacher/exams/{exam_id}/assignments/{assignment_id}/overrides/{user_id}",
        assignments.remove_override, Action.assignment_write, name="remove_override",
        says="Take an exception back.",
    ),
    bare(
        "POST /teacher/exams", exams.create, Action.exam_create, name="create_exam", status=201,
        says="Create an exam; candidates see it once it is published.",
    ),
    bare(
        "POST /teacher/exams/{exam_id}/publish", exams.set_published, Action.exam_publish,
        name="publish_exam",
        given={"published": True},
        says="Open an exam to the candidates of the organisation. Publishing twice changes nothing.",
    ),
    bare(
        "POST /teacher/exams/{exam_id}/unpublish", exams.set_published, Action.exam_publish,
        name="unpublish_exam",
        given={"published": False},
        says="Close an exam to new attempts; those that run go on.",
    ),
)  # fmt: skip
