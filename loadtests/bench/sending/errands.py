"""
Requests that are each sent once, by one process with raw keep-alive connections, and every reply to them.

Closed loop: each connection sends as soon as its reply is there. Open loop: the requests fall due at random
moments of a stretch of time, whether or not earlier ones were answered, and latency counts from the due
moment. A reply that was not expected is counted with its first words; whoever asked decides what it means.
With `retries`, a refusal with `Retry-After` is sent again after that and up to a second more.

Runs as `python -m loadtests.bench.sending.errands PLAN.msgpack`; the outcome goes to standard output as JSON.
"""

import asyncio
import gc
import random
import sys
import tempfile
import time
from array import array
from collections import Counter, deque
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from kernel.running.process import prepare_process
from kernel.running.turns import take_short_turns
from loadtests.bench.sending.alarm import Alarm
from loadtests.bench.sending.loader import (
    DRAIN_S,
    RECONNECT_S,
    RETRY_STATUSES,
    Connection,
    cpu_s,
    retry_after_s,
)
from loadtests.bench.sending.loads import LoadError, percentiles

REPLIES_KEPT: Final = 3
REPLY_BYTES_KEPT: Final = 2000


class Errands(msgspec.Struct, frozen=True, kw_only=True):
    """
    What to send: each head once, in order, with the one body after it.

    `spread_s` is the stretch over which they fall due; None is a closed loop. `limit_s` bounds the whole.
    """

    port: int
    heads: list[bytes]
    body: bytes
    status: int
    connections: int
    spread_s: float | None = None
    retries: bool = False
    limit_s: float = 600.0


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of it: replies by status, p50 and p99 of the expected ones in ms, seconds from first to last.

    `unexpected` holds the first few replies that were neither expected nor sent again; `cpu_s` is the
    loader's own.
    """

    statuses: dict[int, int]
    latency_ms: dict[str, float]
    seconds: float
    unexpected: list[str]
    cpu_s: float


class Runner:
    """The errands under way."""

    def __init__(self, plan: Errands) -> None:
        """Be ready to run on the running loop."""
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.statuses: Counter[int] = Counter()
        self.latencies = array("d")
        self.unexpected: list[str] = []
        self.left = len(plan.heads)
        self.idle: deque[Connection] = deque()
        self.ready: deque[tuple[int, float]] = deque()  # due and not sent: target, due moment
        self.dice = random.Random(1)
        self.opening: set[asyncio.Task[None]] = set()
        self.dues: deque[float] = deque()
        self.alarm = Alarm(self.release_due)
        self.cursor = 0

    def pieces(self, target: int, number: int) -> tuple[bytes, bytes]:
        """Return the bytes of one request."""
        del number
        return self.plan.heads[target], self.plan.body

    def give_work(self, connection: Connection) -> None:
        """Start the next request that is due, or wait for one."""
        if self.ready:
            connection.target, due = self.ready.popleft()
            connection.due = time.monotonic() if self.plan.spread_s is None else due
            connection.send()
        else:
            self.idle.append(connection)

    def release_due(self) -> None:
        """Hand out what has fallen due, and come back when the next request does."""
        now = time.monotonic()
        while self.dues and self.dues[0] <= now:
            self.ready.append((self.cursor, self.dues.popleft()))
            self.cursor += 1
            if self.idle:
                self.give_work(self.idle.popleft())
        if self.dues:
            self.alarm.set(self.dues[0])

    def take_reply(self, connection: Connection, status: int, data: bytes) -> None:
        """Count the reply, then give the connection its next request."""
        self.statuses[status] += 1
        if self.plan.retries and status in RETRY_STATUSES and (wait_s := retry_after_s(data)) is not None:
            self.loop.call_later(wait_s + self.dice.random(), connection.send)
            return
        if status == self.plan.status:
            self.latencies.append(time.monotonic() - connection.due)
        elif len(self.unexpected) < REPLIES_KEPT:
            self.unexpected.append(data[:REPLY_BYTES_KEPT].decode(errors="replace"))
        connection.target = -1
        self.left -= 1
        if not self.left and not self.finished.done():
            self.finished.set_result(None)
        else:
            self.give_work(connection)

    def reopen(self, connection: Connection) -> None:
        """Connect again; a request that was outstanding counts as a reply of status 0 and is repeated."""
        if self.finished.done():
            return
        if connection.target >= 0:
            self.statuses[0] += 1
        if connection in self.idle:
            self.idle.remove(connection)
        self.loop.call_later(RECONNECT_S, self.open_soon, connection)

    def open_soon(self, connection: Connection) -> None:
        """Connect in the background."""
        task = self.loop.create_task(self._open(connection))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _open(self, connection: Connection) -> None:
        try:
            await self.loop.create_connection(lambda: connection, "127.0.0.1", self.plan.port)
        except OSError:
            self.reopen(connection)

    async def run(self) -> Done:
        """Send everything and return what came back; raises TimeoutError past `limit_s`."""
        cpu_before_s = cpu_s()
        for _ in range(self.plan.connections):
            await self._open(Connection(self))
        started = time.monotonic()
        spread_s = self.plan.spread_s
        if spread_s is None:
            self.ready.extend((target, started) for target in range(len(self.plan.heads)))
            while self.idle and self.ready:
                self.give_work(self.idle.popleft())
        else:
            moments = sorted(started + self.dice.random() * spread_s for _ in self.plan.heads)
            self.dues.extend(moments)
            self.release_due()
        async with asyncio.timeout(self.plan.limit_s + (spread_s or 0.0) + DRAIN_S):
            await self.finished
        self.alarm.close()
        return Done(
            statuses=dict(self.statuses),
            latency_ms={name: value * 1000 for name, value in percentiles(self.latencies, (50, 99)).items()},
            seconds=time.monotonic() - started,
            unexpected=self.unexpected,
            cpu_s=cpu_s() - cpu_before_s,
        )


async def run_errands(plan: Errands) -> Done:
    """
    Run the errands in a process of their own and return what came of them.

    Raises:
        LoadError: the process ended without an outcome; its own words are on standard error.
    """
    with tempfile.NamedTemporaryFile(suffix=".msgpack") as file:
        file.write(msgspec.msgpack.encode(plan))
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtests.bench.sending.errands", file.name),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        raise LoadError(f"the loader ended with exit code {process.returncode} before its errands were done")
    return msgspec.json.decode(output, type=Done)


async def _main(plan: Errands) -> None:
    gc.freeze()
    gc.disable()
    sys.stdout.buffer.write(msgspec.json.encode(await Runner(plan).run()))


if __name__ == "__main__":
    prepare_process()
    take_short_turns()  # clients have machines of their own: how late this one is woken is not the product's
    uvloop.run(_main(msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=Errands)))
