"""Activity's fold against its definition (analytics.md, "Common rules"; spec.md W-1)."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.activity import attempt_activity, rounded_ms
from pipeline.features.activity_fold import State, _rounded_ms, advance, advance_many, finish, start
from pipeline.features.session import Event, Events, Session
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY
from warehouse.layout import conform

START = 1_790_000_000_000_000
World = tuple[list[Session], list[Event]]

seconds = st.integers(0, 400 * 1_000_000)
offsets = st.integers(-(10**9), 10**9) | st.sampled_from([-500, 500, 999_500, 59_999_500, 60_000_000])
codes = st.tuples(
    st.sampled_from([0, 1, 1, 1, 2, 5, 57, 108, 200]), st.integers(0, 5), st.booleans(), st.none() | offsets
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """
    One attempt of one session or two. Server time mostly runs forwards, and once in a while it does not; some
    events are late, some are back-filled.
    """
    sessions, events = [], []
    for session_id in range(1, 1 + draw(st.integers(1, 2))):
        started = START + draw(seconds)
        ended = draw(st.none() | st.integers(started - 10_000_000, started + 900 * 1_000_000))
        sessions.append(
            Session(
                session_id=session_id, attempt_id="attempt", exam_id="exam", student_id="student",
                organisation_id="school", mode=session_id, started_us=started, ended_us=ended,
            )
        )  # fmt: skip
        occurred = started + draw(st.integers(-5_000_000, 5_000_000))
        for seq in range(1, 1 + draw(st.integers(0, 14))):
            occurred += draw(st.integers(0, 70 * 1_000_000) | st.sampled_from([-1_000_000, 45_000_000]))
            kind, severity, is_violation, offset = draw(codes)
            events.append(
                Event(
                    session_id=session_id, seq=seq, occurred_us=occurred,
                    effective_us=occurred - 7 if draw(st.sampled_from([False, False, True])) else None,
                    client_us=None if offset is None else occurred + offset,
                    event_type=kind, severity=severity, is_violation=is_violation,
                    is_late=draw(st.sampled_from([False, False, False, True])),
                )
            )  # fmt: skip
    return sessions, events


def of(session: Session, events: Sequence[Event]) -> Events:
    return Events.of([event for event in events if event.session_id == session.session_id])


def folded(world: World, cuts: Sequence[int] = ()) -> dict[int, State]:
    """Return the sessions' states, their events cut at the places; as the database keeps them in between."""
    states = {}
    for session in world[0]:
        events, state = of(session, world[1]), start(session)
        places = sorted(min(cut, len(events)) for cut in cuts)
        for begin, end in zip([0, *places], [*places, len(events)], strict=True):
            before, piece = state, events[begin:end]
            state = advance(before, piece, session)
            assert not len(piece) or state == advance_many(before, piece, session)
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)
        states[session.session_id] = state
    return states


@settings(max_examples=100)
@given(worlds(), st.lists(st.integers(0, 14), max_size=4))
def test_the_fold_gives_what_the_definition_gives_in_any_cut(world: World, cuts: list[int]) -> None:
    whole = folded(world)

    assert finish(world[0], whole) == attempt_activity(*world)
    assert folded(world, cuts) == whole


@settings(max_examples=30)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(world: World, random: Any) -> None:
    sessions, events = world[0].copy(), world[1].copy()
    random.shuffle(sessions)
    random.shuffle(events)
    again = attempt_activity(sessions, events)

    assert again == attempt_activity(*world)
    assert finish(sessions, folded((sessions, events))) == again


@settings(max_examples=50)
@given(st.lists(offsets | st.integers(-(10**18), 10**18), max_size=20))
def test_offsets_are_rounded_alike_and_by_half_a_percent_at_most(given_us: list[int]) -> None:
    found = _rounded_ms(np.array(given_us, dtype=np.int64)).tolist()

    assert found == [rounded_ms(each) for each in given_us]
    for us, ms in zip(given_us, found, strict=True):
        assert abs(ms * 1000 - us) <= max(500, abs(us) // 200 + 500)


def test_no_number_of_heartbeats_makes_a_state_large() -> None:
    """A client that says another time with every heartbeat cannot make its session's row grow for ever."""
    session = worlds_session()
    beats = [
        Event(
            session_id=1, seq=n + 1, occurred_us=START + n * 1_000_000, effective_us=None,
            client_us=START + n * 1_000_000 + (n * 7_919 % 100_000) * 1_000_000, event_type=1, severity=0,
            is_violation=False, is_late=False,
        )
        for n in range(20_000)
    ]  # fmt: skip
    state = advance(start(session), Events.of(beats), session)

    assert len(state.offsets) < 6_000
    assert len(msgspec.msgpack.encode(state)) < 50_000


def worlds_session() -> Session:
    return Session(
        session_id=1, attempt_id="attempt", exam_id="exam", student_id="student", organisation_id="school",
        mode=1, started_us=START, ended_us=None,
    )  # fmt: skip


@settings(max_examples=20)
@given(worlds())
def test_the_row_has_the_datasets_columns(world: World) -> None:
    """spec.md W-4: schemas are asserted, whatever the rows."""
    row = attempt_activity(*world)
    texts = ("by_type", "by_severity", "reasons")
    rows = (
        [] if row is None else [{**row, **{name: msgspec.json.encode(row[name]).decode() for name in texts}}]
    )
    table = pa.Table.from_pylist(rows, schema=ATTEMPT_ACTIVITY.schema)

    assert row is None or list(row) == ATTEMPT_ACTIVITY.schema.names
    assert conform(ATTEMPT_ACTIVITY, table).num_rows == len(rows)
