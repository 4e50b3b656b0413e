"""The whole stack as `veritas up` runs it: ready, supervised, stopped in order, started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kernel.events import Role
from tests.kits.processes import SECOND_HOST

UP_S = 90.0
SETTLED_S = 20.0  # less than a loop that has ended is told of
BOTH = {"VERITAS_HTTP_HOST": f"{SECOND_HOST},127.0.0.1"}
FAST = {"VERITAS_BCRYPT_ROUNDS": "4"}


def veritas(*words: object) -> list[str]:
    """Return a command of ours."""
    return [sys.executable, "-m", "deploy.commands.cli", *map(str, words)]


def ends_of_logs(state: Path) -> str:
    """Return what each log of a stack says last."""
    return "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in sorted((state / "logs").glob("*")))


@contextmanager
def running_stack(state: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """
    Run `veritas up`, with more settings, and yield it with what local.json says; at the end see that it stops
    when asked.
    """
    command = veritas("up", "--port", "0", "--ingest-port", "0", "--state", state)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | FAST | more
    ) as process:
        local = state / "local.json"
        deadline = time.monotonic() + UP_S
        try:
            while not local.exists():
                assert process.poll() is None, process.stdout.read() if process.stdout else ""
                assert time.monotonic() < deadline, f"the stack is not ready in time: {ends_of_logs(state)}"
                time.sleep(0.05)
            yield process, json.loads(local.read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0
        assert not local.exists()


def answer(
    url: str, body: dict[str, Any] | None = None, *, method: str | None = None, token: str | None = None
) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310  loopback
    if body is not None:
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310  loopback
        return json.loads(reply.read())


def settled(url: str) -> Any:
    """Return what /readyz says once nothing is degraded: a tier is ready before its last shard is open."""
    deadline = time.monotonic() + SETTLED_S
    while (told := answer(f"{url}/readyz"))["status"] != "ok" and time.monotonic() < deadline:
        time.sleep(0.2)
    return told


def children_of(pid: int) -> dict[str, int]:
    """Return the ids of the supervisor's tiers by the module that they run."""
    listed = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {row[3]: int(row[0]) for row in rows if row[2:3] == ["-m"]}


def doctor(state: Path) -> dict[str, str]:
    """Return what doctor finds, by check."""
    command = veritas("doctor", "--json", "--state", state)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return {each["check"]: each["found"] for each in json.loads(done.stdout)}


@pytest.mark.slow("the whole stack, twice")
def test_the_stack_serves_supervises_stops_and_starts_again_x2(server_folder: Path) -> None:
    state = server_folder / "state"
    with running_stack(state, **BOTH) as (process, local):
        assert (state / "local.json").stat().st_mode & 0o777 == 0o600
        assert {account["role"] for account in local["accounts"]} == {str(role) for role in Role}
        for url in (
            local["url"],
            local["ingest_url"],
            *(each.removesuffix("/metrics") for each in local["metrics"].values()),
        ):
            told = settled(url)
            assert told["status"] == "ok", told
            assert url.startswith(f"http://[{SECOND_HOST}]:" if ":" in SECOND_HOST else "http://")
            assert answer(f"http://127.0.0.1:{url.rpartition(':')[2]}/livez") == {"status": "ok"}
        account = next(each for each in local["accounts"] if each["role"] == "teacher")
        signed_in = answer(
            f"{local['url']}/api/auth/login", {"email": account["email"], "password": account["password"]}
        )
        assert signed_in["user"]["role"] == "teacher"

        found = doctor(state)
        assert {found[f"tier {name}"] for name in local["metrics"]} == {"ready"}
        assert {f"open files of {name}" for name in local["metrics"]} <= set(found)
        assert all(
            re.fullmatch(r"[\d,]+ of [\d,]+", found[f"open files of {name}"]) for name in local["metrics"]
        )
        assert "needed by a process that serves HTTP" in found["open files"]
        # A stack tells nobody anything, or itself, within a moment of its start.
        assert re.fullmatch(
            r"0 watches, 0 sockets of candidates,"
            r" (nothing told lately|changes told after \S+ s at most in the last minute),"
            r" 0 slow watchers dropped",
            found["live"],
        )

        killed = children_of(process.pid)["ingest.writer"]
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while children_of(process.pid).get("ingest.writer", killed) == killed and time.monotonic() < deadline:
            time.sleep(0.1)
        assert children_of(process.pid)["ingest.writer"] != killed
        with psycopg.connect(local["database_url"], autocommit=True) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 7 AS number")

    assert "writer ended (SIGKILL)" in (state / "logs" / "supervisor.log").read_text()
    with running_stack(state) as (_, again):
        assert again["accounts"] == local["accounts"]
        with psycopg.connect(again["database_url"]) as conn:
            assert conn.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_a_taken_port_is_named_with_the_option_that_helps(server_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = veritas("up", "--port", port, "--state", server_folder)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == f"port {port} is taken: choose another with --port, or a free one with --port 0"
    )


def test_an_address_of_no_machine_is_named(server_folder: Path) -> None:
    command = veritas("up", "--state", server_folder)
    elsewhere = os.environ | {"VERITAS_HTTP_HOST": "127.0.0.1,2001:db8::1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=elsewhere)

    assert done.returncode == 2
    assert done.stderr.startswith("2001:db8::1 is no address to listen on here: ")


def test_doctor_finds_this_machine_fit_and_a_stopped_server_unfit(server_folder: Path) -> None:
    command = veritas("doctor", "--json", "--state", server_folder)
    fit = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    gone = {"VERITAS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    unfit = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | gone
    )

    assert fit.returncode == 0, fit.stdout
    assert unfit.returncode == 1
    assert [each["check"] for each in json.loads(unfit.stdout) if each["required"] and not each["ok"]] == [
        "PostgreSQL server"
    ]


def test_doctor_names_promises_that_the_servers_do_not_keep(
    database: str, redis_url: str, server_folder: Path
) -> None:
    command = veritas("doctor", "--json", "--state", server_folder)
    servers = {
        "VERITAS_DATABASE_URL": database + "?options=-csynchronous_commit%3Doff",
        "VERITAS_REDIS_URL": redis_url,
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | servers
    )

    broken = [each for each in json.loads(done.stdout) if each["required"] and not each["ok"]]
    assert [(each["check"], each["mend"]) for each in broken] == [
        ("PostgreSQL durability", "set synchronous_commit=on")
    ]
