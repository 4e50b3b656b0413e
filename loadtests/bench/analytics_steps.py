"""
Steps of the analytics benchmark that need no API: a whole rebuild, the same in plain SQL, an analyst's
questions, and what one more submission costs.
"""

import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, ParamSpec, TypeVar

import msgspec

from kernel.settings import Settings
from loadtests.bench.measuring.machine import children, cpu_seconds
from loadtests.bench.organisation import LARGEST, SMALL, Organisation
from loadtests.check.counting import ask
from pipeline.outbox import read_outbox
from pipeline.projections.turns import project
from pipeline.rebuild import rebuild
from sql import named
from sql.running import Connection, connect, run

P = ParamSpec("P")
T = TypeVar("T")
ANALYTICS: Final = named("bench_analytics")
QUESTIONS: Final = ("events_by_hour", "hardest_topics", "violations_and_results")
ROUNDS: Final = 3
DRAIN_S: Final = 600.0


def in_a_process(work: Callable[P, T], *given: P.args, **named_ones: P.kwargs) -> tuple[T, float]:
    """Do work in a process of its own; return what came of it, and the most memory that it had, MiB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(work, *given, **named_ones).result()
        return found, pool.submit(peak_rss_mib).result()


def peak_rss_mib() -> float:
    """Return the most memory that this process has had resident since it began (proc(5): VmHWM), MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def rebuild_whole(settings: Settings) -> dict[str, float]:
    """Compute everything there is from the durable tables; return the seconds by stage."""
    began: dict[str, float] = {}

    def progress(stage: str, _done: int, _total: int) -> None:
        began.setdefault(stage, perf_counter())

    rebuild(settings, progress)
    ends = [*list(began.values())[1:], perf_counter()]
    return {stage: end - start for (stage, start), end in zip(began.items(), ends, strict=True)}


def aggregation_s(conn: Connection, events: int) -> float:
    """Return the seconds that PostgreSQL takes to count and time all events, in one statement."""
    began = perf_counter()
    (row,) = run(conn, ANALYTICS["aggregate_events"]).fetchall()
    seconds = perf_counter() - began
    assert row[1] == events, f"{row[1]} of {events} events were counted"
    return seconds


def question_s(warehouse: Path) -> dict[str, float]:
    """Return the seconds that each of an analyst's questions takes, from opening the catalogue: medians."""
    found = {}
    for name in QUESTIONS:
        seconds = []
        for _ in range(ROUNDS):
            began = perf_counter()
            _, rows = ask(warehouse, name)
            seconds.append(perf_counter() - began)
            assert rows, f"{name} has an answer"
        found[name] = statistics.median(seconds)
    return found


def one_more_cpu_ms(settings: Settings, made: Organisation, postmaster: int) -> dict[str, float]:
    """
    Return the CPU that one more submission costs, milliseconds by exam, the pipeline's and PostgreSQL's.

    Somebody is at work in both exams to the end, as while an exam runs. The first of each exam is not
    counted: it finds the exam as it was left when nobody was at work. The figures are medians.
    """
    at_once = msgspec.structs.replace(settings, cohort_every_s=0.0, cohort_settled_s=0.0)
    costs: dict[str, list[float]] = {}
    made.begin_late()
    for turn in range(made.extent.late - 1):
        for exam, candidates in ((LARGEST, made.extent.largest), (SMALL, made.extent.small)):
            made.hand_in_late(exam, turn)
            before = process_time() + _cpu_of(postmaster)
            _drain(at_once)
            spent = process_time() + _cpu_of(postmaster) - before
            if turn:
                costs.setdefault(f"of_{candidates}", []).append(spent * 1000)
    return {name: statistics.median(each) for name, each in costs.items()}


def _drain(settings: Settings) -> None:
    with connect(settings.database_url) as conn:
        while read_outbox(conn, settings.outbox_batch_rows):
            pass
    keys = project(settings, seconds_max=DRAIN_S)
    assert keys, "a submission is due in three layers"


def _cpu_of(postmaster: int) -> float:
    """Return the CPU seconds of all of PostgreSQL so far, of processes that have ended too."""
    return cpu_seconds(postmaster) + sum(_cpu_or_none(each) for each in children(postmaster))


def _cpu_or_none(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except (FileNotFoundError, ProcessLookupError):  # it has ended since, and counts with its parent
        return 0.0
