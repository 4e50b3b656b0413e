"""
The product under load: what was acknowledged is counted, waited for, and compared with the table.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from loadtests.bench.measuring.screen import Screen
from loadtests.bench.measuring.stack import BenchError, Servers, Tiers
from loadtests.bench.sending.loads import Events, Outcome, Plan, run_load
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, Shape, Target
from sql import named
from sql.running import run

BENCH: Final = named("bench")
DRAIN_S: Final = 120.0
LOOK_EVERY_S: Final = 0.05


class Chain:
    """
    The running tiers on their servers.

    Attributes:
        acknowledged: events that got their 202, by session.
        loader_pid: process id of the latest loader.
    """

    def __init__(self, servers: Servers, running: Tiers, targets: list[Target], screen: Screen) -> None:
        self.servers = servers
        self.tiers = running
        self.targets = targets
        self.screen = screen
        self.acknowledged: Counter[int] = Counter()
        self.loader_pid = 0

    async def load(
        self,
        title: str,
        shape: Shape,
        seconds: float,
        connections: int,
        *,
        requests_per_s: float | None = None,
    ) -> Outcome:
        """Run one load, as a client instance named like it, and count what was acknowledged."""
        plan = Plan(
            port=self.tiers.port,
            work=Events(shape=shape, instance=title.replace(" ", "-"), targets=self.targets),
            connections=connections,
            seconds=seconds,
            rate_per_s=requests_per_s,
        )
        events = EVENTS_PER_REQUEST[shape]
        with self.screen.step(title, seconds) as show:
            outcome = await run_load(
                plan,
                on_start=self._remember_loader,
                on_progress=lambda so_far: show(so_far.seconds, f"{so_far.accepted * events:,} events"),
            )
        self.count({int(t.key): n * events for t, n in zip(self.targets, outcome.accepted, strict=True)})
        self.screen.say(_summary(title, outcome, events))
        return outcome

    def _remember_loader(self, pid: int) -> None:
        self.loader_pid = pid

    def count(self, acknowledged: Mapping[int, int]) -> None:
        """Add to what must be found in the table."""
        self.acknowledged.update(acknowledged)

    async def stored_at(self) -> float:
        """
        Wait until everything acknowledged is committed; return that moment, of the monotonic clock.

        Raises:
            BenchError: it is not, DRAIN_S seconds later.
        """
        expected = self.acknowledged.total()
        deadline = time.monotonic() + DRAIN_S
        with self.screen.step("until all is stored") as show:
            while (stored := await asyncio.to_thread(self._received)) < expected:
                if time.monotonic() > deadline:
                    raise BenchError(
                        f"of {expected} acknowledged events {stored} are stored after {DRAIN_S:.0f} s"
                    )
                show(0, f"{expected - stored:,} to go")
                await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic()

    def _received(self) -> int:
        row = run(self.servers.owner, BENCH["received_total"]).fetchone()
        assert row is not None, "an aggregate has a row"
        return int(row[0])

    def check(self) -> int:
        """
        Compare the table with what was acknowledged, session by session; return the rows that clients sent.

        Raises:
            BenchError: an acknowledged event is missing or there twice, or a session's sequence has a hole.
        """
        found = {row[0]: row[1:] for row in run(self.servers.owner, BENCH["count_by_session"]).fetchall()}
        for session, acknowledged in self.acknowledged.items():
            sent, different, rows, highest = found.get(session, (0, 0, 0, 0))
            if not (sent == different == acknowledged and rows == highest):
                raise BenchError(
                    f"session {session}: {acknowledged} events were acknowledged; in the table are {sent}, "
                    f"{different} different ones; its {rows} rows reach up to sequence {highest}"
                )
        return sum(sent for sent, *_ in found.values())


def _summary(title: str, outcome: Outcome, events: int) -> str:
    refused = {status: count for status, count in outcome.statuses.items() if status >= 300}
    latency = " ".join(f"{name} {ms:.1f}" for name, ms in outcome.latency_ms.items())
    return (
        f"{title}: {outcome.requests_per_s * events:,.0f} events/s acknowledged, {latency} ms, "
        f"loader {outcome.cpu_s / outcome.requests * 1e6:.0f} µs of CPU a request"
        + (f", refused and sent again: {refused}" if refused else "")
    )
