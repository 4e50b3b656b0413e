"""
The ingest benchmark: COPY, the naive design, a simple durable one and the product on the same servers and
cores.

They take turns, round by round, the yardsticks right before and right after the product: a neighbour's busy
minute on a shared host falls on both sides of a ratio. Each figure is the median of the
rounds, so that what falls on one side only is outvoted.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from deploy.local.programs import find_redis
from kernel.tokens import Keyring
from loadtests.baselines import copy_baseline
from loadtests.bench.chain import Chain
from loadtests.bench.comparisons import copy_baseline_ready, seed_design_ready, simple_durable_ready
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.prober import Prober
from loadtests.bench.measuring.report import FOLDER, Report
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import (
    Servers,
    make_sessions,
    new_jwt_keys,
    open_servers,
    private_folder,
    processes,
    settle,
    tiers,
)
from loadtests.bench.sending.loads import percentiles
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape, Target
from sql import named
from sql.running import run

BENCH = named("bench")
PROBE_SESSIONS = 8  # they spread over the shards


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done. The defaults are what docs/benchmarks.md reports; connections are the loader's."""

    sessions: int = 6_000
    copy_rows: int = copy_baseline.ROWS
    rounds: int = 3
    warm_up_s: float = 8.0
    saturation_s: float = 15.0
    single_s: float = 10.0
    rated_s: float = 20.0
    seed_s: float = 8.0
    simple_s: float = 5.0
    bulk_connections: int = 64
    single_connections: int = 128
    rated_connections: int = 256
    ingest_processes: int = 1


QUICK = Sizes(
    copy_rows=500_000,
    rounds=1,
    warm_up_s=3.0,
    saturation_s=6.0,
    single_s=4.0,
    rated_s=6.0,
    seed_s=4.0,
    simple_s=3.0,
)


class Saturation(msgspec.Struct, frozen=True):
    """Events in the table a second, first send to last commit, and CPU µs per event by process meanwhile."""

    events_per_s: float
    cpu_us_per_event: dict[str, float]


class Yardsticks(msgspec.Struct, frozen=True, kw_only=True):
    """What COPY (rows), the naive and the simple durable design (events) do a second at one moment."""

    copy_rows_per_s: float
    seed_events_per_s: float
    simple_events_per_s: float


