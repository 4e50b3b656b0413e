"""
Wakes an event loop at a moment, to within microseconds.

The timers of event loops count whole milliseconds: a request that fell due would leave half of one late in
the middle and 1.5 ms late at the 95th percentile, and its latency would hold that.
"""

import asyncio
import ctypes
import os
import struct
import time
from collections.abc import Callable
from typing import Final

GAP_S: Final = 0.0002  # moments closer together are served at one waking
_CLOEXEC_NONBLOCK: Final = os.O_CLOEXEC | os.O_NONBLOCK
_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
_SPEC: Final = struct.Struct("@llll")  # itimerspec: interval s, ns; value s, ns


class Alarm:
    """One moment at a time, on the clock of `time.monotonic`; `close` when done."""

    def __init__(self, callback: Callable[[], None]) -> None:
        """Belong to the running loop; raises OSError where the kernel has no timer for us."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._checked(self._libc.timerfd_create(time.CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK))
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        self._loop.add_reader(self._file, self._ring)

    def set(self, at: float) -> None:
        """Call back at this moment, or GAP_S from now if that is later; replaces the moment set before."""
        nanoseconds = int(max(at, time.monotonic() + GAP_S) * 1e9)
        spec = _SPEC.pack(0, 0, *divmod(nanoseconds, 1_000_000_000))
        self._checked(self._libc.timerfd_settime(self._file, _ABSOLUTE, spec, None))

    def close(self) -> None:
        """Never call back again."""
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _ring(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:  # it was set anew meanwhile
            return
        self._callback()

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result
