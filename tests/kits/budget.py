"""
How long a test may take: what is longer says why, or fails.

A second of a crowded machine is not one of a quiet one, so a limit is that of a machine with a core for
everything that runs, times how many share a core now. What a module's tests share is begun in the first one's
setup, which has a limit of its own.
"""

import os
from typing import Final

import pytest

CALL_S_MAX: Final = 30.0
SLOW_S_MAX: Final = 180.0
SHARED_S_MAX: Final = 90.0  # setup or teardown


def crowding() -> float:
    """Return how many share a core, on the average of the last minute; 1 at the least."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def fault_of(when: str, lasted_s: float, reason: str | None, crowded: float) -> str | None:
    """
    Say what is wrong with how long a phase of a test took; None where nothing is.

    Args:
        when: `setup`, `call` or `teardown`.
        lasted_s: how long it took.
        reason: of the test's mark `slow`, None without one.
        crowded: see `crowding`.
    """
    if when != "call":
        limit, help_ = SHARED_S_MAX, "share what it begins (CONTRIBUTING.md, “Tests stay fast”)"
    elif reason is None:
        limit, help_ = CALL_S_MAX, "make it faster, or give it @pytest.mark.slow with the reason"
    else:
        limit, help_ = SLOW_S_MAX, "not even one that is marked slow may take so long"
    if lasted_s <= limit * crowded:
        return None
    return f"its {when} took {lasted_s:.1f} s of {limit:.0f} s, {crowded:.1f} to a core: {help_}"


def hold(item: pytest.Item, report: pytest.TestReport) -> None:
    """Let a phase that passed, and took too long, fail."""
    mark = item.get_closest_marker("slow")
    reason = None if mark is None else str(mark.args[0])
    if report.passed and (fault := fault_of(report.when, report.duration, reason, crowding())):
        report.outcome, report.longrepr = "failed", fault
