"""
Handlers for everybody: registration, sign-in and what follows from it, launch links, one's own account.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api.actors import KEYRING, LAUNCH_KEYRING
from core_api.attempts import launches
from core_api.cases import Part, case, origin_in
from core_api.database import POOL, system_connection
from core_api.identity import accounts, logins
from core_api.identity.passwords import CHECKER
from core_api.identity.throttle import LIMITS
from core_api.people import profiles
from core_api.wire import read_json
from kernel.access import Action
from kernel.web import OWN, SETTINGS, Route, send_json


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
            origin=origin_in(request),
            now=datetime.now(UTC),
        )
    return send_json(launched)


PARTS: Final[dict[str, Part]] = {
    "checker": lambda request: request.app[CHECKER],
    "limits": lambda request: request.app[LIMITS],
}

ROUTES: Final = (
    case(
        accounts.register, name="register", method="POST", path="/auth/register", action=None,
        tag="Authentication", status=202, also_bare=True,
        parts=PARTS,
        says="Register as a student. The answer does not tell whether the e-mail address was known.",
    ),
    case(
        accounts.sign_in, name="login", method="POST", path="/auth/login", action=None, tag="Authentication",
        also_bare=True,
        parts=PARTS,
        says="Sign in with e-mail and password. Whatever is wrong, the answer is the same 401.",
    ),
    case(
        logins.refresh, name="refresh", method="POST", path="/auth/refresh", action=None,
        tag="Authentication", also_bare=True,
        says="""
        Exchange a refresh token, once, for the next pair of tokens.

        A spent one that comes again ends the whole sign-in: two hold it. Of two exchanges at the same moment
        one wins and the other is a 409.
        """,
    ),
    case(
        logins.sign_out, name="logout", method="POST", path="/auth/logout", action=Action.login_end,
        tag="Authentication", also_bare=True,
        says="Sign out: this sign-in, or everywhere. Its tokens are refused in every process at once.",
    ),
    Route(
        method="POST", path="/auth/launch", handler=launch, action=None, tag="Authentication",
        body=launches.Launch, reply=launches.Launched, also_bare=True,
    ),
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
        accounts.change_password, name="change_password", method="PUT", path="/me/password",
        action=Action.password_change, tag="Authentication", also_bare=True,
        parts=PARTS,
        says="Change the caller's password. Every token of theirs is taken back: sign in again.",
    ),
)  # fmt: skip
