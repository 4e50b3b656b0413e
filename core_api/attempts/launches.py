"""
Launch links: an attempt opened without a password, once per link (spec.md A-7).

A link is a signed token. What it opens is good for its exam alone; it reaches only whom the exam reaches; and
it is worth something only while its candidate and its issuer stand as they did when it was made.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor, Origin
from core_api.attempts import attempts
from core_api.attempts.attempts import Attempt
from core_api.database import Connection, Pool, connection, system_connection
from core_api.exams import exams
from core_api.identity import trail
from core_api.identity.accounts import Email
from core_api.identity.logins import Access, User, outlive, signed, user_of
from core_api.ledger import entries as ledger
from kernel import spelling
from kernel.access import Action, scope_of
from kernel.errors import ConflictError, InvalidInputError, NotAuthenticatedError
from kernel.events import Role
from kernel.ledger.kinds import Kind
from kernel.running.runtime import LAUNCHES_REPEATED, LAUNCHES_REPLAYED
from kernel.settings import Settings
from kernel.tokens import Audience, Claims, Keyring, new_claims
from sql import named

QUERIES: Final = named("launches")
LOGINS: Final = named("logins")
ACCOUNTS: Final = named("accounts")
LINKS_MAX: Final = 10_000
RECORDED_MAX: Final = 1000  # candidates in one event of the ledger
FAULTS_MAX: Final = 100
TOKEN_LENGTH_MAX: Final = 4096


class Launch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token of a launch link."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]


class Launched(Access, frozen=True, kw_only=True):
    """
    An access token, and the attempt that the link opened. Where the attempt lasts longer than the token,
    there is a refresh token too, good for `refresh_expires_in` seconds: until the attempt's end.
    """

    attempt_id: UUID
    exam_id: UUID
    attempt: Attempt
    refresh_token: str | UnsetType = UNSET
    refresh_expires_in: int | UnsetType = UNSET


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class _Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a genuine launch token says."""

    jti: UUID
    student_id: UUID
    organisation_id: UUID
    exam_id: UUID
    issuer_id: UUID
    standing: int
    issuer_standing: int
    expires_at: datetime


def _link_of(claims: Claims) -> _Link:
    """Return the link of verified claims; raises NotAuthenticatedError where they lack something."""
    try:
        return _Link(
            jti=UUID(claims.jti),
            student_id=UUID(claims.user_id),
            organisation_id=UUID(claims.org),
            exam_id=UUID(claims.exam_id or ""),
            issuer_id=UUID(claims.issuer or ""),
            standing=claims.standing,
            issuer_standing=claims.issuer_standing,
            expires_at=datetime.fromtimestamp(claims.exp, UTC),
        )
    except ValueError as error:
        raise NotAuthenticatedError("The launch link is not valid.") from error


