"""
The baselines, measured on the same servers and cores as the product.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.roles import on_database
from deploy.local.server import free_port
from loadtests.baselines import copy_baseline, seed_design, simple_durable
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import (
    BenchError,
    Servers,
    programs,
    wait_until_answers,
)
from loadtests.bench.sending.loads import Events, Plan, run_load
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape, Target
from sql import named
from sql.migrate import migrate
from sql.running import Connection, connect, one, run

BENCH: Final = named("bench")
COPY_DATABASE: Final = "copy_baseline"
SEED_DATABASE: Final = "seed_design"
SIMPLE_DATABASE: Final = "simple_durable"
# Each worker handles one request at a time. More than 30 at once on one of them and it waits for its own pool
# with its event loop blocked, until the pool's timeout of 30 s: so few connections are to its advantage.
SEED_CONNECTIONS: Final = 16
SEED_WORKERS: Final = 2


@contextmanager
def copy_baseline_ready(
    servers: Servers, sessions: Sequence[int], rows: int
) -> Iterator[Callable[[], float]]:
    """
    Lay the baseline's file and a migrated database of its own beside the product's, on the same server.

    Yields:
        One pass: rows a second of server-side COPY into that database's empty events table.
    """
    path = Path(one(servers.owner, BENCH["data_folder"])) / copy_baseline.FILE_NAME
    run(servers.owner, BENCH["create_copy_database"])
    url = on_database(servers.postgres.url, COPY_DATABASE)
    migrate(url)
    copy_baseline.write_file(path, sessions, rows, copy_baseline.arrival_start())
    try:
        with connect(url) as owner:
            yield lambda: copy_baseline.copy_rows_per_s(owner, rows)
    finally:
        path.unlink()
        run(servers.owner, BENCH["drop_copy_database"])


@asynccontextmanager
async def seed_design_ready(
    servers: Servers, *, attempts: int, warm_up_s: float, seconds: float, screen: Screen, log: Path
) -> AsyncIterator[Callable[[int], Awaitable[float]]]:
    """
    Start the naive design on a database of its own on the same server, and warm it up.

    Yields:
        One pass, given its number: events a second over HTTP, one event a request.
    """
    run(servers.owner, BENCH["create_seed_database"])
    url = on_database(servers.postgres.url, SEED_DATABASE)
    targets = [Target(attempt, "unused") for attempt in seed_design.create_schema(url, attempts)]
    port = free_port()
    application = "loadtests.baselines.seed_design:create_app"
    command = ["-m", "uvicorn", application, "--factory", "--workers", str(SEED_WORKERS), "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "warning"]
    with programs([("seed design", command + quiet)], {"database_url": url}, log) as running:
        wait_until_answers(f"http://127.0.0.1:{port}/openapi.json", running, log)
        plan = Plan(
            port=port,
            work=Events(shape=Shape.seed, instance="", targets=targets),
            connections=SEED_CONNECTIONS,
            seconds=warm_up_s,
        )
        await run_seed_load(plan, "naive design, warm-up", screen)
        one_pass = msgspec.structs.replace(plan, seconds=seconds)
        yield lambda number: run_seed_load(one_pass, f"naive design {number}", screen)


async def run_seed_load(plan: Plan, title: str, screen: Screen) -> float:
    """Run one load on the naive design and return events a second; each was committed before its reply."""
    with screen.step(title, plan.seconds) as show:
        outcome = await run_load(
            plan,
            on_progress=lambda so_far: show(so_far.seconds, f"{so_far.accepted:,} events"),
        )
    screen.say(f"{title}: {outcome.requests_per_s:,.0f} events/s, p50 {outcome.latency_ms['p50']:.0f} ms")
    return outcome.requests_per_s


@asynccontextmanager
async def simple_durable_ready(
    servers: Servers,
    *,
    targets: Sequence[Target],
    connections: int,
    warm_up_s: float,
    seconds: float,
    screen: Screen,
    log: Path,
) -> AsyncIterator[Callable[[int], Awaitable[float]]]:
    """
    Start the simple durable design on a migrated database of its own on the same server, and warm it up.

    Yields:
        One pass into an empty table, given its number: events a second of the product's own bulks, counted.
    """
    run(servers.owner, BENCH["create_simple_database"])
    url = on_database(servers.postgres.url, SIMPLE_DATABASE)
    migrate(url)
    plan = Plan(
        port=free_port(),
        work=Events(shape=Shape.bulk, instance="simple", targets=list(targets)),
        connections=connections,
        seconds=warm_up_s,
    )
    command = [("simple durable", ["-m", "loadtests.baselines.simple_durable"])]
    sessions = [int(target.key) for target in targets]
    with (
        connect(url) as owner,
        programs(command, {"database_url": url, "http_port": plan.port}, log) as running,
    ):
        wait_until_answers(f"http://127.0.0.1:{plan.port}/livez", running, log)
        await run_simple_load(owner, sessions, plan, "simple durable, warm-up", screen)
        one_pass = msgspec.structs.replace(plan, seconds=seconds)
        yield lambda number: run_simple_load(owner, sessions, one_pass, f"simple durable {number}", screen)
    run(servers.owner, BENCH["drop_simple_database"])


async def run_simple_load(
    owner: Connection, sessions: list[int], plan: Plan, title: str, screen: Screen
) -> float:
    """
    Run one load of bulks on the simple durable design, from empty tables, and return events a second.

    Raises:
        BenchError: the table does not hold what was acknowledged.
    """
    simple_durable.empty(owner, sessions)
    events = EVENTS_PER_REQUEST[Shape.bulk]
    with screen.step(title, plan.seconds) as show:
        outcome = await run_load(
            plan,
            on_progress=lambda so_far: show(so_far.seconds, f"{so_far.accepted * events:,} events"),
        )
    acknowledged = outcome.requests * events
    found = run(owner, BENCH["count_stored"]).fetchone()
    if found != (acknowledged,) * 3:
        raise BenchError(f"{title}: {acknowledged} events were acknowledged, in the table are {found}")
    rate = acknowledged / (outcome.last_reply_at - outcome.first_send_at)
    screen.say(f"{title}: {rate:,.0f} events/s, p50 {outcome.latency_ms['p50']:.1f} ms")
    return rate
