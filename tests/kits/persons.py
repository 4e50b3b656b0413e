"""
People who call a running stack, each with a token of their own, and all that was said to them.

`heard` keeps every reply and every message of a socket as it came, with its headers: what a test may search.
"""

import asyncio
import time
from typing import Any, Final

import aiohttp
import msgspec

WITHIN_S: Final = 60.0
PASSWORD: Final = "correct horse battery staple"


class Heard(msgspec.Struct, frozen=True):
    """A reply, or a message of a socket: what was asked, and what came."""

    asked: str
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """Return the JSON that came, a list of it where that is lines, the bytes where it is none."""
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("text/x-ndjson"):
            return [msgspec.json.decode(line) for line in self.raw.splitlines()]
        is_json = self.raw[:1] in {b"{", b"[", b'"'} and not kind.startswith("text/csv")
        return msgspec.json.decode(self.raw) if is_json else self.raw


class Person:
    """Somebody who asks."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self.http = http
        self.url = url
        self.token = token
        self.heard: list[Heard] = []

    async def ask(self, request: str, body: Any = None, **headers: str) -> Heard:
        """Send `METHOD /path`, with JSON or bytes as they are; header names are written with underscores."""
        method, _, path = request.partition(" ")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        raw = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        async with self.http.request(
            method, self.url + path, data=raw, headers=sent, allow_redirects=False
        ) as reply:
            heard = Heard(request, reply.status, dict(reply.headers), await reply.read())
        self.heard.append(heard)
        return heard

    async def must(self, request: str, body: Any = None, **headers: str) -> Any:
        """Return the JSON of a reply that has to be a success."""
        reply = await self.ask(request, body, **headers)
        assert reply.status < 300, f"{request}: {reply.status} {reply.raw.decode(errors='replace')}"
        return reply.body

    async def until(self, found: Any, request: str, body: Any = None) -> Any:
        """Ask until the JSON that comes shows what is waited for, and return it."""
        deadline = time.monotonic() + WITHIN_S
        while not found(last := await self.must(request, body)):
            assert time.monotonic() < deadline, f"{request}: last came {last}"
            await asyncio.sleep(0.1)
        return last

    async def sign_in(self, email: str, password: str = PASSWORD) -> "Person":
        """Sign in, and be that person from now on."""
        signed_in = await self.must("POST /api/auth/login", {"email": email, "password": password})
        self.token = signed_in["access_token"]
        return self


async def enrol(admin: Person, name: str, role: str, *, domain: str) -> tuple[Person, str]:
    """Make an account of that name, and sign it in; return the person and their id."""
    email = f"{name.lower().replace(' ', '.')}@{domain}"
    account = {"email": email, "role": role, "full_name": name, "password": PASSWORD}
    made = await admin.must("POST /api/admin/users", account)
    return await Person(admin.http, admin.url).sign_in(email), made["id"]


async def set_exam(teacher: Person, title: str, *candidates: str) -> tuple[str, list[str]]:
    """Write two questions, freeze and set them, and assign the exam; return its id and the questions'."""
    options = [{"id": each, "text": each.upper()} for each in "ab"]
    choice = {"content": {"stem": "Which one?", "options": options}, "key": {"choice": "b"}}
    essay = {"content": {"stem": "Why?"}, "key": {"rubric": "Depth."}}
    questions = []
    for item in ({"kind": "single_choice", **choice}, {"kind": "essay", **essay}):
        saved = await teacher.must("POST /api/teacher/questions", {"item": item, "points": 2})
        questions.append(saved["question_id"])
    drafted = {"title": title, "items": [{"question_id": each} for each in questions]}
    draft = await teacher.must("POST /api/teacher/evaluations", drafted)
    version = await teacher.must(f"POST /api/teacher/evaluations/{draft['evaluation_id']}/publish")
    fields = {
        "title": title, "duration_minutes": 30, "evaluation_version_id": version["evaluation_version_id"]
    }  # fmt: skip
    exam = await teacher.must("POST /api/teacher/exams", fields)
    await teacher.must(f"POST /api/teacher/exams/{exam['id']}/publish")
    await teacher.must(f"POST /api/teacher/exams/{exam['id']}/assignments", {"user_ids": list(candidates)})
    return exam["id"], questions
