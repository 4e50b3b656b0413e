"""No log holds what somebody sent, and nobody but owner and group reads what the stack keeps (A-4, A-7)."""

import json
import logging
import random
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

from deploy.local.server import REACHABLE
from kernel.running.logs import LibraryLines, constant_part, named, told
from tests.conftest import make_server_folder
from tests.integration.deploy.test_stack import answer, running_stack
from tests.kits.clusters import laid_state
from tests.kits.ingest.waiting import wait_until

MARKER = "MarkedSecret7391"
REQUESTS = 400
SILENCE_S = 1.0  # after which a request counts as one that the tier waits for more of
READABLE_BY_OTHERS = 0o006
PRIVATE = {"local.json", "jwt_keys", "ledger_key.pem", "password"}

# What a request may hold in each place; every one has the marker in it.
LINES = (
    f"GET /api/me?token={MARKER} HTTP/1.1", f"GET /{MARKER} HTTP/9.9", f"{MARKER} /api/me HTTP/1.1",
    f"GET /api/me\x00{MARKER} HTTP/1.1", f"{MARKER}", f"GET  /api/{MARKER}",
    f"POST /api/auth/login HTTP/1.1{MARKER}", "POST /api/auth/login HTTP/1.1",
    "POST /api/proctor/events/bulk HTTP/1.1", "PUT /api/me HTTP/1.1",
)  # fmt: skip
HEADERS = (
    f"Authorization: Bearer {MARKER}", f"Authorization:\x01{MARKER}", f"Authorization {MARKER}",
    f"Authorization: Bearer a\r{MARKER}", f"\x7f{MARKER}: x", f"Content-Length: {MARKER}",
    f"Transfer-Encoding: {MARKER}", f"Cookie: {MARKER}=\x00", f"X-Forwarded-For: {MARKER}",
    f"Content-Type: {MARKER}/json", f"Content-Encoding: {MARKER}", f"Idempotency-Key: {MARKER}",
    f"Host: {MARKER}\r\nHost: {MARKER}", f"{MARKER}: " + "x" * 9000, f"Expect: {MARKER}",
    f"Upgrade: {MARKER}", "Transfer-Encoding: chunked", "Content-Type: application/json",
)  # fmt: skip
BODIES = (
    f"{MARKER}", f'{{"email": "{MARKER}@x.example", "password": "{MARKER}"}}', f'{{"email": "{MARKER}',
    f'{{"email": "\\ud800{MARKER}", "password": "x"}}', f'{{"{MARKER}": 1}}', f"zz\r\n{MARKER}\r\n0\r\n\r\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def state() -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = make_server_folder()
    try:
        with running_stack(laid_state(folder / "state")) as (_, local):
            yield folder / "state", local
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def send(url: str, raw: bytes) -> bytes:
    """Send bytes to a tier; return what comes back before it closes or falls silent."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.settimeout(SILENCE_S)
        try:
            connection.sendall(raw)
            return connection.recv(65536)
        except (TimeoutError, ConnectionError):
            return b""


def hostile(seed: int) -> bytes:
    """Return a request with the marker in one place or many, well-formed in some and torn in others."""
    chance = random.Random(seed)
    body = chance.choice(BODIES)
    headers = chance.sample(HEADERS, chance.randint(1, 4))
    if chance.random() < 0.6:
        headers.append(f"Content-Length: {len(body)}")
    if chance.random() < 0.6:
        headers.append("Host: veritas")
    raw = "\r\n".join([chance.choice(LINES), *headers, "", body]).encode("latin-1")
    if chance.random() < 0.3:
        at = chance.randrange(len(raw))
        raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at:]
    return raw


def marked(state: Path) -> list[str]:
    """Return the log files, of tiers, supervisor and servers, that hold the marker."""
    logs = [path for path in state.rglob("*") if path.is_file() and ".log" in path.name]
    assert {"supervisor.log", "origin.log", "ingest-1.log", "writer.log", "pipeline.log", "postgres.log"} <= {
        path.name for path in logs
    }
    return [path.name for path in logs if MARKER in path.read_text(errors="replace")]


@pytest.mark.slow("every hostile request to every tier")
def test_hostile_requests_to_every_tier_leave_no_byte_in_any_log(state: tuple[Path, dict[str, Any]]) -> None:
    folder, local = state
    tiers = {urlsplit(each).netloc: each for each in (local["url"], local["ingest_url"])}
    tiers |= {urlsplit(each).netloc: each for each in local["metrics"].values()}

    with ThreadPoolExecutor(max_workers=32) as pool:
        answers = list(
            pool.map(lambda n: send(list(tiers.values())[n % len(tiers)], hostile(n)), range(REQUESTS))
        )

    assert len(tiers) >= 4
    assert sum(b" 400 " in each[:16] for each in answers) > REQUESTS / 10, "the parser was met"
    assert marked(folder) == []
    assert all(answer(f"{url.removesuffix('/metrics')}/readyz")["pid"] for url in tiers.values())


@contextmanager
def broken(database_url: str) -> Iterator[None]:
    """Let PostgreSQL refuse rows for a reason that no use case knows, and quote them as it does."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE exams ADD CONSTRAINT refuse CHECK (title NOT LIKE 'Marked%')")
        try:
            yield
        finally:
            conn.execute("ALTER TABLE exams DROP CONSTRAINT refuse")


