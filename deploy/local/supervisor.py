"""
Keep the tiers' processes running: start, log what they print, start again whatever dies, stop in order.

What was ready and dies is started again at once, as often as that happens: clients wait for it. What ends
again and again without having been ready is started ever less often, for a start costs the others computing
time.

Everything here runs on one event loop in the main thread: a child ends with the thread that started it.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import aiohttp
import msgspec

from deploy.local.logs import Log, tail
from deploy.local.server import Server, ServerError, with_parent

READY_S_MAX: Final = 90.0
POLL_S: Final = 0.1
BACK_OFF_S: Final = (0.25, 10.0)  # before the second start in a row that follows no readiness, and at most
STARTS_MAX: Final = 3  # a tier that ends so often without having been ready is broken, not unlucky
LINE_BYTES_MAX: Final = 1 << 16

Report = Callable[[str], None]


class StackError(ServerError):
    """The stack cannot be started; the message says why and where to look."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """
    One process of ours: its name, the interpreter's arguments, its environment.

    `ready_url` answers 200 when it is ready. Tiers stop from the lowest `stop_rank` to the highest, those of
    one rank together.
    """

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    ready_url: str
    stop_rank: int


class BackOff:
    """How long to wait before the next start: not at all after readiness, ever longer without any."""

    def __init__(self) -> None:
        self.unready = 0  # lives in a row that never got ready

    def after(self, *, was_ready: bool) -> float:
        """Return the seconds to wait after a life that ended: 0, 0.25, 0.5, 1, ... 10 without readiness."""
        self.unready = 0 if was_ready else self.unready + 1
        least, most = BACK_OFF_S
        return 0.0 if self.unready < 2 else float(min(most, least * 2 ** min(self.unready - 2, 10)))

    def plan(self, delay: float) -> str:
        """Say what follows, and why."""
        if delay == 0:
            return "starting it again at once"
        return f"{self.unready} times in a row before it was ready: starting it again in {delay:g} s"


class Child:
    """A tier's process, started again whenever it dies."""

    def __init__(self, tier: Tier, log: Log, report: Report) -> None:
        self.tier = tier
        self.starts = 0
        self._ready = asyncio.Event()  # in the life that runs now
        self._answer = "no answer"
        self._back_off = BackOff()
        self._log = log
        self._report = report
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._keep_running(), name=tier.name)

    @property
    def pid(self) -> int | None:
        """Process id, None between a death and the next start."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def wait_ready(self) -> None:
        """
        Wait until the tier says that it is ready.

        Raises:
            StackError: it keeps ending, or is not ready within READY_S_MAX seconds.
        """
        deadline = monotonic() + READY_S_MAX
        while not self._ready.is_set():
            if self._back_off.unready >= STARTS_MAX:
                raise self._unready("ends as soon as it is started")
            if monotonic() > deadline:
                raise self._unready(f"is not ready ({self._answer})")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), POLL_S)

    def _unready(self, why: str) -> StackError:
        return StackError(f"{self.tier.name} {why}; {self._log.path} ends:\n{tail(self._log.path)}")

    async def stop(self, deadline_s: float) -> None:
        """End the process with SIGTERM, after `deadline_s` with SIGKILL, and do not start it again."""
        self._ending.set()
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
        _, late = await asyncio.wait([self._task], timeout=deadline_s)
        if late:
            self._report(f"{self.tier.name} did not stop within {deadline_s:.0f} s and is killed")
            if process is not None and process.returncode is None:
                process.kill()
            await asyncio.wait([self._task])
        self._log.close()

    async def _keep_running(self) -> None:
        back_off = self._back_off
        while not self._ending.is_set():
            self._ready.clear()
            noticing = asyncio.create_task(self._notice_ready(monotonic()))
            try:
                ended = f"ended ({_reason(await self._run_once())})"
            except OSError as error:  # no memory, no open file, no process left to start it with
                ended = f"cannot be started ({error.strerror})"
            noticing.cancel()
            if self._ending.is_set():
                return
            delay = back_off.after(was_ready=self._ready.is_set())
            self._report(f"{self.tier.name} {ended}; {back_off.plan(delay)}, see {self._log.path}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), delay)

    async def _notice_ready(self, started: float) -> None:
        """Ask until this very process says that it is ready: another one may answer on a port they share."""
        timeout = aiohttp.ClientTimeout(total=5)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            while not await self._says_ready(http):  # noqa: ASYNC110  a process cannot set an event of ours
                await asyncio.sleep(POLL_S)
            if self.starts > 1:
                self._report(f"{self.tier.name} is ready again after {monotonic() - started:.1f} s")
            self._ready.set()

    async def _says_ready(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(self.tier.ready_url) as reply:
                self._answer = await reply.text()
                return reply.status == 200 and _pid_in(self._answer) == self.pid
        except (aiohttp.ClientError, TimeoutError):
            self._answer = "no answer"
            return False

    async def _run_once(self) -> int:
        """Run the process to its end, copying what it prints to the log; return its exit code."""
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            *with_parent(signal.SIGTERM),
            sys.executable,
            *self.tier.arguments,
            env=self.tier.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the supervisor, which stops the tiers in order
        )
        if self._ending.is_set():  # told to stop while it was being started
            self._process.terminate()
        assert self._process.stdout is not None, "its output is a pipe"
        while chunk := await self._process.stdout.read(LINE_BYTES_MAX):
            self._log.write(chunk)
        return await self._process.wait()


async def watch_server(server: Server, report: Report) -> None:
    """Start the server, which answers now, again whenever it dies, until cancelled."""
    back_off = BackOff()
    was_ready = True
    while True:
        await asyncio.sleep(POLL_S)
        if server.is_running():
            continue
        delay = back_off.after(was_ready=was_ready)
        report(f"{server.name} ended; {back_off.plan(delay)}, see {server.log}")
        await asyncio.sleep(delay)
        started = monotonic()
        try:
            server.launch()
            await asyncio.to_thread(server.wait)
        except ServerError as error:  # it runs, and may yet answer
            report(str(error))
        except OSError as error:  # a full disk say: there may be room at the next try
            report(f"{server.name} cannot be started ({error.strerror})")
        was_ready = server.is_running()
        if was_ready:
            report(f"{server.name} answers again after {monotonic() - started:.1f} s")


async def stop_in_order(children: Sequence[Child], deadline_s: float) -> None:
    """Stop the tiers rank by rank; each rank has `deadline_s` seconds."""
    for rank in sorted({child.tier.stop_rank for child in children}):
        await asyncio.gather(*(child.stop(deadline_s) for child in children if child.tier.stop_rank == rank))


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _pid_in(answer: str) -> int | None:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any]).get("pid")
    except msgspec.DecodeError:
        return None
