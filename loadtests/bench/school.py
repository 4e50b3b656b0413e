"""
How long a school takes from three CSV files to a candidate who has begun an exam: with the command line, and
over HTTP into another organisation.

The core API runs as a program of its own on a PostgreSQL and Redis of its own.
"""

import asyncio
import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import aiohttp
import msgspec

from core_api import seeding
from core_api.seeding import NewUser
from deploy.local.roles import give_passwords
from deploy.local.server import free_port
from kernel.events import Role
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import (
    BenchError,
    Servers,
    new_jwt_keys,
    open_servers,
    private_folder,
    programs,
    wait_until_answers,
)
from loadtests.client.stack import call

PASSWORD: Final = "correct horse battery staple"  # noqa: S105  of accounts that live as long as the run
WAYS: Final = ("command", "http")
TOGETHER_S_MAX: Final = 60.0  # people and exams, either way


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large the school is."""

    people: int = 2000
    groups: int = 40
    exams: int = 6


QUICK: Final = Sizes(people=200, groups=8, exams=3)


class SchoolFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Seconds from the files to the last reply, by way: `people` with their groups and an invitation each,
    `exams` with their assignments, the `same_again` of both; `begun` from an invitation to the attempt, with
    the password that is hashed between.
    """

    people_s: dict[str, float]
    exams_s: dict[str, float]
    same_again_s: dict[str, float]
    begun_s: dict[str, float]
    size: dict[str, int]
    fdatasync_ms: float


def hold(figures: SchoolFigures) -> None:
    """Raise BenchError where a school took longer to set up than it may."""
    together = {way: figures.people_s[way] + figures.exams_s[way] for way in figures.people_s}
    late = [f"{seconds:.1f} s by {way}" for way, seconds in together.items() if seconds > TOGETHER_S_MAX]
    if late:
        raise BenchError(f"school: people and exams took {', '.join(late)}, of {TOGETHER_S_MAX:.0f} s")


def write_files(folder: Path, sizes: Sizes, mail: str) -> None:
    """Write users.csv, enrollments.csv and exams.csv; each exam is for its share of the groups."""
    of = [f"Class {number}" for number in range(sizes.groups)]
    users = [
        (f"s{n}", "active", "student", f"Given {n}", f"Family {n}", f"s{n}@{mail}", str(10_000 + n))
        for n in range(sizes.people)
    ]
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]] = {
        "users": (
            ("sourcedId", "status", "role", "givenName", "familyName", "email", "identifier"),
            users,
        ),
        "enrollments": (
            ("classSourcedId", "userSourcedId", "role"),
            [(of[n % sizes.groups], f"s{n}", "student") for n in range(sizes.people)],
        ),
        "exams": (
            ("title", "durationMinutes", "groups"),
            [(f"Exam {n}", "90", "; ".join(of[n :: sizes.exams])) for n in range(sizes.exams)],
        ),
    }
    folder.mkdir()
    for name, (header, rows) in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])


def _make_admin(servers: Servers, mail: str) -> NewUser:
    admin = NewUser(email=f"admin@{mail}", role=Role.admin, password=PASSWORD)
    now = datetime.now(UTC)
    organisation_id = seeding.create_organisation(servers.owner, mail, now=now)
    seeding.create_users(servers.owner, organisation_id, [admin], now=now)
    return admin


class _Way:
    """One way into Veritas, for one school."""

    def __init__(self, http: aiohttp.ClientSession, url: str, folder: Path, admin: NewUser) -> None:
        self.http, self.url, self.folder, self.admin = http, url, folder, admin
        self.tokens: list[str] = []

    async def people(self) -> int:
        """Import the people, and return how many there are afterwards."""
        raise NotImplementedError

    async def exams(self) -> int:
        """Import the exams, and return how many there are afterwards."""
        raise NotImplementedError


class _Command(_Way):
    async def people(self) -> int:
        invitations = self.folder / f"invitations-{perf_counter()}.csv"
        said = await self._run("people", "users.csv", "enrollments.csv", "--invitations", str(invitations))
        with invitations.open(encoding="utf-8-sig") as file:
            self.tokens += [row["token"] for row in csv.DictReader(file)]
        return _first_number(said, "people: ")

    async def exams(self) -> int:
        said = await self._run("exams", "exams.csv")
        return sum(int(word) for word in said.split() if word.isdigit())

    async def _run(self, *words: str) -> str:
        command = [sys.executable, "-m", "deploy.commands.cli", "import", *words]
        named = ["--url", self.url, "--email", self.admin.email, "--password", PASSWORD]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, *named],
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BenchError(f"veritas import {words[0]}: {done.stderr}{done.stdout}")
        return str(done.stdout)


