"""
What candidates cost who only sit there: a heartbeat each 15 s, and an idle socket.
"""

import asyncio
from typing import Final

import msgspec

from kernel.events import HEARTBEAT_INTERVAL_S
from loadtests.bench.live_world import World
from loadtests.bench.measuring import machine
from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError
from loadtests.bench.sending.loads import Events, Plan, run_load
from loadtests.bench.sending.sockets import Sockets
from loadtests.bench.sending.wire import Shape

IDLE_S_MAX: Final = 20.0  # after the last heartbeat; then the first have been silent for too long
FULL: Final = 10_000  # candidates that the figures are told for, however many were there


class ClientFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Shares are of all cores of the machine, of the product's processes alone, for 10,000 candidates.

    `heartbeats_cpu_share` of a heartbeat each 15 s, by everything that they set off, beyond what idleness
    costs. `sockets` were open at the end, `socket_kib` of the origin's memory for each, `opened_per_s`;
    `sockets_cpu_share` of the origin while nothing happens on them but pings.
    """

    heartbeats_cpu_share: float
    heartbeats_by_process: dict[str, float]
    sockets: int
    socket_kib: float
    opened_per_s: float
    sockets_cpu_share: float


async def measure_clients(world: World, seconds: float, idle_s: float, screen: Screen) -> ClientFigures:
    """
    Measure with all of the world's candidates, while none is silent for so long that it is an event.

    Raises:
        BenchError, LoadError: a heartbeat was refused, or a socket lost.
    """
    targets = world.targets
    scale = FULL / len(targets)
    await _beat(world, HEARTBEAT_INTERVAL_S, "first", screen)
    meter = machine.Share(world.processes())
    await _beat(world, seconds, "live", screen)
    beating = meter.read(world.processes())
    idle = await _used(world, min(idle_s, IDLE_S_MAX), screen, "nothing happens")
    origin, sockets = world.pid_of("origin"), Sockets()
    before = machine.memory_bytes(origin)
    try:
        with screen.step(f"sockets of {len(targets):,}"):
            await sockets.connect(world.origin, targets)
        after = machine.memory_bytes(origin)
        quiet = await _used(world, idle_s, screen, "idle sockets")
        if sockets.open != len(targets) or before is None or after is None:
            raise BenchError(f"{sockets.open:,} of {len(targets):,} sockets are open at the end")
    finally:
        sockets.close()
    return ClientFigures(
        heartbeats_cpu_share=(sum(_shares(beating).values()) - sum(_shares(idle).values())) * scale,
        heartbeats_by_process={name: each * scale for name, each in _shares(beating).items()},
        sockets=len(targets),
        socket_kib=(after[0] - before[0]) / len(targets) / 1024,
        opened_per_s=len(targets) / sockets.opened_s,
        sockets_cpu_share=(_shares(quiet)["origin"] - _shares(idle)["origin"]) * scale,
    )


async def _beat(world: World, seconds: float, instance: str, screen: Screen) -> None:
    targets = world.targets
    plan = Plan(
        port=world.ingest,
        work=Events(shape=Shape.heartbeat, instance=instance, targets=targets),
        connections=64,
        seconds=seconds,
        rate_per_s=len(targets) / HEARTBEAT_INTERVAL_S,
    )
    with screen.step(f"heartbeats of {len(targets):,}", seconds) as show:
        await run_load(plan, on_progress=lambda so_far: show(so_far.seconds, f"{so_far.accepted:,}"))


async def _used(world: World, seconds: float, screen: Screen, title: str) -> machine.Used:
    meter = machine.Share(world.processes())
    with screen.step(title, seconds) as show:
        for second in range(int(seconds)):
            await asyncio.sleep(1.0)
            show(second + 1.0, "")
    return meter.read(world.processes())


def _shares(used: machine.Used) -> dict[str, float]:
    return {name: each / used.cores_s for name, each in sorted(used.by_group.items())}
