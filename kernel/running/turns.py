"""
How soon and for how long the scheduler lets a process compute.

A process that waits for many small things (ingest, Redis) is woken thousands of times a second, and each time
stands behind whoever computes just then until their turn is over: 3 ms and more, which is the tail of every
acknowledgement on a machine with few cores. Short turns of its own let it in at once; Linux keeps them since
6.12, for anybody's own processes. A larger share lets it in again sooner when all cores are taken; for that
one must be root or have CAP_SYS_NICE. Whatever the kernel refuses stays as it was.
"""

import contextlib
import ctypes
import os
import platform
import struct
from pathlib import Path
from typing import Final

SHORT_NS: Final = 200_000
PRECEDENCE_NICE: Final = -5  # three times the share of a process that asks for nothing
# sched_setattr and sched_getattr, <asm/unistd.h>
_CALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275)}
_ATTR: Final = struct.Struct("<IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period


def take_precedence(pid: int = 0) -> None:
    """
    Ask for short turns and a larger share for a process that acknowledges; 0 is the caller.

    What it starts later inherits both. Never raises.
    """
    _take_larger_share(pid or os.getpid())
    take_short_turns(pid)


def take_short_turns(pid: int = 0) -> None:
    """
    Ask for turns of 0.2 ms for a process of ours, 0 being the caller; what it starts later inherits them.

    Never raises: a kernel that refuses leaves the turns as they are.
    """
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return
    try:
        nice = os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return
    attr = _ATTR.pack(_ATTR.size, os.SCHED_OTHER, 0, nice, 0, SHORT_NS, 0, 0)
    ctypes.CDLL(None).syscall(calls[0], pid, attr, 0)


def turn_ns(pid: int = 0) -> int:
    """Return how long a turn of the process is, in ns; 0 where the kernel does not tell."""
    calls = _CALLS.get(platform.machine())
    attr = ctypes.create_string_buffer(_ATTR.size)
    if calls is None or ctypes.CDLL(None).syscall(calls[1], pid, attr, _ATTR.size, 0) != 0:
        return 0
    runtime: int = _ATTR.unpack(attr.raw)[5]
    return runtime


def _take_larger_share(pid: int) -> None:
    """Set niceness; where the kernel groups processes by session (sched_autogroup), the group's as well."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, pid), PRECEDENCE_NICE))
        if os.getsid(pid) == pid:  # never a share for a shell and all that runs in it
            Path(f"/proc/{pid}/autogroup").write_text(str(PRECEDENCE_NICE))
