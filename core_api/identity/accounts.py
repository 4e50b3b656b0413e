"""
Who proves by e-mail and password who they are: registration, the password check of a sign-in, a new password
(spec.md A-1, A-3). What follows a sign-in that succeeded is in `logins`.
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor, Origin
from core_api.database import Connection, Pool, system_connection
from core_api.identity import logins, throttle, trail
from core_api.identity.logins import SignedIn, SignedOut, user_of
from core_api.identity.passwords import PASSWORD_BYTES_MAX, PasswordChecker
from core_api.identity.revoking import sign_out_everywhere
from core_api.identity.throttle import Limits
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Personal
from core_api.wire import NO_NUL, Text200, invalid, spelled
from kernel import spelling
from kernel.errors import ConflictError, ForbiddenError, NotAuthenticatedError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from kernel.revocation import Revocations
from kernel.settings import Settings
from kernel.tokens import Keyring
from sql import named

QUERIES: Final = named("accounts")
LOGINS: Final = named("logins")
PROFILES: Final = named("profiles")
USERS: Final = named("users")
EMAIL_MAX: Final = 254
NAME_MAX: Final = 200
USERNAME_MAX: Final = 64
PASSWORD_MIN: Final = 10

Email = Annotated[
    str, Meta(min_length=3, max_length=EMAIL_MAX, pattern=NO_NUL, description="E-mail address, any case.")
]
NewEmail = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=EMAIL_MAX,
        description="E-mail address, local@domain: nothing quoted, no comment, no address in brackets.",
    ),
]
NewPassword = Annotated[
    str,
    Meta(
        min_length=PASSWORD_MIN,
        max_length=PASSWORD_BYTES_MAX,
        description=f"{PASSWORD_MIN} characters or more, {PASSWORD_BYTES_MAX} bytes as UTF-8 at most.",
    ),
]


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """E-mail and password."""

    email: Email
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class Register(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who wants to be a student of an organisation."""

    organisation_id: UUID
    email: NewEmail
    password: NewPassword
    full_name: Text200 = ""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The same answer whether the e-mail address was new or not."""

    status: Literal["accepted"] = "accepted"


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password so far, and the one from now on."""

    current_password: Annotated[str, Meta(min_length=1, max_length=1024)]
    new_password: NewPassword


async def sign_in(
    pool: Pool,
    command: Login,
    *,
    checker: PasswordChecker,
    keyring: Keyring,
    settings: Settings,
    limits: Limits,
    origin: Origin,
    now: datetime,
) -> SignedIn:
    """
    Return an access and a refresh token for the right password.

    No connection is held while the password is hashed. An unknown, locked or password-less account costs the
    same time, counts the same and gets the same answer as a wrong password.

    Raises:
        NotAuthenticatedError: no active account with this password.
        RateLimitedError: too many sign-ins wait already, or too many failed from here.
    """
    email = spelling.looked_up(command.email)
    source = throttle.source_of(origin.address, email, limits)
    with checker.place(source):
        async with system_connection(pool) as conn:
            await throttle.begin(conn, source, limits, now=now)
            row = await conn.fetchrow(QUERIES["find_credentials"], email)
        matches = await checker.matches(command.password, None if row is None else row["password_hash"])
    async with system_connection(pool) as conn:
        if row is not None and matches and row["is_active"]:
            async with conn.transaction():
                await throttle.forget(conn, source)
                generation = row["token_generation"]
                if await conn.fetchval(LOGINS["record_login"], row["id"], now, origin.address, generation):
                    await trail.record(conn, Kind.auth_signed_in, user_of(row), now=now, origin=origin)
                    return await logins.begin(
                        conn, user_of(row), generation=generation, keyring=keyring, settings=settings, now=now
                    )
        organisation_id = None if row is None else row["organisation_id"]
        await throttle.fail(conn, source, limits, now=now, organisation_id=organisation_id)
    raise NotAuthenticatedError("The e-mail address or the password is wrong.")


