"""
Launch links: an attempt opened without a password, once per link (spec.md A-7).
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api import attempts, exams, ledger, sign_ins
from core_api.accounts import Email
from core_api.actors import Actor, actor_for
from core_api.attempts import Attempt
from core_api.database import Connection, Pool, connection
from core_api.logins import Access, signed, user_of
from kernel.access import Action
from kernel.errors import ConflictError, InvalidInputError, NotAuthenticatedError
from kernel.events import Role
from kernel.settings import Settings
from kernel.tokens import Audience, Claims, Keyring, new_claims
from sql import named

QUERIES: Final = named("accounts")
LINKS_MAX: Final = 10_000
TOKEN_LENGTH_MAX: Final = 4096


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The token of a launch link."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]


class Launched(Access, frozen=True, kw_only=True):
    """An access token, and the attempt that the link opened."""

    attempt_id: UUID
    exam_id: UUID
    attempt: Attempt


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """For whom to make launch links: ids, e-mails, or both; 10,000 in all."""

    student_ids: Annotated[list[UUID], Meta(max_length=LINKS_MAX)] = []
    emails: Annotated[list[Email], Meta(max_length=LINKS_MAX)] = []


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate's link: post `token` to /api/auth/launch, once."""

    student_id: UUID
    email: str
    token: str


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Launch links for one exam, in the order asked for: ids first, then e-mails."""

    exam_id: UUID
    expires_at: datetime
    links: list[Link]


async def launch(
    conn: Connection, command: Launch, *, keyring: Keyring, settings: Settings, now: datetime
) -> Launched:
    """
    Exchange a launch link for an access token and the candidate's attempt, started unless it runs already.

    Raises:
        NotAuthenticatedError: not a genuine, unexpired link, or its candidate's account is closed.
        ConflictError: the link was used before, or the attempt is over.
        NotFoundError: the exam is not open; the link stays unused.
    """
    claims = keyring.verify(command.token, audience=Audience.launch, now=now)
    if claims.exam_id is None:
        raise NotAuthenticatedError("The launch link is not valid.")
    actor = actor_for(claims, Action.attempt_start)
    exam_id, jti = UUID(claims.exam_id), UUID(claims.jti)
    async with conn.transaction():
        row = await conn.fetchrow(QUERIES["fetch_user"], actor.user_id, actor.organisation_id)
        if row is None or row["role"] != actor.role:
            raise NotAuthenticatedError("The launch link is not valid.")
        expires_at = now + timedelta(seconds=claims.exp - now.timestamp())
        if (
            await conn.fetchval(QUERIES["use_launch_link"], jti, actor.user_id, exam_id, now, expires_at)
            is None
        ):
            raise ConflictError("The launch link was used before; ask for a new one.")
        attempt = (await attempts.start(conn, actor, exam_id, now=now)).attempt
        detail = {"attempt_id": str(attempt.attempt_id)}
        await sign_ins.record(conn, "auth.launched", user_of(row), now=now, detail=detail)
    return Launched(
        **signed(user_of(row), keyring, settings, now, generation=row["token_generation"]),
        attempt_id=attempt.attempt_id,
        exam_id=exam_id,
        attempt=attempt,
    )


async def create_links(
    pool: Pool,
    actor: Actor,
    exam_id: UUID,
    command: LinkRequest,
    *,
    keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> Links:
    """
    Return a fresh launch link for each student named.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, and they may not edit it.
        InvalidInputError: nobody named, too many, or somebody is no active student of the organisation.
    """
    if not 0 < len(command.student_ids) + len(command.emails) <= LINKS_MAX:
        raise InvalidInputError(
            f"Name 1 to {LINKS_MAX} students.",
            errors=[{"path": "student_ids", "message": f"1 to {LINKS_MAX} in all"}],
        )
    async with connection(pool, actor) as conn:
        await exams.require_editable(conn, actor, exam_id)
        students = await _students(conn, actor, command)
        detail = {"links": len(students)}
        await ledger.act(conn, actor, "launch_links.created", exam_id, now=now, of="exam", detail=detail)
    claims = [
        new_claims(
            user_id=str(student_id),
            email=email,
            role=Role.student,
            org=str(actor.organisation_id),
            now=now,
            life_s=settings.launch_link_s,
            audience=Audience.launch,
            exam_id=str(exam_id),
        )
        for student_id, email in students
    ]
    return Links(
        exam_id=exam_id,
        expires_at=now + timedelta(seconds=settings.launch_link_s),
        links=await asyncio.to_thread(_sign_links, keyring, claims),
    )


def _sign_links(keyring: Keyring, claims: Sequence[Claims]) -> list[Link]:
    return [
        Link(student_id=UUID(each.user_id), email=each.email, token=keyring.sign(each)) for each in claims
    ]


async def _students(conn: Connection, actor: Actor, command: LinkRequest) -> list[tuple[UUID, str]]:
    """
    Return (id, e-mail) of everybody named, once each, in order; every unknown one is an error with its path.
    """
    emails = [email.lower() for email in command.emails]
    rows = await conn.fetch(QUERIES["find_students"], actor.organisation_id, command.student_ids, emails)
    by_id = {row["id"]: (row["id"], row["email"]) for row in rows}
    by_email = {row["email"].lower(): (row["id"], row["email"]) for row in rows}
    named_students = [
        *((f"student_ids[{n}]", by_id.get(student_id)) for n, student_id in enumerate(command.student_ids)),
        *((f"emails[{n}]", by_email.get(email)) for n, email in enumerate(emails)),
    ]
    unknown = [path for path, student in named_students if student is None]
    if unknown:
        raise InvalidInputError(
            "Some are no active students of the organisation.",
            errors=[{"path": path, "message": "unknown student"} for path in unknown[:100]],
        )
    return list(dict.fromkeys(student for _, student in named_students if student is not None))
