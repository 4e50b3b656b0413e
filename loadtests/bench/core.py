"""
The core's benchmark: an exam of ten thousand, a storm of sign-ins, finalisation beside pgbench, the ledger.

One core API and one pipeline, as in production, on a private PostgreSQL and Redis. At the end everything that
was finalised is under a signed head, and the verifier finds nothing.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Final

import msgspec

from kernel.ledger.checkpoints import read_keys
from kernel.settings import load
from loadtests.bench import ledger
from loadtests.bench.core_loads import (
    check_left,
    finalise_http,
    finalise_pgbench,
    run_minutes,
    storm,
    values_of,
)
from loadtests.bench.core_world import Author, Core, Questions, authoring, make_running, running_core
from loadtests.bench.ingest import describe
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, open_servers, private_folder, settle
from loadtests.bench.sending.loads import Outcome
from pipeline.ledger.verify import verify
from sql import named
from sql.running import run

CORE: Final = named("bench_core")
SEAL_S: Final = 60.0
LOOK_EVERY_S: Final = 0.2
ATTEMPTS_APART: Final = 1_000_000  # between the numbers of two passes' attempts


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """
    How much is done; the defaults are what docs/benchmarks.md reports.

    `connections` are the core API's to PostgreSQL, pgbench's clients, and the loader's at saturation.
    """

    candidates: int = 10_000
    minute_s: float = 60.0
    minute_connections: int = 256
    finalises: int = 4_000  # of each pass
    passes: int = 3
    connections: int = 8
    logins: int = 500
    probe_s: float = 30.0
    probe_per_s: float = 50.0
    append_s: float = 6.0


QUICK: Final = Sizes(
    candidates=1_000, minute_s=6.0, finalises=800, passes=1, logins=50, probe_s=6.0, append_s=2.0
)


class CoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures. `…_ms` are milliseconds of an open loop, counted from the moment a request fell due.

    `finalises_per_s` over HTTP in a closed loop, `pgbench_finalises_per_s` the same statements by pgbench, in
    turns, the median of the passes; `ledger_appends_per_s` transactions of one event, without a view noted
    beside each and with one; `seal_lag_s` from an event's time to the head that covers it, of all events of
    the run.
    """

    finalises_per_s: float
    pgbench_finalises_per_s: float
    ratio_to_pgbench: float
    ledger_appends_per_s: dict[str, float]
    seal_lag_s: dict[str, float]
    start_ms: dict[str, float]
    save_ms: dict[str, float]
    submit_ms: dict[str, float]
    login_storm: dict[str, float]
    machine: dict[str, str | int | float]


async def measure_finalising(
    core: Core, author: Author, questions: Questions, finalised_exam: str, sizes: Sizes, screen: Screen
) -> tuple[float, float]:
    """Return attempts finalised a second, over HTTP and by pgbench: of passes in turns, the median each."""
    http, pgbench = [], []
    for number in range(2 * sizes.passes):
        before = ATTEMPTS_APART * (number + 1)
        exam_id = await author.give_exam(f"Pass {number}", questions)
        make_running(core, exam_id, questions, before=before, count=sizes.finalises)
        await settle(core.servers)
        if number % 2 == 0:
            seconds = await finalise_http(
                core, sizes.finalises, before=before, connections=sizes.connections, screen=screen
            )
            http.append(sizes.finalises / seconds)
        else:
            values = values_of(core, finalised_exam, exam_id)
            seconds = await finalise_pgbench(
                core, sizes.finalises, values, before=before, connections=sizes.connections, screen=screen
            )
            pgbench.append(sizes.finalises / seconds)
        check_left(core, exam_id, questions, sizes.finalises)
    return statistics.median(http), statistics.median(pgbench)


async def measure_appends(core: Core, sizes: Sizes, screen: Screen) -> dict[str, float]:
    """Return ledger events appended a second, without and with a view noted for each."""
    settings = load({}, database_url=core.urls["veritas_core"])
    with screen.step("ledger, appends", 2 * sizes.append_s):
        alone = await ledger.append_for(settings.database_url, sizes.append_s, None)
        beside = await ledger.append_with_views(settings, sizes.append_s)
    screen.say(f"ledger: {alone:,.0f} appends/s, with views {beside:,.0f}")
    return {"without_views": alone, "with_views": beside}


async def check_ledger(core: Core, screen: Screen) -> dict[str, float]:
    """
    Wait until every event is under a signed head, verify the whole log, return the lag's p50 and p99 in s.

    Raises:
        BenchError: sealing does not keep up, or the verifier found something.
    """
    url, settings = core.servers.postgres.url, load({})
    deadline = time.monotonic() + SEAL_S
    while (unsealed := _unsealed(core)) > 0:
        if time.monotonic() > deadline:
            raise BenchError(f"{unsealed} ledger events are unsealed after {SEAL_S:.0f} s")
        await asyncio.sleep(LOOK_EVERY_S)
    keys = read_keys(settings.ledger_origin, str(core.key_file))
    with screen.step("ledger, verification"):
        report = await asyncio.to_thread(verify, url, keys, witness=core.witness)
        lags = await asyncio.to_thread(ledger.seal_lags, url, keys)
    if report.findings:
        raise BenchError(f"the verifier found: {report.findings[:3]}")
    screen.say(f"ledger: {report.size:,} events, all under a signed head, nothing found")
    return lags


def _unsealed(core: Core) -> int:
    row = run(core.servers.owner, CORE["count_unsealed"]).fetchone()
    assert row is not None, "a count has a row"
    return int(row[0])


def _ends(done: Outcome) -> dict[str, float]:
    """Return the median and the 99th percentile of a load's latency."""
    return {name: done.latency_ms[name] for name in ("p50", "p99")}


async def measure(sizes: Sizes, screen: Screen, log: Path) -> CoreReport:
    """
    Run the whole benchmark on servers of its own; what the programs say goes to `log`.

    Raises:
        BenchError: a request failed, a row is missing, or the ledger is not whole.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        private_folder() as folder,
        open_servers(folder) as servers,
        running_core(servers, folder, log, sizes.candidates) as core,
    ):
        about = describe(servers) | {"fdatasync_ms": machine.fdatasync_ms(folder)}
        async with authoring(core) as author:
            questions = await author.write_questions()
            exam_id = await author.give_exam("Everybody's", questions)
            await settle(servers)
            started, saved, submitted = await run_minutes(
                core,
                exam_id,
                questions,
                minute_s=sizes.minute_s,
                connections=sizes.minute_connections,
                screen=screen,
            )
            stormed = await storm(
                core,
                exam_id,
                logins=sizes.logins,
                probe_s=sizes.probe_s,
                probe_per_s=sizes.probe_per_s,
                screen=screen,
            )
            over_http, by_pgbench = await measure_finalising(core, author, questions, exam_id, sizes, screen)
        appends = await measure_appends(core, sizes, screen)
        lags = await check_ledger(core, screen)
    return CoreReport(
        finalises_per_s=over_http,
        pgbench_finalises_per_s=by_pgbench,
        ratio_to_pgbench=over_http / by_pgbench,
        ledger_appends_per_s=appends,
        seal_lag_s=lags,
        start_ms=_ends(started),
        save_ms=_ends(saved),
        submit_ms=_ends(submitted),
        login_storm=stormed,
        machine=about,
    )
