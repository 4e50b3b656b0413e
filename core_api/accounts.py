"""
Sign-in by password, and who one is (spec.md A-1).
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection
from core_api.passwords import PasswordChecker
from core_api.wire import NO_NUL
from kernel.errors import NotAuthenticatedError, NotFoundError
from kernel.events import Role
from kernel.settings import Settings
from kernel.tokens import Keyring, new_claims
from sql import named

QUERIES: Final = named("accounts")

Email = Annotated[
    str, Meta(min_length=3, max_length=254, pattern=NO_NUL, description="E-mail address, any case.")
]


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """E-mail and password."""

    email: Email
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, as they see themselves."""

    id: UUID
    organisation_id: UUID
    email: str
    username: str
    full_name: str
    role: Role


class Profile(User, frozen=True, kw_only=True):
    """A person with the dates of their account."""

    is_verified: bool
    last_login: datetime | None
    created_at: datetime


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """An access token; `expires_in` in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    user: User


async def sign_in(
    pool: Pool,
    command: Login,
    *,
    checker: PasswordChecker,
    keyring: Keyring,
    settings: Settings,
    address: IPv4Address | IPv6Address | None,
    now: datetime,
) -> SignedIn:
    """
    Return an access token for the right password.

    No connection is held while the password is hashed. An unknown, locked or password-less account costs the
    same time and gets the same answer as a wrong password.

    Raises:
        NotAuthenticatedError: no active account with this password.
        RateLimitedError: too many sign-ins wait already.
    """
    with checker.place():
        async with connection(pool) as conn:
            row = await conn.fetchrow(QUERIES["find_credentials"], command.email)
        matches = await checker.matches(command.password, None if row is None else row["password_hash"])
    if row is None or not matches or not row["is_active"]:
        raise NotAuthenticatedError("The e-mail address or the password is wrong.")
    async with connection(pool) as conn:
        await conn.execute(QUERIES["record_login"], row["id"], now, address)
    user = User(**{name: row[name] for name in User.__struct_fields__})
    return SignedIn(**signed(user, keyring, settings, now))


def signed(user: User, keyring: Keyring, settings: Settings, now: datetime) -> dict[str, Any]:
    """Return the fields of `SignedIn` for somebody whose sign-in was verified."""
    claims = new_claims(
        user_id=str(user.id),
        email=user.email,
        role=Role(user.role),
        org=str(user.organisation_id),
        now=now,
        life_s=settings.access_token_s,
    )
    token = keyring.sign(claims)
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": settings.access_token_s,
        "user": user,
    }


async def profile(conn: Connection, actor: Actor) -> Profile:
    """Return the caller's own account; raises NotFoundError when it was closed since the token was made."""
    row = await conn.fetchrow(QUERIES["fetch_user"], actor.user_id, actor.organisation_id)
    if row is None:
        raise NotFoundError("The account is closed.")
    return Profile(**row)