class _Http(_Way):
    async def people(self) -> int:
        files = {name: self._text(name) for name in ("users", "enrollments")}
        done = await self._post("/api/admin/users/import", {**files, "invite": True})
        self.tokens += [each["token"] for each in done["invitations"]]
        return int(done["people"]["created"] + done["people"]["unchanged"])

    async def exams(self) -> int:
        done = await self._post("/api/teacher/exams/import", {"exams": self._text("exams")})
        return int(done["created"] + done["unchanged"])

    def _text(self, name: str) -> str:
        return (self.folder / f"{name}.csv").read_text(encoding="utf-8")

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        account = {"email": self.admin.email, "password": PASSWORD}
        signed_in = await call(self.http, "POST", f"{self.url}/api/auth/login", body=account)
        return await call(self.http, "POST", self.url + path, token=str(signed_in["access_token"]), body=body)


def _first_number(said: str, after: str) -> int:
    return int(said.partition(after)[2].split()[0].replace(",", ""))


async def _timed(done: Any, expected: int, what: str) -> float:  # noqa: ANN401  a coroutine
    began = perf_counter()
    found = await done
    seconds = perf_counter() - began
    if found != expected:
        raise BenchError(f"{what}: {found} of {expected}")
    return seconds


async def _begin(way: _Way) -> float:
    """Accept the first invitation, and begin the exam that is there; return how long that took."""
    began = perf_counter()
    body = {"token": way.tokens[0], "password": PASSWORD}
    signed_in = await call(way.http, "POST", f"{way.url}/api/auth/invitation", body=body)
    token = str(signed_in["access_token"])
    offered = await call(way.http, "GET", f"{way.url}/api/student/exams/available", token=token)
    (exam,) = offered["exams"]
    await call(way.http, "POST", f"{way.url}/api/student/exams/{exam['id']}/start", token=token)
    return perf_counter() - began


async def _measure(url: str, servers: Servers, folder: Path, sizes: Sizes, screen: Screen) -> SchoolFigures:
    people_s, exams_s, again_s, begun_s = {}, {}, {}, {}
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for name, kind in zip(WAYS, (_Command, _Http), strict=True):
            mail = f"{name}.example"
            write_files(folder / name, sizes, mail)
            way = kind(http, url, folder / name, _make_admin(servers, mail))
            with screen.step(f"school, by {name}"):
                people_s[name] = await _timed(way.people(), sizes.people, "people")
                exams_s[name] = await _timed(way.exams(), sizes.exams, "exams")
                if len(way.tokens) != sizes.people:
                    raise BenchError(f"{len(way.tokens)} invitations for {sizes.people} people")
                again_s[name] = await _timed(way.people(), sizes.people, "the same people")
                again_s[name] += await _timed(way.exams(), sizes.exams, "the same exams")
                begun_s[name] = await _begin(way)
    return SchoolFigures(
        people_s=people_s,
        exams_s=exams_s,
        same_again_s=again_s,
        begun_s=begun_s,
        size=msgspec.structs.asdict(sizes),
        fdatasync_ms=machine.fdatasync_ms(folder),
    )


def measure(sizes: Sizes, screen: Screen, log: Path) -> SchoolFigures:
    """
    Set the school up both ways on servers of its own; what the core API says goes to `log`.

    Raises:
        BenchError: somebody, a group or an exam is missing, or the candidate cannot begin.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with private_folder() as folder, open_servers(folder) as servers:
        port = free_port()
        settings: dict[str, object] = {
            "database_url": give_passwords(servers.postgres.url)["veritas_core"],
            "redis_url": servers.redis.url,
            "jwt_keys": new_jwt_keys(),
            "http_port": port,
            "log_level": "warning",
        }
        url = f"http://127.0.0.1:{port}"
        with programs([("core", ["-m", "core_api"])], settings, log) as running:
            wait_until_answers(f"{url}/readyz", running, log)
            return asyncio.run(_measure(url, servers, folder, sizes, screen))
