"""
Invitations: a first password, set by whom it is for, once (spec.md A-8).

An admin invites people who have no password; each gets a token to hand out or mail, of which only the SHA-256
is stored. It expires, and it is void once whom it is for or who made it was locked or given another role,
or a newer one was made. It never replaces a password: who has one changes it themselves.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor, Origin
from core_api.database import Connection, Pool, of_row, system_connection
from core_api.identity import logins, throttle, trail
from core_api.identity.accounts import NewPassword, new_password
from core_api.identity.logins import SignedIn, user_of
from core_api.identity.passwords import PasswordChecker
from core_api.identity.throttle import Limits
from core_api.ledger import entries as ledger
from core_api.wire import invalid
from kernel.errors import NotAuthenticatedError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from kernel.settings import Settings
from kernel.tokens import Keyring
from sql import named

QUERIES: Final = named("invitations")
LOGINS: Final = named("logins")
TOKEN_BYTES: Final = 32
INVITED_MAX: Final = 10_000
RECORDED_MAX: Final = 1000  # people in one event of the ledger


class Invite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to invite: people of the organisation without a password. Earlier invitations of theirs end."""

    user_ids: Annotated[list[UUID], Meta(min_length=1, max_length=INVITED_MAX)]


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """One person's invitation: they post `token` with a password to /api/auth/invitation, once."""

    user_id: UUID
    email: str
    full_name: str
    role: Role
    token: str
    expires_at: datetime


class Invitations(msgspec.Struct, frozen=True, kw_only=True):
    """Fresh invitations. The tokens are shown this once: they are not stored."""

    invitations: list[Invitation]


class AcceptInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An invitation's token, and the password from now on."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    password: NewPassword


async def invite(
    conn: Connection, actor: Actor, command: Invite, *, settings: Settings, now: datetime
) -> Invitations:
    """
    Return a fresh invitation for each person named.

    Raises:
        InvalidInputError: somebody is no active person of the organisation without a password.
    """
    wanted = list(dict.fromkeys(command.user_ids))
    async with conn.transaction():
        made = await issue(conn, actor, wanted, renewed=True, settings=settings, now=now)
        left = {*wanted} - {each.user_id for each in made}
        if left:
            place = next(n for n, each in enumerate(command.user_ids) if each in left)
            message = "no active person of your organisation, or one who has a password"
            raise invalid(f"user_ids[{place}]", message)
    return Invitations(invitations=made)


async def issue(
    conn: Connection,
    actor: Actor,
    user_ids: Sequence[UUID],
    *,
    renewed: bool,
    settings: Settings,
    now: datetime,
) -> list[Invitation]:
    """
    Invite those of the people who can be invited, in the caller's transaction.

    Args:
        conn: in a transaction.
        actor: an admin.
        user_ids: of anybody; who has a password, is locked, a service or elsewhere is passed over.
        renewed: those too whose earlier invitation still holds, which ends then.
        settings: with how long they hold.
        now: when they begin.
    """
    rows = await QUERIES.run(
        conn.fetch,
        "list_invitable",
        organisation=actor.organisation_id,
        ids=list(user_ids),
        renewed=renewed,
        now=now,
    )
    if not rows:
        return []
    expires_at = now + timedelta(seconds=settings.invitation_s)
    made = [
        of_row(row, Invitation, user_id=row["id"], token=_new_token(), expires_at=expires_at) for row in rows
    ]
    ids = [each.user_id for each in made]
    await conn.execute(QUERIES["delete_invitations"], ids)
    await QUERIES.run(
        conn.execute,
        "insert_invitations",
        digests=[_digest(each.token) for each in made],
        ids=ids,
        issuer=actor.user_id,
        created_at=now,
        expires_at=expires_at,
    )
    for first in range(0, len(ids), RECORDED_MAX):
        whom = [str(each) for each in ids[first : first + RECORDED_MAX]]
        detail = {"user_ids": whom, "expires_at": expires_at.isoformat()}
        entry = ledger.by(actor, Kind.invitations_created, actor.organisation_id, now=now, detail=detail)
        await ledger.record(conn, entry)
    return made


def _new_token() -> str:
    """Return a token of letters and digits alone: in a spreadsheet a hyphen begins a formula."""
    return secrets.token_hex(TOKEN_BYTES)


def _digest(token: str) -> bytes:
    """Return what is stored of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


async def accept(
    pool: Pool,
    command: AcceptInvitation,
    *,
    checker: PasswordChecker,
    keyring: Keyring,
    settings: Settings,
    limits: Limits,
    origin: Origin,
    now: datetime,
) -> SignedIn:
    """
    Set somebody's first password and sign them in.

    Tokens that are tried in vain count like sign-ins that fail: each as an account of its own.

    Raises:
        NotAuthenticatedError: no invitation that holds; it was used, has expired, was renewed or is void.
        RateLimitedError: too many sign in already, or too many failed from here.
        InvalidInputError: the password is too long, or holds what cannot be seen.
    """
    password, digest = new_password(command.password, "password"), _digest(command.token)
    source = throttle.source_of(origin.address, digest.hex(), limits)
    with checker.place(source):
        async with system_connection(pool) as conn:
            await throttle.begin(conn, source, limits, now=now)
            invited = await conn.fetchrow(QUERIES["find_invited"], digest, now)
            if invited is None:
                await throttle.fail(conn, source, limits, now=now)
                raise _void()
        hashed = await checker.hash(password)
    async with system_connection(pool) as conn, conn.transaction():
        invited = await conn.fetchrow(QUERIES["find_invited"], digest, now)
        if invited is None:
            raise _void()
        await throttle.forget(conn, source)
        user, generation = user_of(invited), invited["token_generation"]
        await conn.execute(QUERIES["set_first_password"], user.id, hashed)
        await conn.execute(QUERIES["delete_invitations"], [user.id])
        await conn.fetchval(LOGINS["record_login"], user.id, now, origin.address, generation)
        await trail.record(conn, Kind.auth_invitation_accepted, user, now=now, origin=origin)
        return await logins.begin(
            conn, user, generation=generation, keyring=keyring, settings=settings, now=now
        )


def _void() -> NotAuthenticatedError:
    return NotAuthenticatedError("The invitation is not valid any more; ask for a new one.")
