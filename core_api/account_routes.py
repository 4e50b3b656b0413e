"""
Handlers for everybody: sign-in, launch links, one's own account.
"""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from core_api import accounts, launches
from core_api.actors import KEYRING, actor_of
from core_api.database import POOL, connection
from core_api.passwords import PasswordChecker
from core_api.wire import address_of, read_json
from kernel.access import Action
from kernel.web import SETTINGS, Route, send_json

CHECKER: Final = web.AppKey("checker", PasswordChecker)


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
        address=address_of(request),
        now=datetime.now(UTC),
    )
    return send_json(signed_in)


async def launch(request: web.Request) -> web.Response:
    """Open an attempt with a launch link's token, once. A second use is a 409, an expired link a 401."""
    command = await read_json(request, launches.Launch)
    app = request.app
    async with connection(app[POOL]) as conn:
        launched = await launches.launch(
            conn, command, keyring=app[KEYRING], settings=app[SETTINGS], now=datetime.now(UTC)
        )
    return send_json(launched)


async def me(request: web.Request) -> web.Response:
    """Return the caller's own account."""
    async with connection(request.app[POOL]) as conn:
        return send_json(await accounts.profile(conn, actor_of(request)))


ROUTES: Final = (
    Route(
        method="POST", path="/auth/login", handler=login, action=None, tag="Authentication",
        body=accounts.Login, reply=accounts.SignedIn, also_bare=True,
    ),
    Route(
        method="POST", path="/auth/launch", handler=launch, action=None, tag="Authentication",
        body=launches.Launch, reply=launches.Launched, also_bare=True,
    ),
    Route(
        method="GET", path="/me", handler=me, action=Action.profile_read, tag="Authentication",
        reply=accounts.Profile, also_bare=True,
    ),
)  # fmt: skip