async def register(
    pool: Pool,
    command: Register,
    *,
    checker: PasswordChecker,
    settings: Settings,
    limits: Limits,
    address: IPv4Address | IPv6Address | None,
    now: datetime,
) -> Registered:
    """
    Make a student's account, where the installation and the organisation allow it.

    A taken e-mail address changes nothing, costs the same time and gets the same answer. Where registration
    needs approval, the account is locked until an admin unlocks it, so that a sign-in tells nothing either.

    Raises:
        ForbiddenError: registration is closed; an unknown organisation is not told apart.
        RateLimitedError: too many sign-ins wait already, or too many registered from here.
        InvalidInputError: the password is too long, or something holds what cannot be seen.
    """
    if settings.registration == "closed":
        raise _closed()
    email = spelled("email", spelling.address, command.email, length_max=EMAIL_MAX)
    full_name = spelled("full_name", spelling.name, command.full_name, length_max=NAME_MAX)
    password = new_password(command.password, "password")
    source = throttle.source_of(address, email, limits)
    with checker.place(source):
        async with system_connection(pool) as conn:
            await throttle.begin_registration(conn, source, limits, now=now)
            if not await conn.fetchval(USERS["fetch_registration"], command.organisation_id):
                raise _closed()
        hashed = await checker.hash(password)
    user_id = uuid7()
    async with system_connection(pool) as conn, conn.transaction():
        made = await USERS.run(
            conn.fetchrow,
            "insert_user",
            id=user_id,
            organisation=command.organisation_id,
            email=email,
            username=username_of(email, user_id),
            full_name=full_name,
            role=Role.student,
            password_hash=hashed,
            is_active=settings.registration == "open",
            is_verified=False,
            created_at=now,
        )
        if made is not None:
            await conn.execute(PROFILES["upsert_student_profile"], uuid7(), user_id, None, None)
            await _registered(conn, command.organisation_id, email, user_id, now=now)
    return Registered()


async def _registered(
    conn: Connection, organisation_id: UUID, email: str, user_id: UUID, *, now: datetime
) -> None:
    await ledger.record(
        conn,
        ledger.Entry(
            kind=Kind.user_registered,
            aggregate_id=str(user_id),
            organisation_id=organisation_id,
            occurred_at=now,
            actor_id=user_id,
            actor_role=Role.student.value,
            subject_id=user_id,
            personal={"email": Personal(email, user_id)},
        ),
    )


def _closed() -> ForbiddenError:
    return ForbiddenError("Registration is closed; ask your organisation for an account.")


def new_password(text: str, path: str) -> str:
    """
    Return a password as it is hashed; raises InvalidInputError where it is longer than what bcrypt reads, or
    holds what cannot be seen.
    """
    password = spelled(path, spelling.password, text, length_max=PASSWORD_BYTES_MAX)
    if len(password.encode(errors="replace")) > PASSWORD_BYTES_MAX:
        raise invalid(path, f"at most {PASSWORD_BYTES_MAX} letters, fewer where some have accents")
    return password


def username_of(email: str, user_id: UUID) -> str:
    """Return the username of somebody who chose none."""
    return email if len(email) <= USERNAME_MAX else str(user_id)


async def change_password(
    pool: Pool,
    actor: Actor,
    command: ChangePassword,
    *,
    checker: PasswordChecker,
    revocations: Revocations,
    settings: Settings,
    limits: Limits,
    address: IPv4Address | IPv6Address | None,
    now: datetime,
) -> SignedOut:
    """
    Set the caller's password and take back every token of theirs, this one included.

    Raises:
        ForbiddenError: the current password is wrong; counted like a failed sign-in.
        NotFoundError: the account was closed meanwhile.
        ConflictError: it was changed meanwhile.
        RateLimitedError: as at sign-in.
        InvalidInputError: the new one is too long.
    """
    password = new_password(command.new_password, "new_password")
    source = throttle.source_of(address, actor.email, limits)
    with checker.place(source):
        async with system_connection(pool) as conn:
            await throttle.begin(conn, source, limits, now=now)
            stored = await conn.fetchval(PROFILES["fetch_password"], actor.user_id, actor.organisation_id)
        matches = await checker.matches(command.current_password, stored)
        if not matches:
            async with system_connection(pool) as conn:
                await throttle.fail(conn, source, limits, now=now, organisation_id=actor.organisation_id)
            raise ForbiddenError("The current password is wrong.")
        hashed = await checker.hash(password)
    async with system_connection(pool) as conn, conn.transaction():
        await throttle.forget(conn, source)
        if await conn.fetchval(PROFILES["set_password"], actor.user_id, hashed, stored) is None:
            raise ConflictError("The password was changed meanwhile; sign in with the new one.")
        taken = await sign_out_everywhere(conn, actor.user_id, settings=settings, now=now)
        await ledger.record(
            conn,
            ledger.by(actor, Kind.auth_password_changed, actor.user_id, now=now, subject_id=actor.user_id),
        )
    await revocations.publish([taken])
    return SignedOut(everywhere=True)
