"""Scores: the definition, the state that is carried on, columns and traces say the same (R-1, R-3)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import risk
from kernel.events import EventType
from kernel.risk import Event, GapClass, Level, Rule, Scored, advance, begin, follows, level_of, scored
from warehouse.risk import GAPS, PERCENTS, risk_frame, rules_frame, told_events

SECOND = 1_000_000
TYPES = (2, 4, 9)
rules = st.lists(
    st.builds(
        Rule,
        rule_id=st.integers(1, 9),
        version=st.integers(1, 3),
        event_type=st.sampled_from(TYPES),
        threshold=st.integers(1, 3),
        window_us=st.sampled_from([0, 0, 5, 20]).map(lambda seconds: seconds * SECOND),
        points=st.integers(1, 40).map(lambda points: points * 250),
        min_severity=st.sampled_from([0, 0, 2]),
        max_triggers=st.none() | st.integers(1, 4),
        gap_class=st.sampled_from([None, None, *GapClass]),
    ),
    max_size=4,
    unique_by=lambda rule: rule.rule_id,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events in order of their numbers; now and then several at once, in some histories back-filled ones."""
    moment, found = 1_000 * SECOND, []
    goes_back = draw(st.booleans())
    for number in range(draw(st.integers(0, 14))):
        moment += draw(st.sampled_from([0, 1, SECOND, 5 * SECOND, 7 * SECOND]))
        at_us = moment - draw(st.sampled_from([0, 0, 4 * SECOND])) if goes_back else moment
        found.append(
            Event(
                seq=number + 1,
                at_us=at_us,
                event_type=draw(st.sampled_from((*TYPES, EventType.Heartbeat))),
                severity=draw(st.integers(0, 5)),
                gap_class=draw(st.sampled_from([None, *GapClass])),
            )
        )
    return found


def carried(given_rules: Sequence[Rule], pieces: Sequence[Sequence[Event]]) -> tuple[risk.State, Any]:
    """Carry a state through pieces; where one does not follow, begin anew with everything so far."""
    state, so_far, top = begin(given_rules), list[Event](), None
    for piece in pieces:
        so_far += piece
        if follows(state, given_rules, piece):
            state, risen = advance(state, given_rules, piece)
        else:
            state, risen = advance(begin(given_rules), given_rules, so_far)
            top = None
        top = risen or top
    return state, top


def cut(events: Sequence[Event], places: Sequence[int]) -> list[Sequence[Event]]:
    ends = [0, *sorted(place % (len(events) + 1) for place in places), len(events)]
    return [events[start:end] for start, end in pairwise(ends)]


@settings(max_examples=100)
@given(rules, histories(), st.lists(st.integers(0, 14), max_size=3), st.integers(0, 30 * SECOND))
def test_a_state_carried_in_any_cut_gives_what_the_definition_gives(
    given_rules: list[Rule], events: list[Event], places: list[int], later: int
) -> None:
    """R-3, decision 10: the score as of any later moment, the peak and its moment, with their traces."""
    state, top = carried(given_rules, cut(events, places))
    whole, _ = carried(given_rules, [events])
    as_of = max([event.at_us for event in events], default=0) + later
    found = scored(state, given_rules, as_of)

    assert state == whole
    assert found == risk.score(given_rules, events, as_of)
    expected = risk.peak(given_rules, events)
    assert moment_of(top) == moment_of(expected)
    assert state.peak == moment_of(expected)[1]
    assert found.score <= state.peak
    for each in (found, top, expected):
        assert each is None or is_sound(each, given_rules, events)


def moment_of(found: Scored | None) -> tuple[int, int]:
    return (0, 0) if found is None else (found.as_of_us, found.score)


def is_sound(found: Scored, given_rules: Sequence[Rule], events: Sequence[Event]) -> bool:
    """Tell whether a trace explains its score: it gives the number, and each event that it names counted."""
    by_seq, by_rule = {each.seq: each for each in events}, {each.rule_id: each for each in given_rules}
    return risk.score_of_trace(found.trace) == found.score and all(
        risk.is_counted(by_rule[part.rule_id], by_seq[seq])
        and (part.since_us or 0) <= by_seq[seq].at_us <= found.as_of_us
        for part in found.trace
        for seq in part.events
    )


@settings(max_examples=50)
@given(rules, histories(), st.integers(0, 30 * SECOND))
def test_a_score_stays_until_it_is_due(given_rules: list[Rule], events: list[Event], later: int) -> None:
    """R-4: a window forgets when time passes alone, and the state says when."""
    state, _ = carried(given_rules, [events])
    as_of = max([event.at_us for event in events], default=0) + later
    due = risk.due_us(state, given_rules, as_of)
    now = scored(state, given_rules, as_of)

    if due is None:
        assert scored(state, given_rules, as_of + 10**12).score == now.score
        return
    assert due > as_of
    assert scored(state, given_rules, due - 1).score == now.score
    before, after = (
        sum(part.triggers for part in each.trace) for each in (now, scored(state, given_rules, due))
    )
    assert after < before


