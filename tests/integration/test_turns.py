"""Short turns: what the scheduler promised, asked back of the kernel."""

import os
import platform
import subprocess
import sys

import pytest

from deploy.local.redis import Redis
from kernel.turns import SHORT_NS, take_short_turns, turn_ns

RELEASE = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
KEEPS_TURNS = RELEASE >= (6, 12) and platform.machine() in {"x86_64", "aarch64"}
SLEEP = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]


def test_a_process_gets_short_turns_where_the_kernel_keeps_them() -> None:
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        before = turn_ns(process.pid)
        take_short_turns(process.pid)
        after = turn_ns(process.pid)
        process.communicate()

    assert before > SHORT_NS or not KEEPS_TURNS
    assert after == (SHORT_NS if KEEPS_TURNS else before)


def test_the_stream_s_server_has_short_turns_from_its_start(redis_server: Redis) -> None:
    assert (turn_ns(redis_server.pid) == SHORT_NS) == KEEPS_TURNS


def test_niceness_stays_as_it_was() -> None:
    with subprocess.Popen(
        ["nice", "-n", "5", *SLEEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # `nice` has become the interpreter
        take_short_turns(process.pid)
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.communicate()

    assert nice == 5


@pytest.mark.parametrize("machine", ["riscv64", ""])
def test_on_other_machines_nothing_happens(machine: str) -> None:
    program = (
        "import platform; platform.machine = lambda: " + repr(machine) + "\n"
        "from kernel.turns import take_short_turns, turn_ns\n"
        "take_short_turns(); print(turn_ns())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "0\n"
