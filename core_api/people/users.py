"""
People as an admin manages them, within the admin's own organisation (spec.md A-5).

Nobody takes the last active admin away, not even two admins one another at the same moment: whoever would
holds the organisation's row.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, fetch_one, fetch_page
from core_api.identity.accounts import (
    EMAIL_MAX,
    NAME_MAX,
    USERNAME_MAX,
    NewEmail,
    NewPassword,
    new_password,
    username_of,
)
from core_api.identity.logins import User
from core_api.identity.passwords import PasswordChecker
from core_api.identity.revoking import end_launched_by, sign_out_everywhere
from core_api.identity.throttle import Limits, source_of
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Personal
from core_api.ledger.viewings import Views
from core_api.wire import NO_NUL, ListPage, Page, Text200, invalid, spelled
from kernel import spelling
from kernel.errors import ConflictError, InvalidInputError
from kernel.events import Role
from kernel.http.networks import Address
from kernel.ledger.kinds import Kind
from kernel.revocation import Revocation, Revocations
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("users")
PROFILES: Final = named("profiles")
LOCKED: Final = False  # what `is_active` is then
# What somebody has seen who was told which addresses or usernames are taken, be it by accounts elsewhere.
NAMES_TAKEN: Final = "account_names"

Username = Annotated[str, Meta(min_length=1, max_length=USERNAME_MAX, pattern=NO_NUL)]


class ManagedUser(User, frozen=True, kw_only=True):
    """A person as an admin sees them; `is_active` is false while they are locked."""

    is_active: bool
    is_verified: bool
    last_login: datetime | None
    created_at: datetime


class Users(Page, frozen=True):
    """A page of people, newest first; `next_cursor` is null on the last page."""

    users: list[ManagedUser]


class ListUsers(ListPage, frozen=True):
    """Which people, and which page of them."""

    role: Annotated[Role, Meta(description="Only of this role.")] | None = None
    is_active: Annotated[bool, Meta(description="false: only locked ones.")] | None = None
    group: Annotated[UUID, Meta(description="Only members of this group.")] | None = None
    q: (
        Annotated[
            str,
            Meta(min_length=1, max_length=100, pattern=NO_NUL, description="In e-mail, username or name."),
        ]
        | None
    ) = None


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody to create. Without a password they sign in by launch link, or are a service."""

    email: NewEmail
    role: Role
    full_name: Text200 = ""
    username: Username | None = None
    password: NewPassword | None = None


class SetRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The role from now on."""

    role: Role


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation; registration needs the installation's consent as well."""

    id: UUID
    name: str
    registration_open: bool
    created_at: datetime


class UpdateOrganisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)] | UnsetType = UNSET
    registration_open: bool | UnsetType = UNSET


async def list_of_organisation(conn: Connection, actor: Actor, query: ListUsers) -> Users:
    """Return a page of the organisation's people."""
    page, following = await fetch_page(conn, query, QUERIES, "list_users", organisation=actor.organisation_id)
    return Users([ManagedUser(**row) for row in page], next_cursor=following)


async def fetch(conn: Connection, actor: Actor, user_id: UUID) -> ManagedUser:
    """Return one person of the organisation; raises NotFoundError."""
    row = await fetch_one(conn, "user", QUERIES["fetch_managed_user"], user_id, actor.organisation_id)
    return ManagedUser(**row)


async def create(
    pool: Pool,
    actor: Actor,
    command: NewUser,
    *,
    checker: PasswordChecker,
    limits: Limits,
    address: Address | None,
    views: Views,
    now: datetime,
) -> ManagedUser:
    """
    Create a person in the admin's organisation; hashing takes places of this address and the new account.

    Raises:
        ConflictError: the e-mail address or the username is taken; that somebody was told so is a view.
        InvalidInputError: the password is too long, the username is an address of somebody else's, or
            something holds what cannot be seen.
        RateLimitedError: too many sign-ins wait already.
    """
    email = spelled("email", spelling.address, command.email, length_max=EMAIL_MAX)
    full_name = spelled("full_name", spelling.name, command.full_name, length_max=NAME_MAX)
    username = None if command.username is None else own_username(command.username, email)
    hashed = None
    if command.password is not None:
        password = new_password(command.password, "password")
        with checker.place(source_of(address, command.email, limits)):
            hashed = await checker.hash(password)
    user_id = uuid7()
    async with connection(pool, actor) as conn, conn.transaction():
        row = await QUERIES.run(
            conn.fetchrow,
            "insert_user",
            id=user_id,
            organisation=actor.organisation_id,
            email=email,
            username=username or username_of(email, user_id),
            full_name=full_name,
            role=command.role,
            password_hash=hashed,
            is_active=True,
            is_verified=True,
            created_at=now,
        )
        if row is None:
            views.note(actor, NAMES_TAKEN, actor.organisation_id, now=now, looked_up=1, taken=1)
            raise ConflictError("The e-mail address or the username is taken.")
        if command.role is Role.student:
            await conn.execute(PROFILES["upsert_student_profile"], uuid7(), user_id, None, None)
        await ledger.record(
            conn,
            ledger.by(
                actor,
                Kind.user_created,
                user_id,
                now=now,
                subject_id=user_id,
                detail={"role": command.role},
                personal={"email": Personal(email, user_id)},
            ),
        )
    return ManagedUser(**row)


def own_username(text: str, email: str) -> str:
    """
    Return a username as it is stored; raises InvalidInputError where it could be taken for somebody else's
    address: one with an @ is its owner's address, as that is stored, or nothing.
    """
    username = spelled("username", spelling.username, text, length_max=USERNAME_MAX)
    if "@" not in username:
        return username
    if username.lower() != email.lower():
        raise invalid("username", "only your own e-mail address may have an @")
    return email  # Unicode and the database write some letters small in different ways


