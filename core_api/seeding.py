"""
Organisations, people and a published exam from the command line: what the local stack, the demo and tests
begin with.

Everything here can be run again and finds what it made: an organisation by name, a person by e-mail, an exam
by title. These use cases have no actor: they are for operators who hold the database's address, never for a
route.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from core_api.database import Connection, Pool, system_connection
from core_api.identity.accounts import username_of
from core_api.identity.passwords import hash_password
from kernel import spelling
from kernel.events import Role
from sql import named

ACCOUNTS: Final = named("accounts")
EXAMS: Final = named("exams")
USERS_PER_STATEMENT: Final = 5000


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """
    Somebody to create. Without a password they sign in by launch link, or are a service. `username`: the
    e-mail's.
    """

    email: str
    role: Role
    full_name: str = ""
    password: str | None = None
    username: str | None = None


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """
    What `seed_demo` made or found: `accounts` by e-mail, `student_ids` in the order of the demo's student
    numbers.
    """

    organisation_id: UUID
    exam_id: UUID
    accounts: dict[str, UUID]
    student_ids: list[UUID]
    student_emails: list[str]


async def create_organisation(conn: Connection, name: str, *, now: datetime) -> UUID:
    """Return the id of the organisation of that name, made if there is none."""
    async with conn.transaction():
        found: UUID | None = await conn.fetchval(ACCOUNTS["find_organisation"], name)
        if found is not None:
            return found
        organisation_id = uuid7()
        await conn.execute(ACCOUNTS["insert_organisation"], organisation_id, name, now)
        return organisation_id


async def create_user(
    conn: Connection, organisation_id: UUID, user: NewUser, *, rounds: int, now: datetime
) -> UUID:
    """Return the id of one person, as `create_users` does."""
    return (await create_users(conn, organisation_id, [user], rounds=rounds, now=now))[0]


async def create_users(
    conn: Connection, organisation_id: UUID, users: Sequence[NewUser], *, rounds: int, now: datetime
) -> list[UUID]:
    """
    Create people in bulk and return their ids, in the order given.

    Who is there already (by e-mail) keeps id and role, and takes the password when one is given. bcrypt is
    spent only on those with a password, off the event loop.

    Args:
        conn: a connection; joins the caller's transaction if there is one.
        organisation_id: all of them belong to it.
        users: no e-mail twice.
        rounds: cost of bcrypt.
        now: becomes `created_at`.

    Raises:
        ValueError: an e-mail stands twice, or belongs to somebody else's; a password is too long; something
            holds what cannot be seen.
    """
    users = [_spelt(user) for user in users]
    folded = await conn.fetchval(ACCOUNTS["fold_emails"], [user.email for user in users])
    if len(set(folded)) != len(users):
        message = "an e-mail address stands twice"
        raise ValueError(message)
    ids: dict[str, UUID] = {}
    async with conn.transaction():
        for start in range(0, len(users), USERS_PER_STATEMENT):
            chunk = users[start : start + USERS_PER_STATEMENT]
            those = folded[start : start + USERS_PER_STATEMENT]
            ids |= await _upsert(conn, organisation_id, chunk, those, rounds=rounds, now=now)
    return [ids[email] for email in folded]


def _spelt(user: NewUser) -> NewUser:
    """Return somebody as their account is spelt; raises ValueError."""
    return msgspec.structs.replace(
        user,
        email=spelling.address(user.email),
        username=None if user.username is None else spelling.username(user.username),
        full_name=spelling.name(user.full_name),
        password=None if user.password is None else spelling.password(user.password),
    )


async def _upsert(
    conn: Connection,
    organisation_id: UUID,
    users: Sequence[NewUser],
    folded: Sequence[str],
    *,
    rounds: int,
    now: datetime,
) -> dict[str, UUID]:
    """Return ids by what an address is looked up by, which `folded` has for each user."""
    ids = [uuid7() for _ in users]
    hashes = [
        None if user.password is None else await asyncio.to_thread(hash_password, user.password, rounds)
        for user in users
    ]
    rows = await conn.fetch(
        ACCOUNTS["upsert_users"],
        organisation_id,
        ids,
        [user.email for user in users],
        [user.username or username_of(user.email, each) for user, each in zip(users, ids, strict=True)],
        [user.full_name for user in users],
        [user.role for user in users],
        hashes,
        now,
    )
    found = {row["folded"]: row for row in rows}
    for user, email in zip(users, folded, strict=True):
        row = found.get(email)
        if row is None or row["role"] != user.role:
            message = f"{user.email} belongs to another organisation or another role"
            raise ValueError(message)
    return {email: row["id"] for email, row in found.items()}


async def create_exam(
    conn: Connection,
    organisation_id: UUID,
    creator_id: UUID,
    title: str,
    *,
    now: datetime,
    duration_minutes: int = 60,
) -> UUID:
    """Return the id of the organisation's exam of that title, made and published if there is none."""
    async with conn.transaction():
        found: UUID | None = await conn.fetchval(EXAMS["find_exam_by_title"], organisation_id, title)
        if found is not None:
            return found
        exam_id = uuid7()
        monitored = analysed = published = True
        await conn.execute(
            EXAMS["insert_exam"],
            exam_id,
            organisation_id,
            creator_id,
            title,
            "",
            "",
            "",
            100.0,
            duration_minutes,
            50.0,
            monitored,
            analysed,
            "{}",
            now,
            None,  # delivered elsewhere
        )
        await conn.execute(EXAMS["set_published"], exam_id, published, now)
        return exam_id


