"""
The soak: rated load for ten minutes, and what every process's memory does meanwhile.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from loadtests.bench.chain import Chain
from loadtests.bench.ingest import Sizes, describe, running_chain
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.report import FOLDER, Report
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, open_servers, private_folder, processes
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape

SAMPLE_EVERY_S: Final = 5.0
SETTLED_AFTER: Final = (
    0.2  # the slope is taken over what follows this share of the run: caches fill before it
)
MIB: Final = 1 << 20


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """
    One process over the run, MiB of resident memory; `…private` leaves shared pages (PostgreSQL's buffers)
    out.

    Slopes are least squares over the last 80 % of the run, MiB a minute.
    """

    rss_first: float
    rss_last: float
    rss_slope: float
    private_first: float
    private_last: float
    private_slope: float


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """What the soak found; `memory` by process, a number behind the name where there are several."""

    events_per_s: float
    seconds: float
    events: int
    ack_ms: dict[str, float]
    memory: dict[str, Memory]
    machine: dict[str, str | int | float]


class Sample(msgspec.Struct, frozen=True):
    """One process at one moment: seconds since the start, bytes."""

    seconds: float
    rss: int
    private: int


def rated_events_per_s() -> float:
    """
    Return half of the saturation that the last ingest benchmark found here.

    Raises:
        BenchError: there is none.
    """
    path = FOLDER / "ingest.json"
    if not path.exists():
        raise BenchError(f"{path} is not there: run `make bench BENCH=ingest` first, or give a rate")
    return msgspec.json.decode(path.read_bytes(), type=Report).durable_events_per_s / 2


async def sample_memory(chain: Chain, seconds: float) -> dict[str, list[Sample]]:
    """Return samples by process name, one each 5 s; processes that come or go meanwhile are left out."""
    started = time.monotonic()
    names = numbered(processes(chain.servers, chain.tiers))
    samples: dict[str, list[Sample]] = {name: [] for name in names.values()}
    while (at := time.monotonic() - started) < seconds:
        for pid, name in names.items():
            if (memory := machine.memory_bytes(pid)) is not None:
                samples[name].append(Sample(at, *memory))
        await asyncio.sleep(SAMPLE_EVERY_S)
    longest = max(map(len, samples.values()))
    return {name: taken for name, taken in samples.items() if len(taken) == longest}


def numbered(groups: Mapping[int, str]) -> dict[int, str]:
    """Return a name of its own for every process: the group's, with a number where the group has several."""
    seen: dict[str, list[int]] = {}
    for pid, group in sorted(groups.items()):
        seen.setdefault(group, []).append(pid)
    return {
        pid: group if len(pids) == 1 else f"{group}_{number}"
        for group, pids in seen.items()
        for number, pid in enumerate(pids, 1)
    }


def slope(samples: list[tuple[float, float]]) -> float:
    """Return the least-squares slope of (x, y) pairs; 0.0 for fewer than two different x."""
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def summarise(samples: list[Sample]) -> Memory:
    """Return first, last and slope of one process; at least one sample."""
    late = [sample for sample in samples if sample.seconds >= samples[-1].seconds * SETTLED_AFTER]
    return Memory(
        rss_first=samples[0].rss / MIB,
        rss_last=samples[-1].rss / MIB,
        rss_slope=slope([(sample.seconds / 60, sample.rss / MIB) for sample in late]),
        private_first=samples[0].private / MIB,
        private_last=samples[-1].private / MIB,
        private_slope=slope([(sample.seconds / 60, sample.private / MIB) for sample in late]),
    )


async def measure(seconds: float, events_per_s: float, sizes: Sizes, screen: Screen) -> Soak:
    """Run rated load for so long on servers of its own, and return what memory did."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rate = events_per_s / EVENTS_PER_REQUEST[Shape.bulk]
    with private_folder() as folder, open_servers(folder) as servers:
        with running_chain(servers, sizes, screen, FOLDER / "soak.log") as (chain, _):
            await chain.load(
                "warm-up", Shape.bulk, sizes.warm_up_s, sizes.rated_connections, requests_per_s=rate
            )
            outcome, samples = await asyncio.gather(
                chain.load("soak", Shape.bulk, seconds, sizes.rated_connections, requests_per_s=rate),
                sample_memory(chain, seconds),
            )
            await chain.stored_at()
        rows = chain.check()
        about = describe(servers)
    return Soak(
        events_per_s=outcome.requests_per_s * EVENTS_PER_REQUEST[Shape.bulk],
        seconds=seconds,
        events=rows,
        ack_ms=outcome.latency_ms,
        memory={name: summarise(taken) for name, taken in samples.items()},
        machine=about,
    )
