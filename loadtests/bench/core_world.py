"""
What the core's benchmark runs on: the core API and the pipeline as programs of their own, candidates in bulk,
and an exam that was authored, published and assigned through the API.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec

from core_api import seeding
from core_api.seeding import NewUser, School
from deploy.local.roles import give_passwords
from deploy.local.server import free_port
from kernel.events import Role
from kernel.ledger.checkpoints import new_key_pem
from kernel.tokens import Keyring, new_claims
from loadtests.bench.measuring.stack import (
    TOKEN_LIFE_S,
    Program,
    Servers,
    new_jwt_keys,
    programs,
    wait_until_answers,
)
from loadtests.client.stack import call, open_exam, write_paper
from sql import named
from sql.running import run

CORE: Final = named("bench_core")
PASSWORD: Final = "correct horse battery staple"  # noqa: S105  of accounts that live as long as the run
BCRYPT_ROUNDS: Final = 12
MINUTES: Final = 60
OPTIONS: Final = [{"id": each, "text": f"Answer {each}"} for each in "abcd"]
STEM: Final = "Which of these statements about the passage that you have read holds, and for what reason?"

_TEXT: Final = {"stem": STEM}
_CHOICE: Final = {"stem": STEM, "options": OPTIONS}
# Kind, content, key, a right answer, and how many of them are in the exam.
_ITEMS: Final[tuple[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], int], ...]] = (
    ("single_choice", _CHOICE, {"choice": "b"}, {"choice": "b"}, 12),
    ("multiple_choice", _CHOICE, {"choices": ["a", "c"], "partial": True}, {"choices": ["c", "a"]}, 4),
    ("numeric", _TEXT, {"number": 0.3, "tolerance": 0.01}, {"number": 0.31}, 2),
    ("short_text", _TEXT, {"accepted": ["photosynthesis"]}, {"text": "Photosynthesis"}, 1),
    ("essay", _TEXT, {"rubric": "Clarity."}, {"text": "It depends on light, and on what is grown. " * 8}, 1),
)


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """The running programs and who is in their database; candidates are 1 to `candidates`."""

    servers: Servers
    programs: list[Program]
    port: int
    urls: dict[str, str]  # of the database, by role
    keyring: Keyring
    key_file: Path
    witness: Path
    school: School
    group: UUID  # of all candidates
    candidates: int

    def token(self, user_id: UUID, role: Role = Role.student, *, of: UUID | None = None) -> str:
        """Return a token as the API signs it; `of` another organisation than the school."""
        claims = new_claims(
            user_id=str(user_id),
            email=f"{user_id}@bench.invalid",
            role=role,
            org=str(of or self.school.organisation_id),
            now=datetime.now(UTC),
            life_s=TOKEN_LIFE_S,
        )
        return self.keyring.sign(claims)

    def tokens(self, count: int) -> list[str]:
        """Return the tokens of the first candidates."""
        return [self.token(id_of(number)) for number in range(1, count + 1)]


class Questions(msgspec.Struct, frozen=True):
    """A published evaluation: its version, its questions, and an answer to each as JSON."""

    version_id: UUID
    question_ids: list[UUID]
    responses: list[dict[str, Any]]


def id_of(number: int) -> UUID:
    """Return the id that a number stands for in sql/queries/loadtests/bench_core.sql."""
    return UUID(int=number)


@contextmanager
def running_core(
    servers: Servers, folder: Path, log: Path, candidates: int, *, processes: int = 1
) -> Iterator[Core]:
    """
    Make an organisation with so many candidates, start both programs, and yield when they are ready.

    `processes`: of the core API, which share the port.
    """
    keys, port, health = new_jwt_keys(), free_port(), free_port()
    key_file, witness = folder / "ledger.pem", folder / "witness.jsonl"
    key_file.write_bytes(new_key_pem())
    urls = give_passwords(servers.postgres.url)
    school, group = make_people(servers, candidates)
    shared: dict[str, object] = {
        "redis_url": servers.redis.url,
        "log_level": "warning",
        "evidence_store": folder / "evidence",
        "evidence_cold_store": folder / "evidence-cold",
    }
    core: dict[str, object] = {
        "database_url": urls["veritas_core"],
        "jwt_keys": keys,
        "http_port": port,
        "bcrypt_rounds": BCRYPT_ROUNDS,
        "login_exempt_networks": "127.0.0.0/8",
        "account_requests_per_s": 1_000.0,  # one teacher asks for a school
    }
    pipeline: dict[str, object] = {
        "database_url": urls["veritas_pipeline"],
        "warehouse": folder / "warehouse",
        "metrics_port": health,
        "ledger_key_files": key_file,
        "ledger_witness_file": witness,
    }
    with (
        programs([("core", ["-m", "core_api"])] * processes, shared | core, log) as serving,
        programs([("pipeline", ["-m", "pipeline"])], shared | pipeline, log) as sealing,
    ):
        for url in (f"http://127.0.0.1:{port}/readyz", f"http://127.0.0.1:{health}/readyz"):
            wait_until_answers(url, [*serving, *sealing], log)
        yield Core(
            servers=servers,
            programs=[*serving, *sealing],
            port=port,
            urls=urls,
            keyring=Keyring.parse(keys),
            key_file=key_file,
            witness=witness,
            school=school,
            group=group,
            candidates=candidates,
        )


def make_people(servers: Servers, candidates: int) -> tuple[School, UUID]:
    """Make an organisation, its teacher, so many candidates with one password, and a group of them all."""
    now, owner = datetime.now(UTC), servers.owner
    school = seeding.create_school(owner, "Benchmark", now=now, exams=0)
    students = [
        NewUser(
            id=id_of(number),
            email=f"candidate-{number}@bench.invalid",
            full_name=f"Candidate {number}",
            role=Role.student,
            password=PASSWORD,
        )
        for number in range(1, candidates + 1)
    ]
    ids = seeding.create_users(owner, school.organisation_id, students, now=now, rounds=BCRYPT_ROUNDS)
    group = seeding.create_group(owner, school.organisation_id, "Candidates", ids, now=now)
    run(owner, CORE["analyse_people"])
    return school, group


class Author:
    """The teacher, at the API."""

    def __init__(self, core: Core, http: aiohttp.ClientSession) -> None:
        self._group = core.group
        self._http = http
        self._url = f"http://127.0.0.1:{core.port}"
        self._token = core.token(core.school.teacher_id, Role.teacher)

    async def write_questions(self) -> Questions:
        """Write twenty questions and publish an evaluation of them."""
        items, responses = [], []
        for kind, content, key, response, count in _ITEMS:
            items += [{"kind": kind, "content": content, "key": key}] * count
            responses += [response] * count
        paper = await write_paper(self._http, self._url, self._token, "Benchmark", items)
        return Questions(paper.version_id, paper.question_ids, responses)

    async def give_exam(self, title: str, questions: Questions) -> str:
        """Make an exam of the questions, publish it, assign it to all candidates; return its id."""
        paper = questions.version_id
        exam_id = await open_exam(self._http, self._url, self._token, title, MINUTES, paper=paper)
        path = f"{self._url}/api/teacher/exams/{exam_id}/assignments"
        await call(self._http, "POST", path, token=self._token, body={"group_ids": [self._group]})
        return str(exam_id)


@asynccontextmanager
async def authoring(core: Core) -> AsyncIterator[Author]:
    """Yield the teacher, signed in."""
    async with aiohttp.ClientSession() as http:
        yield Author(core, http)


def make_running(core: Core, exam_id: str, questions: Questions, *, before: int, count: int) -> None:
    """Give the first candidates a running, proctored attempt with all answers; its ids follow `before`."""
    now, owner = datetime.now(UTC), core.servers.owner
    students = [id_of(number) for number in range(1, count + 1)]
    ids = [id_of(before + number) for number in range(1, count + 1)]
    seeding.begin_attempts(owner, UUID(exam_id), students, now=now, ids=ids)
    seeding.save_answers(owner, ids, questions.question_ids, questions.responses, now=now)
    seeding.open_sessions(owner, ids, now=now)
    run(owner, CORE["analyse_attempts"])
