"""The benchmark's baselines and its count, on the real database."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import psycopg
import pytest
from rich.console import Console

from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from deploy.local.roles import on_database
from deploy.local.server import free_port
from kernel.events import is_violation
from kernel.tokens import Audience, Keyring
from loadtests.baselines import copy_baseline, seed_design
from loadtests.bench.chain import Chain
from loadtests.bench.comparisons import (
    COPY_DATABASE,
    SIMPLE_DATABASE,
    copy_baseline_ready,
    simple_durable_ready,
)
from loadtests.bench.measuring.machine import CpuMeter, fdatasync_ms, memory_bytes, postgres_processes
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import (
    BenchError,
    Servers,
    Tiers,
    make_sessions,
    new_jwt_keys,
    programs,
    wait_until_answers,
)
from loadtests.bench.sending.wire import Target
from loadtests.sample import BULK, client_times, sample_bulk
from sql import named
from sql.running import connect, one, run
from tests.kits.processes import kill_and_wait

BENCH: Final = named("bench")
SESSIONS = 3
ROWS = 10 * BULK
EARLY = datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
def servers(postgres: Postgres, redis_server: Redis, database: str) -> Any:
    with connect(database) as owner:
        yield Servers(postgres, redis_server, owner)


def fill(servers: Servers, rows: int = ROWS) -> None:
    """Put the baseline's rows into the table."""
    path = Path(one(servers.owner, BENCH["data_folder"])) / copy_baseline.FILE_NAME
    copy_baseline.write_file(path, range(1, SESSIONS + 1), rows, EARLY)
    run(servers.owner, BENCH["copy_file"])
    path.unlink()


def chain_on(servers: Servers, acknowledged: dict[int, int]) -> Chain:
    chain = Chain(servers, Tiers(0, []), [], Screen(Console(quiet=True)))
    chain.count(acknowledged)
    return chain


