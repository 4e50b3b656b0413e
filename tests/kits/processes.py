"""Programs of ours beside a test: on a loop in a thread, or as processes of their own."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kits.forks import Forked, start_program

WITHIN_S = 30.0
# An address of this machine beside 127.0.0.1: IPv6's, but where a container has none.
SECOND_HOST = (
    "::1" if Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text() else "127.0.0.2"
)
There = Callable[[Coroutine[Any, Any, Any]], Any]
Start = Callable[[], Forked]


@contextmanager
def loop_beside() -> Iterator[There]:
    """Run a loop in a thread; give the way onto it, which waits for what it was handed."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(WITHIN_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WITHIN_S)
        loop.close()


@contextmanager
def pipelines(log: Path, settings: Mapping[str, str]) -> Iterator[Start]:
    """Give what starts the pipeline as the supervisor does; whatever still runs at the end is killed."""
    running: list[Forked] = []
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VERITAS_")}
    environment = inherited | {f"VERITAS_{name.upper()}": value for name, value in settings.items()}

    def start() -> Forked:
        running.append(start_program("pipeline", environment, log))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def kill_and_wait(program: str, argument: Path) -> bool:
    """Run a program that prints the id of a process, kill it, and tell whether that process ends soon."""
    command = [sys.executable, "-c", program, str(argument)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        process = Path(f"/proc/{int(owner.stdout.readline())}/cmdline")
        time.sleep(0.5)  # what was started has begun: the kernel knows what to do when its owner dies
        owner.kill()
    deadline = time.monotonic() + 10
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not process.exists()
