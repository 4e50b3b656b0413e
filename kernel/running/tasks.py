"""
The loops that a process keeps turning as long as it lives, each under a name.

None may end unseen. One that does, by an error that nobody expected or by itself, is named in the log,
counted, begun again after a pause, and told of in /readyz: at first as `degraded`, and as wrong when it ends
again and again. Errors that are expected (a server that is away) are the loop's own to wait out.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

import structlog
from aiohttp import web

from kernel.running.runtime import LOOP_ENDS

log = structlog.get_logger(__name__)

PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
STEADY_S: Final = 60.0  # a loop that has turned for so long is well again
WRONG_AFTER: Final = 3

Body = Callable[[], Awaitable[None]]


async def cancel(tasks: "Collection[asyncio.Task[None]]") -> None:
    """
    Cancel tasks and wait until they have ended; raises what one of them failed with.

    Whoever is cancelled while it waits is cancelled: to suppress the error of a task that one has cancelled
    would swallow one's own as well.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


class _Loop:
    """One loop: how often it has ended lately, when it began last, and what ended it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None  # None of a thread's
        self.ends = 0
        self.began_at = monotonic()
        self.why = ""

    def ended(self, error: Exception | None) -> float:
        """Note an end that nobody asked for; return the seconds to wait before the loop begins again."""
        if monotonic() - self.began_at > STEADY_S:
            self.ends = 0
        self.why = "it returned" if error is None else type(error).__name__
        pause_s = PAUSES_S[min(self.ends, len(PAUSES_S) - 1)]
        self.ends += 1
        LOOP_ENDS.labels(self.name).inc()
        log.error("loop_ended", loop=self.name, why=self.why, again_in_s=pause_s, exc_info=error)
        return pause_s

    def began(self) -> None:
        """Note that it turns again."""
        self.began_at = monotonic()

    def is_well(self) -> bool:
        """Tell whether it has never ended, or long ago."""
        return not self.ends or monotonic() - self.began_at > STEADY_S


class Watch:
    """The loops of one process, and how they are."""

    def __init__(self) -> None:
        """Begin with none."""
        self._loops: list[_Loop] = []

    @asynccontextmanager
    async def kept(
        self, *loops: tuple[str, Body], stop: Callable[[], None] | None = None
    ) -> AsyncIterator[None]:
        """
        Keep loops turning on the event loop while the block runs.

        Args:
            loops: name and body; a body is a function, called again when it has to begin again.
            stop: tells the bodies to end by themselves; without it they are cancelled.
        """
        stopping = asyncio.Event()
        tasks = [asyncio.create_task(self._keep(name, body, stopping), name=name) for name, body in loops]
        try:
            yield
        finally:
            stopping.set()
            if stop is not None:
                stop()
            else:
                for task in tasks:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, name: str, body: Body, stopping: asyncio.Event) -> None:
        loop = self._new(name)
        task = asyncio.current_task()
        assert task is not None, "a coroutine of a task"
        loop.task = task
        while not stopping.is_set():
            error: Exception | None = None
            loop.began()
            try:
                await body()
            except asyncio.CancelledError as cancelled:
                if task.cancelling():
                    raise
                error = RuntimeError(f"something within was cancelled: {cancelled!r}")
            except Exception as unexpected:  # noqa: BLE001  whatever it is, it is named and the loop goes on
                error = unexpected
            if not stopping.is_set():
                await asyncio.sleep(loop.ended(error))

    def thread(self, name: str, body: Callable[[], None], stop: threading.Event) -> threading.Thread:
        """Return a started thread that keeps a loop turning until `stop` is set; the body looks at it too."""
        loop = self._new(name)

        def keep() -> None:
            while not stop.is_set():
                error: Exception | None = None
                loop.began()
                try:
                    body()
                except Exception as unexpected:  # noqa: BLE001  as above
                    error = unexpected
                if not stop.is_set():
                    stop.wait(loop.ended(error))

        started = threading.Thread(target=keep, name=name, daemon=True)
        started.start()
        return started

    def _new(self, name: str) -> _Loop:
        loop = _Loop(name)
        self._loops = [other for other in self._loops if other.name != name] + [loop]
        return loop

    def wrong(self) -> list[str]:
        """Return a sentence for every loop that ends again and again."""
        return [_sentence(loop) for loop in self._loops if not loop.is_well() and loop.ends >= WRONG_AFTER]

    def degraded(self) -> list[str]:
        """Return a sentence for every loop that has ended lately and was begun again."""
        return [_sentence(loop) for loop in self._loops if not loop.is_well() and loop.ends < WRONG_AFTER]


def _sentence(loop: _Loop) -> str:
    return f"the loop {loop.name} has ended {loop.ends} times, last by {loop.why}, and was begun again"


WATCH: Final = web.AppKey("watch", Watch)
