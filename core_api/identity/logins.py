"""
A sign-in after somebody has proven who they are (`accounts`, or a launch link): its row, its access token, a
family of refresh tokens, each good for one exchange, and its end (spec.md A-1, A-2).

Only the SHA-256 of a refresh token is stored. A spent one that comes again means that two hold it: the whole
family falls. Within a short grace it is taken for two tabs that refreshed at once: one wins, the other is
told so and nothing falls.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog
from msgspec import Meta
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, of_row, system_connection
from core_api.identity import trail
from core_api.identity.revoking import record, sign_out_everywhere
from core_api.ledger import entries as ledger
from kernel.errors import ConflictError, ForbiddenError, NotAuthenticatedError, RateLimitedError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from kernel.revocation import Revocation, Revocations
from kernel.running.runtime import REFRESH_REUSED
from kernel.settings import Settings
from kernel.tokens import Keyring, new_claims
from sql import named

QUERIES: Final = named("logins")
TOKEN_BYTES: Final = 32

log = structlog.get_logger(__name__)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, as they see themselves."""

    id: UUID
    organisation_id: UUID
    email: str
    username: str
    full_name: str
    role: Role


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """An access token; `expires_in` in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    user: User


class SignedIn(Access, frozen=True, kw_only=True):
    """An access token, and a refresh token that can be exchanged once for the next pair; times in seconds."""

    refresh_token: str
    refresh_expires_in: int


class Refresh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The refresh token to exchange."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=200)]


class SignOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`everywhere=true` takes back every token of the caller, on every device."""

    everywhere: Annotated[bool, Meta(description="Sign out on every device.")] = False


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was ended."""

    everywhere: bool


class Verdict(StrEnum):
    """What a refresh token is worth."""

    good = "good"
    race = "race"  # spent a moment ago, by another tab or a retry
    reuse = "reuse"  # spent before: somebody else holds it too
    void = "void"


def user_of(row: asyncpg.Record) -> User:
    """Return the person of a row that has at least their columns."""
    return of_row(row, User)


def signed(
    user: User,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
    *,
    generation: int,
    login_id: UUID | None = None,
    exam_id: UUID | None = None,
) -> dict[str, Any]:
    """
    Return the fields of `Access` for somebody whose sign-in was verified; with an exam, good for that alone.
    """
    claims = new_claims(
        user_id=str(user.id),
        email=user.email,
        role=Role(user.role),
        org=str(user.organisation_id),
        now=now,
        life_s=settings.access_token_s,
        login=None if login_id is None else str(login_id),
        exam_id=None if exam_id is None else str(exam_id),
        generation=generation,
    )
    return {
        "access_token": keyring.sign(claims),
        "token_type": "bearer",
        "expires_in": settings.access_token_s,
        "user": user,
    }


async def begin(
    conn: Connection, user: User, *, generation: int, keyring: Keyring, settings: Settings, now: datetime
) -> SignedIn:
    """Open a family for a verified sign-in, in the caller's transaction; the user's oldest make room."""
    login_id = uuid7()
    expires_at = now + timedelta(seconds=settings.refresh_token_s)
    await conn.execute(QUERIES["delete_old_logins"], user.id, now, settings.logins_max - 1)
    await QUERIES.run(
        conn.execute,
        "insert_login",
        id=login_id,
        user_id=user.id,
        created_at=now,
        expires_at=expires_at,
        exam_id=None,
        issuer_id=None,
    )
    token = await _add_token(conn, login_id, None, now, expires_at)
    return SignedIn(
        **signed(user, keyring, settings, now, generation=generation, login_id=login_id),
        refresh_token=token,
        refresh_expires_in=settings.refresh_token_s,
    )


async def outlive(conn: Connection, login_id: UUID, *, until: datetime, now: datetime) -> str:
    """
    Let a sign-in by launch link be renewed until then, in the caller's transaction, and return its refresh
    token; one that was given before and not used is worth nothing from now on.
    """
    await conn.execute(QUERIES["extend_login"], login_id, until)
    await conn.execute(QUERIES["delete_unspent_token"], login_id)
    return await _add_token(conn, login_id, None, now, until)


async def _add_token(
    conn: Connection, login_id: UUID, parent_id: UUID | None, now: datetime, expires_at: datetime
) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await QUERIES.run(
        conn.execute,
        "insert_refresh_token",
        id=uuid7(),
        login_id=login_id,
        parent_id=parent_id,
        sha256=_digest(token),
        created_at=now,
        expires_at=expires_at,
    )
    return token


def _digest(token: str) -> bytes:
    """Return what is stored of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def judge(row: asyncpg.Record | Mapping[str, Any] | None, *, grace: timedelta, now: datetime) -> Verdict:
    """Return what a presented refresh token is worth, from its row with its family and its user."""
    if row is None or row["revoked_at"] is not None:
        return Verdict.void
    if row["used_at"] is not None:
        return Verdict.race if now - row["used_at"] < grace else Verdict.reuse
    if row["token_expires_at"] <= now or not row["is_active"]:
        return Verdict.void
    return Verdict.good


