"""
What happened during an attempt, counted and timed: one row per attempt.

`attempt_activity` over all of an attempt's events is the definition. The fold says the same of what it has
carried forward: `start` with a session, `advance` its state by what arrived since, as columns, and `finish`
the attempt's row from its sessions' states. A property test holds the two equal, however events are cut. All
sums are integers until the last division, so nothing but the events can change a number.
Source: analytics.md, "Common rules".
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from kernel.events import HEARTBEAT_INTERVAL_S, HEARTBEAT_MISSED_AFTER_S, EventType
from pipeline.features.session import NO_TIME, Event, Events, Ints, Session

METRIC_VERSION: Final = "activity-2"
SECOND: Final = 1_000_000  # microseconds
INTERVAL_US: Final = HEARTBEAT_INTERVAL_S * SECOND
SILENCE_US: Final = HEARTBEAT_MISSED_AFTER_S * SECOND
INTERVALS_MIN: Final = 4  # under a minute of session says nothing about coverage
COVERAGE_PERCENT_MIN: Final = 80
FEW: Final = 250  # events that are counted faster one by one
HEARTBEAT: Final = int(EventType.Heartbeat)
SKEW_MS: Final = 60_000
SKEW_DIGITS: Final = 3  # of a clock's offset: what keeps the offsets of any number of heartbeats few
TYPE_NAMES: Final = {int(member): member.name for member in EventType}
EPOCH: Final = datetime.fromtimestamp(0, UTC)

SILENCE_TEXT: Final = "No event arrived for {} s; {} silences lasted 45 s or more."
COVERAGE_TEXT: Final = "{} of {} intervals of 15 s held a heartbeat."
NO_HEARTBEATS_TEXT: Final = "No heartbeat arrived, so their coverage and the clock are not known."
SHORT_TEXT: Final = "Less than a minute was monitored: too little for heartbeat coverage."
SKEW_TEXT: Final = "The candidate's clock differs from the server's by {} s."
LATE_TEXT: Final = "{} of {} events arrived after the session had ended."


class Tally(Struct, kw_only=True):
    """
    What an attempt's row is made of. Times in microseconds of the Unix epoch.

    `silence_us` is the longest and None with one point in time, `silences` those of 45 s and more;
    `intervals` whole ones of 15 s, `covered` those of them with a heartbeat; `offsets` of clocks in
    milliseconds, how many heartbeats told each.
    """

    events: int = 0
    violations: int = 0
    late: int = 0
    kinds: Counter[str]
    severities: Counter[str]
    first_us: int
    last_us: int
    silence_us: int | None = None
    silences: int = 0
    intervals: int = 0
    covered: int = 0
    heartbeats: int = 0
    offsets: Counter[int]


def attempt_activity(sessions: Sequence[Session], events: Sequence[Event]) -> dict[str, Any] | None:
    """
    Describe one attempt's monitoring.

    Args:
        sessions: all proctor sessions of the attempt, any order, at least one.
        events: all their events, any order, duplicates already removed.

    Returns:
        The columns of the dataset `attempt_activity` (counts and reasons as Python values), or None where
        there is no event. Type names are the vocabulary's, so types beyond it count together as `Other`.

    A session's points in time are its start, its events but late ones, and its end where that is known and
    later than they are; silence is the time between two consecutive points. Server time does not run
    backwards along the sequence; were it to, an event's point would be the latest one before it. Coverage
    counts whole 15 s intervals from a session's start to its last point that held a heartbeat. Skew is the
    median of client minus server time over heartbeats that were neither late nor back-filled: a buffered one
    tells how long it waited, not what its clock says. Each offset counts to three significant digits of its
    milliseconds.
    """
    if not events:
        return None
    tally = Tally(
        events=len(events),
        violations=sum(event.is_violation for event in events),
        late=sum(event.is_late for event in events),
        kinds=Counter(TYPE_NAMES.get(event.event_type, "Other") for event in events),
        severities=Counter(str(event.severity) for event in events),
        first_us=min(event.occurred_us for event in events),
        last_us=max(event.occurred_us for event in events),
        offsets=Counter(),
    )
    for session in sessions:
        own = sorted(
            (each for each in events if each.session_id == session.session_id and not each.is_late),
            key=lambda each: each.seq,
        )
        points = list(accumulate([session.started_us, *(each.occurred_us for each in own)], max))
        beats = [
            (beat, at)
            for beat, at in zip(own, points[1:], strict=True)
            if beat.event_type == EventType.Heartbeat
        ]
        if session.ended_us is not None and session.ended_us > points[-1]:
            points.append(session.ended_us)
        gaps = [later - earlier for earlier, later in pairwise(points)]
        tally.silence_us = max(
            [*gaps, *([] if tally.silence_us is None else [tally.silence_us])], default=None
        )
        tally.silences += sum(gap >= SILENCE_US for gap in gaps)
        whole = (points[-1] - session.started_us) // INTERVAL_US
        tally.intervals += whole
        places = {(at - session.started_us) // INTERVAL_US for _, at in beats}
        tally.covered += sum(place < whole for place in places)
        tally.heartbeats += len(beats)
        tally.offsets.update(
            rounded_ms(beat.client_us - beat.occurred_us)
            for beat, _ in beats
            if beat.client_us is not None and beat.effective_us is None
        )
    return _row(sessions, tally)


def rounded_ms(offset_us: int) -> int:
    """
    Return microseconds as milliseconds, rounded, then to SKEW_DIGITS significant digits; halves away from
    zero.
    """
    whole = (abs(offset_us) + 500) // 1000
    unit = int(10 ** max(len(str(whole)) - SKEW_DIGITS, 0))
    rounded = (whole + unit // 2) // unit * unit
    return rounded if offset_us >= 0 else -rounded


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
    return _row(sessions, tally)


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


def _row(sessions: Sequence[Session], tally: Tally) -> dict[str, Any]:
    skew2_ms = _twice_the_median(tally.offsets)
    is_covered = tally.intervals >= INTERVALS_MIN and tally.heartbeats > 0
    known = [tally.silence_us is not None, is_covered, skew2_ms is not None]
    ends = [session.ended_us for session in sessions if session.ended_us is not None]
    return {
        "attempt_id": sessions[0].attempt_id,
        "exam_id": sessions[0].exam_id,
        "student_id": sessions[0].student_id,
        "session_ids": sorted(session.session_id for session in sessions),
        "events": tally.events,
        "violations": tally.violations,
        "by_type": dict(sorted(tally.kinds.items())),
        "by_severity": dict(sorted(tally.severities.items())),
        "first_event_at": _moment(tally.first_us),
        "last_event_at": _moment(tally.last_us),
        "longest_silence_s": None if tally.silence_us is None else tally.silence_us / SECOND,
        "heartbeat_coverage": tally.covered / tally.intervals if is_covered else None,
        "clock_skew_ms": None if skew2_ms is None else skew2_ms / 2,
        "late_events": tally.late,
        "metric_version": METRIC_VERSION,
        "coverage": sum(known) / 3,
        "reasons": list(_reasons(tally, skew2_ms)),
        "as_of": _moment(max([tally.last_us, *ends])),
    }


def _moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _twice_the_median(counts: Mapping[int, int]) -> int | None:
    """Return the sum of the two values in the middle, of values that are counted; None without one."""
    total = sum(counts.values())
    if not total:
        return None
    values = sorted(counts)
    through = list(accumulate(counts[value] for value in values))
    return sum(values[bisect_right(through, place)] for place in ((total - 1) // 2, total // 2))


def _reasons(tally: Tally, skew2_ms: int | None) -> Iterable[dict[str, Any]]:
    """Say what stands out, in whole numbers: seconds, percent, events."""
    intervals, covered = tally.intervals, tally.covered
    if tally.silence_us is not None and tally.silences:
        seconds = tally.silence_us // SECOND
        text = SILENCE_TEXT.format(seconds, tally.silences)
        yield _reason("LONG_SILENCE", seconds, 45, tally.silences, text)
    if intervals < INTERVALS_MIN:
        yield _reason("SHORT_SPAN", intervals, INTERVALS_MIN, intervals, SHORT_TEXT)
    elif not tally.heartbeats:
        yield _reason("NO_HEARTBEATS", 0, 1, intervals, NO_HEARTBEATS_TEXT)
    elif covered * 100 < COVERAGE_PERCENT_MIN * intervals:
        percent = covered * 100 // intervals
        text = COVERAGE_TEXT.format(covered, intervals)
        yield _reason("HEARTBEATS_MISSING", percent, COVERAGE_PERCENT_MIN, intervals, text)
    if skew2_ms is not None and abs(skew2_ms) >= 2 * SKEW_MS:
        seconds = abs(skew2_ms) // 2000
        yield _reason("CLOCK_SKEW", seconds, 60, sum(tally.offsets.values()), SKEW_TEXT.format(seconds))
    if tally.late:
        text = LATE_TEXT.format(tally.late, tally.events)
        yield _reason("LATE_EVENTS", tally.late, 1, tally.events, text)


def _reason(code: str, value: int, threshold: int, n: int, text: str) -> dict[str, Any]:
    return {"code": code, "value": value, "threshold": threshold, "n": n, "text": text}
