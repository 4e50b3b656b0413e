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
import bcrypt
import msgspec
import uuid_utils

from core_api.exams.policy import Defaults, effective
from core_api.wire import as_json
from deploy.local.roles import give_passwords
from kernel.events import Role
from kernel.ledger.checkpoints import new_key_pem
from kernel.tokens import Keyring, new_claims
from loadtests.bench.measuring.stack import (
    TOKEN_LIFE_S,
    BenchError,
    Program,
    Servers,
    free_port,
    new_jwt_keys,
    programs,
    statement,
    wait_until_answers,
)
from sql import named

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


def query(name: str) -> bytes:
    """Return a statement of sql/queries/loadtests/bench_core.sql."""
    return named("bench_core")[name].encode()


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """The running programs and who is in their database; candidates are 1 to `candidates`."""

    servers: Servers
    programs: list[Program]
    port: int
    urls: dict[str, str]  # of the database, by role
    keyring: Keyring
    key_file: Path
    witness: Path
    organisation: str
    teacher: str
    candidates: int

    def token(self, user_id: str, role: Role = Role.student) -> str:
        """Return a token as the API signs it."""
        claims = new_claims(
            user_id=user_id,
            email=f"{user_id}@bench.invalid",
            role=role,
            org=self.organisation,
            now=datetime.now(UTC),
            life_s=TOKEN_LIFE_S,
        )
        return self.keyring.sign(claims)

    def tokens(self, count: int) -> list[str]:
        """Return the tokens of the first candidates."""
        return [self.token(str(id_of(number))) for number in range(1, count + 1)]


class Questions(msgspec.Struct, frozen=True):
    """A published evaluation: its version, its questions, and an answer to each as JSON."""

    version_id: str
    question_ids: list[str]
    responses: list[dict[str, Any]]


def id_of(number: int) -> UUID:
    """Return the id that a number stands for in sql/queries/loadtests/bench_core.sql."""
    return UUID(int=number)


@contextmanager
def running_core(servers: Servers, folder: Path, log: Path, candidates: int) -> Iterator[Core]:
    """Make an organisation with so many candidates, start both programs, and yield when they are ready."""
    keys, port, health = new_jwt_keys(), free_port(), free_port()
    key_file, witness = folder / "ledger.pem", folder / "witness.jsonl"
    key_file.write_bytes(new_key_pem())
    urls = give_passwords(servers.postgres.url)
    organisation, teacher = (str(uuid_utils.uuid7()) for _ in range(2))
    make_people(servers, organisation, teacher, candidates)
    shared: dict[str, object] = {"redis_url": servers.redis.url, "log_level": "warning"}
    core: dict[str, object] = {
        "database_url": urls["veritas_core"],
        "jwt_keys": keys,
        "http_port": port,
        "bcrypt_rounds": BCRYPT_ROUNDS,
        "login_exempt_networks": "127.0.0.0/8",
    }
    pipeline: dict[str, object] = {
        "database_url": urls["veritas_pipeline"],
        "warehouse": folder / "warehouse",
        "metrics_port": health,
        "ledger_key_files": key_file,
        "ledger_witness_file": witness,
    }
    with (
        programs([("core", ["-m", "core_api"])], shared | core, log) as serving,
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
            organisation=organisation,
            teacher=teacher,
            candidates=candidates,
        )


def make_people(servers: Servers, organisation: str, teacher: str, candidates: int) -> None:
    """Insert an organisation, its teacher, so many candidates with one password, and a group of them all."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
    owner = servers.owner
    owner.execute(statement("insert_organisation"), (organisation,))
    owner.execute(statement("insert_teacher"), (teacher, organisation))
    owner.execute(query("insert_students"), (organisation, candidates, hashed))
    owner.execute(query("insert_group"), (organisation, organisation))
    owner.execute(query("analyse_people"))


class Author:
    """The teacher, at the API."""

    def __init__(self, core: Core, http: aiohttp.ClientSession) -> None:
        self._core = core
        self._http = http
        self._headers = {"Authorization": f"Bearer {core.token(core.teacher, Role.teacher)}"}

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a body to a teacher's route; raises BenchError on a refusal."""
        url = f"http://127.0.0.1:{self._core.port}/api/teacher{path}"
        async with self._http.post(url, json=body, headers=self._headers) as response:
            reply: dict[str, Any] = await response.json(content_type=None)
        if not response.ok:
            raise BenchError(f"{path} was answered {response.status}: {reply}")
        return reply

    async def write_questions(self) -> Questions:
        """Write twenty questions and publish an evaluation of them."""
        ids, responses = [], []
        for kind, content, key, response, count in _ITEMS:
            item = {"kind": kind, "content": content, "key": key}
            for _ in range(count):
                made = await self.post("/questions", {"item": item, "points": 5})
                ids.append(made["question_id"])
                responses.append(response)
        items = [{"question_id": each} for each in ids]
        draft = await self.post("/evaluations", {"title": "Benchmark", "items": items})
        published = await self.post(f"/evaluations/{draft['evaluation_id']}/publish", {})
        return Questions(published["evaluation_version_id"], ids, responses)

    async def give_exam(self, title: str, questions: Questions) -> str:
        """Make an exam of the questions, publish it, assign it to all candidates; return its id."""
        exam = await self.post(
            "/exams",
            {
                "title": title,
                "duration_minutes": MINUTES,
                "evaluation_version_id": questions.version_id,
            },
        )
        await self.post(f"/exams/{exam['id']}/publish", {})
        await self.post(f"/exams/{exam['id']}/assignments", {"group_ids": [self._core.organisation]})
        return str(exam["id"])


@asynccontextmanager
async def authoring(core: Core) -> AsyncIterator[Author]:
    """Yield the teacher, signed in."""
    async with aiohttp.ClientSession() as http:
        yield Author(core, http)


def make_running(core: Core, exam_id: str, questions: Questions, *, before: int, count: int) -> None:
    """Give the first candidates a running, proctored attempt with all answers; its ids follow `before`."""
    policy = effective(Defaults(duration_minutes=MINUTES, monitoring_mode=1), [], now=datetime.now(UTC))
    answers = [as_json(each) for each in questions.responses]
    owner = core.servers.owner
    owner.execute(query("insert_running"), (exam_id, before, count, as_json(policy)))
    owner.execute(query("insert_saved"), (exam_id, questions.question_ids, answers))
    owner.execute(statement("insert_sessions"), (exam_id,))
    owner.execute(query("analyse_attempts"))