def failures(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of the origin's log about requests that failed."""
    lines = (folder / "logs/origin.log").read_text().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return [line for line in whole if line["event"] == "request_failed"]


def test_an_error_that_quotes_a_row_is_logged_without_it(state: tuple[Path, dict[str, Any]]) -> None:
    folder, local = state
    account = next(each for each in local["accounts"] if each["role"] == "teacher")
    login = {"email": account["email"], "password": account["password"]}
    token = answer(f"{local['url']}/api/auth/login", login)["access_token"]
    body = json.dumps({"title": MARKER, "duration_minutes": 30})
    with broken(local["database_url"]):
        raw = (
            f"POST /api/teacher/exams HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        address = urlsplit(local["url"])
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(raw.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 500")

    wait_until(lambda: bool(failures(folder)), "the line of what failed")  # the reply may be there before it
    (failed,) = failures(folder)
    assert failed["exception"][0]["error"] == "CheckViolationError 23514"
    assert any("exams.py" in place for place in failed["exception"][0]["at"])
    assert marked(folder) == []


def test_nobody_but_owner_and_group_reads_what_the_stack_keeps(state: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = state
    wait_until((folder / "ledger_witness.jsonl").exists, "a signed head at the witness")
    found = [folder, *folder.rglob("*")]
    open_to_all = {
        str(path.relative_to(folder)): oct(path.lstat().st_mode)
        for path in found
        if not path.is_symlink() and path.lstat().st_mode & READABLE_BY_OTHERS
    }
    too_open = {path.name for path in found if path.name in PRIVATE and path.stat().st_mode & 0o077}

    assert len(found) > 50
    assert {path.name for path in found} >= PRIVATE | {"ledger_witness.jsonl", "warehouse", "logs"}
    assert open_to_all == {}
    assert too_open == set()
    assert folder.stat().st_mode & 0o777 == REACHABLE
    assert {(folder / name).stat().st_mode & 0o777 for name in ("logs", "warehouse")} == {0o750}


def test_a_librarys_record_keeps_its_constant_part_alone() -> None:
    error = ValueError(MARKER)
    failed = (ValueError, error, None)
    record = logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "Error from %s", (MARKER,), failed)
    line = json.loads(LibraryLines().format(record))

    assert line["message"] == "Error from %s"
    assert line["exception"] == [{"error": "ValueError", "at": []}]
    assert constant_part(f"Exception in callback f({MARKER!r})") == "Exception in callback f"
    assert named(OSError(24, MARKER)) == "OSError EMFILE"


def test_causes_are_told_and_their_messages_are_not() -> None:
    def chain() -> None:
        try:
            raise KeyError(MARKER)  # noqa: TRY301
        except KeyError as cause:
            raise RuntimeError(MARKER) from cause

    with pytest.raises(RuntimeError) as failed, capture_logs():
        chain()

    found = told(failed.value)
    assert [each["error"] for each in found] == ["RuntimeError", "KeyError"]
    assert all("test_secrets.py" in each["at"][-1] for each in found)
    assert MARKER not in str(found)