def in_table() -> dict[int, int]:
    return dict(Counter((bulk % SESSIONS + 1) for bulk in range(ROWS // BULK) for _ in range(BULK)))


def test_the_copied_rows_are_the_sample_in_arrival_order_round_robin(servers: Servers) -> None:
    fill(servers)

    rows = servers.owner.execute("SELECT * FROM events ORDER BY occurred_at, session_id, seq").fetchall()
    assert len(rows) == ROWS
    fourth_bulk = rows[3 * BULK : 4 * BULK]
    assert {row[0] for row in fourth_bulk} == {1}
    assert [row[1] for row in fourth_bulk] == list(range(BULK + 1, 2 * BULK + 1))
    arrived_at = EARLY + 3 * copy_baseline.ARRIVAL_GAP
    for row, event, client_at in zip(fourth_bulk, sample_bulk(), client_times(arrived_at), strict=True):
        violation = is_violation(event.event_type, event.severity)
        assert row[2:5] == (arrived_at, None, client_at)
        assert row[6:12] == (row[1], event.event_type, event.severity, violation, False, None)
        assert row[12].keys() >= {"trace"}


def test_the_copy_baseline_fills_the_products_own_table_in_a_database_of_its_own(servers: Servers) -> None:
    fill(servers)
    with copy_baseline_ready(servers, range(1, SESSIONS + 1), ROWS) as copy:
        rates = [copy(), copy()]
        url = on_database(servers.postgres.url, COPY_DATABASE)
        with psycopg.connect(url) as conn:
            left = conn.execute("SELECT count(*) FROM events").fetchone()

    assert min(rates) > 0
    assert left == (0,)
    assert servers.owner.execute("SELECT count(*) FROM events").fetchone() == (ROWS,)
    databases = servers.owner.execute("SELECT datname FROM pg_database").fetchall()
    assert (COPY_DATABASE,) not in databases


def test_the_count_passes_when_every_acknowledged_event_is_there_once(servers: Servers) -> None:
    fill(servers)

    assert chain_on(servers, in_table()).check() == ROWS


def test_the_count_finds_a_lost_event(servers: Servers) -> None:
    fill(servers)

    with pytest.raises(BenchError, match="session 2: 151 events were acknowledged"):
        chain_on(servers, in_table() | {2: 151}).check()


def test_the_count_finds_a_doubled_event(servers: Servers) -> None:
    fill(servers)
    servers.owner.execute("INSERT INTO events SELECT * FROM events WHERE session_id = 3 AND seq = 7")

    with pytest.raises(BenchError, match="session 3"):
        chain_on(servers, in_table() | {3: in_table()[3] + 1}).check()


def test_the_count_finds_a_hole_in_a_sequence(servers: Servers) -> None:
    fill(servers)
    servers.owner.execute("DELETE FROM events WHERE session_id = 1 AND seq = 7")

    with pytest.raises(BenchError, match="session 1"):
        chain_on(servers, in_table() | {1: in_table()[1] - 1}).check()


def test_sessions_for_a_benchmark_are_plain_rows_with_their_candidates_tokens(servers: Servers) -> None:
    keyring = Keyring.parse(new_jwt_keys())
    now = datetime.now(UTC)

    targets = make_sessions(servers.owner, keyring, 5, now)

    rows = servers.owner.execute("SELECT id, candidate_id::text FROM proctor_sessions ORDER BY id").fetchall()
    assert [(int(target.key), target.token) for target in targets] == [
        (row[0], target.token) for row, target in zip(rows, targets, strict=True)
    ]
    users = [keyring.verify(target.token, audience=Audience.access, now=now).user_id for target in targets]
    assert users == [row[1] for row in rows]


async def test_the_naive_design_commits_each_event_before_it_answers(
    servers: Servers, tmp_path: Path
) -> None:
    run(servers.owner, BENCH["create_seed_database"])
    url = on_database(servers.postgres.url, "seed_design")
    [attempt] = seed_design.create_schema(url, 1)
    port = free_port()
    command = [
        "-m",
        "uvicorn",
        "loadtests.baselines.seed_design:create_app",
        "--factory",
        "--port",
        str(port),
    ]
    body = {"attempt_id": attempt, "event_type": "eye_movement", "severity": "warning", "data": {"x": 640}}
    with programs([("seed design", command)], {"database_url": url}, tmp_path / "log") as running:
        wait_until_answers(f"http://127.0.0.1:{port}/openapi.json", running, tmp_path / "log")
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://127.0.0.1:{port}/monitor/events", json=body) as reply,
        ):
            answer = await reply.json()
        with psycopg.connect(url) as conn:
            rows = conn.execute(
                "SELECT id::text, exam_attempt_id::text, data_payload FROM monitoring_events"
            ).fetchall()
            indexes = conn.execute(
                "SELECT count(*) FROM pg_indexes WHERE tablename = 'monitoring_events'"
            ).fetchone()
    servers.owner.execute("DROP DATABASE seed_design WITH (FORCE)")

    assert rows == [(answer["id"], attempt, {"x": 640})]
    assert indexes == (7,)  # the primary key and the document's six


async def test_the_simple_durable_design_numbers_and_commits_each_bulk_before_it_answers(
    servers: Servers, tmp_path: Path
) -> None:
    targets = [Target(str(session), "unused") for session in range(1, SESSIONS + 1)]
    async with simple_durable_ready(
        servers,
        targets=targets,
        connections=2,
        warm_up_s=0.2,
        seconds=0.5,
        screen=Screen(Console(quiet=True)),
        log=tmp_path / "log",
    ) as simple:
        rate = await simple(1)  # counts its rows back
        with psycopg.connect(on_database(servers.postgres.url, SIMPLE_DATABASE)) as conn:
            rows = conn.execute(
                "SELECT event_type, severity, is_violation, client_seq, payload FROM events"
                " WHERE session_id = 1 AND seq <= 50 ORDER BY seq"
            ).fetchall()
            synced = conn.execute("SHOW synchronous_commit").fetchone()

    assert rate > 0
    assert synced == ("on",)
    assert rows == [
        (
            event.event_type,
            event.severity,
            is_violation(event.event_type, event.severity),
            number,
            orjson.loads(event.metadata),
        )
        for number, event in enumerate(sample_bulk(), 1)
    ]


def test_programs_end_with_the_benchmark_that_started_them_however_it_ends(tmp_path: Path) -> None:
    """A killed benchmark has no chance to clean up; its programs must not go on and spoil the next one."""
    benchmark = (
        "import sys, time; from pathlib import Path; from loadtests.bench.measuring.stack import programs\n"
        "with programs([('idle', ['-c', 'import time; time.sleep(60)'])], {}, Path(sys.argv[1])) as a:\n"
        "    print(a[0].process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )

    assert kill_and_wait(benchmark, tmp_path / "log")


def test_a_program_that_ends_early_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        programs([("broken", ["-c", "raise SystemExit(3)"])], {}, log) as running,
        pytest.raises(BenchError, match="broken ended with exit code 3"),
    ):
        wait_until_answers(f"http://127.0.0.1:{free_port()}/", running, log)


def test_the_machine_is_measured_per_process(servers: Servers, tmp_path: Path) -> None:
    groups = postgres_processes(servers.postgres.pid)
    meter = CpuMeter(groups)
    fill(servers, 40_000)

    assert set(groups.values()) == {"postgres_backends", "postgres_helpers"}
    assert meter.read()["postgres_backends"] > 0
    resident, private = memory_bytes(servers.postgres.pid) or (0, 0)
    assert resident > private > 0
    assert 0 < fdatasync_ms(tmp_path) < 1000
