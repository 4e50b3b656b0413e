"""
Where an observation stands, and what may follow. Pure; the database asks a table of its own that says the
same (sql/migrations/0109_observations.sql).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """
    `finalised` by its observer, `accepted` or `returned` by staff, the last word counts; `amended` by a
    further observation that stands in its place.
    """

    finalised = "finalised"
    accepted = "accepted"
    returned = "returned"
    amended = "amended"


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.finalised: frozenset({State.accepted, State.returned, State.amended}),
    State.returned: frozenset({State.returned, State.accepted, State.amended}),
    State.accepted: frozenset({State.accepted, State.returned, State.amended}),
    State.amended: frozenset(),
}
