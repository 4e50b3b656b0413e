"""
What the fold costs an event, however long its session is, and how soon a quiet exam's events show beside a
busy one's, on a PostgreSQL of its own.

Events are stored as the writer leaves them; gathering and folding run as in the pipeline, without its queue:
one worker. In the end every event was counted once, or the benchmark fails.
"""

import resource
import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Final

import msgspec

from core_api import seeding
from deploy.local.postgres import start_postgres
from kernel.settings import Settings, load
from loadtests.bench.measuring.stack import BenchError
from pipeline.fold import connect_to_fold, fold
from pipeline.scheduler import gather
from sql import named
from sql.migrate import migrate
from sql.running import Connection, connect, one, run

BENCH: Final = named("bench_fold")
LENGTHS: Final = (1_000, 50_000, 500_000)
TOUCH: Final = 250  # events
MANY: Final = 1_600
ROUND_S: Final = 2.0
BUSY: Final = 20
APART_S: Final = 0.004
MIB: Final = 2**20


class Sizes(msgspec.Struct, frozen=True):
    """How long it takes: touches at each length, rounds of many attempts, seconds of the busy exam."""

    touches: int = 30
    rounds: int = 8
    busy_s: float = 30.0


QUICK: Final = Sizes(touches=8, rounds=2, busy_s=5.0)


class FoldFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Times as the worker waits for them, PostgreSQL's included.

    `us_per_event` of touches of 250 events, by how many the attempt has; `fold_cost_ratio` the last over the
    first; `us_per_event_whole` of 500,000 at once; `busy_cpu_s` of the worker for 2,500 and 40,000 events in
    each of 20 attempts, which come a second's 250 at a time; `many_round_s` for 1,600 attempts touched once,
    `many_share` of the two seconds until they are touched again; `quiet_s` from the commit of an event of a
    quiet exam to its row, beside 20 attempts with 250 events a second; `memory_mib` more than before the
    500,000.
    """

    us_per_event: dict[str, float]
    fold_cost_ratio: float
    us_per_event_whole: float
    busy_cpu_s: dict[str, float]
    many_round_s: float
    many_share: float
    quiet_s: dict[str, float]
    memory_mib: float


def _seat(url: str, attempts: int) -> list[int]:
    """Seat candidates at an exam of their own; return their proctor sessions."""
    now = datetime.now(UTC) - timedelta(hours=1)
    with seeding.connect(url) as conn:
        school = seeding.create_school(
            conn, f"Fold {attempts}-{monotonic()}", now=now, exams=1, duration_minutes=600
        )
        [exam] = school.exam_ids
        seated = seeding.seat_candidates(conn, school.organisation_id, exam, attempts, now=now)
    return [each.session_id for each in seated]


def _store(conn: Connection, sessions: Sequence[int], events: int, apart_s: float = APART_S) -> None:
    run(conn, BENCH["store_events"], list(sessions), events, apart_s)


def _fold(conn: Connection, settings: Settings) -> float:
    """Gather and fold all there is; return how many seconds it took."""
    started = perf_counter()
    gather(conn, settings)
    fold(conn, settings, seconds_max=600.0)
    return perf_counter() - started


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def _lengths(conn: Connection, settings: Settings, touches: int) -> tuple[dict[str, float], float, float]:
    """Return microseconds an event by length, those of the longest at once, and the memory that this took."""
    costs: dict[str, float] = {}
    whole_us = more_mib = 0.0
    for length in LENGTHS:
        [session] = _seat(settings.database_url, 1)
        _store(conn, [session], length)
        before = _memory_mib()
        whole_us, more_mib = _fold(conn, settings) / length * 1e6, _memory_mib() - before
        took = []
        for _ in range(touches):
            _store(conn, [session], TOUCH)
            took.append(_fold(conn, settings) / TOUCH * 1e6)
        costs[f"{length:,}"] = statistics.median(took)
    return costs, whole_us, more_mib


def _busy(conn: Connection, settings: Settings) -> dict[str, float]:
    """
    Return the worker's CPU seconds until 20 attempts have so many events each, a second's after the other.
    """
    sessions = _seat(settings.database_url, BUSY)
    costs, spent = {}, 0.0
    for second in range(1, 161):
        _store(conn, sessions, TOUCH)
        started = process_time()
        _fold(conn, settings)
        spent += process_time() - started
        if second in (10, 160):
            costs[f"{second * TOUCH:,}"] = spent
    return costs


def _many(conn: Connection, settings: Settings, rounds: int) -> float:
    sessions = _seat(settings.database_url, MANY)
    took = []
    for _ in range(rounds):
        _store(conn, sessions, 5, 0.4)
        took.append(_fold(conn, settings))
    return statistics.median(took)


def _quiet(settings: Settings, seconds: float) -> dict[str, float]:
    """Return p50 and p99 of how long a quiet exam's event takes to its row, while another exam is busy."""
    busy, [quiet] = _seat(settings.database_url, BUSY), _seat(settings.database_url, 1)
    stop = threading.Event()

    def write() -> None:
        with connect(settings.database_url) as conn:
            while not stop.is_set():
                started = monotonic()
                _store(conn, busy, TOUCH)
                stop.wait(max(0.0, 1.0 - (monotonic() - started)))

    def work() -> None:
        with connect_to_fold(settings) as conn:
            while not stop.is_set():
                gather(conn, settings)
                fold(conn, settings, seconds_max=10.0)
                stop.wait(settings.fold_every_ms / 1000)

    threads = [threading.Thread(target=each) for each in (write, work)]
    for thread in threads:
        thread.start()
    try:
        lags = _watch(settings, quiet, monotonic() + seconds)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    cuts = statistics.quantiles(lags, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}


