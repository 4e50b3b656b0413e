"""
Handlers for everybody: registration, sign-in and what follows from it, launch links, one's own account.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api import accounts, launches, logins, profiles
from core_api.actors import KEYRING, LAUNCH_KEYRING, Origin, actor_of
from core_api.database import POOL, connection, system_connection
from core_api.passwords import PasswordChecker
from core_api.throttle import LIMITS
from core_api.wire import address_of, read_json
from kernel.access import Action
from kernel.revocation import REVOCATIONS
from kernel.web import OWN, SETTINGS, Route, decode_query, send_json

CHECKER: Final = web.AppKey("checker", PasswordChecker)


def _origin(request: web.Request) -> Origin:
    return Origin(address=address_of(request), user_agent=request.headers.get("User-Agent"))


async def register(request: web.Request) -> web.Response:
    """Register as a student. The answer does not tell whether the e-mail address was known."""
    command = await read_json(request, accounts.Register)
    app = request.app
    registered = await accounts.register(
        app[POOL],
        command,
        checker=app[CHECKER],
        settings=app[SETTINGS],
        limits=app[LIMITS],
        address=address_of(request),
        now=datetime.now(UTC),
    )
    return send_json(registered, status=202)


async def login(request: web.Request) -> web.Response:
    """Sign in with e-mail and password. Whatever is wrong, the answer is the same 401."""
    command = await read_json(request, accounts.Login)
    app = request.app
    signed_in = await accounts.sign_in(
        app[POOL],
        command,
        checker=app[CHECKER],
        keyring=app[KEYRING],
        settings=app[SETTINGS],
        limits=app[LIMITS],
        origin=_origin(request),
        now=datetime.now(UTC),
    )
    return send_json(signed_in)


async def refresh(request: web.Request) -> web.Response:
    """
    Exchange a refresh token, once, for the next pair of tokens.

    A spent one that comes again ends the whole sign-in: two hold it. Of two exchanges at the same moment one
    wins and the other is a 409.
    """
    command = await read_json(request, logins.Refresh)
    app = request.app
    signed_in = await logins.refresh(
        app[POOL],
        command,
        revocations=app[REVOCATIONS],
        keyring=app[KEYRING],
        settings=app[SETTINGS],
        now=datetime.now(UTC),
    )
    return send_json(signed_in)


async def logout(request: web.Request) -> web.Response:
    """Sign out: this sign-in, or everywhere. Its tokens are refused in every process at once."""
    query = decode_query(request, logins.SignOut)
    app = request.app
    signed_out = await logins.sign_out(
        app[POOL],
        actor_of(request),
        query,
        revocations=app[REVOCATIONS],
        settings=app[SETTINGS],
        now=datetime.now(UTC),
    )
    return send_json(signed_out)


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
            origin=_origin(request),
            now=datetime.now(UTC),
        )
    return send_json(launched)


async def me(request: web.Request) -> web.Response:
    """Return the caller's own account and profile."""
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await profiles.fetch(conn, actor_of(request)))


async def update_me(request: web.Request) -> web.Response:
    """Change the caller's own profile; what is left out stays as it is."""
    command = await read_json(request, profiles.UpdateProfile)
    async with connection(request.app[POOL], actor_of(request)) as conn:
        return send_json(await profiles.update(conn, actor_of(request), command, now=datetime.now(UTC)))


async def change_password(request: web.Request) -> web.Response:
    """Change the caller's password. Every token of theirs is taken back: sign in again."""
    command = await read_json(request, accounts.ChangePassword)
    app = request.app
    await accounts.change_password(
        app[POOL],
        actor_of(request),
        command,
        checker=app[CHECKER],
        revocations=app[REVOCATIONS],
        settings=app[SETTINGS],
        limits=app[LIMITS],
        address=address_of(request),
        now=datetime.now(UTC),
    )
    return send_json(logins.SignedOut(everywhere=True))


ROUTES: Final = (
    Route(
        method="POST", path="/auth/register", handler=register, action=None, tag="Authentication",
        body=accounts.Register, reply=accounts.Registered, status=202, also_bare=True,
    ),
    Route(
        method="POST", path="/auth/login", handler=login, action=None, tag="Authentication",
        body=accounts.Login, reply=logins.SignedIn, also_bare=True,
    ),
    Route(
        method="POST", path="/auth/refresh", handler=refresh, action=None, tag="Authentication",
        body=logins.Refresh, reply=logins.SignedIn, also_bare=True,
    ),
    Route(
        method="POST", path="/auth/logout", handler=logout, action=Action.login_end, tag="Authentication",
        query=logins.SignOut, reply=logins.SignedOut, also_bare=True,
    ),
    Route(
        method="POST", path="/auth/launch", handler=launch, action=None, tag="Authentication",
        body=launches.Launch, reply=launches.Launched, also_bare=True,
    ),
    Route(
        method="GET", path="/me", shows=OWN,
        handler=me, action=Action.profile_read, tag="Authentication",
        reply=profiles.Profile, also_bare=True,
    ),
    Route(
        method="PUT", path="/me", handler=update_me, action=Action.profile_update, tag="Authentication",
        body=profiles.UpdateProfile, reply=profiles.Profile, also_bare=True,
    ),
    Route(
        method="PUT", path="/me/password", handler=change_password, action=Action.password_change,
        tag="Authentication", body=accounts.ChangePassword, reply=logins.SignedOut, also_bare=True,
    ),
)  # fmt: skip
