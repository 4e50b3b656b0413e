"""
Risk of a proctor session by the rules that it keeps, from 0 to 100 (spec.md R-3, decisions 9 to 11). Pure.

`score` and `peak` over all events are the definition: plain, and as slow as they look. `advance` and `scored`
say the same from a state that is carried from event to event; `warehouse.risk` says it of many sessions at
once. Property tests hold the three equal.

Points are hundredths of a point and times microseconds of the Unix epoch, so that every number is an integer
and no order of summing can change one. A score is explained by a trace: for every point the rule, its
version, its window and the sequence numbers of the events that counted; `score_of_trace` computes it again
from nothing else.

A rule counts no more events than can matter: as many as its triggers up to `max_triggers`, or up to 100
points, take. Beyond them more events change nothing, so a state and a trace stay small however long a session
is.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from kernel.events import EventType

SCORE_MAX: Final = 10_000  # 100 points, in hundredths
POINT: Final = 100
RULE_EVENTS_MAX: Final = 1_000  # that one rule may rest on
SECOND: Final = 1_000_000


class Level(StrEnum):
    """Band of a score (spec.md, decision 9)."""

    low = "Low"
    medium = "Medium"
    high = "High"
    critical = "Critical"


class GapClass(StrEnum):
    """What a silence was judged to be (spec.md, decision 11)."""

    network = "network"
    unexplained = "unexplained"


_BOUNDS: Final = ((20 * POINT, Level.low), (50 * POINT, Level.medium), (75 * POINT, Level.high))


def level_of(score: int) -> Level:
    """Return the band of a score in hundredths."""
    return next((level for most, level in _BOUNDS if score <= most), Level.critical)


def range_of(level: Level) -> tuple[int, int]:
    """Return the scores of a band, in hundredths: above the first, up to the second."""
    bounds = [-1, *(most for most, _ in _BOUNDS), SCORE_MAX]
    at = list(Level).index(level)
    return bounds[at], bounds[at + 1]


class Rule(Struct, frozen=True, kw_only=True):
    """
    A version of a rule, as it weighs in one attempt.

    `points` a trigger, in hundredths, scaled already by `percent`. `window_us` 0 counts the whole session.
    `gap_class` counts only silences that were judged so.
    """

    rule_id: int
    version: int
    event_type: int
    threshold: int
    window_us: int
    points: int
    min_severity: int = 0
    max_triggers: int | None = None
    gap_class: GapClass | None = None
    percent: int = 100

    @property
    def limit(self) -> int:
        """Triggers that can count: more of them pass the rule's own cap, or the score's."""
        enough = -(-SCORE_MAX // self.points)
        return enough if self.max_triggers is None else min(enough, self.max_triggers)

    @property
    def kept(self) -> int:
        """Events that can count."""
        return self.limit * self.threshold

    def triggers(self, events: int) -> int:
        """Return how often so many events trigger the rule."""
        return min(events // self.threshold, self.limit)


def rule_of(row: Any) -> Rule:  # noqa: ANN401  a record or a mapping with the columns
    """Return a row of `risk_rule_versions` as a rule, at its whole weight."""
    return Rule(
        rule_id=row["rule_id"],
        version=row["version"],
        event_type=row["event_type"],
        threshold=row["threshold_count"],
        window_us=row["window_seconds"] * SECOND,
        points=int(row["risk_points"] * POINT),
        min_severity=row["min_severity"] or 0,
        max_triggers=row["max_triggers"],
        gap_class=None if row["gap_class"] is None else GapClass(row["gap_class"]),
    )


def weighed(rules: Iterable[Rule], percents: Mapping[int, int]) -> tuple[Rule, ...]:
    """
    Return rules as they weigh in one attempt: scaled points are rounded to hundredths, at least one of them;
    at 0 percent a rule is left out (spec.md R-6).
    """
    if not percents:
        return tuple(rules)
    return tuple(
        replace(rule, points=scaled(rule.points, percent), percent=percent)
        for rule in rules
        if (percent := percents.get(rule.rule_id, 100)) > 0
    )


def scaled(points: int, percent: int) -> int:
    """Return so many percent of points in hundredths, rounded half up, at least one hundredth."""
    return max(1, (points * percent + 50) // 100)


class Event(Struct, frozen=True, kw_only=True):
    """
    What rules look at. `at_us` is when it took place: the corrected time of a back-filled event, and never
    after the session's end. `gap_class` is that of the silence that an event of ours tells of.
    """

    seq: int
    at_us: int
    event_type: int
    severity: int
    gap_class: GapClass | None = None


def is_counted(rule: Rule, event: Event) -> bool:
    """Tell whether a rule is about an event, whenever it took place."""
    return (
        event.event_type == rule.event_type
        and event.severity >= rule.min_severity
        and rule.gap_class in {None, event.gap_class}
    )


class Part(Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What one rule adds to a score: `triggers` times `points`, in hundredths; `since_us` is when its window
    begins, None for the whole session; `events` are the sequence numbers of those that made the triggers, the
    first in time.
    """

    rule_id: int
    version: int
    threshold: int
    window_us: int
    since_us: int | None
    points: int
    percent: int
    max_triggers: int | None
    triggers: int
    events: list[int]


