"""
Handlers for admins only: sessions, and, of their organisation, people, groups and permissions.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api import groups, permissions, profiles, sessions, throttle, users
from core_api.account_routes import CHECKER
from core_api.actors import actor_of
from core_api.database import POOL, connection
from core_api.throttle import LIMITS
from core_api.wire import Envelope, address_of, read_json, session_id_in_path, uuid_in_path
from kernel.access import Action
from kernel.revocation import REVOCATIONS
from kernel.web import NOBODY, SETTINGS, Route, Shows, decode_query, send_json


async def cancel_session(request: web.Request) -> web.Response:
    """Cancel a proctor session. Cancelling it again changes nothing; a completed one is a 409."""
    session_id = session_id_in_path(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        state = await sessions.cancel(conn, actor_of(request), session_id, now=datetime.now(UTC))
    return send_json(Envelope(data=state, message="Proctor session cancelled"))


async def list_users(request: web.Request) -> web.Response:
    """List the organisation's people, newest first, filtered by role, state, group or text."""
    query = decode_query(request, users.ListUsers)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await users.list_of_organisation(conn, actor_of(request), query))


async def create_user(request: web.Request) -> web.Response:
    """Create a person of any role in the organisation. A taken e-mail address or username is a 409."""
    command = await read_json(request, users.NewUser)
    app = request.app
    source = throttle.source_of(address_of(request), command.email, app[LIMITS])
    user = await users.create(
        app[POOL], actor_of(request), command, checker=app[CHECKER], source=source, now=datetime.now(UTC)
    )
    return send_json(user, status=201)


async def get_user(request: web.Request) -> web.Response:
    """Return one person of the organisation."""
    user_id, actor = uuid_in_path(request, "user_id"), actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        user = await users.fetch(conn, actor, user_id)
    return send_json(user)


async def lock_user(request: web.Request) -> web.Response:
    """Lock a person out: their tokens are refused in every process at once. The last active admin stays."""
    return await _set_active(request, active=False)


async def unlock_user(request: web.Request) -> web.Response:
    """Let a person sign in again, or approve a registration. Tokens from before stay refused."""
    return await _set_active(request, active=True)


async def _set_active(request: web.Request, *, active: bool) -> web.Response:
    app = request.app
    user = await users.set_active(
        app[POOL],
        actor_of(request),
        uuid_in_path(request, "user_id"),
        active=active,
        revocations=app[REVOCATIONS],
        settings=app[SETTINGS],
        now=datetime.now(UTC),
    )
    return send_json(user)


async def set_role(request: web.Request) -> web.Response:
    """Give a person another role. They sign in again to use it; the last active admin stays one."""
    user_id = uuid_in_path(request, "user_id")
    command = await read_json(request, users.SetRole)
    app = request.app
    user = await users.set_role(
        app[POOL],
        actor_of(request),
        user_id,
        command,
        revocations=app[REVOCATIONS],
        settings=app[SETTINGS],
        now=datetime.now(UTC),
    )
    return send_json(user)


async def get_student_profile(request: web.Request) -> web.Response:
    """Return everything kept of a student."""
    user_id, actor = uuid_in_path(request, "user_id"), actor_of(request)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        profile = await profiles.fetch_student(conn, actor, user_id)
    return send_json(profile)


async def update_student_profile(request: web.Request) -> web.Response:
    """Set a student's enrolment number and cohort; what is left out stays as it is."""
    user_id = uuid_in_path(request, "user_id")
    command = await read_json(request, profiles.UpdateStudent)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await profiles.update_student(conn, actor_of(request), user_id, command, now=datetime.now(UTC))
        )


async def get_organisation(request: web.Request) -> web.Response:
    """Return the admin's organisation."""
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await users.organisation(conn, actor_of(request)))


async def update_organisation(request: web.Request) -> web.Response:
    """Rename the organisation, or open it to registration where the installation allows that."""
    command = await read_json(request, users.UpdateOrganisation)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await users.update_organisation(conn, actor_of(request), command, now=datetime.now(UTC))
        )


