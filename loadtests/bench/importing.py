"""
How long `veritas import results` takes for a file of 1,000 candidates and 200 items: into an empty
organisation, and once more, which changes nothing.

The core API runs as a program of its own on a PostgreSQL and Redis of its own.
"""

import csv
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

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
    Program,
    Servers,
    new_jwt_keys,
    open_servers,
    private_folder,
    programs,
    wait_until_answers,
)

PASSWORD: Final = "correct horse battery staple"  # noqa: S105  of an account that lives as long as the run
ADMIN: Final = NewUser(email="admin@import.example", role=Role.admin, password=PASSWORD)
HEADER: Final = ("candidate", "item", "option", "seconds", "time", "key", "topics")
OPTIONS: Final = "abcd"
SEED: Final = 20150120
FIRST_S_MAX: Final = 60.0


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large the file is."""

    candidates: int = 1000
    items: int = 200


QUICK: Final = Sizes(candidates=100, items=50)


class ImportFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Seconds from the command's start to its end: of the first time, of trying alone (`--dry-run`), of the same
    file `again`. `cpu_s`, of the first time, by process: what other programs cannot take. `load_average` is
    the machine's, of the minute before.
    """

    first_s: float
    cpu_s: dict[str, float]
    dry_run_s: float
    again_s: float
    answers_per_s: float
    size: dict[str, int]
    load_average: float
    fdatasync_ms: float


def hold(figures: ImportFigures) -> None:
    """Raise BenchError where the import took longer than it may."""
    if figures.first_s > FIRST_S_MAX:
        raise BenchError(f"import: it took {figures.first_s:.1f} s, of {FIRST_S_MAX:.0f} s")


def rows(sizes: Sizes) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the file: whoever knows more answers more items right; the same each time."""
    dice = random.Random(SEED)
    keys = [dice.choice(OPTIONS) for _ in range(sizes.items)]
    for candidate in range(sizes.candidates):
        share = dice.uniform(0.3, 0.9)
        for item, key in enumerate(keys):
            option = key if dice.random() < share else dice.choice(OPTIONS)
            yield (
                f"S-{candidate:05}", f"q{item:03}", option, f"{dice.uniform(5, 90):.1f}",
                f"2015-01-20T10:{item % 60:02}:{candidate % 60:02}Z", key, f"Topic {item % 10}",
            )  # fmt: skip


def write_file(path: Path, sizes: Sizes) -> None:
    """Write the file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows(sizes)])


def timed(url: str, file: Path, expected: str, *more: str) -> float:
    """Return how long the command took; raises BenchError where it did not do what was expected."""
    named = ["--url", url, "--email", ADMIN.email, "--password", PASSWORD]
    command = [sys.executable, "-m", "deploy.commands.cli", "import", "results", str(file), *named, *more]
    began = perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    seconds = perf_counter() - began
    if done.returncode or expected not in done.stdout:
        raise BenchError(f"veritas import results: {done.stderr}{done.stdout}")
    return seconds


class _Cpu:
    """CPU seconds from now on: of the commands that are run, the core API, and PostgreSQL."""

    def __init__(self, servers: Servers, core: Program) -> None:
        self._servers = servers
        self._meter = machine.CpuMeter({core.process.pid: "core"} | self._postgres())
        self._before = self._commands()

    def _postgres(self) -> dict[int, str]:
        return dict.fromkeys(machine.postgres_processes(self._servers.postgres.pid), "postgres")

    @staticmethod
    def _commands() -> float:
        times = os.times()
        return times.children_user + times.children_system

    def read(self) -> dict[str, float]:
        return {"command": self._commands() - self._before, **self._meter.read(self._postgres())}


def _measure(
    url: str, servers: Servers, core: Program, folder: Path, sizes: Sizes, screen: Screen
) -> ImportFigures:
    now = datetime.now(UTC)
    organisation_id = seeding.create_organisation(servers.owner, "Import", now=now)
    seeding.create_users(servers.owner, organisation_id, [ADMIN], now=now)
    file, load = folder / "finals.csv", os.getloadavg()[0]
    write_file(file, sizes)
    with screen.step("import"):
        dry_run_s = timed(url, file, f"{sizes.candidates:,} would be stored", "--dry-run")
        cpu = _Cpu(servers, core)
        first_s = timed(url, file, f"{sizes.candidates:,} stored, 0 there already")
        cpu_s = cpu.read()
        again_s = timed(url, file, f"0 stored, {sizes.candidates:,} there already")
    return ImportFigures(
        first_s=first_s,
        cpu_s=cpu_s,
        dry_run_s=dry_run_s,
        again_s=again_s,
        answers_per_s=sizes.candidates * sizes.items / first_s,
        size=msgspec.structs.asdict(sizes),
        load_average=load,
        fdatasync_ms=machine.fdatasync_ms(folder),
    )


def measure(sizes: Sizes, screen: Screen, log: Path) -> ImportFigures:
    """
    Import the file on servers of its own; what the core API says goes to `log`.

    Raises:
        BenchError: a result is missing, or was stored twice.
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
            return _measure(url, servers, running[0], folder, sizes, screen)
