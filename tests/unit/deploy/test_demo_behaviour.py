"""Simulated candidates do what candidates do, and the same again from the same seed."""

import random
from collections.abc import Callable, Iterator
from itertools import islice

from kernel.events import EventType
from loadtests.client.behaviour import Act, Temper, asleep, conduct, cut_off, temper_of, tempted


def kinds(temper: Temper, acts: int = 2000) -> set[EventType]:
    return {event[0] for act in islice(conduct(random.Random(1), temper), acts) for event in act.events}


def test_a_seed_gives_the_same_candidate_again() -> None:
    first, second = (list(islice(conduct(random.Random(5), Temper.restless), 50)) for _ in range(2))

    assert first == second


def test_only_restless_candidates_leave_fullscreen_and_only_unlucky_ones_lose_their_network() -> None:
    assert EventType.FullscreenExited in kinds(Temper.restless)
    assert EventType.FullscreenExited not in kinds(Temper.steady)
    offline = {
        temper: any(act.offline_s for act in islice(conduct(random.Random(1), temper), 500))
        for temper in Temper
    }
    assert offline == {Temper.steady: False, Temper.restless: False, Temper.unlucky: True}


def test_everybody_thinks_before_acting() -> None:
    assert all(act.after_s > 0 for temper in Temper for act in islice(conduct(random.Random(1), temper), 200))


def test_every_temper_is_drawn() -> None:
    dice = random.Random(1)

    assert {temper_of(dice) for _ in range(200)} == set(Temper)


def test_who_is_tempted_meets_three_rules_first() -> None:
    acts = list(islice(tempted(random.Random(1), 0.5), 5))

    assert [event[0] for act in acts for event in act.events] == [
        *[EventType.TabSwitched] * 3, EventType.FullscreenExited, EventType.DevToolsOpened,
    ]  # fmt: skip
    assert {act.after_s for act in acts} == {0.5}


def test_who_is_cut_off_goes_on_and_whose_computer_sleeps_does_not() -> None:
    def during(part: Callable[[random.Random, float], Iterator[Act]]) -> int:
        """Return how many events happen while there is no network."""
        acts = part(random.Random(1), 48.0)
        gone = next(act for act in acts if act.offline_s)
        since, events = 0.0, 0
        for act in acts:
            since += act.after_s
            if since > gone.offline_s:
                return events
            events += len(act.events)
        raise AssertionError

    assert during(cut_off) > 20
    assert during(asleep) == 0
