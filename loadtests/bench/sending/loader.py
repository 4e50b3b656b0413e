"""
The load: one process with raw keep-alive connections that sends pre-encoded requests and counts every reply.

Closed loop: each connection sends as soon as its reply is there; that finds saturation. Open loop: requests
fall due at random moments (Poisson, as from many independent clients) whether or not earlier ones were
answered, and latency counts from the due moment, so that a stall is seen by every request it delays. A
refusal with `Retry-After` is sent again after it, a cut connection is opened again and its request repeated.
Any other reply fails the load: events end with it, of errands the rest is sent and counted still.

Runs as `python -m loadtests.bench.sending.loader PLAN.msgpack`: progress and, last, the outcome go to
standard output as JSON lines. What it costs per request is measured in
tests/integration/loadtests/test_bench_loader.py.
"""

import asyncio
import gc
import random
import resource
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, islice
from math import inf
from pathlib import Path
from typing import Final, TypeAlias, cast

import msgspec
import uvloop

from kernel.running.process import prepare_process
from kernel.running.turns import take_short_turns
from loadtests.bench.sending.alarm import Alarm
from loadtests.bench.sending.loads import Errands, Events, Outcome, Plan, Progress, percentiles
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, NUMBER_WIDTH, starts, tails

PROGRESS_S: Final = 0.5
REFRESH_S: Final = 1.0  # how often the client timestamps in the events are renewed
RECONNECT_S: Final = 0.2
RETRY_STATUSES: Final = frozenset({429, 503})
REPLY_BYTES_KEPT: Final = 2000

Request: TypeAlias = tuple[int, Sequence[bytes]]  # the target's index, the pieces of its bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request outstanding."""

    def __init__(self, load: "Load") -> None:
        """Belong to the load, which gives out the work."""
        self.load = load
        self.transport: asyncio.WriteTransport | None = None
        self.target = -1  # index of the outstanding request's target; -1 is idle
        self.pieces: Sequence[bytes] = ()
        self.due = 0.0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Repeat what was outstanding when the last transport broke, or ask for work."""
        self.transport = cast("asyncio.WriteTransport", transport)
        self.buffer = b""
        if self.target >= 0:
            self.send()
        else:
            self.load.give_work(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Open again while the load lasts."""
        del exc
        self.transport = None
        self.load.reopen(self)

    def send(self) -> None:
        """Send the outstanding request; without a transport it goes out on reconnect."""
        if self.transport is not None:
            self.transport.writelines(self.pieces)

    def data_received(self, data: bytes) -> None:
        """Take status and, on a refusal, Retry-After; wait until head and body are whole."""
        if self.buffer:
            data = self.buffer + data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            head = data[:end].lower()
            at = head.find(b"content-length:") + 15
            stop = head.find(b"\r", at)
            body_bytes = int(head[at:stop] if stop > 0 else head[at:])
            if len(data) >= end + 4 + body_bytes:
                self.buffer = b""
                self.load.take_reply(self, int(data[9:12]), data)
                return
        self.buffer = data


