"""Conditions that come true in time, or fail the test."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

WITHIN_S: Final = 40.0


def wait_until(done: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait for a condition; raise when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        time.sleep(0.01)


async def until(done: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait for a condition without holding up the loop."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        await asyncio.sleep(0.01)
