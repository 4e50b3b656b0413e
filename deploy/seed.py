"""
The demo's accounts on a local stack: one per role, with passwords made at the first start and kept.
"""

import os
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from core_api import seeding
from core_api.seeding import NewUser
from kernel.events import Role

ACCOUNTS_FILE: Final = "accounts.json"
DOMAIN: Final = "demo.example"


class Account(msgspec.Struct, frozen=True):
    """Somebody who can sign in."""

    email: str
    password: str
    role: str


def demo_accounts(state: Path) -> list[Account]:
    """Return the stack's account of every role; made at the first call and kept in `state`."""
    path = state / ACCOUNTS_FILE
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=list[Account])
    accounts = [Account(f"{role}@{DOMAIN}", secrets.token_urlsafe(12), str(role)) for role in Role]
    write_private(path, msgspec.json.format(msgspec.json.encode(accounts)))
    return accounts


def seed(database_url: str, accounts: list[Account], *, rounds: int) -> None:
    """
    Make the demo's school, accounts and published exam; whoever is there already takes the password given.

    Args:
        database_url: of a role that may write people and exams.
        accounts: one of every role; the teacher owns the exam, the reviewer is granted it.
        rounds: cost of the password hashes.
    """
    people = [
        NewUser(email=each.email, role=Role(each.role), full_name=each.role.title(), password=each.password)
        for each in accounts
    ]
    now = datetime.now(UTC)
    with seeding.connect(database_url) as conn, conn.transaction():
        school = seeding.create_organisation(conn, "Demo school", now=now)
        ids = seeding.create_users(conn, school, people, now=now, rounds=rounds)
        by_role = {user.role: user_id for user, user_id in zip(people, ids, strict=True)}
        titles = ["Introduction to Programming"]
        (exam_id,) = seeding.create_exams(conn, school, by_role[Role.teacher], titles, now=now)
        seeding.grant_exam(conn, exam_id, by_role[Role.reviewer])


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
