"""
What every feature takes: one proctor session, and its events, each as a struct or all of them as columns.

Order is that of the sequence. Server time never runs backwards along it; the time at which a back-filled
event happened may.

>>> first = Event(session_id=7, seq=1, occurred_us=10, effective_us=None, client_us=None, event_type=1,
...               severity=0, is_violation=False, is_late=False)
>>> later = structs.replace(first, seq=2, occurred_us=30, client_us=29)
>>> events = Events.of([later, first])
>>> events.occurred_us.tolist(), len(events[1:]), list(events.rows(7)) == [first, later]
([10, 30], 1, True)

Source: spec.md I-6.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

NO_TIME: Final = -(2**63)  # where a client did not say its time
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Session(Struct, frozen=True, kw_only=True):
    """
    One proctor session of an attempt. Times in microseconds of the Unix epoch.

    `ended_us` is None until the stream has confirmed the end: from then on it cannot change.
    """

    session_id: int
    attempt_id: str
    exam_id: str
    student_id: str
    organisation_id: str
    mode: int
    started_us: int
    ended_us: int | None


class Event(Struct, frozen=True, kw_only=True):
    """
    One event. Times in microseconds of the Unix epoch; `effective_us` when it happened, where back-filled.
    """

    session_id: int
    seq: int
    occurred_us: int
    effective_us: int | None
    client_us: int | None
    event_type: int
    severity: int
    is_violation: bool
    is_late: bool


class Events(Struct, frozen=True):
    """
    Events of one session as columns of one length, ascending by sequence.

    `effective_us` is `occurred_us` where an event was not back-filled; `client_us` is NO_TIME where the
    client did not say.
    """

    seq: Ints
    occurred_us: Ints
    effective_us: Ints
    client_us: Ints
    event_type: Ints
    severity: Ints
    is_violation: Flags
    is_late: Flags
    is_backfilled: Flags

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seq)

    def __getitem__(self, chosen: slice) -> "Events":
        """Return those at the places."""
        return Events(*[column[chosen] for column in structs.astuple(self)])

    def followed_by(self, later: "Events") -> "Events":
        """Return these and those that come after them."""
        pairs = zip(structs.astuple(self), structs.astuple(later), strict=True)
        return Events(*[np.concatenate(pair) for pair in pairs])

    @classmethod
    def of(cls, events: Sequence[Event]) -> "Events":
        """Return one session's events, in any order, as columns."""
        ordered = sorted(events, key=lambda event: event.seq)
        return cls(
            seq=_ints([event.seq for event in ordered]),
            occurred_us=_ints([event.occurred_us for event in ordered]),
            effective_us=_ints(
                [event.occurred_us if event.effective_us is None else event.effective_us for event in ordered]
            ),
            client_us=_ints([NO_TIME if event.client_us is None else event.client_us for event in ordered]),
            event_type=_ints([event.event_type for event in ordered]),
            severity=_ints([event.severity for event in ordered]),
            is_violation=np.array([event.is_violation for event in ordered], dtype=np.bool_),
            is_late=np.array([event.is_late for event in ordered], dtype=np.bool_),
            is_backfilled=np.array([event.effective_us is not None for event in ordered], dtype=np.bool_),
        )

    def rows(self, session_id: int) -> Iterator[Event]:
        """Yield them one by one, as events of that session."""
        columns = (column.tolist() for column in structs.astuple(self))
        for seq, occurred, effective, client, kind, severity, is_violation, is_late, is_backfilled in zip(
            *columns, strict=True
        ):
            yield Event(
                session_id=session_id,
                seq=seq,
                occurred_us=occurred,
                effective_us=effective if is_backfilled else None,
                client_us=None if client == NO_TIME else client,
                event_type=kind,
                severity=severity,
                is_violation=is_violation,
                is_late=is_late,
            )


def _ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


NO_EVENTS: Final = Events.of([])
