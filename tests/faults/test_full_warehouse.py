"""A full warehouse disk, and a restart on it: what needs no Parquet goes on, the rest waits (spec.md X-1)."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pytest

from deploy.commands.doctor import examine
from deploy.local.server import free_port
from kernel.settings import load
from tests.integration.pipeline.test_process import wait_until
from tests.kits.ledger import Log, make_log
from tests.kits.pipeline_world import make_sittings, rows_of, some_events, store_now

DISK_BYTES = 32 << 20
PROJECTED = "SELECT coalesce(sum(events), 0)::int FROM reporting.attempt_activity"
SEALED = "SELECT count(*)::int FROM ledger_leaves"
CAUGHT_UP_S = 90.0  # a first build of every dataset, each synced to a disk that others may crowd
ARCHIVE_FAILS = "The archive of events fails since"


class Disk(Protocol):
    """Where the warehouse is: `words` run a program there, `path` is what it calls its folder."""

    words: list[str]
    path: Path
    reason: str  # what a full disk is called here

    def seen(self) -> Path:
        """Return the folder as the test sees it."""

    def make_room(self, pid: int) -> None:
        """Let the running program write again."""


class Mounted:
    """A memory file system of its own in a namespace of its own, full of ballast from the beginning."""

    reason = "No space left on device"

    def __init__(self, path: Path, namespace: "subprocess.Popen[bytes]") -> None:
        self.path = path
        self._namespace = namespace
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        self.words = ["nsenter", "--target", str(namespace.pid), "--mount", *user, "--"]

    def seen(self) -> Path:
        return Path(f"/proc/{self._namespace.pid}/root{self.path}")

    def make_room(self, pid: int) -> None:
        del pid
        (self.seen() / "ballast").unlink()


class Limited:
    """Where nobody may mount: the program may make folders, and no file of any size."""

    reason = "File too large"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.words = ["prlimit", "--fsize=0:unlimited", "--"]

    def seen(self) -> Path:
        return self.path

    def make_room(self, pid: int) -> None:
        subprocess.run(["prlimit", f"--pid={pid}", "--fsize=unlimited:unlimited"], check=True)


@contextmanager
def mounted(path: Path) -> Iterator[Disk | None]:
    """Mount a full disk at the folder; None where this account may not."""
    path.mkdir()
    script = (
        f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {path} && "
        f"{{ head -c {DISK_BYTES} /dev/zero > {path}/ballast 2>/dev/null; echo full; exec sleep infinity; }}"
    )
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", *user, "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as namespace:
        assert namespace.stdout is not None
        try:
            yield Mounted(path, namespace) if namespace.stdout.readline() == b"full\n" else None
        finally:
            namespace.kill()


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Disk]:
    """A full disk: a real one where this account may mount one, and always one that a limit makes."""
    path = server_folder / "warehouse"
    if request.param == "limited":
        yield Limited(path)
        return
    with mounted(path) as real:
        yield real or Limited(path)


def readiness(port: int) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return json.load(reply)
    except OSError:
        return {"status": "away", "degraded": ["It does not answer."]}


def doctor_says(log: Log, disk: Disk, database: str) -> dict[str, str]:
    settings = load(
        {}, database_url=log.settings.database_url, owner_database_url=database, warehouse=str(disk.seen())
    )
    return {each.check: each.found for each in examine(settings) if not each.ok}


@pytest.mark.slow("two lives of the pipeline on a full disk")
def test_a_full_warehouse_keeps_nothing_else_waiting_and_a_restart_neither(
    disk: Disk, database: str, database_as: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    log = make_log(database, database_as, tmp_path)
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VERITAS_")},
        "VERITAS_DATABASE_URL": log.settings.database_url,
        "VERITAS_REDIS_URL": redis_url,
        "VERITAS_WAREHOUSE": str(disk.path),
        "VERITAS_METRICS_PORT": str(port),
        "VERITAS_PUBLISH_DEBOUNCE_S": "0.2",
        "VERITAS_WAREHOUSE_RETRY_S_MAX": "1",
        "VERITAS_LEDGER_ORIGIN": log.keys.origin,
        "VERITAS_LEDGER_KEY_FILES": log.settings.ledger_key_files,
    }
    [sitting] = make_sittings(database, attempts=1)

    def start() -> "subprocess.Popen[bytes]":
        # What it says goes through a pipe: a limit on files would take its log away too.
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *disk.words, sys.executable, "-m", "pipeline"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    process = start()
    try:
        for life in (1, 2):
            store_now(database, sitting, some_events(sitting, 35))
            asyncio.run(log.append(3))
            wait_until(lambda life=life: rows_of(database, PROJECTED) == [(35 * life,)])  # type: ignore[misc]
            wait_until(lambda life=life: rows_of(database, SEALED) == [(3 * life,)])  # type: ignore[misc]
            wait_until(lambda: ARCHIVE_FAILS in " ".join(readiness(port)["degraded"]))
            assert readiness(port)["status"] == "degraded"
            assert process.poll() is None
            if life == 1:
                process.kill()
                process.wait()
                process = start()

        said = " ".join(readiness(port)["degraded"])
        assert disk.reason in said
        assert "the 70 events that wait" in said
        assert ARCHIVE_FAILS in doctor_says(log, disk, database)["pipeline"]

        disk.make_room(process.pid)
        stored = rows_of(database, "SELECT session_id, seq FROM events ORDER BY 1, 2")
        wait_until(lambda: archived(disk) == stored, seconds=CAUGHT_UP_S)
        wait_until(lambda: readiness(port)["degraded"] == [], seconds=CAUGHT_UP_S)
        assert "pipeline" not in doctor_says(log, disk, database)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def archived(disk: Disk) -> list[tuple[Any, ...]]:
    """Return the keys that a glob over the archive in force shows; none while there is none."""
    with duckdb.connect() as conn, suppress(duckdb.IOException):
        files = str(disk.seen() / "current" / "events" / "*" / "*.parquet")
        return conn.execute("SELECT session_id, seq FROM read_parquet($1) ORDER BY 1, 2", [files]).fetchall()
    return []
