"""
What one load is, what came of it, and how to run it in a process of its own.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from loadtests.bench.sending.wire import STATUS_ACCEPTED, Shape, Target


class LoadError(Exception):
    """A reply that no client should get, or requests that were never answered."""


class Events(msgspec.Struct, frozen=True, kw_only=True, tag="events"):
    """
    Events without end, of the targets in turn.

    `instance` names the client instance, whose clientSequence starts at 1 for each target.
    """

    shape: Shape
    instance: str
    targets: list[Target]

    @property
    def status(self) -> int:
        """Return what an accepted request is answered with."""
        return STATUS_ACCEPTED[self.shape]

    @property
    def count(self) -> int:
        """Return how many different targets there are."""
        return len(self.targets)


class Errands(msgspec.Struct, frozen=True, kw_only=True, tag="errands"):
    """Each head once, in order, with the one body after it; `status` is what is expected of every reply."""

    heads: list[bytes]
    body: bytes
    status: int

    @property
    def count(self) -> int:
        """Return how many different targets there are: each errand is one."""
        return len(self.heads)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    One load.

    `seconds` is how long requests fall due; errands end by themselves, and 0.0 is at once. `rate_per_s` is
    requests a second in open loop; None is a closed loop over `connections`. A refusal with `Retry-After` is
    sent again after that and up to `retry_spread_s` more; None takes no refusal. `patience_s` bounds how long
    replies may take after the last request fell due.
    """

    port: int
    work: Events | Errands
    connections: int
    seconds: float = 0.0
    rate_per_s: float | None = None
    retry_spread_s: float | None = 0.0
    patience_s: float = 30.0


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So far: seconds since the start, requests accepted."""

    seconds: float
    accepted: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag="outcome"):
    """
    What came of it.

    Moments are of the monotonic clock, which all processes of a machine share. `accepted` is requests per
    target, in the plan's order. `resent` counts what was refused or cut off and sent again. `latency_ms` has
    p50, p95, p99 of accepted requests. `cpu_s` is the loader's own. `unexpected` is the first reply that no
    client should get.
    """

    first_send_at: float
    last_reply_at: float
    accepted: list[int]
    statuses: dict[int, int]
    resent: int
    latency_ms: dict[str, float]
    cpu_s: float
    unexpected: str | None

    @property
    def requests(self) -> int:
        """Return how many requests were accepted."""
        return sum(self.accepted)

    @property
    def seconds(self) -> float:
        """Return the time from first send to last reply."""
        return self.last_reply_at - self.first_send_at

    @property
    def requests_per_s(self) -> float:
        """Return accepted requests over first send to last reply."""
        return self.requests / self.seconds


def percentiles(values: Iterable[float], ranks: tuple[int, ...] = (50, 95, 99)) -> dict[str, float]:
    """Return the nearest-rank percentiles as {"p50": …}; of no values, nothing."""
    ordered = sorted(values)
    return {f"p{rank}": ordered[-(-len(ordered) * rank // 100) - 1] for rank in ranks} if ordered else {}


async def run_load(
    plan: Plan,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """
    Run the plan in a process of its own and return what came of it.

    Args:
        plan: the load.
        on_progress: called about twice a second.
        on_start: called once with the loader's process id.

    Raises:
        LoadError: a reply that no client should get, in its words, with how many of each status there were;
            or the loader ended early, its own words are on standard error.
    """
    outcome: Outcome | None = None
    with tempfile.NamedTemporaryFile(suffix=".msgpack") as file:
        file.write(msgspec.msgpack.encode(plan))
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
    if outcome.unexpected is not None:
        raise LoadError(f"replies {outcome.statuses}, such as {outcome.unexpected}")
    return outcome
