"""
The live benchmark: events at a rate, and how soon they are scores and on the walls of those who watch.

Everything is on: origin, ingest, the writer, the pipeline with its sealer, and the origin tells 200 watchers
of 20 exams, each on a socket of its own. What a watcher is told of says when it was accepted
(`lastEvent.occurredAt`): the time until it has arrived is counted for each watcher and change. An event is
scored when its session's position has passed it; a hundred sessions are looked at. Each round has a stack of
its own, and the figures are the rounds' medians. What 10,000 candidates cost who only sit there, what the
fold costs an event of a long session, and how fast a draft of rules is tried on past sessions, are measured
after that, each by itself.
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtests.bench import fold
from loadtests.bench.ingest import medians
from loadtests.bench.live_clients import ClientFigures, measure_clients
from loadtests.bench.live_rounds import Load, Round, run_round
from loadtests.bench.live_world import running_world
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import private_folder
from loadtests.bench.what_if import what_if_sessions_per_s

# The least that is held, and the most that it may take.
EVENTS_PER_S_MIN: Final = 20_000.0
SCORE_MS_MAX: Final = 2_000.0
WATCHER_MS_MAX: Final = 1_000.0
RATIO_MAX: Final = 1.5


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """
    How much is done; the defaults are what docs/benchmarks.md reports.

    `load` is of each round: somewhat more than the bar is offered, because requests fall due at random.
    `clients` sit there for `beating_s` with heartbeats, and twice for `idle_s` without; `touches` of the fold
    at each length.
    """

    rounds: int = 3
    exams: int = 20
    sessions: int = 5_000
    load: Load = Load(events_per_s=20_400.0, seconds=120.0, connections=256, watchers=200)
    clients: int = 10_000
    beating_s: float = 60.0
    idle_s: float = 30.0
    touches: int = 30


QUICK: Final = Sizes(
    rounds=1,
    exams=4,
    sessions=400,
    load=Load(events_per_s=2_000.0, seconds=15.0, connections=64, watchers=40),
    clients=500,
    beating_s=16.0,
    idle_s=8.0,
    touches=8,
)


class LiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    The figures; `…_ms` have p50 and p99, and like rates and CPU are medians of `rounds`.

    `accept_to_watcher_ms`: from an event's acceptance to the watcher whom it was told as a session's latest.
    `accept_to_score_ms`: from an event's acceptance to the first look, every 50 ms, that found it scored.
    `cpu_us_per_scored_event` of all processes of the product, `cpu_us_per_event` by process;
    `generator_cpu_share` of the machine's cores: what sends, watches and looks. `heartbeats_10k_cpu_share` of
    the cores as well. `fold_cost_ratio`: an event's cost in a session of 500,000 over that in one of 1,000.
    `what_if_sessions_per_s`: past sessions of 200 events that a draft of rules is tried on. `passes` says of
    each of the `bars` whether it is met.
    """

    events_per_s: float
    accept_to_score_ms: dict[str, float]
    accept_to_watcher_ms: dict[str, float]
    ack_ms: dict[str, float]
    cpu_us_per_scored_event: float
    cpu_us_per_event: dict[str, float]
    busy_share: float
    generator_cpu_share: float
    messages_per_s: float
    cut_off: int
    heartbeats_10k_cpu_share: float
    clients: ClientFigures
    fold_cost_ratio: float
    what_if_sessions_per_s: float
    bars: dict[str, float]
    passes: dict[str, bool]
    rounds: list[Round]
    machine: dict[str, str | int | float]


async def measure(sizes: Sizes, screen: Screen, log: Path) -> LiveReport:
    """
    Measure; what the programs say goes to `log`.

    Raises:
        BenchError, LoadError: something that was acknowledged is not there, or was refused.
    """
    rounds = []
    for number in range(1, sizes.rounds + 1):
        with running_world(sizes.exams, sizes.sessions, log) as world:
            found = await run_round(world, sizes.load, screen, f"round {number} of {sizes.rounds}")
        rounds.append(found)
        screen.say(f"round {number} of {sizes.rounds}: {_in_words(found)}")
    with running_world(1, sizes.clients, log) as world:
        clients = await measure_clients(world, sizes.beating_s, sizes.idle_s, screen)
    with private_folder() as folder, screen.step("the fold, by length"):
        ratio = fold.cost_ratio(fold.measure_lengths(sizes.touches, folder))
    with private_folder() as folder, screen.step("a draft of rules, on past sessions"):
        tried_per_s = what_if_sessions_per_s(folder)
    return report_of(rounds, clients, ratio, tried_per_s)


def _in_words(found: Round) -> str:
    score, watcher = found.accept_to_score_ms, found.accept_to_watcher_ms
    return (
        f"{found.events_per_s:,.0f} events/s; to the score {score['p50']:,.0f} and {score['p99']:,.0f} ms, "
        f"to watchers {watcher['p50']:,.0f} and {watcher['p99']:,.0f} ms; cores busy {found.busy_share:.0%}"
    )


def report_of(
    rounds: Sequence[Round], clients: ClientFigures, ratio: float, tried_per_s: float
) -> LiveReport:
    """Return the figures: the rounds' medians, and whether they meet the bars."""

    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in rounds))

    def middles(name: str) -> dict[str, float]:
        return medians([getattr(each, name) for each in rounds])

    report = LiveReport(
        events_per_s=middle("events_per_s"),
        accept_to_score_ms=middles("accept_to_score_ms"),
        accept_to_watcher_ms=middles("accept_to_watcher_ms"),
        ack_ms=middles("ack_ms"),
        cpu_us_per_scored_event=middle("cpu_us_per_scored_event"),
        cpu_us_per_event=middles("cpu_us_per_event"),
        busy_share=middle("busy_share"),
        generator_cpu_share=middle("generator_cpu_share"),
        messages_per_s=middle("messages_per_s"),
        cut_off=sum(each.cut_off for each in rounds),
        heartbeats_10k_cpu_share=clients.heartbeats_cpu_share,
        clients=clients,
        fold_cost_ratio=ratio,
        what_if_sessions_per_s=tried_per_s,
        bars={},
        passes={},
        rounds=list(rounds),
        machine=machine.description(),
    )
    bars = list(held(report))
    return msgspec.structs.replace(
        report,
        bars={name: bar for name, _, bar, _ in bars},
        passes={name: passes for name, _, _, passes in bars},
    )


def held(report: LiveReport) -> Iterator[tuple[str, float, float, bool]]:
    """Yield each bar: of what, what was found, where it lies, and whether it is met."""
    least = {"events_per_s": (report.events_per_s, EVENTS_PER_S_MIN)}
    most = {
        "accept_to_score_ms.p99": (report.accept_to_score_ms["p99"], SCORE_MS_MAX),
        "accept_to_watcher_ms.p99": (report.accept_to_watcher_ms["p99"], WATCHER_MS_MAX),
        "fold_cost_ratio": (report.fold_cost_ratio, RATIO_MAX),
    }
    yield from ((name, found, bar, found >= bar) for name, (found, bar) in least.items())
    yield from ((name, found, bar, found <= bar) for name, (found, bar) in most.items())
