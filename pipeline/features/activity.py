"""
What happened during an attempt, counted and timed: one row per attempt.

`attempt_activity` over one attempt's events is the definition; `attempt_activity_frame` says the same over
many attempts in Polars, and a property test holds them equal. All sums are integers (times in microseconds)
until the last division, so neither the order of rows nor the way they are partitioned can change a number.
Source: analytics.md, "Common rules".
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl
from msgspec import Struct

from kernel.events import HEARTBEAT_INTERVAL_S, HEARTBEAT_MISSED_AFTER_S, EventType

METRIC_VERSION: Final = "activity-1"
SECOND: Final = 1_000_000  # microseconds
INTERVAL_US: Final = HEARTBEAT_INTERVAL_S * SECOND
SILENCE_US: Final = HEARTBEAT_MISSED_AFTER_S * SECOND
INTERVALS_MIN: Final = 4  # under a minute of session says nothing about coverage
COVERAGE_PERCENT_MIN: Final = 80
SKEW_US: Final = 60 * SECOND
TYPE_NAMES: Final = {int(member): member.name for member in EventType}

SILENCE_TEXT: Final = "No event arrived for {} s; {} silences lasted 45 s or more."
COVERAGE_TEXT: Final = "{} of {} intervals of 15 s held a heartbeat."
NO_HEARTBEATS_TEXT: Final = "No heartbeat arrived, so their coverage and the clock are not known."
SHORT_TEXT: Final = "Less than a minute was monitored: too little for heartbeat coverage."
SKEW_TEXT: Final = "The candidate's clock differs from the server's by {} s."
LATE_TEXT: Final = "{} of {} events arrived after the session had ended."


class Session(Struct, frozen=True, kw_only=True):
    """One proctor session of an attempt. Times in microseconds of the Unix epoch; ended_us None while it is
    not known.
    """

    session_id: int
    attempt_id: str
    exam_id: str
    student_id: str
    started_us: int
    ended_us: int | None


class Event(Struct, frozen=True, kw_only=True):
    """What activity needs of an event. Times in microseconds of the Unix epoch."""

    session_id: int
    seq: int
    occurred_us: int
    client_us: int | None
    event_type: int
    severity: int
    is_violation: bool
    is_late: bool
    is_backfilled: bool


def attempt_activity(sessions: Sequence[Session], events: Sequence[Event]) -> dict[str, Any] | None:
    """
    Describe one attempt's monitoring.

    Args:
        sessions: all proctor sessions of the attempt, any order, at least one.
        events: all their events, any order, duplicates already removed.

    Returns:
        The columns of the dataset `attempt_activity` (times in microseconds; counts and reasons as Python
        values), or None where there is no event. Type names are the vocabulary's, so types beyond it count
        together as `Other`.

    A session's points in time are its start, its events but late ones, and its end where known; silence is
    the time between two consecutive points. Coverage counts whole 15 s intervals from a session's start to
    its end (or to its last event that is not late) that held a heartbeat. Skew is the median of client minus
    server time over heartbeats that were neither late nor back-filled: a buffered one tells how long it
    waited, not what its clock says.
    """
    if not events:
        return None
    heartbeats = [event for event in events if event.event_type == EventType.Heartbeat and not event.is_late]
    gaps: list[int] = []
    intervals = covered = 0
    for session in sessions:
        times = [
            event.occurred_us
            for event in events
            if event.session_id == session.session_id and not event.is_late
        ]
        ends = [] if session.ended_us is None else [session.ended_us]
        points = sorted([session.started_us, *times, *ends])
        gaps += [later - earlier for earlier, later in pairwise(points)]
        span_end = ends[0] if ends else max(times, default=session.started_us)
        whole = max((span_end - session.started_us) // INTERVAL_US, 0)
        beats = {
            (beat.occurred_us - session.started_us) // INTERVAL_US
            for beat in heartbeats
            if beat.session_id == session.session_id
        }
        intervals += whole
        covered += sum(1 for beat in beats if 0 <= beat < whole)
    offsets = sorted(
        b.client_us - b.occurred_us for b in heartbeats if b.client_us is not None and not b.is_backfilled
    )
    # Twice the median stays an integer.
    skew2 = offsets[(len(offsets) - 1) // 2] + offsets[len(offsets) // 2] if offsets else None
    silence = max(gaps, default=None)
    is_covered = intervals >= INTERVALS_MIN and bool(heartbeats)
    known = [silence is not None, is_covered, skew2 is not None]
    return {
        "attempt_id": sessions[0].attempt_id,
        "exam_id": sessions[0].exam_id,
        "student_id": sessions[0].student_id,
        "session_ids": sorted(session.session_id for session in sessions),
        "events": len(events),
        "violations": sum(event.is_violation for event in events),
        "by_type": dict(Counter(TYPE_NAMES.get(event.event_type, "Other") for event in events)),
        "by_severity": dict(Counter(str(event.severity) for event in events)),
        "first_event_at": min(event.occurred_us for event in events),
        "last_event_at": max(event.occurred_us for event in events),
        "longest_silence_s": None if silence is None else silence / SECOND,
        "heartbeat_coverage": covered / intervals if is_covered else None,
        "clock_skew_ms": None if skew2 is None else skew2 / 2000,
        "late_events": sum(event.is_late for event in events),
        "metric_version": METRIC_VERSION,
        "coverage": sum(known) / 3,
        "reasons": _reasons(
            silence,
            sum(gap >= SILENCE_US for gap in gaps),
            intervals,
            covered,
            len(heartbeats),
            skew2,
            len(offsets),
            sum(event.is_late for event in events),
            len(events),
        ),
        "as_of": max(
            [event.occurred_us for event in events] + [s.ended_us for s in sessions if s.ended_us is not None]
        ),
    }


def _reasons(
    silence: int | None,
    silences: int,
    intervals: int,
    covered: int,
    heartbeats: int,
    skew2: int | None,
    offsets: int,
    late: int,
    events: int,
) -> list[dict[str, Any]]:
    """Say what stands out, in whole numbers: seconds, percent, events."""
    found = []
    if silence is not None and silences:
        seconds = silence // SECOND
        found.append(_reason("LONG_SILENCE", seconds, 45, silences, SILENCE_TEXT.format(seconds, silences)))
    if intervals < INTERVALS_MIN:
        found.append(_reason("SHORT_SPAN", intervals, INTERVALS_MIN, intervals, SHORT_TEXT))
    elif not heartbeats:
        found.append(_reason("NO_HEARTBEATS", 0, 1, intervals, NO_HEARTBEATS_TEXT))
    elif covered * 100 < COVERAGE_PERCENT_MIN * intervals:
        percent = covered * 100 // intervals
        text = COVERAGE_TEXT.format(covered, intervals)
        found.append(_reason("HEARTBEATS_MISSING", percent, COVERAGE_PERCENT_MIN, intervals, text))
    if skew2 is not None and abs(skew2) >= 2 * SKEW_US:
        seconds = abs(skew2) // (2 * SECOND)
        found.append(_reason("CLOCK_SKEW", seconds, 60, offsets, SKEW_TEXT.format(seconds)))
    if late:
        found.append(_reason("LATE_EVENTS", late, 1, events, LATE_TEXT.format(late, events)))
    return found


def _reason(code: str, value: int, threshold: int, n: int, text: str) -> dict[str, Any]:
    return {"code": code, "value": value, "threshold": threshold, "n": n, "text": text}


def attempt_activity_frame(sessions: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """
    Give one row per attempt that has events, with the dataset's columns and types, sorted by exam and
    attempt.

    Args:
        sessions: one row per proctor session with the fields of `Session`; all sessions of each attempt.
        events: one row per event with the fields of `Event`; all events of each session.

    Null where the definition says None; by_type, by_severity and reasons are JSON text.
    """
    owners = sessions.select("session_id", "attempt_id")
    owned = events.join(owners, on="session_id")
    per_session = _silences(sessions, events).join(
        _heartbeat_intervals(sessions, events), on="session_id", how="left"
    )
    per_attempt = (
        sessions.join(per_session, on="session_id", how="left")
        .group_by("attempt_id")
        .agg(
            pl.col("exam_id", "student_id").first(),
            pl.col("session_id").sort().alias("session_ids"),
            pl.col("silence_us").max(),
            pl.col("silences", "intervals", "covered", "heartbeats").sum(),
            pl.col("ended_us").max(),
        )
    )
    totals = owned.group_by("attempt_id").agg(
        pl.len().cast(pl.Int64).alias("events"),
        pl.col("is_violation").sum().cast(pl.Int64).alias("violations"),
        pl.col("is_late").sum().cast(pl.Int64).alias("late_events"),
        pl.col("occurred_us").min().alias("first_us"),
        pl.col("occurred_us").max().alias("last_us"),
    )
    named = (
        pl.col("event_type")
        .cast(pl.Int64)
        .replace_strict(TYPE_NAMES, default="Other", return_dtype=pl.String)
    )
    frame = (
        totals.join(per_attempt, on="attempt_id")
        .join(_skews(owned), on="attempt_id", how="left")
        .join(_counts(owned, named, "by_type"), on="attempt_id")
        .join(_counts(owned, pl.col("severity").cast(pl.String), "by_severity"), on="attempt_id")
        .with_columns(pl.col("offsets").fill_null(0))
    )
    return frame.select(_columns()).sort("exam_id", "attempt_id")


def _silences(sessions: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """One row per session: longest silence in microseconds (null with one point in time), silences of 45 s or
    more.
    """
    points = pl.concat(
        [
            events.filter(~pl.col("is_late")).select("session_id", at="occurred_us"),
            sessions.select("session_id", at="started_us"),
            sessions.filter(pl.col("ended_us").is_not_null()).select("session_id", at="ended_us"),
        ]
    ).sort("session_id", "at")
    same = pl.col("session_id") == pl.col("session_id").shift(1)
    gaps = points.with_columns(gap=pl.when(same).then(pl.col("at") - pl.col("at").shift(1)))
    return gaps.group_by("session_id").agg(
        pl.col("gap").max().alias("silence_us"),
        (pl.col("gap") >= SILENCE_US).sum().cast(pl.Int64).alias("silences"),
    )


def _heartbeat_intervals(sessions: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """One row per session: whole 15 s intervals of its span, how many held a heartbeat, and heartbeats in
    all.
    """
    timely = events.filter(~pl.col("is_late"))
    last = timely.group_by("session_id").agg(pl.col("occurred_us").max().alias("last_us"))
    span_end = pl.coalesce("ended_us", "last_us", "started_us")
    spans = sessions.join(last, on="session_id", how="left").select(
        "session_id", "started_us", intervals=((span_end - pl.col("started_us")) // INTERVAL_US).clip(0)
    )
    beats = timely.filter(pl.col("event_type") == EventType.Heartbeat.value).join(spans, on="session_id")
    place = (pl.col("occurred_us") - pl.col("started_us")) // INTERVAL_US
    inside = place.is_between(0, pl.col("intervals") - 1)
    counted = beats.group_by("session_id").agg(
        place.filter(inside).n_unique().cast(pl.Int64).alias("covered"),
        pl.len().cast(pl.Int64).alias("heartbeats"),
    )
    return spans.join(counted, on="session_id", how="left").select(
        "session_id", "intervals", pl.col("covered").fill_null(0), pl.col("heartbeats").fill_null(0)
    )


def _skews(owned: pl.LazyFrame) -> pl.LazyFrame:
    """One row per attempt with such a heartbeat: twice the median offset in microseconds, and how many there
    were.
    """
    telling = (
        (pl.col("event_type") == EventType.Heartbeat.value) & ~pl.col("is_late") & ~pl.col("is_backfilled")
    )
    offset = pl.col("client_us") - pl.col("occurred_us")
    ordered = owned.filter(telling & pl.col("client_us").is_not_null()).select("attempt_id", offset=offset)
    lower, upper = (pl.len() - 1) // 2, pl.len() // 2
    return ordered.group_by("attempt_id").agg(
        (pl.col("offset").sort().get(lower) + pl.col("offset").sort().get(upper)).alias("skew2_us"),
        pl.len().cast(pl.Int64).alias("offsets"),
    )


def _counts(owned: pl.LazyFrame, key: pl.Expr, name: str) -> pl.LazyFrame:
    """One row per attempt: events by key as a JSON object, keys ascending."""
    pair = pl.format('"{}": {}', "key", "n")
    counted = (
        owned.group_by("attempt_id", key.alias("key")).agg(pl.len().alias("n")).sort("attempt_id", "key")
    )
    return counted.group_by("attempt_id", maintain_order=True).agg(
        pl.concat_str(pl.lit("{"), pair.str.join(", "), pl.lit("}")).alias(name)
    )


def _columns() -> list[pl.Expr]:
    is_covered = (pl.col("intervals") >= INTERVALS_MIN) & (pl.col("heartbeats") > 0)
    known = [pl.col("silence_us").is_not_null(), is_covered, pl.col("skew2_us").is_not_null()]
    utc = pl.Datetime("us", "UTC")
    return [
        *(
            pl.col(name)
            for name in ("attempt_id", "exam_id", "student_id", "session_ids", "events", "violations")
        ),
        pl.col("by_type", "by_severity"),
        pl.col("first_us").cast(utc).alias("first_event_at"),
        pl.col("last_us").cast(utc).alias("last_event_at"),
        # Polars divides by a constant as it multiplies by its inverse; rounding gives the quotient's own
        # nearest value.
        (pl.col("silence_us") / SECOND).round(6).alias("longest_silence_s"),
        pl.when(is_covered).then(pl.col("covered") / pl.col("intervals")).alias("heartbeat_coverage"),
        (pl.col("skew2_us") / 2000).round(4).alias("clock_skew_ms"),
        pl.col("late_events"),
        pl.lit(METRIC_VERSION).alias("metric_version"),
        (pl.sum_horizontal(*(flag.cast(pl.Int64) for flag in known)) / 3).alias("coverage"),
        _reasons_expression().alias("reasons"),
        pl.max_horizontal("last_us", "ended_us").cast(utc).alias("as_of"),
    ]


def _reasons_expression() -> pl.Expr:
    intervals, late, skew2 = pl.col("intervals"), pl.col("late_events"), pl.col("skew2_us").abs()
    short, silent = intervals < INTERVALS_MIN, pl.col("heartbeats") == 0
    seconds, skew_s = pl.col("silence_us") // SECOND, skew2 // (2 * SECOND)
    percent = pl.col("covered") * 100 // intervals
    missing = ~short & ~silent & (pl.col("covered") * 100 < COVERAGE_PERCENT_MIN * intervals)
    found = [
        (
            pl.col("silences") > 0,
            "LONG_SILENCE",
            seconds,
            45,
            pl.col("silences"),
            SILENCE_TEXT,
            (seconds, "silences"),
        ),
        (short, "SHORT_SPAN", intervals, INTERVALS_MIN, intervals, SHORT_TEXT, ()),
        (~short & silent, "NO_HEARTBEATS", pl.lit(0), 1, intervals, NO_HEARTBEATS_TEXT, ()),
        (
            missing,
            "HEARTBEATS_MISSING",
            percent,
            COVERAGE_PERCENT_MIN,
            intervals,
            COVERAGE_TEXT,
            ("covered", "intervals"),
        ),
        (skew2 >= 2 * SKEW_US, "CLOCK_SKEW", skew_s, 60, pl.col("offsets"), SKEW_TEXT, (skew_s,)),
        (late > 0, "LATE_EVENTS", late, 1, pl.col("events"), LATE_TEXT, ("late_events", "events")),
    ]
    texts = [
        pl.when(holds).then(
            _reason_text(code, value, threshold, n, pl.format(text, *values) if values else pl.lit(text))
        )
        for holds, code, value, threshold, n, text, values in found
    ]
    return pl.concat_str(pl.lit("["), pl.concat_list(texts).list.drop_nulls().list.join(", "), pl.lit("]"))


def _reason_text(code: str, value: pl.Expr, threshold: int, n: pl.Expr, text: pl.Expr) -> pl.Expr:
    """One reason as a JSON object; codes and texts are ours and need no escaping."""
    return pl.concat_str(
        pl.lit(f'{{"code": "{code}", "value": '),
        value,
        pl.lit(f', "threshold": {threshold}, "n": '),
        n,
        pl.lit(', "text": "'),
        text,
        pl.lit('"}'),
    )
