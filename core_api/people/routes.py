"""One's own account; for admins the organisation, its people and its groups; for teachers whom to assign."""

from collections.abc import Mapping
from typing import Final

from core_api.cases import Part, bare, case
from core_api.identity.passwords import HASHING
from core_api.ledger.viewings import VIEWS
from core_api.people import directory, groups, importing, origins, profiles, users
from kernel.access import Action
from kernel.http.web import NOBODY, OWN, Retry, Shows

# For acts whose refusal shows something, too.
_NOTING: Final[Mapping[str, Part]] = {"views": lambda request: request.app[VIEWS]}

ROUTES: Final = (
    bare(
        "GET /me", profiles.fetch, Action.profile_read, name="get_me", shows=OWN,
        says="Return the caller's own account and profile.",
    ),
    bare(
        "PUT /me", profiles.update, Action.profile_update, name="update_me", parts=_NOTING,
        says="Change the caller's own profile; what is left out stays as it is.",
    ),
    case(
        "GET /teacher/students", directory.find_students, Action.student_find, name="list_students",
        shows=Shows("students"),
        says="""
        Find the organisation's students to assign an exam to, by name: all of them, those whose name or
        address begins with `q`, those of a group.
        """,
    ),
    case(
        "GET /teacher/groups", directory.find_groups, Action.student_find, name="list_groups_to_assign",
        shows=NOBODY,
        says="Find the organisation's groups to assign an exam to, by name, with how many it would reach.",
    ),
    case(
        "GET /teacher/groups/{group_id}/students", directory.students_of_group, Action.student_find,
        name="list_students_of_group", shows=Shows("group_members", "group_id"),
        says="List a group's active students by name: those whom an assignment to the group reaches.",
    ),
    bare(
        "GET /admin/users", users.list_of_organisation, Action.user_list, name="list_users",
        shows=Shows("users"),
        says="List the organisation's people, newest first, filtered by role, state, group or text.",
    ),
    bare(
        "POST /admin/users", users.create, Action.user_create, name="create_user", status=201,
        shows=Shows("users"), parts={**HASHING, **_NOTING},
        says="Create a person of any role in the organisation. A taken e-mail address or username is a 409.",
    ),
    bare(
        "POST /admin/users/import", importing.import_people, Action.user_import, name="import_people",
        retry=Retry.own_way, parts=_NOTING,
        says="""
        Make and change people and groups by a school's CSV files: OneRoster's users, roles, classes and
        enrollments, or others with `columns`. A fault is named by file, line and column, and nothing is
        written; `partial` takes the good rows, `dry_run` none. The same files again change nothing.
        """,
    ),
    bare(
        "GET /admin/users/{user_id}", users.fetch, Action.user_list, name="get_user",
        shows=Shows("user", "user_id", "user_id"),
        says="Return one person of the organisation.",
    ),
    bare(
        "POST /admin/users/{user_id}/lock", users.set_active, Action.user_lock, name="lock_user",
        shows=Shows("user", "user_id", "user_id"), given={"active": False},
        says="""
        Lock a person out: all their sign-ins end within a second. The last active admin stays.
        """,
    ),
    bare(
        "POST /admin/users/{user_id}/unlock", users.set_active, Action.user_lock, name="unlock_user",
        shows=Shows("user", "user_id", "user_id"), given={"active": True},
        says="Let a person sign in again, or approve a registration. Sign-ins from before stay ended.",
    ),
    bare(
        "PUT /admin/users/{user_id}/role", users.set_role, Action.user_set_role, name="set_user_role",
        shows=Shows("user", "user_id", "user_id"),
        says="Give a person another role. They sign in again to use it; the last active admin stays one.",
    ),
    bare(
        "GET /admin/users/{user_id}/student-profile", profiles.fetch_student, Action.student_profile_manage,
        name="get_student_profile", shows=Shows("student_profile", "user_id", "user_id"),
        says="Return everything kept of a student.",
    ),
    bare(
        "PUT /admin/users/{user_id}/student-profile", profiles.update_student, Action.student_profile_manage,
        name="update_student_profile", shows=Shows("student_profile", "user_id", "user_id"),
        says="Set a student's enrolment number and cohort; what is left out stays as it is.",
    ),
    bare(
        "GET /admin/organisation", users.organisation, Action.organisation_manage, name="get_organisation",
        shows=NOBODY,
        says="Return the admin's organisation.",
    ),
    bare(
        "PUT /admin/organisation", users.update_organisation, Action.organisation_manage,
        name="update_organisation",
        says="Rename the organisation, or open it to registration where the installation allows that.",
    ),
    bare(
        "GET /admin/allowed-origins", origins.fetch, Action.organisation_manage, name="get_allowed_origins",
        shows=NOBODY,
        says="Return the origins of other sites' pages that may call for people of the organisation.",
    ),
    bare(
        "PUT /admin/allowed-origins", origins.replace, Action.organisation_manage,
        name="set_allowed_origins",
        says="""
        Say which other sites' pages may call for people of the organisation, all of them at once.

        An origin is a scheme, a host and perhaps a port: no path, no wildcard. Origins that the deployment
        allows need no place here. A change holds within seconds; browsers may remember for ten minutes that
        a page may ask, and what it is answered they hide from it at once.
        """,
    ),
    bare(
        "GET /admin/groups", groups.list_of_organisation, Action.group_manage, name="list_groups",
        shows=NOBODY,
        says="List the organisation's groups, newest first.",
    ),
    bare(
        "POST /admin/groups", groups.create, Action.group_manage, name="create_group", status=201,
        says="Create a group. A taken name is a 409.",
    ),
    bare(
        "GET /admin/groups/{group_id}", groups.fetch, Action.group_manage, name="get_group", shows=NOBODY,
        says="Return a group.",
    ),
    bare(
        "PUT /admin/groups/{group_id}", groups.update, Action.group_manage, name="update_group",
        says="Rename or describe a group.",
    ),
    bare(
        "DELETE /admin/groups/{group_id}", groups.delete, Action.group_manage, name="delete_group",
        says="Delete a group; its members stay people of the organisation. One in use is a 409.",
    ),
    bare(
        "GET /admin/groups/{group_id}/members", groups.list_members, Action.group_manage,
        name="list_group_members",
        shows=Shows("group_members", "group_id"),
        says="List a group's members.",
    ),
    bare(
        "POST /admin/groups/{group_id}/members", groups.add_members, Action.group_manage,
        name="add_group_members",
        says="Add up to 10,000 people of the organisation to a group: all, or none and each fault is named.",
    ),
    bare(
        "DELETE /admin/groups/{group_id}/members/{user_id}", groups.remove_member, Action.group_manage,
        name="remove_group_member",
        says="Take somebody out of a group.",
    ),
)  # fmt: skip