async def refresh(
    pool: Pool,
    command: Refresh,
    *,
    revocations: Revocations,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> SignedIn:
    """
    Exchange a refresh token for the next pair.

    Raises:
        NotAuthenticatedError: unknown, expired, of a revoked family or a locked account, or spent before;
            in the last case the family is revoked, its access tokens with it.
        ConflictError: spent by another request within the grace.
        RateLimitedError: the sign-in was refreshed more often than any client needs.
    """
    digest = _digest(command.refresh_token)
    async with system_connection(pool) as conn, conn.transaction():
        await conn.execute(QUERIES["hold_login_of_token"], digest)
        row = await conn.fetchrow(QUERIES["fetch_refresh_token"], digest)
        verdict = judge(row, grace=timedelta(seconds=settings.refresh_grace_s), now=now)
        if row is not None and verdict is Verdict.good:
            return await _rotate(conn, row, keyring=keyring, settings=settings, now=now)
        if row is not None and verdict is Verdict.reuse:
            taken = await _revoke(conn, row["id"], row["login_id"], "reuse", settings=settings, now=now)
            detail = {"login_id": str(row["login_id"]), "reason": "reuse"}
            await trail.record(conn, Kind.auth_tokens_revoked, user_of(row), now=now, detail=detail)
    if verdict is Verdict.race:
        raise ConflictError("This sign-in was renewed a moment ago; use the tokens of that reply.")
    if verdict is Verdict.reuse:
        REFRESH_REUSED.inc()
        log.warning("refresh_token_reused", user_id=taken.user_id)
        await revocations.publish([taken])
    raise NotAuthenticatedError("The refresh token is not valid; sign in again.")


async def _rotate(
    conn: Connection, row: asyncpg.Record, *, keyring: Keyring, settings: Settings, now: datetime
) -> SignedIn:
    login_id, exam_id = row["login_id"], row["exam_id"]
    expires_at = now + timedelta(seconds=settings.refresh_token_s)
    if exam_id is not None:  # it ends with the attempt that its link opened
        expires_at = row["token_expires_at"]
    await conn.execute(QUERIES["delete_expired_refresh_tokens"], login_id, now)
    if await conn.fetchval(QUERIES["count_refresh_tokens"], login_id) >= settings.refreshes_max:
        raise RateLimitedError("This sign-in was refreshed too often; sign in again.", retry_after_s=3600)
    await conn.execute(QUERIES["spend_refresh_token"], row["token_id"], now)
    until = now + timedelta(seconds=settings.access_token_s)  # the sign-in lives while a token of it does
    await conn.execute(QUERIES["extend_login"], login_id, max(expires_at, until))
    token = await _add_token(conn, login_id, row["token_id"], now, expires_at)
    access = signed(
        user_of(row),
        keyring,
        settings,
        now,
        generation=row["token_generation"],
        login_id=login_id,
        exam_id=exam_id,
    )
    return SignedIn(**access, refresh_token=token, refresh_expires_in=int((expires_at - now).total_seconds()))


async def _revoke(
    conn: Connection, user_id: UUID, login_id: UUID, reason: str, *, settings: Settings, now: datetime
) -> Revocation:
    await conn.execute(QUERIES["revoke_login"], login_id, user_id, now, reason)
    return await record(conn, user_id, str(login_id), life_s=settings.access_token_s, now=now)


async def sign_out(
    pool: Pool,
    actor: Actor,
    query: SignOut,
    *,
    revocations: Revocations,
    settings: Settings,
    now: datetime,
) -> SignedOut:
    """
    End the caller's sign-in, or all of them; a token that came without a sign-in is taken back alone.

    Raises:
        ForbiddenError: a sign-in that is bound to an exam would end others.
        NotFoundError: the account was closed meanwhile.
    """
    if query.everywhere and actor.exam_id is not None:
        raise ForbiddenError("Whoever came by a launch link can end this sign-in only.")
    async with connection(pool, actor) as conn, conn.transaction():
        if query.everywhere:
            taken = await sign_out_everywhere(conn, actor.user_id, settings=settings, now=now)
        elif actor.login_id is not None:
            taken = await _revoke(
                conn, actor.user_id, actor.login_id, "signed_out", settings=settings, now=now
            )
        else:
            taken = await record(conn, actor.user_id, actor.token_id, life_s=settings.access_token_s, now=now)
        await ledger.record(
            conn,
            ledger.by(
                actor,
                Kind.auth_signed_out,
                actor.user_id,
                now=now,
                subject_id=actor.user_id,
                detail={"everywhere": query.everywhere},
            ),
        )
    await revocations.publish([taken])
    return SignedOut(everywhere=query.everywhere)
