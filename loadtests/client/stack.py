"""
A deployment as a load tester meets it: its addresses and accounts, and the calls that seat candidates.

Candidates sit down through launch links, so that no password is hashed on the way (spec.md A-7).
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec
import orjson
import psycopg

from core_api import seeding
from core_api.seeding import NewUser
from kernel.events import Mode, Role
from loadtests.client.client import Seat

LOCAL_FILE: Final = "local.json"
LINKS_PER_CALL: Final = 1000
TRIES_MAX: Final = 10
# Refusals that say that nothing was done: the same request may be sent again.
NOTHING_DONE: Final = {"overloaded", "unavailable", "rate_limited"}


class StackError(Exception):
    """The deployment cannot be used, or answered with a refusal; the message says what it said."""


class Account(msgspec.Struct, frozen=True):
    """Somebody who can sign in."""

    email: str
    password: str
    role: str


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """
    What `.veritas/local.json` says; for another deployment, the same by hand.

    `ingest_url` may be the one origin. `database_url` is needed to make candidates and to count rows back.
    """

    url: str
    ingest_url: str
    database_url: str = ""
    redis_url: str = ""
    warehouse: str = ""
    accounts: list[Account] = []

    def account(self, role: Role) -> Account:
        """
        Return the account of a role.

        Raises:
            StackError: there is none.
        """
        for account in self.accounts:
            if account.role == role:
                return account
        raise StackError(f"the stack names no {role} account")


def local_stack(state: Path) -> Stack:
    """
    Return the local stack's addresses.

    Raises:
        StackError: it is not running, or its file cannot be read.
    """
    path = state / LOCAL_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stack)
    except FileNotFoundError as error:
        raise StackError(
            f"{path} is not there: start the stack with `make run`, or name a deployment"
        ) from error
    except msgspec.MsgspecError as error:
        raise StackError(f"{path}: {error}") from error


async def call(
    http: aiohttp.ClientSession, method: str, url: str, *, token: str = "", body: object = None
) -> dict[str, Any]:
    """
    Return the JSON of a reply; what was refused without anything done is sent again after the time named.

    Raises:
        StackError: any other status of 400 or more, or too many refusals, with what the problem document
            says.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    data = None if body is None else orjson.dumps(body)
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            async with http.request(method, url, data=data, headers=headers) as response:
                text, status = await response.read(), response.status
        except (aiohttp.ClientError, OSError) as error:
            raise StackError(f"{method} {url}: {error}") from error
        if status < HTTPStatus.BAD_REQUEST:
            break
        wait_s = response.headers.get("Retry-After", "")
        if not (tries_left and wait_s.isdigit() and _code(text) in NOTHING_DONE):
            raise StackError(f"{method} {url}: {status} {text.decode(errors='replace')[:500]}")
        await asyncio.sleep(int(wait_s))
    try:
        reply: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise StackError(f"{method} {url}: {status}, and no JSON") from error
    return reply


def _code(problem: bytes) -> object:
    """Return the code of a problem document; None where it is none."""
    try:
        return orjson.loads(problem)["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


async def sign_in(http: aiohttp.ClientSession, url: str, account: Account) -> str:
    """Return an access token."""
    reply = await call(
        http, "POST", f"{url}/api/auth/login", body={"email": account.email, "password": account.password}
    )
    return str(reply["access_token"])


class Paper(msgspec.Struct, frozen=True):
    """A published evaluation: its version, and its questions in order."""

    version_id: UUID
    question_ids: list[UUID]


async def write_paper(
    http: aiohttp.ClientSession, url: str, token: str, title: str, items: Sequence[dict[str, Any]]
) -> Paper:
    """Write the questions and publish an evaluation of them, worth a hundred points in all."""
    teacher, ids = f"{url}/api/teacher", []
    for item in items:
        body = {"item": item, "points": 100 / len(items)}
        made = await call(http, "POST", f"{teacher}/questions", token=token, body=body)
        ids.append(UUID(made["question_id"]))
    draft = {"title": title, "items": [{"question_id": each} for each in ids]}
    made = await call(http, "POST", f"{teacher}/evaluations", token=token, body=draft)
    published = f"{teacher}/evaluations/{made['evaluation_id']}/publish"
    reply = await call(http, "POST", published, token=token)
    return Paper(UUID(reply["evaluation_version_id"]), ids)


async def open_exam(
    http: aiohttp.ClientSession,
    url: str,
    token: str,
    title: str,
    duration_minutes: int = 60,
    *,
    paper: UUID | None = None,
) -> UUID:
    """Create and publish an exam as the teacher of `token`; return its id. `paper`: a version."""
    exam = await call(
        http,
        "POST",
        f"{url}/api/teacher/exams",
        token=token,
        body={"title": title, "duration_minutes": duration_minutes, "evaluation_version_id": paper},
    )
    await call(http, "POST", f"{url}/api/teacher/exams/{exam['id']}/publish", token=token)
    return UUID(exam["id"])


async def make_candidates(database_url: str, organisation_id: UUID, emails: Sequence[str]) -> None:
    """
    Make candidates without passwords; who is there already stays.

    Raises:
        StackError: the database cannot be reached, or one of them is somebody else there.
    """
    users = [NewUser(email=email, role=Role.student, full_name=email.partition("@")[0]) for email in emails]

    def make() -> None:
        with seeding.connect(database_url) as conn:
            seeding.create_users(conn, organisation_id, users, now=datetime.now(UTC))

    try:
        await asyncio.to_thread(make)
    except (ValueError, psycopg.Error) as error:
        raise StackError(f"candidates cannot be made: {error}") from error


async def organisation_of(http: aiohttp.ClientSession, url: str, token: str) -> UUID:
    """Return the organisation of who holds the token."""
    return UUID((await call(http, "GET", f"{url}/api/me", token=token))["organisation_id"])


async def launch_links(
    http: aiohttp.ClientSession, url: str, token: str, exam_id: UUID, emails: Sequence[str]
) -> dict[str, str]:
    """Return a fresh launch token by e-mail."""
    links: dict[str, str] = {}
    for start in range(0, len(emails), LINKS_PER_CALL):
        chunk = list(emails[start : start + LINKS_PER_CALL])
        reply = await call(
            http,
            "POST",
            f"{url}/api/teacher/exams/{exam_id}/launch-links",
            token=token,
            body={"emails": chunk},
        )
        links |= {link["email"]: link["token"] for link in reply["links"]}
    return links


async def take_seat(http: aiohttp.ClientSession, stack: Stack, link: str, mode: Mode = Mode.Soft) -> Seat:
    """Spend a launch link: the attempt begins, and this client takes its proctor session up."""
    launched = await call(http, "POST", f"{stack.url}/api/auth/launch", body={"token": link})
    token = str(launched["access_token"])
    session = await call(
        http,
        "POST",
        f"{stack.url}/api/proctor/session",
        token=token,
        body={"attemptId": launched["attempt_id"], "mode": int(mode)},
    )
    return Seat(
        session_id=session["data"]["proctorSessionId"],
        token=token,
        url=stack.ingest_url,
        attempt_id=UUID(launched["attempt_id"]),
    )


async def leave(http: aiohttp.ClientSession, stack: Stack, seat: Seat) -> None:
    """Hand the attempt in: its proctor session ends with it."""
    path = f"{stack.url}/api/student/attempts/{seat.attempt_id}/submit"
    await call(http, "POST", path, token=seat.token, body={})