async def set_active(
    pool: Pool,
    actor: Actor,
    user_id: UUID,
    *,
    active: bool,
    revocations: Revocations,
    settings: Settings,
    now: datetime,
) -> ManagedUser:
    """
    Lock a person out at once, or let them sign in again; doing so twice changes nothing.

    With a lock fall the launch links that they made, and the sign-ins that came from these.

    Raises:
        NotFoundError: not of the organisation.
        ConflictError: they are its last active admin; or they are being erased, and stay locked.
    """
    taken: list[Revocation] = []
    async with connection(pool, actor) as conn, conn.transaction():
        if not active:
            taken = await lock_out(conn, actor, user_id, settings=settings, now=now)
        else:
            held = await _hold(conn, actor, user_id)
            if await conn.fetchval(QUERIES["is_erased"], user_id):
                raise ConflictError("They are being erased, and stay locked.")
            if not held["is_active"]:
                await conn.execute(QUERIES["set_active"], user_id, active)
                event = ledger.by(actor, _unlocked(held), user_id, now=now, subject_id=user_id)
                await ledger.record(conn, event)
        user = await fetch(conn, actor, user_id)
    await revocations.publish(taken)
    return user


async def lock_out(
    conn: Connection, actor: Actor, user_id: UUID, *, settings: Settings, now: datetime
) -> list[Revocation]:
    """
    Lock a person out in the caller's transaction; return what is to be published once it is committed.

    Raises:
        NotFoundError: not of the organisation.
        ConflictError: they are its last active admin.
    """
    held = await _hold(conn, actor, user_id)
    if not held["is_active"]:
        return []
    await _keep_an_admin(conn, actor, user_id, Role(held["role"]))
    taken = [await sign_out_everywhere(conn, user_id, settings=settings, now=now)]
    taken += await end_launched_by(conn, user_id, settings=settings, now=now)
    await conn.execute(QUERIES["set_active"], user_id, LOCKED)
    await ledger.record(conn, ledger.by(actor, Kind.user_locked, user_id, now=now, subject_id=user_id))
    return taken


async def set_role(
    pool: Pool,
    actor: Actor,
    user_id: UUID,
    command: SetRole,
    *,
    revocations: Revocations,
    settings: Settings,
    now: datetime,
) -> ManagedUser:
    """
    Give a person another role; what they signed in as before holds no longer, nor what they let others.

    Raises:
        NotFoundError: not of the organisation.
        ConflictError: they are its last active admin.
        InvalidInputError: a service never becomes a person, nor the other way round.
    """
    taken: list[Revocation] = []
    async with connection(pool, actor) as conn, conn.transaction():
        held = await _hold(conn, actor, user_id)
        role = Role(held["role"])
        if role != command.role:
            if Role.service in {role, command.role}:
                raise InvalidInputError(
                    "A value is not allowed.",
                    errors=[
                        {"path": "role", "message": "no account becomes a service, none ceases to be one"}
                    ],
                )
            if held["is_active"]:
                await _keep_an_admin(conn, actor, user_id, role)
            await conn.execute(QUERIES["set_role"], user_id, command.role)
            detail = {"from": role, "to": command.role}
            await ledger.record(
                conn,
                ledger.by(actor, Kind.user_role_changed, user_id, now=now, subject_id=user_id, detail=detail),
            )
            taken.append(await sign_out_everywhere(conn, user_id, settings=settings, now=now))
            taken += await end_launched_by(conn, user_id, settings=settings, now=now)
        user = await fetch(conn, actor, user_id)
    await revocations.publish(taken)
    return user


def _unlocked(held: asyncpg.Record) -> str:
    """
    Return what an unlock is called: whoever was never locked is inactive since their registration.

    Locking raises the generation of somebody's tokens, and so does a new role, which nobody gets unvetted.
    """
    waited = not held["is_verified"] and held["token_generation"] == 0
    return Kind.user_approved if waited else Kind.user_unlocked


async def _hold(conn: Connection, actor: Actor, user_id: UUID) -> asyncpg.Record:
    """Hold the organisation, then the person, in this order always; return the person."""
    await conn.execute(QUERIES["hold_organisation"], actor.organisation_id)
    return await fetch_one(conn, "user", QUERIES["hold_user"], user_id, actor.organisation_id)


async def _keep_an_admin(conn: Connection, actor: Actor, user_id: UUID, role: Role) -> None:
    if role is Role.admin and not await conn.fetchval(
        QUERIES["count_other_admins"], actor.organisation_id, user_id
    ):
        raise ConflictError("Make somebody else an admin first: this is the last active one.")


async def organisation(conn: Connection, actor: Actor) -> Organisation:
    """Return the caller's organisation; raises NotFoundError when it is no more."""
    row = await fetch_one(conn, "organisation", QUERIES["fetch_organisation"], actor.organisation_id)
    return Organisation(**row)


async def update_organisation(
    conn: Connection, actor: Actor, command: UpdateOrganisation, *, now: datetime
) -> Organisation:
    """Change the caller's organisation; raises NotFoundError when it is no more."""
    name = None if command.name is UNSET else command.name
    is_open = None if command.registration_open is UNSET else command.registration_open
    async with conn.transaction():
        await conn.execute(QUERIES["hold_organisation"], actor.organisation_id)
        before = await organisation(conn, actor)
        statement = QUERIES["update_organisation"]
        row = await fetch_one(conn, "organisation", statement, actor.organisation_id, name, is_open)
        detail = {"renamed": name is not None, "registration_open": row["registration_open"]}
        if Organisation(**row) != before:
            await ledger.record(
                conn,
                ledger.by(actor, Kind.organisation_updated, actor.organisation_id, now=now, detail=detail),
            )
    return Organisation(**row)