class Archived(msgspec.Struct):
    """A session as the archive and its rows have it: which events no client sent, silences, the end."""

    rule_set: int
    events: list[Event]
    ours: list[bool]
    gaps: list[tuple[int, GapClass | None]]
    ended_us: int | None

    def told(self) -> list[Event]:
        """Return the events as the definition takes them."""
        return [
            msgspec.structs.replace(
                event,
                at_us=event.at_us if self.ended_us is None else min(event.at_us, self.ended_us),
                gap_class=risk.gap_class_of(event.event_type, event.at_us, self.gaps) if is_ours else None,
            )
            for event, is_ours in zip(self.events, self.ours, strict=True)
        ]

    def rows(self, session: int) -> list[tuple[Any, ...]]:
        """Return the events as the archive has them: session, type, severity, and three times."""
        return [
            (session, each.event_type, each.severity, each.at_us, each.at_us if is_ours else None,
             None if is_ours else each.at_us)
            for each, is_ours in zip(self.events, self.ours, strict=True)
        ]  # fmt: skip


moments = st.integers(990, 1_080).map(lambda second: second * SECOND)
archived = st.builds(
    lambda rule_set, events, ours, gaps, ended: Archived(
        rule_set, events, [ours and event.event_type == 9 for event in events], sorted(gaps.items()), ended
    ),
    st.sampled_from([1, 2]),
    histories(),
    st.booleans(),
    st.dictionaries(moments, st.sampled_from([None, *GapClass]), max_size=3),
    st.none() | moments,
)


def columns(sets: dict[int, list[Rule]], worlds: list[Archived], as_of: int) -> pl.DataFrame:
    sessions = pl.LazyFrame(
        [(session, each.rule_set, as_of, each.ended_us) for session, each in enumerate(worlds)],
        schema=dict.fromkeys(("session_id", "rule_set_id", "as_of_us", "ended_us"), pl.Int64()),
        orient="row",
    )
    times = dict.fromkeys(("occurred_at", "effective_at", "client_at"), pl.Int64)
    events = pl.LazyFrame(
        [row for session, each in enumerate(worlds) for row in each.rows(session)],
        schema={"session_id": pl.Int64, "event_type": pl.Int16, "severity": pl.Int16, **times},
        orient="row",
    ).with_columns(pl.col(*times).cast(pl.Datetime("us", "UTC")))
    gaps = pl.LazyFrame(
        [(session, at, judged) for session, each in enumerate(worlds) for at, judged in each.gaps],
        schema=GAPS,
        orient="row",
    )
    percents = pl.LazyFrame([(0, 1, 0), (0, 2, 33)], schema=PERCENTS, orient="row")
    told = told_events(events, sessions, gaps)
    return risk_frame(sessions, rules_frame(sets), percents, told).collect()


@settings(max_examples=25)
@given(rules, rules, st.lists(archived, min_size=1, max_size=3), st.integers(0, 80 * SECOND))
def test_columns_give_what_the_definition_gives(
    first: list[Rule], second: list[Rule], worlds: list[Archived], later: int
) -> None:
    """R-3 of many sessions at once, as the archive has them: each by its own set and its weights."""
    judged = rule(rule_id=10, event_type=9, gap_class=GapClass.unexplained)
    sets, as_of = {1: [*first, judged], 2: [judged, *second]}, 1_000 * SECOND + later
    found = columns(sets, worlds, as_of)

    for session, (row, world) in enumerate(zip(found.rows(named=True), worlds, strict=True)):
        own = risk.weighed(sets[world.rule_set], {1: 0, 2: 33} if session == 0 else {})
        now, top = risk.score(own, world.told(), as_of), risk.peak(own, world.told())
        given_ids = [each.rule_id for each in sets[world.rule_set]]

        assert (row["session_id"], row["score"]) == (session, now.score)
        assert (row["peak_us"] or 0, row["peak"]) == moment_of(top)
        for name, expected in (("now", now.trace), ("at_peak", [] if top is None else top.trace)):
            assert [
                (given_ids[part["place"]], part[name], part["points"]) for part in row["parts"] if part[name]
            ] == [(part.rule_id, part.triggers, part.points) for part in expected]


def rule(**given_values: Any) -> Rule:
    values = {"rule_id": 1, "version": 1, "event_type": 2, "threshold": 1, "window_us": 0, "points": 1_000}
    return Rule(**values | given_values)


def event(seq: int, second: int, event_type: int = 2, **given_values: Any) -> Event:
    values = {"seq": seq, "at_us": second * SECOND, "event_type": event_type, "severity": 2}
    return Event(**values | given_values)