class Scored(Struct, frozen=True, kw_only=True):
    """A score in hundredths as of a moment, with what explains it: rules that triggered, in their order."""

    as_of_us: int
    score: int
    trace: list[Part]


def score(rules: Sequence[Rule], events: Iterable[Event], as_of_us: int) -> Scored:
    """
    Return the score as of a moment: of each rule's events in its window, both ends inclusive, every
    `threshold` of them trigger it; what the rules add is summed, and capped at 100. The definition.

    Args:
        rules: in their order, as they weigh.
        events: of the session, any order, each once.
        as_of_us: what windows count back from.

    Of more events than can count, those of the whole session that came first do, of a window's the last.
    """
    given = sorted(events, key=lambda event: (event.at_us, event.seq))
    parts = []
    for rule in rules:
        since_us = as_of_us - rule.window_us if rule.window_us else None
        found = [
            event.seq
            for event in given
            if is_counted(rule, event)
            and event.at_us <= as_of_us
            and (since_us is None or event.at_us >= since_us)
        ]
        parts.append(_part(rule, as_of_us, found[-rule.kept :] if rule.window_us else found[: rule.kept]))
    return _sum(parts, as_of_us)


def peak(rules: Sequence[Rule], events: Iterable[Event]) -> Scored | None:
    """
    Return the highest score at any event's moment, the first where there are several; None where no rule ever
    triggered. The definition.
    """
    given = list(events)
    scores = [score(rules, given, moment) for moment in sorted({event.at_us for event in given})]
    found = max(scores, key=lambda each: each.score, default=None)
    return found if found is not None and found.score else None


def score_of_trace(trace: Iterable[Part]) -> int:
    """Return the score that a trace explains, from its numbers of events."""
    total = 0
    for part in trace:
        triggers = len(part.events) // part.threshold
        if part.max_triggers is not None:
            triggers = min(triggers, part.max_triggers)
        total += triggers * part.points
    return min(total, SCORE_MAX)


def _part(rule: Rule, as_of_us: int, events: list[int]) -> Part:
    triggers = rule.triggers(len(events))
    return Part(
        rule_id=rule.rule_id,
        version=rule.version,
        threshold=rule.threshold,
        window_us=rule.window_us,
        since_us=as_of_us - rule.window_us if rule.window_us else None,
        points=rule.points,
        percent=rule.percent,
        max_triggers=rule.max_triggers,
        triggers=triggers,
        events=events[: triggers * rule.threshold],
    )


def _sum(parts: Iterable[Part], as_of_us: int) -> Scored:
    trace = [part for part in parts if part.triggers]
    total = sum(part.triggers * part.points for part in trace)
    return Scored(as_of_us=as_of_us, score=min(total, SCORE_MAX), trace=trace)


# -- the same, carried from event to event


class Met(Struct, array_like=True):
    """
    What one rule has met: the events that may still count, as (moment, sequence number) in order, and its
    triggers at the moment with the most.
    """

    events: list[tuple[int, int]] = []
    most: int = 0


class State(Struct, array_like=True):
    """
    A session's risk up to `at_us`, the moment of the last event that a rule is about: what each rule has met,
    in the order of the rules, and the highest score so far.
    """

    met: list[Met]
    at_us: int = 0
    peak: int = 0


def begin(rules: Sequence[Rule]) -> State:
    """Return the state of a session without events."""
    return State(met=[Met() for _ in rules])


def told_types(rules: Iterable[Rule]) -> list[int]:
    """Return the types that rules are about, ascending: events of no other type can change a score."""
    return sorted({rule.event_type for rule in rules})


