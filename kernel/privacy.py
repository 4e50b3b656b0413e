"""
How a person is erased: the states of an erasure and its steps, in their order (spec.md G-2). Pure.

What is held about a person, column by column, says `kernel.personal`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ErasureStatus(StrEnum):
    """Where an erasure is; what is done stays done."""

    requested = "requested"
    running = "running"
    done = "done"


# From each state, where it may go. A step that has to be waited for leaves it running.
TRANSITIONS: Final[Mapping[ErasureStatus, frozenset[ErasureStatus]]] = {
    ErasureStatus.requested: frozenset({ErasureStatus.running}),
    ErasureStatus.running: frozenset({ErasureStatus.running, ErasureStatus.done}),
    ErasureStatus.done: frozenset(),
}


class Step(StrEnum):
    """
    What an erasure does next.

    `account`: who they are and how they sign in. `attempts`: each attempt's texts, events and what was said
    of it. `observations`: what was found of them. `evidence`: each file. `archive`: the events that Parquet
    files have. `projections`: waits for what is computed of it again. `builds`: waits until the builds from
    before are gone.
    """

    account = "account"
    attempts = "attempts"
    observations = "observations"
    evidence = "evidence"
    archive = "archive"
    projections = "projections"
    builds = "builds"
    done = "done"


def following(step: Step) -> Step:
    """Return the step after one; raises IndexError after `done`."""
    steps = list(Step)
    return steps[steps.index(step) + 1]
