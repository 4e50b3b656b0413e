"""
What happened during an attempt, carried forward as events arrive.

The fold's form of `activity`: `start` with a session, `advance` its state by what arrived since, as columns,
and `finish` the attempt's row from its sessions' states. However events are cut, the row is the one that
`attempt_activity` gives over all of them.

>>> from pipeline.features.activity import attempt_activity
>>> from pipeline.features.session import Event
>>> session = Session(session_id=1, attempt_id="a", exam_id="e", student_id="s", organisation_id="o", mode=2,
...                   started_us=0, ended_us=None)
>>> seen = Event(session_id=1, seq=1, occurred_us=15_000_000, effective_us=None, client_us=None, event_type=1,
...              severity=0, is_violation=False, is_late=False)
>>> then = Event(session_id=1, seq=2, occurred_us=65_000_000, effective_us=None, client_us=None, event_type=1,
...              severity=0, is_violation=False, is_late=False)
>>> state = advance(advance(start(session), Events.of([seen]), session), Events.of([then]), session)
>>> finish([session], {1: state}) == attempt_activity([session], [seen, then])
True

Source: analytics.md, "Common rules".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from kernel.events import EventType
from pipeline.features.activity import (
    INTERVAL_US,
    SILENCE_US,
    SKEW_DIGITS,
    TYPE_NAMES,
    Tally,
    rounded_ms,
    row_of,
)
from pipeline.features.session import NO_TIME, Events, Ints, Session

FEW: Final = 250  # events that are counted faster one by one
HEARTBEAT: Final = int(EventType.Heartbeat)


class State(Struct, frozen=True, array_like=True):
    """
    One session's activity as far as it was folded. Times in microseconds of the Unix epoch.

    `heard_us` is its last point in time, its start at first, and `timely` how many events were points;
    `place` is the last interval of 15 s that held a heartbeat, counted from 0. Bounded: 256 kinds, 6
    severities, and of `offsets` less than 2,000 for each power of ten that a clock can be off by.
    """

    heard_us: int
    events: int = 0
    violations: int = 0
    late: int = 0
    kinds: dict[int, int] = {}
    severities: dict[int, int] = {}
    first_us: int | None = None
    last_us: int | None = None
    timely: int = 0
    silence_us: int = 0
    silences: int = 0
    heartbeats: int = 0
    covered: int = 0
    place: int = -1
    offsets: dict[int, int] = {}


def start(session: Session) -> State:
    """Return the state of a session of which nothing has arrived."""
    return State(heard_us=session.started_us)


def advance(state: State, events: Events, session: Session) -> State:
    """Return the state with these events, which follow by sequence what it has."""
    if not len(events):
        return state
    return (advance_few if len(events) <= FEW else advance_many)(state, events, session)


def advance_few(state: State, events: Events, session: Session) -> State:
    """Say what `advance_many` says, one by one: columns cost more to set up than some events do."""
    kinds, severities, offsets = dict(state.kinds), dict(state.severities), dict(state.offsets)
    heard_us, silence_us, place = state.heard_us, state.silence_us, state.place
    violations = late = silences = heartbeats = covered = 0
    occurred = events.occurred_us.tolist()
    for occurred_us, client_us, kind, severity, is_violation, is_late, is_backfilled in zip(
        occurred,
        events.client_us.tolist(),
        events.event_type.tolist(),
        events.severity.tolist(),
        events.is_violation.tolist(),
        events.is_late.tolist(),
        events.is_backfilled.tolist(),
        strict=True,
    ):
        kinds[kind] = kinds.get(kind, 0) + 1
        severities[severity] = severities.get(severity, 0) + 1
        violations += is_violation
        if is_late:
            late += 1
            continue
        if occurred_us > heard_us:
            gap_us, heard_us = occurred_us - heard_us, occurred_us
            silence_us = max(silence_us, gap_us)
            silences += gap_us >= SILENCE_US
        if kind == HEARTBEAT:
            heartbeats += 1
            before, place = place, (heard_us - session.started_us) // INTERVAL_US
            covered += place != before
            if client_us != NO_TIME and not is_backfilled:
                offset = rounded_ms(client_us - occurred_us)
                offsets[offset] = offsets.get(offset, 0) + 1
    first_us, last_us = min(occurred), max(occurred)
    return State(
        heard_us=heard_us,
        events=state.events + len(occurred),
        violations=state.violations + violations,
        late=state.late + late,
        kinds=kinds,
        severities=severities,
        first_us=first_us if state.first_us is None else min(first_us, state.first_us),
        last_us=last_us if state.last_us is None else max(last_us, state.last_us),
        timely=state.timely + len(occurred) - late,
        silence_us=silence_us,
        silences=state.silences + silences,
        heartbeats=state.heartbeats + heartbeats,
        covered=state.covered + covered,
        place=place,
        offsets=offsets,
    )


def advance_many(state: State, events: Events, session: Session) -> State:
    """Return the state with these events, at least one, column by column."""
    timely = ~events.is_late
    occurred, is_beat = events.occurred_us[timely], (events.event_type == EventType.Heartbeat)[timely]
    points = np.maximum.accumulate(np.concatenate(([state.heard_us], occurred)))
    gaps = np.diff(points)
    places = (points[1:][is_beat] - session.started_us) // INTERVAL_US
    client = events.client_us[timely]
    telling = is_beat & (client != NO_TIME) & ~events.is_backfilled[timely]
    first, last = int(events.occurred_us.min()), int(events.occurred_us.max())
    return State(
        heard_us=int(points[-1]),
        events=state.events + len(events),
        violations=state.violations + int(np.count_nonzero(events.is_violation)),
        late=state.late + int(np.count_nonzero(events.is_late)),
        kinds=_counted(state.kinds, events.event_type),
        severities=_counted(state.severities, events.severity),
        first_us=first if state.first_us is None else min(first, state.first_us),
        last_us=last if state.last_us is None else max(last, state.last_us),
        timely=state.timely + len(gaps),
        silence_us=max(state.silence_us, int(gaps.max(initial=0))),
        silences=state.silences + int(np.count_nonzero(gaps >= SILENCE_US)),
        heartbeats=state.heartbeats + len(places),
        covered=state.covered + int(np.count_nonzero(np.diff(places, prepend=state.place))),
        place=int(places[-1]) if len(places) else state.place,
        offsets=_counted(state.offsets, _rounded_ms(client[telling] - occurred[telling])),
    )


def _counted(before: dict[int, int], values: Ints) -> dict[int, int]:
    """Return the counts with those of the values."""
    if not len(values):
        return before
    added: dict[int, int] = Counter(values.tolist())
    return {**before, **{value: before.get(value, 0) + count for value, count in added.items()}}


_POWERS: Final[npt.NDArray[np.int64]] = 10 ** np.arange(SKEW_DIGITS, 19, dtype=np.int64)


def _rounded_ms(offsets_us: Ints) -> Ints:
    """Say what `rounded_ms` says, of a column."""
    whole = (np.abs(offsets_us) + 500) // 1000
    unit = 10 ** np.searchsorted(_POWERS, whole, side="right").astype(np.int64)
    rounded: Ints = np.sign(offsets_us) * ((whole + unit // 2) // unit * unit)
    return rounded


def finish(sessions: Sequence[Session], states: Mapping[int, State]) -> dict[str, Any] | None:
    """
    Return the attempt's row as `attempt_activity` gives it.

    Args:
        sessions: all proctor sessions of the attempt, any order, at least one.
        states: each one's, by its id.
    """
    own = [(session, states[session.session_id]) for session in sessions]
    seen = [
        (each.first_us, each.last_us)
        for _, each in own
        if each.first_us is not None and each.last_us is not None
    ]
    if not seen:
        return None
    tally = Tally(
        kinds=Counter(),
        severities=Counter(),
        first_us=min(first for first, _ in seen),
        last_us=max(last for _, last in seen),
        offsets=Counter(),
    )
    for session, state in own:
        _add(tally, session, state)
    return row_of(sessions, tally)


def _add(tally: Tally, session: Session, state: State) -> None:
    """Add a session to what its attempt's row is made of."""
    end = max(state.heard_us, session.ended_us or 0)
    last = end - state.heard_us
    if state.timely or last:
        tally.silence_us = max(state.silence_us, last, tally.silence_us or 0)
    whole = (end - session.started_us) // INTERVAL_US
    tally.events += state.events
    tally.violations += state.violations
    tally.late += state.late
    for kind, count in state.kinds.items():
        tally.kinds[TYPE_NAMES.get(kind, "Other")] += count
    tally.severities.update({str(severity): count for severity, count in state.severities.items()})
    tally.silences += state.silences + (last >= SILENCE_US)
    tally.intervals += whole
    tally.covered += state.covered - (state.place >= whole)
    tally.heartbeats += state.heartbeats
    tally.offsets.update(state.offsets)