def follows(state: State, rules: Sequence[Rule], events: Iterable[Event]) -> bool:
    """
    Tell whether a state can be carried forward by these events: none that a rule is about took place before
    what is in it. Where one did, the session is computed from all its events.
    """
    return all(
        event.at_us >= state.at_us or not any(is_counted(rule, event) for rule in rules) for event in events
    )


def advance(state: State, rules: Sequence[Rule], events: Iterable[Event]) -> tuple[State, Scored | None]:
    """
    Carry a state forward; it is left as it was.

    Args:
        state: of the same rules.
        rules: in their order.
        events: those that arrived since, any order; `follows` holds.

    Returns:
        The state, and the score at the moment of its peak, with its trace, where that has risen.
    """
    # Of the rules that have met anything: most have not, and can add nothing.
    kept = {place: deque(met.events) for place, met in enumerate(state.met) if met.events}
    most = [met.most for met in state.met]
    about: dict[int, list[int]] = {}
    for place, rule in enumerate(rules):
        about.setdefault(rule.event_type, []).append(place)
    at_us, highest, risen = state.at_us, state.peak, None
    for event in sorted(
        (event for event in events if event.event_type in about), key=lambda each: (each.at_us, each.seq)
    ):
        places = [place for place in about[event.event_type] if is_counted(rules[place], event)]
        if not places:
            continue
        assert event.at_us >= at_us, "the caller has asked whether the events follow"
        at_us = event.at_us
        for place in places:
            own = kept.setdefault(place, deque())
            if rules[place].window_us or len(own) < rules[place].kept:
                own.append((at_us, event.seq))
        total = 0
        for place, own in kept.items():
            rule = rules[place]
            _forget(own, rule, at_us)
            triggers = rule.triggers(len(own))
            most[place] = max(most[place], triggers)
            total += triggers * rule.points
        if min(total, SCORE_MAX) > highest:
            highest = min(total, SCORE_MAX)
            risen = at_us, {place: list(own) for place, own in kept.items()}
    met = [Met(list(kept.get(place, ())), times) for place, times in enumerate(most)]
    after = State(met=met, at_us=at_us, peak=highest)
    if risen is None:
        return after, None
    return after, _scored([risen[1].get(place, []) for place in range(len(rules))], rules, risen[0])


def _forget(events: deque[tuple[int, int]], rule: Rule, at_us: int) -> None:
    """Drop what a window has left behind, and what cannot count."""
    if rule.window_us:
        while events and (events[0][0] < at_us - rule.window_us or len(events) > rule.kept):
            events.popleft()


def scored(state: State, rules: Sequence[Rule], as_of_us: int) -> Scored:
    """Return the score as of a moment that is not before the last event of the state."""
    assert as_of_us >= state.at_us, "what a window has left behind is gone"
    return _scored([met.events for met in state.met], rules, as_of_us)


def _scored(kept: Sequence[list[tuple[int, int]]], rules: Sequence[Rule], as_of_us: int) -> Scored:
    parts = []
    for rule, events in zip(rules, kept, strict=True):
        if len(events) < rule.threshold:
            continue
        first = bisect_left(events, (as_of_us - rule.window_us, 0)) if rule.window_us else 0
        parts.append(_part(rule, as_of_us, [seq for _, seq in events[first:]]))
    return _sum(parts, as_of_us)


def due_us(state: State, rules: Sequence[Rule], as_of_us: int) -> int | None:
    """Return when a window will next have forgotten enough for a rule to trigger less; None: never."""
    moments = []
    for rule, met in zip(rules, state.met, strict=True):
        if rule.window_us:
            events = met.events[bisect_left(met.events, (as_of_us - rule.window_us, 0)) :]
            needed = rule.triggers(len(events)) * rule.threshold
            if needed:
                moments.append(events[len(events) - needed][0] + rule.window_us + 1)
    return min(moments, default=None)


def gap_class_of(event_type: int, at_us: int, gaps: Sequence[tuple[int, GapClass | None]]) -> GapClass | None:
    """
    Return how the silence was judged that an event of ours tells of; None while it is not, and of any other
    event.

    Args:
        event_type: of an event that no client sent.
        at_us: its moment, inside the silence.
        gaps: (when it began, class as it is judged now), by beginning.
    """
    if event_type != EventType.NetworkDisconnected:
        return None
    place = bisect_left(gaps, at_us, key=lambda gap: gap[0])
    return gaps[place - 1][1] if place else None