class Passes(msgspec.Struct, frozen=True, kw_only=True):
    """How to make one pass of each yardstick; those over HTTP are given the round's number."""

    copy: Callable[[], float]
    seed: Callable[[int], Awaitable[float]]
    simple: Callable[[int], Awaitable[float]]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one round found: the yardsticks, means of the passes before and after the product's; the product at
    saturation, then at half of that, ms.
    """

    yardsticks: Yardsticks
    saturation: Saturation
    ack_ms: dict[str, float]
    accept_to_queryable_ms: dict[str, float]


@contextmanager
def running_chain(
    servers: Servers, sizes: Sizes, screen: Screen, log: Path
) -> Iterator[tuple[Chain, list[Target]]]:
    """Make sessions and start the tiers; yield the chain, and targets that only the prober uses."""
    keys = new_jwt_keys()
    with screen.step("sessions and tokens"):
        targets = make_sessions(
            servers.owner, Keyring.parse(keys), sizes.sessions + PROBE_SESSIONS, datetime.now(UTC)
        )
    with tiers(servers, keys, log, sizes.ingest_processes) as running:
        yield Chain(servers, running, targets[:-PROBE_SESSIONS], screen), targets[-PROBE_SESSIONS:]


async def measure_saturation(chain: Chain, number: int, sizes: Sizes) -> Saturation:
    """Drive the chain with bulks of 50 as fast as it answers, until the last event is committed."""
    await settle(chain.servers)
    before = chain.acknowledged.total()
    meter = machine.CpuMeter(processes(chain.servers, chain.tiers))
    outcome = await chain.load(f"saturation {number}", Shape.bulk, sizes.saturation_s, sizes.bulk_connections)
    stored_at = await chain.stored_at()
    used_s = meter.read(processes(chain.servers, chain.tiers)) | {"loader": outcome.cpu_s}
    events = chain.acknowledged.total() - before
    return Saturation(
        events_per_s=events / (stored_at - outcome.first_send_at),
        cpu_us_per_event={name: seconds / events * 1e6 for name, seconds in used_s.items()},
    )


async def measure_single(chain: Chain, sizes: Sizes) -> float:
    """Return durable events a second with one event a request, first send to last commit."""
    await settle(chain.servers)
    before = chain.acknowledged.total()
    outcome = await chain.load("single events", Shape.single, sizes.single_s, sizes.single_connections)
    stored_at = await chain.stored_at()
    return (chain.acknowledged.total() - before) / (stored_at - outcome.first_send_at)


async def measure_rated(
    chain: Chain, number: int, probes: list[Target], events_per_s: float, sizes: Sizes
) -> tuple[dict[str, float], dict[str, float]]:
    """Return acknowledgement latency and accept to queryable, ms, in open loop at so many events a second."""
    rate = events_per_s / EVENTS_PER_REQUEST[Shape.bulk]
    connections = sizes.rated_connections
    await settle(chain.servers)
    prober = Prober(chain.tiers.port, probes, f"prober-{number}")
    outcome, _ = await asyncio.gather(
        chain.load(f"rated load {number}", Shape.bulk, sizes.rated_s, connections, requests_per_s=rate),
        prober.run(chain.servers.postgres.url, sizes.rated_s),
    )
    chain.count(prober.accepted)
    await chain.stored_at()
    return outcome.latency_ms, percentiles(prober.delays_ms, (50, 99))


async def measure_round(
    chain: Chain, number: int, probes: list[Target], passes: Passes, sizes: Sizes
) -> Round:
    """Measure saturation between two passes of each yardstick, then half of that saturation."""
    before = await measure_yardsticks(chain, number, passes)
    saturation = await measure_saturation(chain, number, sizes)
    after = await measure_yardsticks(chain, number, passes)
    beside = mean(before, after)
    rate = saturation.events_per_s
    chain.screen.say(
        f"durable {number}: {rate:,.0f} events/s, {rate / beside.copy_rows_per_s:.3f} of COPY, "
        f"{rate / beside.seed_events_per_s:,.0f} of the naive design, "
        f"{rate / beside.simple_events_per_s:.2f} of the simple durable one"
    )
    ack_ms, queryable_ms = await measure_rated(chain, number, probes, rate / 2, sizes)
    return Round(yardsticks=beside, saturation=saturation, ack_ms=ack_ms, accept_to_queryable_ms=queryable_ms)


async def measure_yardsticks(chain: Chain, number: int, passes: Passes) -> Yardsticks:
    """Return what each yardstick does at this moment."""
    with chain.screen.step("COPY baseline"):
        copy_rate = await asyncio.to_thread(passes.copy)
    chain.screen.say(f"COPY baseline {number}: {copy_rate:,.0f} rows/s")
    await settle(chain.servers)
    seed_rate = await passes.seed(number)
    await settle(chain.servers)
    simple_rate = await passes.simple(number)
    return Yardsticks(copy_rows_per_s=copy_rate, seed_events_per_s=seed_rate, simple_events_per_s=simple_rate)


def mean(before: Yardsticks, after: Yardsticks) -> Yardsticks:
    """Return the mean of two moments."""
    pairs = zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    return Yardsticks(**dict(zip(Yardsticks.__struct_fields__, map(statistics.mean, pairs), strict=True)))


async def measure_rounds(
    servers: Servers, sizes: Sizes, screen: Screen, log: Path
) -> tuple[list[Round], float, int]:
    """
    Make everybody ready and warm, then measure the rounds, single events last.

    Returns:
        The rounds, single events a second, and how many events were found in the table, once and in order.
    """
    async with AsyncExitStack() as ready:
        chain, probes = ready.enter_context(running_chain(servers, sizes, screen, log))
        sessions = [int(target.key) for target in chain.targets]
        copy = ready.enter_context(copy_baseline_ready(servers, sessions, sizes.copy_rows))
        naive = seed_design_ready(
            servers,
            attempts=sizes.sessions,
            warm_up_s=sizes.warm_up_s,
            seconds=sizes.seed_s,
            screen=screen,
            log=log,
        )
        simple = simple_durable_ready(
            servers,
            targets=chain.targets,
            connections=sizes.bulk_connections,
            warm_up_s=sizes.warm_up_s / 2,
            seconds=sizes.simple_s,
            screen=screen,
            log=log,
        )
        passes = Passes(
            copy=copy,
            seed=await ready.enter_async_context(naive),
            simple=await ready.enter_async_context(simple),
        )
        await asyncio.to_thread(copy)
        await chain.load("warm-up", Shape.bulk, sizes.warm_up_s, sizes.bulk_connections)
        await chain.stored_at()
        rounds = [
            await measure_round(chain, number, probes, passes, sizes) for number in range(1, sizes.rounds + 1)
        ]
        single_rate = await measure_single(chain, sizes)
    return rounds, single_rate, chain.check()


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each name's values; at least one row, all with the same names."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def describe(servers: Servers) -> dict[str, str | int | float]:
    """Return what machine and which servers the figures are of."""
    row = run(servers.owner, BENCH["server_versions"]).fetchone()
    program = find_redis()
    assert row is not None, "settings are always there"
    assert program is not None, "it is running"
    redis = ".".join(map(str, program.version))
    return machine.description() | {"postgresql": row[0], "timescaledb": row[1], "redis": redis}


async def measure(sizes: Sizes, screen: Screen) -> Report:
    """
    Run the whole benchmark on servers of its own.

    Raises:
        BenchError: an acknowledged event was not found again, or a program ended.
        LoadError: a reply that no client should get.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / "ingest.log"
    started = time.monotonic()
    with private_folder() as folder, open_servers(folder) as servers:
        sync_ms = machine.fdatasync_ms(folder)
        rounds, single_rate, rows = await measure_rounds(servers, sizes, screen, log)
        about = describe(servers)
    screen.say(
        f"all {rows:,} acknowledged events found once, in order; {time.monotonic() - started:.0f} s in all"
    )
    yardsticks = medians([msgspec.structs.asdict(each.yardsticks) for each in rounds])
    copy_rate, seed_rate = yardsticks["copy_rows_per_s"], yardsticks["seed_events_per_s"]
    durable_rate = statistics.median(each.saturation.events_per_s for each in rounds)
    return Report(
        copy_rows_per_s=copy_rate,
        durable_events_per_s=durable_rate,
        ratio_to_copy=durable_rate / copy_rate,
        seed_design_events_per_s=seed_rate,
        ratio_to_seed_design=durable_rate / seed_rate,
        simple_durable_events_per_s=yardsticks["simple_events_per_s"],
        ratio_to_simple_durable=durable_rate / yardsticks["simple_events_per_s"],
        single_events_per_s=single_rate,
        ratio_single_to_seed_design=single_rate / seed_rate,
        ack_ms=medians([each.ack_ms for each in rounds]),
        accept_to_queryable_ms=medians([each.accept_to_queryable_ms for each in rounds]),
        cpu_us_per_event=medians([each.saturation.cpu_us_per_event for each in rounds]),
        fdatasync_ms=sync_ms,
        machine=about,
    )
