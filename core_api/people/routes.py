"""One's own account, and for admins the organisation, its people and its groups."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api.actors import actor_of, address_of
from core_api.cases import case
from core_api.database import POOL
from core_api.identity import throttle
from core_api.identity.passwords import CHECKER
from core_api.identity.throttle import LIMITS
from core_api.people import groups, profiles, users
from core_api.wire import read_json
from kernel.access import Action
from kernel.http.web import NOBODY, OWN, Route, Shows, send_json


async def create_user(request: web.Request) -> web.Response:
    """Create a person of any role in the organisation. A taken e-mail address or username is a 409."""
    command = await read_json(request, users.NewUser)
    app = request.app
    source = throttle.source_of(address_of(request), command.email, app[LIMITS])
    user = await users.create(
        app[POOL], actor_of(request), command, checker=app[CHECKER], source=source, now=datetime.now(UTC)
    )
    return send_json(user, status=201)


ROUTES: Final = (
    case(
        profiles.fetch, name="me", method="GET", path="/me", action=Action.profile_read, tag="Authentication",
        shows=OWN, also_bare=True,
        says="Return the caller's own account and profile.",
    ),
    case(
        profiles.update, name="update_me", method="PUT", path="/me", action=Action.profile_update,
        tag="Authentication", also_bare=True,
        says="Change the caller's own profile; what is left out stays as it is.",
    ),
    case(
        users.list_of_organisation, name="list_users", method="GET", path="/admin/users",
        action=Action.user_list, tag="Admins", shows=Shows("users"), also_bare=True,
        says="List the organisation's people, newest first, filtered by role, state, group or text.",
    ),
    Route(
        method="POST", path="/admin/users", shows=Shows("users"),
        handler=create_user, action=Action.user_create, tag="Admins",
        body=users.NewUser, reply=users.ManagedUser, status=201, also_bare=True,
    ),
    case(
        users.fetch, name="get_user", method="GET", path="/admin/users/{user_id}", action=Action.user_list,
        tag="Admins", shows=Shows("user", "user_id", "user_id"), also_bare=True,
        says="Return one person of the organisation.",
    ),
    case(
        users.set_active, name="lock_user", method="POST", path="/admin/users/{user_id}/lock",
        action=Action.user_lock, tag="Admins", shows=Shows("user", "user_id", "user_id"),
        given={"active": False}, also_bare=True,
        says="""
        Lock a person out: all their sign-ins end within a second. The last active admin stays.
        """,
    ),
    case(
        users.set_active, name="unlock_user", method="POST", path="/admin/users/{user_id}/unlock",
        action=Action.user_lock, tag="Admins", shows=Shows("user", "user_id", "user_id"),
        given={"active": True}, also_bare=True,
        says="Let a person sign in again, or approve a registration. Sign-ins from before stay ended.",
    ),
    case(
        users.set_role, name="set_role", method="PUT", path="/admin/users/{user_id}/role",
        action=Action.user_set_role, tag="Admins", shows=Shows("user", "user_id", "user_id"), also_bare=True,
        says="Give a person another role. They sign in again to use it; the last active admin stays one.",
    ),
    case(
        profiles.fetch_student, name="get_student_profile", method="GET",
        path="/admin/users/{user_id}/student-profile", action=Action.student_profile_manage, tag="Admins",
        shows=Shows("student_profile", "user_id", "user_id"), also_bare=True,
        says="Return everything kept of a student.",
    ),
    case(
        profiles.update_student, name="update_student_profile", method="PUT",
        path="/admin/users/{user_id}/student-profile", action=Action.student_profile_manage, tag="Admins",
        shows=Shows("student_profile", "user_id", "user_id"), also_bare=True,
        says="Set a student's enrolment number and cohort; what is left out stays as it is.",
    ),
    case(
        users.organisation, name="get_organisation", method="GET", path="/admin/organisation",
        action=Action.organisation_manage, tag="Admins", shows=NOBODY, also_bare=True,
        says="Return the admin's organisation.",
    ),
    case(
        users.update_organisation, name="update_organisation", method="PUT", path="/admin/organisation",
        action=Action.organisation_manage, tag="Admins", also_bare=True,
        says="Rename the organisation, or open it to registration where the installation allows that.",
    ),
    case(
        groups.list_of_organisation, name="list_groups", method="GET", path="/admin/groups",
        action=Action.group_manage, tag="Admins", shows=NOBODY, also_bare=True,
        says="List the organisation's groups, newest first.",
    ),
    case(
        groups.create, name="create_group", method="POST", path="/admin/groups", action=Action.group_manage,
        tag="Admins", status=201, also_bare=True,
        says="Create a group. A taken name is a 409.",
    ),
    case(
        groups.fetch, name="get_group", method="GET", path="/admin/groups/{group_id}",
        action=Action.group_manage, tag="Admins", shows=NOBODY, also_bare=True,
        says="Return a group.",
    ),
    case(
        groups.update, name="update_group", method="PUT", path="/admin/groups/{group_id}",
        action=Action.group_manage, tag="Admins", also_bare=True,
        says="Rename or describe a group.",
    ),
    case(
        groups.delete, name="delete_group", method="DELETE", path="/admin/groups/{group_id}",
        action=Action.group_manage, tag="Admins", also_bare=True,
        says="Delete a group; its members stay people of the organisation. One in use is a 409.",
    ),
    case(
        groups.list_members, name="list_members", method="GET", path="/admin/groups/{group_id}/members",
        action=Action.group_manage, tag="Admins", shows=Shows("group_members", "group_id"), also_bare=True,
        says="List a group's members.",
    ),
    case(
        groups.add_members, name="add_members", method="POST", path="/admin/groups/{group_id}/members",
        action=Action.group_manage, tag="Admins", also_bare=True,
        says="Add up to 10,000 people of the organisation to a group: all, or none and each fault is named.",
    ),
    case(
        groups.remove_member, name="remove_member", method="DELETE",
        path="/admin/groups/{group_id}/members/{user_id}", action=Action.group_manage, tag="Admins",
        also_bare=True,
        says="Take somebody out of a group.",
    ),
)  # fmt: skip
