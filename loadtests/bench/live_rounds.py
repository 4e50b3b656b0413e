"""
One round of the live benchmark: events at a rate, who watches them, and how soon they are scored.

Until every event that was acknowledged is scored, and counted once, the round is not over.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from loadtests.bench.live_world import World
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.scored import Looker
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError
from loadtests.bench.measuring.watchers import watching
from loadtests.bench.sending.loads import Events, Outcome, Plan, percentiles, run_load
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape
from sql import named
from sql.running import one, run

BENCH: Final = named("bench")
RANKS: Final = (50, 99)
LOOKED_AT: Final = 100  # sessions whose events are timed until they are scored
SETTLE_S: Final = 3.0
SCORED_WITHIN_S: Final = 180.0  # after the last reply; what is late shows in the figures
PATIENCE_S: Final = 120.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a round does: so many events a second over so many connections, under so many watchers' eyes."""

    events_per_s: float
    seconds: float
    connections: int
    watchers: int


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one round found. `…_ms` have p50 and p99.

    `ack_ms` to the 202 of 50 events, from the moment they fell due. `cpu_us_per_event` by process, until all
    are scored; `cpu_us_per_scored_event` of all of the product's. `busy_share` of the machine's cores while
    events came, and in it `generator_cpu_share`: what sends, watches and looks.
    """

    events_per_s: float
    ack_ms: dict[str, float]
    accept_to_score_ms: dict[str, float]
    accept_to_watcher_ms: dict[str, float]
    messages_per_s: float
    cut_off: int
    cpu_us_per_event: dict[str, float]
    cpu_us_per_scored_event: float
    busy_share: float
    generator_cpu_share: float


async def run_round(world: World, load: Load, screen: Screen, title: str) -> Round:
    """
    Send, watch and look.

    Raises:
        BenchError: no watcher was told of anything, or an event was not scored, or not counted once.
        LoadError: a reply that no client should get.
    """
    targets = world.targets
    plan = Plan(
        port=world.ingest,
        work=Events(shape=Shape.bulk, instance="live", targets=targets),
        connections=load.connections,
        seconds=load.seconds,
        rate_per_s=load.events_per_s / EVENTS_PER_REQUEST[Shape.bulk],
        patience_s=PATIENCE_S,
    )
    chosen = targets[:: max(1, len(targets) // LOOKED_AT)]
    looker = Looker([int(each.key) for each in chosen])
    exams = [world.exams[number % len(world.exams)] for number in range(load.watchers)]
    async with watching(world.origin, [(exam.id, exam.token) for exam in exams]) as heard:
        await asyncio.sleep(SETTLE_S)
        looking = asyncio.create_task(looker.run(world.servers.postgres.url))
        meter, began = machine.Share(world.processes()), heard.messages
        with screen.step(title, load.seconds) as show:
            outcome = await run_load(
                plan, on_progress=lambda so_far: show(so_far.seconds, _note(so_far.accepted))
            )
        used, messages = meter.read(world.processes()), heard.messages - began
        with screen.step("until all is scored"):
            await _until_all_is_scored(world)
        spent = meter.read(world.processes()).by_group
        looker.stop()
        scored_ms = await looking
    if not heard.took_ms:
        raise BenchError("no watcher was told of any event")
    return _found(outcome, used, spent, scored_ms, heard.took_ms, messages / used.seconds, heard.cut_off)


def _note(requests: int) -> str:
    return f"{requests * EVENTS_PER_REQUEST[Shape.bulk]:,} events"


async def _until_all_is_scored(world: World) -> None:
    """Wait for the pipeline; raises BenchError when it does not come to the end, or counts otherwise."""
    owner, deadline = world.servers.owner, time.monotonic() + SCORED_WITHIN_S
    while True:
        waiting = await asyncio.to_thread(one, owner, BENCH["count_unscored"])
        if not waiting:
            [(stored, counted)] = (await asyncio.to_thread(run, owner, BENCH["count_scored"])).fetchall()
            if stored == counted:
                return
        if time.monotonic() > deadline:
            found = (
                f"{waiting:,} sessions wait" if waiting else f"{counted:,} of {stored:,} events are counted"
            )
            raise BenchError(f"{SCORED_WITHIN_S:.0f} s after the last reply {found}")
        await asyncio.sleep(0.25)


def _found(
    outcome: Outcome,
    used: machine.Used,
    spent: Mapping[str, float],
    scored_ms: list[float],
    watched_ms: list[float],
    messages_per_s: float,
    cut_off: int,
) -> Round:
    events = outcome.requests * EVENTS_PER_REQUEST[Shape.bulk]
    generator_s = outcome.cpu_s + used.own_s
    return Round(
        events_per_s=events / outcome.seconds,
        ack_ms={name: outcome.latency_ms[name] for name in ("p50", "p99")},
        accept_to_score_ms=percentiles(scored_ms, RANKS),
        accept_to_watcher_ms=percentiles(watched_ms, RANKS),
        messages_per_s=messages_per_s,
        cut_off=cut_off,
        cpu_us_per_event={name: each / events * 1e6 for name, each in sorted(spent.items())},
        cpu_us_per_scored_event=sum(spent.values()) / events * 1e6,
        busy_share=used.busy_share,
        generator_cpu_share=generator_s / used.cores_s,
    )
