"""
What a benchmark runs on: a private PostgreSQL and Redis, a migrated database with sessions, the tiers as
processes.
"""

import asyncio
import base64
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from core_api import seeding
from deploy.local.postgres import start_postgres
from deploy.local.redis import start_redis
from deploy.local.roles import give_passwords
from deploy.local.server import Server, free_port, with_parent
from kernel.events import Role
from kernel.tokens import Keyring, new_claims
from loadtests.bench.measuring.machine import postgres_processes
from loadtests.bench.sending.wire import Target
from sql import named
from sql.migrate import migrate
from sql.running import Connection, connect, run

BENCH: Final = named("bench")
ROOT: Final = Path(__file__).parents[3]
READY_S: Final = 60.0
STOP_S: Final = 30.0
TOKEN_LIFE_S: Final = 86_400
EXAM_MINUTES: Final = 1440


class BenchError(Exception):
    """The benchmark cannot be run, or something that was acknowledged is not there."""


class Servers(msgspec.Struct, frozen=True):
    """The two servers, and the owner's connection to the migrated database; statements commit at once."""

    postgres: Server
    redis: Server
    owner: Connection


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder for servers and take it away at the end."""
    with tempfile.TemporaryDirectory(prefix="veritas-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the servers' own account passes through
        yield folder


@contextmanager
def open_servers(folder: Path) -> Iterator[Servers]:
    """Start both servers in an empty folder and migrate; stop them at the end."""
    postgres = start_postgres(folder / "postgres")
    try:
        redis = start_redis(folder / "redis")
        try:
            migrate(postgres.url)
            with connect(postgres.url) as owner:
                yield Servers(postgres, redis, owner)
        finally:
            redis.close()
    finally:
        postgres.close()


def make_sessions(owner: Connection, keyring: Keyring, count: int, now: datetime) -> list[Target]:
    """
    Make so many candidates with a running attempt and an active proctor session each.

    Returns:
        The sessions with their candidates' own tokens, in the order of their ids.
    """
    school = seeding.create_school(owner, "Benchmark", now=now, duration_minutes=EXAM_MINUTES)
    seated = seeding.seat_candidates(owner, school.organisation_id, school.exam_ids[0], count, now=now)

    def token(user_id: UUID) -> str:
        claims = new_claims(
            user_id=str(user_id),
            email=f"{user_id}@bench.invalid",
            role=Role.student,
            org=str(school.organisation_id),
            now=now,
            life_s=TOKEN_LIFE_S,
        )
        return keyring.sign(claims)

    return [Target(str(each.session_id), token(each.user_id)) for each in seated]


def new_jwt_keys() -> str:
    """Return fresh signing keys in the form of the setting `jwt_keys`."""
    return "bench:" + base64.b64encode(secrets.token_bytes(32)).decode()


class Program(msgspec.Struct, frozen=True):
    """A started program of ours: its name in the figures, and its process."""

    name: str
    process: subprocess.Popen[bytes]


@contextmanager
def programs(
    commands: Sequence[tuple[str, list[str]]], settings: dict[str, object], log: Path
) -> Iterator[list[Program]]:
    """
    Run programs of ours, and end them with SIGTERM; they end as well when the thread that started them does.

    Args:
        commands: (name, arguments of the Python interpreter).
        settings: by field name of `kernel.settings.Settings`; other settings come from the caller's
        environment.
        log: where their output goes.
    """
    words = [
        *with_parent(signal.SIGTERM),
        "env",
        *(f"VERITAS_{name.upper()}={value}" for name, value in settings.items()),
        sys.executable,
    ]
    started: list[Program] = []
    with log.open("ab") as sink:
        try:
            for name, arguments in commands:
                # A session of its own, as under the supervisor: schedulers share cores by session.
                process = subprocess.Popen(  # noqa: S603
                    [*words, *arguments], stdout=sink, stderr=sink, cwd=ROOT, start_new_session=True
                )
                started.append(Program(name, process))
            yield started
        finally:
            for program in started:
                program.process.terminate()
            for program in started:
                _end(program.process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_answers(url: str, running: Sequence[Program], log: Path) -> None:
    """Wait until the URL answers 200; raises BenchError when a program has ended or READY_S have passed."""
    deadline = time.monotonic() + READY_S
    while not _answers(url):
        for program in running:
            if program.process.poll() is not None:
                raise BenchError(
                    f"{program.name} ended with exit code {program.process.returncode}; see {log}"
                )
        if time.monotonic() > deadline:
            raise BenchError(f"{url} does not answer 200 within {READY_S:.0f} s; see {log}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310  loopback
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Tiers(msgspec.Struct, frozen=True):
    """The product's tiers: the port of ingest, and the running programs."""

    port: int
    programs: list[Program]


@contextmanager
def tiers(servers: Servers, jwt_keys: str, log: Path, ingest_processes: int = 1) -> Iterator[Tiers]:
    """Start ingest and the writer on the servers, and return when admission is open."""
    port = free_port()
    settings: dict[str, object] = {
        "database_url": give_passwords(servers.postgres.url)["veritas_ingest"],
        "redis_url": servers.redis.url,
        "jwt_keys": jwt_keys,
        "http_port": port,
        "log_level": "warning",
    }
    commands = [("writer", ["-m", "ingest.writer"]), *[("ingest", ["-m", "ingest"])] * ingest_processes]
    with programs(commands, settings, log) as running:
        wait_until_answers(f"http://127.0.0.1:{port}/readyz", running, log)
        yield Tiers(port, running)


def processes(servers: Servers, running: Tiers) -> dict[int, str]:
    """Return every process of the chain by id, with the name it has in the figures."""
    found = {program.process.pid: program.name for program in running.programs}
    return found | {servers.redis.pid: "redis"} | postgres_processes(servers.postgres.pid)


async def settle(servers: Servers, seconds: float = 2.0) -> None:
    """Write a checkpoint and let the disk come to rest, so that one step does not pay for the one before."""
    await asyncio.to_thread(run, servers.owner, BENCH["checkpoint"])
    await asyncio.sleep(seconds)
