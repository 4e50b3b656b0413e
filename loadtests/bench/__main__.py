"""
Run benchmarks: `python -m loadtests.bench [ingest|soak|core|ledger|fold|live|evidence|school|analytics
|import|lifecycle ...]`, all of them where none is named; figures go to the terminal and to build/bench/.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Final

import msgspec
from rich.console import Console

from deploy.local.server import ServerError
from kernel.running.process import prepare_process
from loadtests.baselines.pgbench_finalise import PgbenchError
from loadtests.bench import (
    analytics,
    core,
    evidence,
    fold,
    importing,
    ingest,
    ledger,
    lifecycle,
    live,
    school,
    soak,
)
from loadtests.bench.measuring.report import FOLDER, show, show_bars, show_rows, write
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, private_folder
from loadtests.bench.sending.loads import LoadError
from loadtests.client.stack import StackError

NAMES: Final = (
    "ingest", "soak", "core", "ledger", "fold", "live", "evidence", "school", "analytics", "import",
    "lifecycle",
)  # fmt: skip


def options() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("bench", nargs="*", choices=["all", *NAMES])
    parser.add_argument("--rounds", type=int, help="rounds of the live benchmark")
    parser.add_argument("--quick", action="store_true", help="a fraction of the time; figures are indicative")
    parser.add_argument(
        "--ingest-processes", type=int, default=1, help="ingest processes that share the port"
    )
    parser.add_argument(
        "--core-processes", type=int, default=1, help="core API processes that share the port, of evidence"
    )
    parser.add_argument("--connections", type=int, default=64, help="connections at saturation")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the soak")
    parser.add_argument("--rate", type=float, help="events/s of the soak; half of saturation when not given")
    return parser.parse_args()


def run_ingest(sizes: ingest.Sizes, screen: Screen) -> None:
    """Measure, show, write."""
    figures = asyncio.run(ingest.measure(sizes, screen))
    show(screen.console, "ingest", figures)
    screen.say(f"written to {write('ingest', figures)}")


def run_soak(seconds: float, events_per_s: float | None, sizes: ingest.Sizes, screen: Screen) -> None:
    """Measure, show, write; without a rate, at half of the saturation that was found last."""
    rate = soak.rated_events_per_s() if events_per_s is None else events_per_s
    figures = asyncio.run(soak.measure(seconds, rate, sizes, screen))
    show(screen.console, "soak", msgspec.structs.replace(figures, memory={}))
    show_rows(screen.console, "memory, MiB and MiB a minute", figures.memory)
    screen.say(f"written to {write('soak', figures)}")


def run_core(sizes: core.Sizes, screen: Screen) -> None:
    """Measure, show, write."""
    figures = asyncio.run(core.measure(sizes, screen, FOLDER / "core.log"))
    show(screen.console, "core", figures)
    screen.say(f"written to {write('core', figures)}")


def run_ledger(screen: Screen) -> None:
    """Measure, show, write."""
    with private_folder() as folder, screen.step("ledger"):
        figures = ledger.measure(folder)
    show(screen.console, "ledger", figures)
    screen.say(f"written to {write('ledger', figures)}")


def run_fold(sizes: fold.Sizes, screen: Screen) -> None:
    """Measure, show, write."""
    with private_folder() as folder, screen.step("fold"):
        figures = fold.measure(sizes, folder)
    show(screen.console, "fold", figures)
    screen.say(f"written to {write('fold', figures)}")


def run_live(sizes: live.Sizes, screen: Screen) -> None:
    """Measure, show, write."""
    figures = asyncio.run(live.measure(sizes, screen, FOLDER / "live.log"))
    show(screen.console, "live", msgspec.structs.replace(figures, bars={}, passes={}, rounds=[]))
    show_bars(screen.console, live.held(figures))
    screen.say(f"written to {write('live', figures)}")


def live_sizes(*, quick: bool, rounds: int | None) -> live.Sizes:
    """Return how much the live benchmark does."""
    sizes = live.QUICK if quick else live.Sizes()
    return sizes if rounds is None else msgspec.structs.replace(sizes, rounds=rounds)


def run_evidence(sizes: evidence.Sizes, screen: Screen) -> None:
    """Measure, show, write."""
    figures = asyncio.run(evidence.measure(sizes, screen, FOLDER / "evidence.log"))
    show(screen.console, "evidence", figures)
    screen.say(f"written to {write('evidence', figures)}")


def run_school(sizes: school.Sizes, screen: Screen) -> None:
    """Measure, show, write; fail where it took too long."""
    figures = school.measure(sizes, screen, FOLDER / "school.log")
    show(screen.console, "school", figures)
    screen.say(f"written to {write('school', figures)}")
    school.hold(figures)


def run_analytics(sizes: analytics.Sizes, screen: Screen) -> None:
    """Measure, show, write."""
    figures = asyncio.run(analytics.measure(sizes, screen, FOLDER / "analytics.log"))
    show(screen.console, "analytics", msgspec.structs.replace(figures, bars={}, passes={}))
    show_bars(screen.console, analytics.held(figures))
    screen.say(f"written to {write('analytics', figures)}")


def run_import(sizes: importing.Sizes, screen: Screen) -> None:
    """Measure, show, write; fail where it took too long."""
    figures = importing.measure(sizes, screen, FOLDER / "import.log")
    show(screen.console, "import", figures)
    screen.say(f"written to {write('import', figures)}")
    importing.hold(figures)


def run_lifecycle(sizes: lifecycle.Sizes, screen: Screen) -> None:
    """Measure, show, write; fail where it took too long."""
    figures = lifecycle.measure(sizes, screen, FOLDER / "lifecycle.log")
    show(screen.console, "lifecycle", figures)
    screen.say(f"written to {write('lifecycle', figures)}")
    lifecycle.hold(figures)


def runs_of(asked: argparse.Namespace, screen: Screen) -> dict[str, Callable[[], None]]:
    """Return each benchmark as it was asked for, by its name."""
    quick: bool = asked.quick
    sizes = msgspec.structs.replace(
        ingest.QUICK if quick else ingest.Sizes(),
        ingest_processes=asked.ingest_processes,
        bulk_connections=asked.connections,
    )
    filmed = msgspec.structs.replace(
        evidence.QUICK if quick else evidence.Sizes(), core_processes=asked.core_processes
    )
    return {
        "ingest": lambda: run_ingest(sizes, screen),
        "soak": lambda: run_soak(asked.minutes * 60, asked.rate, sizes, screen),
        "core": lambda: run_core(core.QUICK if quick else core.Sizes(), screen),
        "ledger": lambda: run_ledger(screen),
        "fold": lambda: run_fold(fold.QUICK if quick else fold.Sizes(), screen),
        "live": lambda: run_live(live_sizes(quick=quick, rounds=asked.rounds), screen),
        "evidence": lambda: run_evidence(filmed, screen),
        "school": lambda: run_school(school.QUICK if quick else school.Sizes(), screen),
        "analytics": lambda: run_analytics(analytics.QUICK if quick else analytics.Sizes(), screen),
        "import": lambda: run_import(importing.QUICK if quick else importing.Sizes(), screen),
        "lifecycle": lambda: run_lifecycle(lifecycle.QUICK if quick else lifecycle.Sizes(), screen),
    }


def main() -> int:
    """Run what was asked for; 1 when a benchmark failed."""
    asked = options()
    console = Console()
    runs = runs_of(asked, Screen(console))
    try:
        for name in asked.bench if asked.bench and "all" not in asked.bench else NAMES:
            console.rule(name)
            runs[name]()
    except (BenchError, LoadError, PgbenchError, ServerError, StackError) as error:
        console.print(f"[red]failed:[/] {error}", highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