async def grant_exam(
    conn: Connection,
    exam_id: UUID,
    staff_id: UUID,
    *,
    can_view: bool = True,
    can_edit: bool = False,
    can_view_analytics: bool = True,
) -> None:
    """Let a teacher or reviewer reach an exam they did not create; a second grant replaces the first."""
    await conn.execute(ACCOUNTS["grant_exam"], staff_id, exam_id, can_view, can_edit, can_view_analytics)


async def seed_demo(
    pool: Pool,
    *,
    accounts: Sequence[NewUser],
    students: int,
    now: datetime,
    rounds: int,
    organisation: str = "Demo school",
    title: str = "Introduction to Programming",
) -> Demo:
    """
    Make the demo's organisation, its accounts, its students without passwords, and one published exam.

    Args:
        pool: of a role that may write people and exams.
        accounts: one per role, with passwords; the first teacher owns the exam, reviewers are granted it.
        students: how many more candidates, `student-00001@demo.example` and so on.
        now: becomes `created_at` of what is new.
        rounds: cost of bcrypt.
        organisation: its name.
        title: of the exam.

    Raises:
        ValueError: no teacher among the accounts, or what `create_users` raises.
    """
    teachers = [user.email for user in accounts if user.role is Role.teacher]
    if not teachers:
        message = "the demo needs a teacher to own its exam"
        raise ValueError(message)
    candidates = [
        NewUser(email=f"student-{n:05}@demo.example", role=Role.student, full_name=f"Student {n:05}")
        for n in range(1, students + 1)
    ]
    async with system_connection(pool) as conn, conn.transaction():
        organisation_id = await create_organisation(conn, organisation, now=now)
        ids = await create_users(conn, organisation_id, [*accounts, *candidates], rounds=rounds, now=now)
        by_email = {user.email: ids[n] for n, user in enumerate(accounts)}
        exam_id = await create_exam(conn, organisation_id, by_email[teachers[0]], title, now=now)
        for user in accounts:
            if user.role is Role.reviewer:
                await grant_exam(conn, exam_id, by_email[user.email])
        return Demo(
            organisation_id=organisation_id,
            exam_id=exam_id,
            accounts=by_email,
            student_ids=ids[len(accounts) :],
            student_emails=[user.email for user in candidates],
        )
