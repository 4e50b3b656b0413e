"""
What one load is, what came of it, and how to run it in a process of its own.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from loadtests.bench.sending.wire import Shape, Target


class LoadError(Exception):
    """A reply that no client should get, or requests that were never answered."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    One load.

    `targets` are used in turn; `instance` names the client instance, whose clientSequence starts at 1 for
    each
    target. `rate_per_s` is requests a second in open loop; None is a closed loop over `connections`.
    """

    port: int
    shape: Shape
    instance: str
    targets: list[Target]
    connections: int
    seconds: float
    rate_per_s: float | None = None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So far: seconds since the start, requests accepted."""

    seconds: float
    accepted: int


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """
    What came of it.

    Moments are of the monotonic clock, which all processes of a machine share. `accepted` is requests per
    target, in the plan's order. `latency_ms` has p50, p95, p99 of accepted requests. `cpu_s` is the loader's
    own.
    """

    first_send_at: float
    last_reply_at: float
    accepted: list[int]
    statuses: dict[int, int]
    resent: int
    latency_ms: dict[str, float]
    cpu_s: float

    @property
    def requests(self) -> int:
        """Return how many requests were accepted."""
        return sum(self.accepted)

    @property
    def requests_per_s(self) -> float:
        """Return accepted requests over first send to last reply."""
        return self.requests / (self.last_reply_at - self.first_send_at)


def percentiles(values: Iterable[float], ranks: tuple[int, ...] = (50, 95, 99)) -> dict[str, float]:
    """Return the nearest-rank percentiles as {"p50": …}; of no values, nothing."""
    ordered = sorted(values)
    return {f"p{rank}": ordered[-(-len(ordered) * rank // 100) - 1] for rank in ranks} if ordered else {}


async def run_load(
    plan: Plan, *, on_progress: Callable[[Progress], None], on_start: Callable[[int], None]
) -> Outcome:
    """
    Run the plan in a process of its own and return what came of it.

    Args:
        plan: the load.
        on_progress: called about twice a second.
        on_start: called once with the loader's process id.

    Raises:
        LoadError: the loader ended early; its own words are on standard error.
    """
    outcome: Outcome | None = None
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(msgspec.json.encode(plan))
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtests.bench.sending.loader", file.name),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            limit=1 << 22,
        )
        on_start(process.pid)
        try:
            assert process.stdout is not None, "it was asked for"
            async for line in process.stdout:
                message = msgspec.json.decode(line, type=Progress | Outcome)
                if isinstance(message, Outcome):
                    outcome = message
                else:
                    on_progress(message)
        finally:
            if process.returncode is None and outcome is None:
                process.kill()
            await process.wait()
    if outcome is None:
        raise LoadError(f"the loader ended with exit code {process.returncode} before its load was done")
    return outcome
