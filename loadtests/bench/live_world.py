"""What the live benchmark runs on: exams with candidates at work, and every tier, as in the local stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from core_api import seeding
from deploy.local.roles import give_passwords
from deploy.local.server import free_port
from kernel.events import Role
from kernel.ledger.checkpoints import new_key_pem
from kernel.tokens import Keyring, new_claims
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.stack import (
    TOKEN_LIFE_S,
    Program,
    Servers,
    new_jwt_keys,
    open_servers,
    private_folder,
    programs,
    wait_until_answers,
)
from loadtests.bench.sending.wire import Target


class Exam(msgspec.Struct, frozen=True):
    """One exam, the token of who watches it, and where its candidates' events go."""

    id: UUID
    token: str
    targets: list[Target]


class World(msgspec.Struct, frozen=True):
    """A running stack of its own: ports of the origin and of ingest, the programs, and its exams."""

    servers: Servers
    origin: int
    ingest: int
    programs: list[Program]
    exams: list[Exam]

    @property
    def targets(self) -> list[Target]:
        """Return where the candidates' events go, all exams' one after the other."""
        return [each for exam in self.exams for each in exam.targets]

    def processes(self) -> dict[int, str]:
        """Return every process of the product by id, with the name it has in the figures."""
        ours = {program.process.pid: program.name for program in self.programs}
        servers = machine.postgres_processes(self.servers.postgres.pid)
        return ours | servers | {self.servers.redis.pid: "redis"}

    def pid_of(self, name: str) -> int:
        """Return the process of a program."""
        return next(each.process.pid for each in self.programs if each.name == name)


@contextmanager
def running_world(exams: int, candidates: int, log: Path) -> Iterator[World]:
    """Start servers and tiers of their own, with so many candidates at work in so many exams."""
    keys = new_jwt_keys()
    log.parent.mkdir(parents=True, exist_ok=True)
    with private_folder() as folder, open_servers(folder) as servers:
        made = make_exams(servers, Keyring.parse(keys), exams, candidates)
        with everything(servers, folder, keys, log) as (origin, ingest, running):
            yield World(servers, origin, ingest, running, made)


def make_exams(servers: Servers, keyring: Keyring, exams: int, candidates: int) -> list[Exam]:
    """Make exams with candidates at work, and a teacher who may watch them all."""
    now, owner = datetime.now(UTC), servers.owner
    school = seeding.create_school(owner, "Live", now=now, exams=exams, duration_minutes=600)

    def token(user_id: UUID, role: Role) -> str:
        claims = new_claims(
            user_id=str(user_id),
            email="",
            role=role,
            org=str(school.organisation_id),
            now=now,
            life_s=TOKEN_LIFE_S,
        )
        return keyring.sign(claims)

    made = []
    for exam_id in school.exam_ids:
        seated = seeding.seat_candidates(owner, school.organisation_id, exam_id, candidates // exams, now=now)
        targets = [Target(str(each.session_id), token(each.user_id, Role.student)) for each in seated]
        made.append(Exam(exam_id, token(school.teacher_id, Role.teacher), targets))
    return made


@contextmanager
def everything(
    servers: Servers, folder: Path, keys: str, log: Path
) -> Iterator[tuple[int, int, list[Program]]]:
    """Start all tiers; yield the ports of the origin and of ingest, and the programs."""
    urls = give_passwords(servers.postgres.url)
    origin_port, ingest_port, health = (free_port() for _ in range(3))
    key_file = folder / "ledger.pem"
    key_file.write_bytes(new_key_pem())
    shared: dict[str, object] = {
        "redis_url": servers.redis.url,
        "log_level": "warning",
        "evidence_store": folder / "evidence",
        "evidence_cold_store": folder / "evidence-cold",
    }
    signed = shared | {"jwt_keys": keys}
    ingest = signed | {"database_url": urls["veritas_ingest"], "http_port": ingest_port}
    origin = signed | {
        "database_url": urls["veritas_core"],
        "ingest_database_url": urls["veritas_ingest"],
        "http_port": origin_port,
        "live_account_watches_max": 1000,
    }
    pipeline = shared | {
        "database_url": urls["veritas_pipeline"],
        "warehouse": folder / "warehouse",
        "metrics_port": health,
        "ledger_key_files": key_file,
        "ledger_witness_file": folder / "witness.jsonl",
    }
    with (
        programs([("writer", ["-m", "ingest.writer"]), ("ingest", ["-m", "ingest"])], ingest, log) as taking,
        programs([("origin", ["-m", "deploy.origin"])], origin, log) as serving,
        programs([("pipeline", ["-m", "pipeline"])], pipeline, log) as working,
    ):
        running = [*taking, *serving, *working]
        for port in (ingest_port, origin_port, health):
            wait_until_answers(f"http://127.0.0.1:{port}/readyz", running, log)
        yield origin_port, ingest_port, running