async def launch(
    pool: Pool,
    command: Launch,
    *,
    launch_keyring: Keyring,
    keyring: Keyring,
    settings: Settings,
    origin: Origin,
    now: datetime,
) -> Launched:
    """
    Exchange a launch link for an access token that is good for its exam alone, and the candidate's attempt,
    started unless it runs already.

    Who asks again within a short grace, from the same address with the same browser, gets the same sign-in:
    the reply may have got lost. Any later use is refused and, once a link, on the ledger.

    Raises:
        NotAuthenticatedError: not a genuine, unexpired link; its candidate or its issuer was locked or given
            another role since, or the issuer does not manage the exam's students any more.
        ConflictError: the link was used before, or the attempt is over.
        NotFoundError: the exam is not open to the candidate; the link stays unused.
    """
    link = _link_of(launch_keyring.verify(command.token, audience=Audience.launch, now=now))
    async with system_connection(pool) as conn, conn.transaction():
        now = datetime.now(UTC)  # whoever waited for a connection begins when they have it
        row = await QUERIES.run(
            conn.fetchrow,
            "hold_link",
            student_id=link.student_id,
            standing=link.standing,
            organisation=link.organisation_id,
            exam_id=link.exam_id,
            issuer_id=link.issuer_id,
            issuer_standing=link.issuer_standing,
        )
        if row is None:
            raise NotAuthenticatedError("The launch link is not valid.")
        user, generation = user_of(row), row["token_generation"]
        login_id, repeated = await _sign_in(conn, link, origin=origin, settings=settings, now=now)
        if login_id is not None:
            actor = _actor_of(link, user, login_id)
            attempt, _ = await attempts.start(conn, actor, link.exam_id, now=now)
            detail = {**_trail(link), "attempt_id": str(attempt.attempt_id), "repeated": repeated}
            renewal = await _renewal(conn, login_id, attempt, settings=settings, now=now)
            await trail.record(conn, Kind.auth_launched, user, now=now, origin=origin, detail=detail)
        elif await conn.fetchval(QUERIES["note_replay"], link.jti, now) is not None:
            await trail.record(
                conn, Kind.auth_launch_refused, user, now=now, origin=origin, detail=_trail(link)
            )
    if login_id is None:
        LAUNCHES_REPLAYED.inc()
        raise ConflictError("The launch link was used before; ask for a new one.")
    if repeated:
        LAUNCHES_REPEATED.inc()
    return Launched(
        **signed(
            user, keyring, settings, now, generation=generation, login_id=login_id, exam_id=link.exam_id
        ),
        attempt_id=attempt.attempt_id,
        exam_id=link.exam_id,
        attempt=attempt,
        **renewal,
    )


async def _renewal(
    conn: Connection, login_id: UUID, attempt: Attempt, *, settings: Settings, now: datetime
) -> dict[str, Any]:
    """Return what renews the sign-in to an attempt that outlives an access token; nothing for any other."""
    left_s = int((attempt.expires_at - now).total_seconds())
    if left_s <= settings.access_token_s:
        return {}
    token = await outlive(conn, login_id, until=attempt.expires_at, now=now)
    return {"refresh_token": token, "refresh_expires_in": left_s}


async def _sign_in(
    conn: Connection, link: _Link, *, origin: Origin, settings: Settings, now: datetime
) -> tuple[UUID | None, bool]:
    """Return the sign-in that the link gives, and whether it gave it before; None where it gives none."""
    login_id, expires_at = uuid7(), now + timedelta(seconds=settings.access_token_s)
    agent = hashlib.sha256((origin.user_agent or "").encode(errors="replace")).digest()
    first = await QUERIES.run(
        conn.fetchval,
        "use_link",
        jti=link.jti,
        user_id=link.student_id,
        exam_id=link.exam_id,
        used_at=now,
        expires_at=link.expires_at,
        login_id=login_id,
        address=origin.address,
        agent=agent,
    )
    if first is not None:
        await LOGINS.run(
            conn.execute,
            "insert_login",
            id=login_id,
            user_id=link.student_id,
            created_at=now,
            expires_at=expires_at,
            exam_id=link.exam_id,
            issuer_id=link.issuer_id,
        )
        return login_id, False
    again: UUID | None = await QUERIES.run(
        conn.fetchval,
        "use_link_again",
        jti=link.jti,
        used_after=now - timedelta(seconds=settings.launch_grace_s),
        address=origin.address,
        agent=agent,
        uses_max=settings.launch_uses_max,
        now=now,
    )
    if again is not None:
        await conn.execute(LOGINS["extend_login"], again, expires_at)
    return again, again is not None


def _actor_of(link: _Link, user: User, login_id: UUID) -> Actor:
    return Actor(
        user_id=link.student_id,
        organisation_id=link.organisation_id,
        email=user.email,
        role=Role.student,
        scope=scope_of(Role.student, Action.attempt_start, bound=True),
        login_id=login_id,
        exam_id=link.exam_id,
    )


def _trail(link: _Link) -> dict[str, Any]:
    """Return what the ledger says of a link wherever it comes up."""
    return {"link_id": str(link.jti), "exam_id": str(link.exam_id), "issuer_id": str(link.issuer_id)}


