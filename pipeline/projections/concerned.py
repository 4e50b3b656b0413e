"""
Whom a change concerns: the projections that rest on what a mark says is another, and what rests on these.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Final

from pipeline.projections.projection import Projection
from pipeline.projections.reading import CARRIED, COHORTS, SOURCES
from sql import named

_TABLE: Final = re.compile(r"reporting\.(\w+)")
# Attempts that are over are no dataset: what was handed in tells of each, and what is thought of it.
_ATTEMPTS: Final = frozenset({"submissions", "behavior_analysis"})


def concerned(own: Sequence[Projection], frames: Collection[str]) -> list[Projection]:
    """
    Return those of a layer's projections, in their order, whose rows may be others.

    Args:
        own: projections of one layer.
        frames: what is another: datasets, or names of what `sources.sql` has.
    """
    changed, found = set(frames), []
    for each in own:
        if any(name in changed or rests_on(name) & changed for name in each.takes):
            found.append(each)
            changed.add(each.dataset.name)
    return found


@cache
def rests_on(frame: str) -> frozenset[str]:
    """Return the datasets that a frame is made of: those that its statements name."""
    if frame == "attempts":
        return _ATTEMPTS
    if frame in COHORTS:
        return frozenset({COHORTS[frame].name})
    if frame in CARRIED:
        return _tables(named(frame).texts.values())
    return _tables([SOURCES[frame]]) if frame in SOURCES.texts else frozenset({frame})


def _tables(statements: Iterable[str]) -> frozenset[str]:
    return frozenset(name for text in statements for name in _TABLE.findall(text))
