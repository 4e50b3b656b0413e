"""Threads for what takes a core: they leave it to whoever answers requests."""

import os
import sys
import threading
from typing import Final

NICENESS: Final = 10


def give_way() -> None:
    """
    Make the calling thread nicer, and those that it begins; elsewhere than on Linux niceness is the whole
    process's.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