class Load:
    """A running load: gives work to connections, takes their replies, knows when all is done."""

    def __init__(self, plan: Plan) -> None:
        """Encode the plan's requests."""
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.unexpected: str | None = None
        self.endings: list[bytes] = []
        self.requests = self._events(plan.work) if isinstance(plan.work, Events) else _errands(plan.work)
        self.accepted = [0] * plan.work.count
        self.accepted_status = plan.work.status
        self.statuses: Counter[int] = Counter()
        self.latencies = array("d")
        self.resent = 0
        self.opening: set[asyncio.Task[None]] = set()
        self.outstanding = 0
        self.is_released = False  # nothing more will fall due
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()  # moments that have come, for which no connection was idle
        self.dues: Iterator[float] = iter(())
        self.next_due: float | None = None
        self.dice = random.Random(1)
        self.alarm = Alarm(self.release_due)
        self.started_at = self.deadline = -inf

    # -- requests

    def _events(self, work: Events) -> Iterator[Request]:
        """Return events of the targets in turn, the clientSequence dense for each."""
        self.refresh(work)
        beginnings = starts(work.shape, work.targets, instance=work.instance, tail_bytes=len(self.endings[0]))
        return (
            (target, (beginning, middle, self.endings[number % len(self.endings)]))
            for number in count(1, EVENTS_PER_REQUEST[work.shape])
            for middle in [str(number).ljust(NUMBER_WIDTH).encode()]
            for target, beginning in enumerate(beginnings)
        )

    def refresh(self, work: Events) -> None:
        """Renew the client timestamps in the events, now and then again."""
        self.endings = tails(work.shape, datetime.now(UTC))
        self.loop.call_later(REFRESH_S, self.refresh, work)

    def moments(self, rate_per_s: float) -> Iterator[float]:
        """Yield when requests fall due (open loop)."""
        due = self.started_at
        while due < self.deadline:
            yield due
            due += self.dice.expovariate(rate_per_s)

    # -- work

    def give_work(self, connection: Connection) -> None:
        """Start a connection's next request: at once in closed loop, when one has fallen due in open loop."""
        if self.plan.rate_per_s is None:
            due = time.monotonic()
            request = next(self.requests, None) if due < self.deadline else None
        elif self.due:
            due, request = self.due.popleft(), next(self.requests)
        else:
            due, request = 0.0, None
        if request is None:
            self.idle.append(connection)
            self._finish_when_done()
            return
        connection.target, connection.pieces = request
        connection.due = due
        self.outstanding += 1
        connection.send()

    def release_due(self) -> None:
        """Hand out what has fallen due, and come back when the next request does (open loop)."""
        now = time.monotonic()
        while self.next_due is not None and self.next_due <= now:
            self.due.append(self.next_due)
            self.next_due = next(self.dues, None)
            if self.idle:
                self.give_work(self.idle.popleft())
        if self.next_due is None:
            self.is_released = True
            self._finish_when_done()
        else:
            self.alarm.set(self.next_due)

    # -- replies

    def take_reply(self, connection: Connection, status: int, data: bytes) -> None:
        """Count the reply, then give the connection its next request."""
        self.statuses[status] += 1
        if status == self.accepted_status:
            self.latencies.append(time.monotonic() - connection.due)
            self.accepted[connection.target] += 1
            self._settle(connection)
        elif (wait_s := self.wait_s(status, data)) is not None:
            self.resent += 1
            self.loop.call_later(wait_s, connection.send)
        else:
            self.unexpected = self.unexpected or data[:REPLY_BYTES_KEPT].decode(errors="replace")
            if isinstance(self.plan.work, Errands):
                self._settle(connection)
            elif not self.finished.done():
                self.finished.set_result(None)

    def _settle(self, connection: Connection) -> None:
        connection.target = -1
        self.outstanding -= 1
        self.give_work(connection)

    def wait_s(self, status: int, data: bytes) -> float | None:
        """Return after how many seconds a refusal is sent again; None where the plan takes none."""
        spread_s, after_s = self.plan.retry_spread_s, retry_after_s(data)
        if status not in RETRY_STATUSES or spread_s is None or after_s is None:
            return None
        return after_s + spread_s * self.dice.random()

    def reopen(self, connection: Connection) -> None:
        """Connect again; a request that was outstanding is repeated."""
        if self.finished.done():
            return
        self.resent += connection.target >= 0
        if connection in self.idle:
            self.idle.remove(connection)
        self.loop.call_later(RECONNECT_S, self.open_soon, connection)

    def open_soon(self, connection: Connection) -> None:
        """Connect in the background."""
        task = self.loop.create_task(self.open(connection))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def open(self, connection: Connection) -> None:
        """Connect; while nobody listens, try again."""
        try:
            await self.loop.create_connection(lambda: connection, "127.0.0.1", self.plan.port)
        except OSError:
            self.reopen(connection)

    def _finish_when_done(self) -> None:
        if self.is_released and not self.outstanding and not self.due and not self.finished.done():
            self.finished.set_result(None)

    # -- the whole

    def report(self) -> None:
        """Write a line of progress."""
        if self.finished.done():
            return
        _write(Progress(time.monotonic() - self.started_at, self.statuses[self.accepted_status]))
        self.loop.call_later(PROGRESS_S, self.report)

    def start(self) -> None:
        """Begin to give out work."""
        plan, work = self.plan, self.plan.work
        self.started_at = time.monotonic()
        self.deadline = self.started_at + plan.seconds if isinstance(work, Events) else inf
        self.report()
        if plan.rate_per_s is not None:
            moments = self.moments(plan.rate_per_s)
            self.dues = moments if isinstance(work, Events) else islice(moments, work.count)
            self.next_due = next(self.dues, None)
            self.release_due()
            return
        self.is_released = True
        for _ in range(len(self.idle)):
            self.give_work(self.idle.popleft())

    async def run(self) -> Outcome:
        """Open the connections, then run the plan to its end; raises TimeoutError past its patience."""
        cpu_before_s = cpu_s()
        for _ in range(self.plan.connections):
            await self.open(Connection(self))
        self.start()
        async with asyncio.timeout(self.plan.seconds + self.plan.patience_s):
            await self.finished
        self.alarm.close()
        return Outcome(
            first_send_at=self.started_at,
            last_reply_at=time.monotonic(),
            accepted=self.accepted,
            statuses=dict(self.statuses),
            resent=self.resent,
            latency_ms={name: value * 1000 for name, value in percentiles(self.latencies).items()},
            cpu_s=cpu_s() - cpu_before_s,
            unexpected=self.unexpected,
        )


def _errands(work: Errands) -> Iterator[Request]:
    """Yield each errand once."""
    return ((target, (head, work.body)) for target, head in enumerate(work.heads))


def retry_after_s(data: bytes) -> float | None:
    """Return the seconds of a reply's Retry-After, None without one."""
    head = data[: data.find(b"\r\n\r\n")].lower()
    _, found, rest = head.partition(b"\r\nretry-after:")
    return float(rest.partition(b"\r")[0]) if found else None


def cpu_s() -> float:
    """Return this process's user and system time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _write(line: Progress | Outcome) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


async def _main(plan: Plan) -> None:
    gc.freeze()
    gc.disable()
    _write(await Load(plan).run())


if __name__ == "__main__":
    prepare_process()
    take_short_turns()  # clients have machines of their own: how late this one is woken is not the product's
    uvloop.run(_main(msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
