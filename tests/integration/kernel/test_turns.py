"""Short turns and larger shares: what the scheduler promised, asked back of the kernel."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.redis import Redis
from kernel.running.turns import PRECEDENCE_NICE, SHORT_NS, take_precedence, take_short_turns, turn_ns

RELEASE = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
KEEPS_TURNS = RELEASE >= (6, 12) and platform.machine() in {"x86_64", "aarch64"}
NICE_MAX = 19
SLEEP = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]


@contextmanager
def sleeper(*, own_session: bool = True) -> Iterator[int]:
    """Yield the process id of a program that waits."""
    with subprocess.Popen(
        SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=own_session
    ) as process:
        yield process.pid
        process.communicate()


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def group_niceness(pid: int) -> int:
    """Return that of the process's session; of the process itself where the kernel does not group it."""
    group = Path(f"/proc/{pid}/autogroup")  # "/autogroup-7 nice 0"; empty in the session of init
    named = group.read_text().split() if group.exists() else []
    return int(named[-1]) if named else niceness(pid)


def held(pid: int) -> tuple[int, int]:
    return niceness(pid), group_niceness(pid)


def granted() -> tuple[int, int]:
    """
    Return the niceness, and the session's, of a process for which this account asks for precedence: those
    that it has anyway where the kernel refuses. Whoever runs the tests may run at any niceness.
    """
    with sleeper() as pid:
        as_started = held(pid)
        try:
            os.setpriority(os.PRIO_PROCESS, pid, min(niceness(pid), PRECEDENCE_NICE))
        except PermissionError:
            return as_started
        return niceness(pid), min(group_niceness(pid), PRECEDENCE_NICE)


def test_a_process_gets_short_turns_where_the_kernel_keeps_them() -> None:
    with sleeper() as pid:
        before = turn_ns(pid)
        take_short_turns(pid)
        after = turn_ns(pid)

    assert before > SHORT_NS or not KEEPS_TURNS
    assert after == (SHORT_NS if KEEPS_TURNS else before)


def test_the_stream_s_server_has_short_turns_from_its_start(redis_server: Redis) -> None:
    assert (turn_ns(redis_server.pid) == SHORT_NS) == KEEPS_TURNS


def test_precedence_is_a_larger_share_as_well_where_it_is_granted() -> None:
    with sleeper() as pid:
        take_precedence(pid)
        assert held(pid) == granted()
        assert (turn_ns(pid) == SHORT_NS) == KEEPS_TURNS


def test_precedence_does_not_lift_what_else_runs_in_the_session() -> None:
    with sleeper(own_session=False) as pid:
        before = group_niceness(os.getpid())
        take_precedence(pid)
        assert niceness(pid) == granted()[0]
        assert group_niceness(os.getpid()) == before


def test_who_has_precedence_already_keeps_it() -> None:
    with sleeper() as pid:
        if granted()[0] <= PRECEDENCE_NICE:
            os.setpriority(os.PRIO_PROCESS, pid, granted()[0] - 3)
        before = niceness(pid)
        take_precedence(pid)
        assert niceness(pid) == min(before, granted()[0])


def test_the_stream_s_server_has_precedence_from_its_start(redis_server: Redis) -> None:
    assert held(redis_server.pid) == granted()


def test_niceness_stays_as_it_was() -> None:
    with subprocess.Popen(
        ["nice", "-n", "5", *SLEEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # `nice` has become the interpreter
        take_short_turns(process.pid)
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.communicate()

    assert nice == min(niceness(0) + 5, NICE_MAX)


@pytest.mark.parametrize("machine", ["riscv64", ""])
def test_on_other_machines_nothing_happens(machine: str) -> None:
    program = (
        "import platform; platform.machine = lambda: " + repr(machine) + "\n"
        "from kernel.running.turns import take_short_turns, turn_ns\n"
        "take_short_turns(); print(turn_ns())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "0\n"
