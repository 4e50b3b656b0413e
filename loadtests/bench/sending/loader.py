"""
The load: one process with raw keep-alive connections that sends pre-encoded requests and counts every reply.

Closed loop: each connection sends as soon as its reply is there; that finds saturation. Open loop: requests
fall due at random moments (Poisson, as from many independent clients) whether or not earlier ones were
answered, and latency counts from the due moment, so that a stall is seen by every request it delays. A
refusal with `Retry-After` is sent again after it, a cut connection is opened again and its request repeated;
any other reply ends the run.

Runs as `python -m loadtests.bench.sending.loader PLAN.json`: progress and, last, the outcome go to standard
output as JSON lines. What it costs per request is measured in its test, `test_bench_loader.py`.
"""

import asyncio
import gc
import random
import resource
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec
import uvloop

from kernel.running.process import prepare_process
from kernel.running.turns import take_short_turns
from loadtests.bench.sending.alarm import Alarm
from loadtests.bench.sending.loads import LoadError, Outcome, Plan, Progress, percentiles
from loadtests.bench.sending.wire import EVENTS_PER_REQUEST, NUMBER_WIDTH, STATUS_ACCEPTED, starts, tails

PROGRESS_S: Final = 0.5
REFRESH_S: Final = 1.0  # how often the client timestamps in the events are renewed
DRAIN_S: Final = 30.0  # how long outstanding requests may take after the last one fell due
RECONNECT_S: Final = 0.2
RETRY_STATUSES: Final = frozenset({429, 503})


class Work(Protocol):
    """What gives connections their requests and takes the replies; `target` is the work's own number."""

    def pieces(self, target: int, number: int) -> Sequence[bytes]:
        """Return the bytes of one request."""

    def give_work(self, connection: "Connection") -> None:
        """Start an idle connection's next request, now or later."""

    def take_reply(self, connection: "Connection", status: int, data: bytes) -> None:
        """Take the whole reply to the outstanding request."""

    def reopen(self, connection: "Connection") -> None:
        """Open a connection again that was cut."""


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request outstanding."""

    def __init__(self, load: Work) -> None:
        """Belong to the load, which gives out the work."""
        self.load = load
        self.transport: asyncio.WriteTransport | None = None
        self.target = -1  # index of the outstanding request's target; -1 is idle
        self.number = 0
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
            self.transport.writelines(self.load.pieces(self.target, self.number))

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
        """Encode every request of the plan."""
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.tails = tails(plan.shape, datetime.now(UTC))
        self.starts = starts(plan.shape, plan.targets, instance=plan.instance, tail_bytes=len(self.tails[0]))
        self.numbers = [1] * len(plan.targets)  # the next clientSequence of each target
        self.events_per_request = EVENTS_PER_REQUEST[plan.shape]
        self.accepted_status = STATUS_ACCEPTED[plan.shape]
        self.accepted = [0] * len(plan.targets)
        self.statuses: Counter[int] = Counter()
        self.latencies = array("d")
        self.resent = 0
        self.opening: set[asyncio.Task[None]] = set()
        self.outstanding = 0
        self.cursor = 0
        self.is_released = False  # nothing more will fall due
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.dice = random.Random(1)
        self.alarm = Alarm(self.release_due)
        self.started_at = self.deadline = self.next_due = 0.0

    # -- work

    def pieces(self, target: int, number: int) -> tuple[bytes, bytes, bytes]:
        """Return the bytes of one request."""
        return (
            self.starts[target],
            str(number).ljust(NUMBER_WIDTH).encode(),
            self.tails[number % len(self.tails)],
        )

    def give_work(self, connection: Connection) -> None:
        """Start a connection's next request: at once in closed loop, when one is due in open loop."""
        now = time.monotonic()
        if self.plan.rate_per_s is not None:
            if self.due:
                self._start(connection, self.due.popleft())
            else:
                self.idle.append(connection)
                self._finish_when_done()
        elif now < self.deadline:
            self._start(connection, now)
        else:
            self.is_released = True
            self._finish_when_done()

    def _start(self, connection: Connection, due: float) -> None:
        target = self.cursor
        self.cursor = target + 1 if target + 1 < len(self.starts) else 0
        connection.target, connection.due = target, due
        connection.number = self.numbers[target]
        self.numbers[target] += self.events_per_request
        self.outstanding += 1
        connection.send()

    def release_due(self) -> None:
        """Hand out what has fallen due, and come back when the next request does (open loop)."""
        now = time.monotonic()
        rate = self.plan.rate_per_s
        assert rate is not None, "only the open loop schedules"
        while self.next_due <= now and self.next_due < self.deadline:
            if self.idle:
                self._start(self.idle.popleft(), self.next_due)
            else:
                self.due.append(self.next_due)
            self.next_due += self.dice.expovariate(rate)
        if self.next_due < self.deadline:
            self.alarm.set(self.next_due)
        else:
            self.is_released = True
            self._finish_when_done()

    # -- replies

    def take_reply(self, connection: Connection, status: int, data: bytes) -> None:
        """Count the reply, then give the connection its next request."""
        self.statuses[status] += 1
        if status == self.accepted_status:
            self.latencies.append(time.monotonic() - connection.due)
            self.accepted[connection.target] += 1
            connection.target = -1
            self.outstanding -= 1
            self.give_work(connection)
        elif status in RETRY_STATUSES and (wait_s := retry_after_s(data)) is not None:
            self.resent += 1
            self.loop.call_later(wait_s, connection.send)
        elif not self.finished.done():
            self.finished.set_exception(LoadError(data.decode(errors="replace")))

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

    def refresh(self) -> None:
        """Renew the client timestamps in the events."""
        self.tails = tails(self.plan.shape, datetime.now(UTC))
        self.loop.call_later(REFRESH_S, self.refresh)

    def report(self) -> None:
        """Write a line of progress."""
        if self.finished.done():
            return
        _write(Progress(time.monotonic() - self.started_at, self.statuses[self.accepted_status]))
        self.loop.call_later(PROGRESS_S, self.report)

    async def run(self) -> Outcome:
        """Run the plan to its end; raises LoadError on a reply that no client should get."""
        cpu_before_s = cpu_s()
        self.started_at = self.next_due = time.monotonic()
        self.deadline = self.started_at + self.plan.seconds
        self.refresh()
        self.report()
        for _ in range(self.plan.connections):
            self.open_soon(Connection(self))
        if self.plan.rate_per_s is not None:
            self.release_due()
        async with asyncio.timeout(self.plan.seconds + DRAIN_S):
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
        )


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
    uvloop.run(_main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