async def list_permissions(request: web.Request) -> web.Response:
    """List who was granted an exam."""
    exam_id = uuid_in_path(request, "exam_id")
    query = decode_query(request, permissions.ListPermissions)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await permissions.list_of_exam(conn, actor_of(request), exam_id, query))


async def grant_permission(request: web.Request) -> web.Response:
    """Let a teacher, reviewer or observer reach an exam; a second grant replaces the first."""
    exam_id = uuid_in_path(request, "exam_id")
    command = await read_json(request, permissions.Grant)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await permissions.grant(conn, actor_of(request), exam_id, command, now=datetime.now(UTC))
        )


async def revoke_permission(request: web.Request) -> web.Response:
    """Take a permission back."""
    exam_id, user_id = uuid_in_path(request, "exam_id"), uuid_in_path(request, "user_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        await permissions.revoke(conn, actor_of(request), exam_id, user_id, now=datetime.now(UTC))
    return web.Response(status=204)


async def list_groups(request: web.Request) -> web.Response:
    """List the organisation's groups, newest first."""
    query = decode_query(request, groups.ListGroups)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await groups.list_of_organisation(conn, actor_of(request), query))


async def create_group(request: web.Request) -> web.Response:
    """Create a group. A taken name is a 409."""
    command = await read_json(request, groups.NewGroup)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        group = await groups.create(conn, actor_of(request), command, now=datetime.now(UTC))
    return send_json(group, status=201)


