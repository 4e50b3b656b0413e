"""
What happened during an attempt, counted and timed: one row per attempt.

`attempt_activity` over all of an attempt's events is the definition; `activity_fold` says the same of what it
has carried forward. All sums are integers until the last division, so nothing but the events can change a
number.

- `longest_silence_s` = max over consecutive points in time of a session (its start, its events, its known
  end), in seconds; null with one point.
- `heartbeat_coverage` = whole intervals of 15 s with a heartbeat / whole intervals, 0 to 1; null under four
  intervals, or where no heartbeat came.
- `clock_skew_ms` = median of client minus server time of heartbeats, in milliseconds; null where none says.
- `coverage` = how many of these three are known / 3.

An attempt of 75 s in which three heartbeats came:

>>> session = Session(session_id=1, attempt_id="a", exam_id="e", student_id="s", organisation_id="o", mode=2,
...                   started_us=0, ended_us=75 * SECOND)
>>> beats = [Event(session_id=1, seq=seq, occurred_us=at * SECOND, effective_us=None, severity=0,
...                client_us=at * SECOND + 250_000, event_type=1, is_violation=False, is_late=False)
...          for seq, at in enumerate((10, 20, 72), start=1)]
>>> row = attempt_activity([session], beats)
>>> row["longest_silence_s"], row["heartbeat_coverage"], row["clock_skew_ms"], row["coverage"]
(52.0, 0.6, 250.0, 1.0)
>>> [each["code"] for each in row["reasons"]]
['LONG_SILENCE', 'HEARTBEATS_MISSING']

Source: analytics.md, "Common rules".
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, Final

from msgspec import Struct

from kernel.events import HEARTBEAT_INTERVAL_S, HEARTBEAT_MISSED_AFTER_S, EventType
from pipeline.features.session import Event, Session

METRIC_VERSION: Final = "activity-2"
SECOND: Final = 1_000_000  # microseconds
INTERVAL_US: Final = HEARTBEAT_INTERVAL_S * SECOND
SILENCE_US: Final = HEARTBEAT_MISSED_AFTER_S * SECOND
INTERVALS_MIN: Final = 4  # under a minute of session says nothing about coverage
COVERAGE_PERCENT_MIN: Final = 80
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
    return row_of(sessions, tally)


def rounded_ms(offset_us: int) -> int:
    """
    Return microseconds as milliseconds, rounded, then to SKEW_DIGITS significant digits; halves away from
    zero.
    """
    whole = (abs(offset_us) + 500) // 1000
    unit = int(10 ** max(len(str(whole)) - SKEW_DIGITS, 0))
    rounded = (whole + unit // 2) // unit * unit
    return rounded if offset_us >= 0 else -rounded


def row_of(sessions: Sequence[Session], tally: Tally) -> dict[str, Any]:
    """Return the row of an attempt, at least one session, from what was counted."""
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
