"""The sealer inside the pipeline's process: kills, readiness, an HTTP witness (spec.md L-2, X-1)."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from deploy.local.server import free_port
from kernel.ledger.checkpoints import open_head
from pipeline.ledger.sealer import take_up, turn
from pipeline.ledger.verify import verify
from tests.kits.ledger import Log, make_log
from tests.kits.processes import Start, pipelines


@pytest.fixture
def log(database: str, database_as: Callable[[str], str], tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(log: Log, redis_url: str, tmp_path: Path, port: int) -> Iterator[Start]:
    settings = {
        "database_url": log.settings.database_url,
        "redis_url": redis_url,
        "warehouse": str(tmp_path / "warehouse"),
        "metrics_port": str(port),
        "ledger_origin": log.keys.origin,
        "ledger_key_files": log.settings.ledger_key_files,
        "ledger_witness_file": str(log.witness),
        "ledger_seal_ms": "20",
        "ledger_batch_events": "50",
    }
    with pipelines(tmp_path / "output", settings) as start:
        yield start


def readiness(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return dict(json.loads(reply.read()))
    except urllib.error.HTTPError as error:
        return dict(json.loads(error.read()))
    except (urllib.error.URLError, ConnectionError):
        return {}


async def wait_until(holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.05)


@pytest.mark.slow("a new process after each kill")
async def test_killing_the_sealer_again_and_again_leaves_every_event_sealed_once(
    log: Log, start: Start
) -> None:
    appended = 0
    for _ in range(4):
        process, before = start(), len(log.witnessed())
        while len(log.witnessed()) < before + 3:  # it is at work, and is killed in the middle of it
            await log.append(37)
            appended += 37
            assert appended < 37 * 1000, "the sealer seals nothing"
            await asyncio.sleep(0.03)
        process.kill()
        process.wait()
    start()

    await wait_until(lambda: log.rows("SELECT count(*) FROM ledger_leaves") == [(appended,)])
    await wait_until(lambda: log.witnessed()[-1].size == appended)
    report = verify(log.owner_url, log.keys, witness=log.witness)
    assert (report.findings, report.size) == ([], appended)
    assert len(log.witnessed()) >= 12


async def test_readiness_says_that_the_ledger_is_a_fork(log: Log, start: Start, port: int) -> None:
    start()
    await wait_until(lambda: readiness(port).get("status") == "ok")
    assert readiness(port)["sealsLedger"] is True
    await log.append(3)
    await wait_until(lambda: log.witness.exists() and log.witnessed()[-1].size == 3)
    log.tamper("UPDATE ledger_tiles SET hashes = overlay(hashes PLACING '\\x00' FROM 1)")
    await log.append(1)

    await wait_until(lambda: readiness(port).get("status") == "unavailable")
    (sentence,) = readiness(port)["wrong"]
    assert sentence.startswith("The ledger is not sealed: ")
    assert log.rows("SELECT count(*) FROM ledger_pending") == [(1,)]


async def test_an_http_witness_gets_every_head_and_its_failure_is_made_up_for(
    database: str, database_as: Callable[[str], str], tmp_path: Path
) -> None:
    received: list[str] = []
    refusing = [True]

    class Witness(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            note = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if not refusing:
                received.append(note)
            self.send_response(500 if refusing else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Witness)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    log = make_log(database, database_as, tmp_path, ledger_witness_url=address)
    sealer = log.sealer()
    with log.connect() as conn:
        take_up(sealer, conn)
        await log.append(2)
        with pytest.raises(urllib.error.HTTPError) as refused:
            turn(sealer, conn)
        refused.value.close()
        refusing.clear()
        turn(sealer, conn)
        await log.append(1)
        turn(sealer, conn)
    server.shutdown()
    server.server_close()
    thread.join()

    assert [open_head(note, log.keys).size for note in received] == [2, 3]
