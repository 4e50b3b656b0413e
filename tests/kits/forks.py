"""
Programs of ours as copies of a process that has imported them: what kills them again and again begins them
here, for a tenth of what `python -m` costs. That they begin on their own, the tests of the stack show.
"""

import ctypes
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ("core_api", "ingest", "ingest.writer", "pipeline")
PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>
CONTEXT: Final = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([*(f"{name}.__main__" for name in PROGRAMS), "tests.kits.pipeline_child"])


class Forked:
    """A process that runs a function; it ends with ours, however that one ends."""

    def __init__(self, target: Callable[..., object], *arguments: Any) -> None:
        self._process = CONTEXT.Process(target=_run, args=(target, arguments), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its id, after its end too."""
        assert self._process.pid is not None, "started"
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, within_s: float | None = None) -> int:
        """Return the exit code once it has ended; raises TimeoutError."""
        self._process.join(within_s)
        code = self._process.exitcode
        if code is None:
            raise TimeoutError(f"process {self.pid} runs on after {within_s} s")
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start_program(module: str, environment: Mapping[str, str], log: Path) -> Forked:
    """Start what `python -m module` does, with this environment alone; its output goes to the log."""
    return Forked(_program, module, dict(environment), log)


def _run(target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # our parent is the one that is copied
    target(*arguments)


def _program(module: str, environment: dict[str, str], log: Path) -> None:
    with log.open("ab") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
