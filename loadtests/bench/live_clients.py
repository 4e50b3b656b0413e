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

FULL: Final = 10_000  # candidates that the figures are told for, however many were there


class ClientFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Shares are of all cores of the machine, of the product's processes alone, for 10,000 candidates.

    `heartbeats_cpu_share` of a heartbeat each 15 s, by everything that they set off; `sockets` were open at
    the end, `socket_kib` of the origin's memory for each, `opened_per_s`; `sockets_cpu_share` while nothing
    happens on them but pings.
    """

    heartbeats_cpu_share: float
    heartbeats_by_process: dict[str, float]
    sockets: int
    socket_kib: float
    opened_per_s: float
    sockets_cpu_share: float


async def measure_clients(world: World, seconds: float, idle_s: float, screen: Screen) -> ClientFigures:
    """Measure with all of the world's candidates; raises BenchError or LoadError when a socket is lost."""
    targets = world.targets
    scale = FULL / len(targets)
    idle = await _used(world, idle_s, screen, "nothing happens")
    plan = Plan(
        port=world.ingest,
        work=Events(shape=Shape.heartbeat, instance="live", targets=targets),
        connections=64,
        seconds=seconds,
        rate_per_s=len(targets) / HEARTBEAT_INTERVAL_S,
    )
    meter = machine.Share(world.processes())
    with screen.step(f"heartbeats of {len(targets):,}", seconds) as show:
        await run_load(plan, on_progress=lambda so_far: show(so_far.seconds, f"{so_far.accepted:,}"))
    beating = meter.read(world.processes())
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
        heartbeats_cpu_share=(_share(beating) - _share(idle)) * scale,
        heartbeats_by_process={
            name: each / beating.cores_s * scale for name, each in sorted(beating.by_group.items())
        },
        sockets=len(targets),
        socket_kib=(after[0] - before[0]) / len(targets) / 1024,
        opened_per_s=len(targets) / sockets.opened_s,
        sockets_cpu_share=(_share(quiet) - _share(idle)) * scale,
    )


async def _used(world: World, seconds: float, screen: Screen, title: str) -> machine.Used:
    meter = machine.Share(world.processes())
    with screen.step(title, seconds) as show:
        for second in range(int(seconds)):
            await asyncio.sleep(1.0)
            show(second + 1.0, "")
    return meter.read(world.processes())


def _share(used: machine.Used) -> float:
    return sum(used.by_group.values()) / used.cores_s