async def create_links(
    pool: Pool,
    actor: Actor,
    exam_id: UUID,
    command: LinkRequest,
    *,
    launch_keyring: Keyring,
    settings: Settings,
    now: datetime,
) -> Links:
    """
    Return a fresh launch link for each student named; the ledger names them and the caller.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, and its students are not theirs to manage.
        InvalidInputError: nobody named, too many, or somebody is no active student of the organisation, or
            the exam does not reach them.
    """
    if not 0 < len(command.student_ids) + len(command.emails) <= LINKS_MAX:
        raise InvalidInputError(
            f"Name 1 to {LINKS_MAX} students.",
            errors=[{"path": "student_ids", "message": f"1 to {LINKS_MAX} in all"}],
        )
    expires_at = now + timedelta(seconds=settings.launch_link_s)
    async with connection(pool, actor) as conn, conn.transaction():
        await exams.require_students_managed(conn, actor, exam_id)
        students = await _students(conn, actor, exam_id, command)
        issuer_standing = await conn.fetchval(QUERIES["fetch_standing"], actor.user_id)
        await ledger.record(conn, *_created(actor, exam_id, students, expires_at=expires_at, now=now))
    claims = [
        new_claims(
            user_id=str(each.id),
            email=each.email,
            role=Role.student,
            org=str(actor.organisation_id),
            now=now,
            life_s=settings.launch_link_s,
            audience=Audience.launch,
            exam_id=str(exam_id),
            issuer=str(actor.user_id),
            standing=each.standing,
            issuer_standing=issuer_standing,
        )
        for each in students
    ]
    return Links(
        exam_id=exam_id,
        expires_at=expires_at,
        links=await asyncio.to_thread(_sign_links, launch_keyring, claims),
    )


def _created(
    actor: Actor, exam_id: UUID, students: Sequence["_Candidate"], *, expires_at: datetime, now: datetime
) -> list[ledger.Entry]:
    """Return what the ledger says of new links: for whom, in events of a thousand."""
    pages = [students[first : first + RECORDED_MAX] for first in range(0, len(students), RECORDED_MAX)]
    return [
        ledger.by(
            actor,
            Kind.launch_links_created,
            exam_id,
            now=now,
            subject_id=students[0].id if len(students) == 1 else None,
            detail={"student_ids": [str(each.id) for each in page], "expires_at": expires_at.isoformat()},
        )
        for page in pages
    ]


def _sign_links(keyring: Keyring, claims: Sequence[Claims]) -> list[Link]:
    return [
        Link(student_id=UUID(each.user_id), email=each.email, token=keyring.sign(each)) for each in claims
    ]


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom the exam may reach, and how they stand."""

    id: UUID
    email: str
    folded: str
    standing: int
    is_reached: bool


async def _students(conn: Connection, actor: Actor, exam_id: UUID, command: LinkRequest) -> list[_Candidate]:
    """
    Return everybody named, once each, in order; everybody unknown, or not reached by the exam, is an error
    with its path.
    """
    written = [spelling.looked_up(email) for email in command.emails]
    emails = await conn.fetchval(ACCOUNTS["fold_emails"], written)
    rows = await conn.fetch(
        QUERIES["list_candidates"], actor.organisation_id, command.student_ids, emails, exam_id
    )
    found = [_Candidate(**row) for row in rows]
    by_id = {each.id: each for each in found}
    by_email = {each.folded: each for each in found}
    named_students = [
        *((f"student_ids[{n}]", by_id.get(student_id)) for n, student_id in enumerate(command.student_ids)),
        *((f"emails[{n}]", by_email.get(email)) for n, email in enumerate(emails)),
    ]
    faults = [
        {"path": path, "message": "no active student" if student is None else "the exam is not theirs"}
        for path, student in named_students
        if student is None or not student.is_reached
    ]
    if faults:
        raise InvalidInputError(
            "Some are no active students of yours, or the exam is not assigned to them.",
            errors=faults[:FAULTS_MAX],
        )
    return list({each.id: each for _, each in named_students if each is not None}.values())