def test_the_worked_value_is_50_and_medium() -> None:
    """analytics.md, risk_score: 20 of the tab rule and 30 of the face rule."""
    given_rules = [
        rule(threshold=2, window_us=300 * SECOND, points=1_000, max_triggers=3),
        rule(rule_id=2, event_type=52, points=1_500, max_triggers=2),
    ]
    events = [event(n, n) for n in range(1, 6)] + [event(n, n, 52) for n in range(6, 9)]
    found = risk.score(given_rules, events, 10 * SECOND)

    assert [part.triggers * part.points for part in found.trace] == [2_000, 3_000]
    assert (found.score, level_of(found.score)) == (5_000, Level.medium)


def test_verify_risk_score_capped_at_100() -> None:
    """proctor-module.txt, testing checklist: "Verify risk score capped at 100"."""
    events = [event(n, n) for n in range(1, 50)]
    found = risk.score([rule(points=3_500)], events, 50 * SECOND)

    assert (found.score, found.trace[0].events) == (10_000, [1, 2, 3])
    assert level_of(found.score) is Level.critical


def test_bands_have_no_holes_between_whole_points() -> None:
    """Decision 9: Low up to 20, Medium up to 50, High up to 75, on the unrounded score."""
    bounds = {
        0: "Low",
        2_000: "Low",
        2_001: "Medium",
        5_000: "Medium",
        5_001: "High",
        7_500: "High",
        7_501: "Critical",
    }

    assert {score: str(level_of(score)) for score in bounds} == bounds


def test_the_third_tab_switch_inside_the_window_scores_once_and_is_forgotten_with_it() -> None:
    given_rules = [rule(threshold=3, window_us=120 * SECOND)]
    events = [event(1, 0), event(2, 60), event(3, 120)]
    state, top = carried(given_rules, [events])

    assert [scored(state, given_rules, second * SECOND).score for second in (120, 121)] == [1_000, 0]
    assert top is not None
    assert (top.score, top.as_of_us) == (1_000, 120 * SECOND)


def test_the_default_network_rule_counts_silences_that_nothing_explains_alone() -> None:
    """Decision 11: no back-filled one, no open one, and nothing that a client says of its network."""
    given_rules = [rule(event_type=9, points=2_000, gap_class=GapClass.unexplained)]
    lost = [event(n, n, 9, gap_class=each) for n, each in enumerate([None, *GapClass], start=1)]

    assert risk.score(given_rules, lost, 9 * SECOND).trace[0].events == [3]
    gaps = [(10, GapClass.network), (20, None), (30, GapClass.unexplained)]
    assert [risk.gap_class_of(9, at, gaps) for at in (5, 15, 25, 35)] == [
        None,
        GapClass.network,
        None,
        gaps[2][1],
    ]
    assert risk.gap_class_of(10, 35, gaps) is None


def test_a_rule_at_a_part_of_its_weight_gives_that_part_in_hundredths_and_none_at_zero() -> None:
    """R-6."""
    given_rules = [rule(points=1_001), rule(rule_id=2, points=500)]

    assert [(each.rule_id, each.points) for each in risk.weighed(given_rules, {1: 33, 2: 0})] == [(1, 330)]


def test_a_state_travels_as_a_few_bytes() -> None:
    """It stands in a row that is written often: as few events as can count, however many there were."""
    given_rules = [rule(threshold=3, window_us=120 * SECOND), rule(rule_id=2, event_type=4, points=3_000)]
    events = [event(n, n // 50, TYPES[n % 2]) for n in range(1, 3_000)]
    state, _ = carried(given_rules, [events])
    packed = msgspec.msgpack.encode(state)

    assert len(packed) < 1_000
    assert msgspec.msgpack.decode(packed, type=risk.State) == state


def test_archived_events_are_seen_as_rules_look_at_them() -> None:
    """The corrected time of a back-filled event, nothing after the end, and the class of our own silences."""
    columns_of = {
        "session_id": [1] * 5, "event_type": [2, 9, 9, 9, 2], "severity": [2] * 5,
        "occurred_at": [100, 200, 300, 310, 400], "effective_at": [None, 50, None, 90, None],
        "client_at": [None, None, 290, None, None],
    }  # fmt: skip
    times = pl.col("occurred_at", "effective_at", "client_at").cast(pl.Datetime("us", "UTC"))
    archived = pl.LazyFrame(columns_of).with_columns(times, pl.col("event_type", "severity").cast(pl.Int16))
    sessions = pl.LazyFrame({"session_id": [1], "ended_us": [350]})
    judged = [(1, 10, "unexplained"), (1, 80, None), (1, 250, "network")]
    gaps = pl.LazyFrame(judged, schema=GAPS, orient="row")
    found = told_events(archived, sessions, gaps).sort("at_us").collect()

    assert found.select("event_type", "at_us", "gap_class").rows() == [
        (9, 50, "unexplained"), (9, 90, None), (2, 100, None), (9, 300, None), (2, 350, None),
    ]  # fmt: skip
