import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.activity import Event, Session, attempt_activity, attempt_activity_frame
from warehouse.layout import ATTEMPT_ACTIVITY, conform

START = 1_790_000_000_000_000
SESSIONS = {
    "session_id": pl.Int64, "attempt_id": pl.String, "exam_id": pl.String, "student_id": pl.String,
    "started_us": pl.Int64, "ended_us": pl.Int64,
}  # fmt: skip
EVENTS = {
    "session_id": pl.Int64, "seq": pl.Int32, "occurred_us": pl.Int64, "client_us": pl.Int64,
    "event_type": pl.Int16, "severity": pl.Int16, "is_violation": pl.Boolean, "is_late": pl.Boolean,
    "is_backfilled": pl.Boolean,
}  # fmt: skip

seconds = st.integers(0, 400 * 1_000_000)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Session], list[Event]]:
    """A few attempts of one or two sessions each, with few events or many, some late, some back-filled."""
    sessions, events = [], []
    for number in range(draw(st.integers(1, 5))):
        for mode in range(draw(st.integers(1, 2))):
            session_id = number * 2 + mode + 1
            started = START + draw(seconds)
            ended = draw(st.none() | st.integers(started, started + 400 * 1_000_000))
            exam = f"exam-{number % 2}"
            sessions.append(
                Session(
                    session_id=session_id,
                    attempt_id=f"attempt-{number}",
                    exam_id=exam,
                    student_id=f"student-{number}",
                    started_us=started,
                    ended_us=ended,
                )
            )
            for seq in range(draw(st.integers(0, 12))):
                occurred = started + draw(seconds)
                events.append(
                    Event(
                        session_id=session_id,
                        seq=seq + 1,
                        occurred_us=occurred,
                        client_us=draw(st.none() | st.integers(occurred - 10**9, occurred + 10**9)),
                        event_type=draw(st.sampled_from([0, 1, 1, 1, 2, 5, 57, 108])),
                        severity=draw(st.integers(0, 5)),
                        is_violation=draw(st.booleans()),
                        is_late=draw(st.sampled_from([False, False, False, True])),
                        is_backfilled=draw(st.sampled_from([False, False, True])),
                    )
                )
    return sessions, events


def as_frames(sessions: Sequence[Session], events: Sequence[Event]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    rows = (
        [msgspec.structs.asdict(session) for session in sessions],
        [msgspec.structs.asdict(event) for event in events],
    )
    return pl.LazyFrame(rows[0], schema=SESSIONS), pl.LazyFrame(rows[1], schema=EVENTS)


def columnar(sessions: Sequence[Session], events: Sequence[Event]) -> pl.DataFrame:
    return attempt_activity_frame(*as_frames(sessions, events)).collect()


def defined(sessions: Sequence[Session], events: Sequence[Event]) -> list[dict[str, Any]]:
    rows = []
    for attempt in sorted({(session.exam_id, session.attempt_id) for session in sessions}):
        own = [session for session in sessions if session.attempt_id == attempt[1]]
        ids = {session.session_id for session in own}
        row = attempt_activity(own, [event for event in events if event.session_id in ids])
        rows += [row] if row is not None else []
    return rows


def as_defined(frame: pl.DataFrame) -> list[dict[str, Any]]:
    epoch = datetime.fromtimestamp(0, UTC)
    rows = []
    for row in frame.to_dicts():
        for name in ("by_type", "by_severity", "reasons"):
            row[name] = json.loads(row[name])
        for name in ("first_event_at", "last_event_at", "as_of"):
            row[name] = (row[name] - epoch) // timedelta(microseconds=1)
        rows.append(row)
    return rows


@settings(max_examples=150)
@given(worlds())
def test_the_columnar_form_gives_what_the_definition_gives(world: tuple[list[Session], list[Event]]) -> None:
    """analytics.md, "Common rules"; spec.md W-1."""
    assert as_defined(columnar(*world)) == defined(*world)


@settings(max_examples=50)
@given(worlds(), st.randoms(use_true_random=False))
def test_order_and_partitions_change_nothing(world: tuple[list[Session], list[Event]], random: Any) -> None:
    """analytics.md: deterministic, and 1, 4 or 16 partitions give identical results."""
    sessions, events = world
    whole = columnar(sessions, events)
    shuffled_sessions, shuffled_events = sessions.copy(), events.copy()
    random.shuffle(shuffled_sessions)
    random.shuffle(shuffled_events)

    assert columnar(shuffled_sessions, shuffled_events).equals(whole)
    for partitions in (1, 4, 16):
        taken = {hash(session.attempt_id) % partitions for session in sessions}
        pieces = [
            columnar(
                [s for s in sessions if hash(s.attempt_id) % partitions == piece],
                [e for e in events if hash(f"attempt-{(e.session_id - 1) // 2}") % partitions == piece],
            )
            for piece in (*taken, partitions)  # the last stands for all that are empty
        ]
        assert pl.concat(pieces).sort("exam_id", "attempt_id").equals(whole)


@settings(max_examples=20)
@given(worlds())
def test_the_frame_has_the_datasets_schema(world: tuple[list[Session], list[Event]]) -> None:
    """spec.md W-4: schemas are asserted, whatever the rows."""
    table = columnar(*world).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(ATTEMPT_ACTIVITY.schema)

    assert conform(ATTEMPT_ACTIVITY, table).num_rows == table.num_rows
