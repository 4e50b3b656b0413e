"""Simulated candidates do what candidates do, and the same again from the same seed."""

import random
from itertools import islice

from kernel.events import EventType
from loadtests.client.behaviour import Temper, conduct, temper_of


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