def _watch(settings: Settings, session: int, until: float) -> list[float]:
    lags: list[float] = []
    with connect(settings.database_url) as conn:
        while len(lags) < 2 or monotonic() < until:
            _store(conn, [session], 1)
            started = monotonic()
            while (one(conn, BENCH["read_folded"], session) or 0) <= len(lags):
                if monotonic() - started > 60.0:
                    message = "an event of a quiet exam was not folded within a minute"
                    raise BenchError(message)
                threading.Event().wait(0.01)
            lags.append(monotonic() - started)
    return lags


@contextmanager
def _database(folder: Path) -> Iterator[tuple[Connection, Settings]]:
    """Yield a private PostgreSQL below `folder`: a connection, and settings that name it."""
    server = start_postgres(folder / "postgres")
    try:
        migrate(server.url)
        settings = load({}, database_url=server.url)
        with connect_to_fold(settings) as conn:
            yield conn, settings
    finally:
        server.close()


def measure_lengths(touches: int, folder: Path) -> dict[str, float]:
    """Return microseconds an event of so many touches, by length, on a private PostgreSQL below `folder`."""
    with _database(folder) as (conn, settings):
        return _lengths(conn, settings, touches)[0]


def cost_ratio(costs: Mapping[str, float]) -> float:
    """Return what an event costs in the longest session, over what it costs in the shortest."""
    return costs[f"{LENGTHS[-1]:,}"] / costs[f"{LENGTHS[0]:,}"]


def measure(sizes: Sizes, folder: Path) -> FoldFigures:
    """
    Measure on a private PostgreSQL below `folder`; raises BenchError where an event is missing or doubled.
    """
    with _database(folder) as (conn, settings):
        costs, whole_us, memory_mib = _lengths(conn, settings, sizes.touches)
        busy_cpu_s = _busy(conn, settings)
        round_s = _many(conn, settings, sizes.rounds)
        quiet_s = _quiet(settings, sizes.busy_s)
        _fold(conn, settings)
        [(stored, folded)] = run(conn, BENCH["read_difference"]).fetchall()
        if stored != folded:
            message = f"{stored:,} events are stored and {folded:,} folded"
            raise BenchError(message)
    return FoldFigures(
        us_per_event=costs,
        fold_cost_ratio=cost_ratio(costs),
        us_per_event_whole=whole_us,
        busy_cpu_s=busy_cpu_s,
        many_round_s=round_s,
        many_share=round_s / ROUND_S,
        quiet_s=quiet_s,
        memory_mib=memory_mib,
    )