async def get_group(request: web.Request) -> web.Response:
    """Return a group."""
    group_id = uuid_in_path(request, "group_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await groups.fetch(conn, actor_of(request), group_id))


async def update_group(request: web.Request) -> web.Response:
    """Rename or describe a group."""
    group_id = uuid_in_path(request, "group_id")
    command = await read_json(request, groups.UpdateGroup)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(
            await groups.update(conn, actor_of(request), group_id, command, now=datetime.now(UTC))
        )


async def delete_group(request: web.Request) -> web.Response:
    """Delete a group; its members stay people of the organisation. One in use is a 409."""
    group_id = uuid_in_path(request, "group_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        await groups.delete(conn, actor_of(request), group_id, now=datetime.now(UTC))
    return web.Response(status=204)


async def list_members(request: web.Request) -> web.Response:
    """List a group's members."""
    group_id = uuid_in_path(request, "group_id")
    query = decode_query(request, groups.ListMembers)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await groups.list_members(conn, actor_of(request), group_id, query))


async def add_members(request: web.Request) -> web.Response:
    """Add up to 10,000 people of the organisation to a group: all, or none and each fault is named."""
    group_id = uuid_in_path(request, "group_id")
    command = await read_json(request, groups.AddMembers)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        added = await groups.add_members(conn, actor_of(request), group_id, command, now=datetime.now(UTC))
    return send_json(added)


async def remove_member(request: web.Request) -> web.Response:
    """Take somebody out of a group."""
    group_id, user_id = uuid_in_path(request, "group_id"), uuid_in_path(request, "user_id")
    async with connection(request.app[POOL], actor_of(request)) as conn:
        await groups.remove_member(conn, actor_of(request), group_id, user_id, now=datetime.now(UTC))
    return web.Response(status=204)


ROUTES: Final = (
    Route(
        method="POST", path="/proctor/session/{id}/cancel", shows=Shows("session", "id"),
        handler=cancel_session,
        action=Action.session_cancel, tag="Proctoring", reply=Envelope[sessions.SessionState],
    ),
    Route(
        method="GET", path="/admin/users", shows=Shows("users"),
        handler=list_users, action=Action.user_list, tag="Admins",
        query=users.ListUsers, reply=users.Users, also_bare=True,
    ),
    Route(
        method="POST", path="/admin/users", shows=Shows("users"),
        handler=create_user, action=Action.user_create, tag="Admins",
        body=users.NewUser, reply=users.ManagedUser, status=201, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/users/{user_id}", shows=Shows("user", "user_id", "user_id"),
        handler=get_user, action=Action.user_list, tag="Admins",
        reply=users.ManagedUser, also_bare=True,
    ),
    Route(
        method="POST", path="/admin/users/{user_id}/lock", shows=Shows("user", "user_id", "user_id"),
        handler=lock_user, action=Action.user_lock,
        tag="Admins", reply=users.ManagedUser, also_bare=True,
    ),
    Route(
        method="POST", path="/admin/users/{user_id}/unlock", shows=Shows("user", "user_id", "user_id"),
        handler=unlock_user, action=Action.user_lock,
        tag="Admins", reply=users.ManagedUser, also_bare=True,
    ),
    Route(
        method="PUT", path="/admin/users/{user_id}/role", shows=Shows("user", "user_id", "user_id"),
        handler=set_role, action=Action.user_set_role,
        tag="Admins", body=users.SetRole, reply=users.ManagedUser, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/users/{user_id}/student-profile",
        shows=Shows("student_profile", "user_id", "user_id"),
        handler=get_student_profile,
        action=Action.student_profile_manage, tag="Admins", reply=profiles.StudentProfile, also_bare=True,
    ),
    Route(
        method="PUT", path="/admin/users/{user_id}/student-profile",
        shows=Shows("student_profile", "user_id", "user_id"),
        handler=update_student_profile,
        action=Action.student_profile_manage, tag="Admins", body=profiles.UpdateStudent,
        reply=profiles.StudentProfile, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/organisation", shows=NOBODY,
        handler=get_organisation,
        action=Action.organisation_manage, tag="Admins", reply=users.Organisation, also_bare=True,
    ),
    Route(
        method="PUT", path="/admin/organisation", handler=update_organisation,
        action=Action.organisation_manage, tag="Admins", body=users.UpdateOrganisation,
        reply=users.Organisation, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/exams/{exam_id}/permissions",
        shows=Shows("exam_permissions", "exam_id"),
        handler=list_permissions,
        action=Action.permission_manage, tag="Admins", query=permissions.ListPermissions,
        reply=permissions.Permissions, also_bare=True,
    ),
    Route(
        method="POST", path="/admin/exams/{exam_id}/permissions",
        shows=Shows("exam_permissions", "exam_id"),
        handler=grant_permission,
        action=Action.permission_manage, tag="Admins", body=permissions.Grant, reply=permissions.Permission,
        also_bare=True,
    ),
    Route(
        method="DELETE", path="/admin/exams/{exam_id}/permissions/{user_id}", handler=revoke_permission,
        action=Action.permission_manage, tag="Admins", status=204, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/groups", shows=NOBODY,
        handler=list_groups, action=Action.group_manage, tag="Admins",
        query=groups.ListGroups, reply=groups.Groups, also_bare=True,
    ),
    Route(
        method="POST", path="/admin/groups", handler=create_group, action=Action.group_manage, tag="Admins",
        body=groups.NewGroup, reply=groups.Group, status=201, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/groups/{group_id}", shows=NOBODY,
        handler=get_group, action=Action.group_manage,
        tag="Admins", reply=groups.Group, also_bare=True,
    ),
    Route(
        method="PUT", path="/admin/groups/{group_id}", handler=update_group, action=Action.group_manage,
        tag="Admins", body=groups.UpdateGroup, reply=groups.Group, also_bare=True,
    ),
    Route(
        method="DELETE", path="/admin/groups/{group_id}", handler=delete_group, action=Action.group_manage,
        tag="Admins", status=204, also_bare=True,
    ),
    Route(
        method="GET", path="/admin/groups/{group_id}/members", shows=Shows("group_members", "group_id"),
        handler=list_members,
        action=Action.group_manage, tag="Admins", query=groups.ListMembers, reply=groups.Members,
        also_bare=True,
    ),
    Route(
        method="POST", path="/admin/groups/{group_id}/members", handler=add_members,
        action=Action.group_manage, tag="Admins", body=groups.AddMembers, reply=groups.Added, also_bare=True,
    ),
    Route(
        method="DELETE", path="/admin/groups/{group_id}/members/{user_id}", handler=remove_member,
        action=Action.group_manage, tag="Admins", status=204, also_bare=True,
    ),
)  # fmt: skip
