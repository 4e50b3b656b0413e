"""
How simulated candidates behave: what they do next and how long they think before it. Pure; seeded.

Used by the demo and by locust.
"""

import random
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Final

import msgspec

from kernel.events import EventType, Severity

Happening = tuple[EventType, Severity, dict[str, Any]]
QUESTIONS: Final = 30
TEXT: Final = "The stack grows downwards; a frame holds the return address, so an overflow reaches it."


class Temper(StrEnum):
    """What kind of candidate somebody is, and with what share."""

    steady = "steady"
    restless = "restless"  # switches tabs, pastes, leaves fullscreen
    unlucky = "unlucky"  # loses the network again and again


SHARES: Final = {Temper.steady: 0.65, Temper.restless: 0.2, Temper.unlucky: 0.15}


class Act(msgspec.Struct, frozen=True):
    """Think for `after_s`, then let these events happen; from then on have no network for `offline_s`."""

    after_s: float
    events: list[Happening]
    offline_s: float = 0.0


Part = Callable[[random.Random], Iterator[Act]]  # what somebody does, given their dice


def temper_of(dice: random.Random) -> Temper:
    """Draw what kind of candidate the next one is."""
    return dice.choices(list(SHARES), list(SHARES.values()))[0]


def conduct(dice: random.Random, temper: Temper) -> Iterator[Act]:
    """Yield a candidate's acts without end: questions read, typed at, answered, and what goes on between."""
    question = 0
    while True:
        question = question % QUESTIONS + 1
        yield Act(dice.uniform(0.3, 2.0), [(EventType.QuestionViewed, Severity.Info, {"question": question})])
        for _ in range(dice.randint(1, 4)):
            yield _typing(dice, question)
            yield from _distraction(dice, temper, question)
        answer = {"question": question, "characters": dice.randint(40, 900)}
        yield Act(dice.uniform(0.2, 1.5), [(EventType.AnswerSaved, Severity.Info, answer)])


def tempted(dice: random.Random, every_s: float) -> Iterator[Act]:
    """Do what every proctor looks for, an act each `every_s`; then write on."""
    for question in (1, 2, 3):
        yield Act(every_s, [(EventType.TabSwitched, Severity.Medium, {"question": question})])
    yield Act(every_s, [(EventType.FullscreenExited, Severity.High, {"by": "Escape"})])
    yield Act(every_s, [(EventType.DevToolsOpened, Severity.High, {"by": "F12"})])
    yield from _only_typing(dice)


def cut_off(dice: random.Random, offline_s: float) -> Iterator[Act]:
    """Lose the network and write on, which the page sends once it has it back."""
    yield Act(0.5, [_BEAT])
    yield Act(2.0, [], offline_s=offline_s)
    yield from _only_typing(dice)


def asleep(dice: random.Random, offline_s: float) -> Iterator[Act]:
    """Close the lid: nothing happens, and nothing comes later that happened meanwhile; then write on."""
    yield Act(0.5, [_BEAT])
    yield Act(2.0, [], offline_s=offline_s)
    yield Act(offline_s + 2, [_BEAT])
    yield from _only_typing(dice)


_BEAT: Final[Happening] = (EventType.Heartbeat, Severity.Info, {})


def _only_typing(dice: random.Random) -> Iterator[Act]:
    while True:
        yield _typing(dice, dice.randint(1, QUESTIONS))


def _typing(dice: random.Random, question: int) -> Act:
    """A burst: keys and mouse as the page sums them up, one event a second of typing."""
    keys: list[Happening] = [
        (EventType.Keystroke, Severity.Info, {"question": question, "keys": dice.randint(1, 9)})
        for _ in range(dice.randint(1, 8))
    ]
    mouse: Happening = (
        EventType.MouseActivity,
        Severity.Info,
        {"clicks": dice.randint(0, 3), "pixels": dice.randint(0, 4000)},
    )
    return Act(dice.expovariate(1 / 2.5), [*keys, mouse])


def _distraction(dice: random.Random, temper: Temper, question: int) -> Iterator[Act]:
    match temper:
        case Temper.restless if dice.random() < 0.35:
            yield from _other_tab(dice, question)
        case Temper.restless if dice.random() < 0.08:
            yield Act(dice.uniform(0.2, 2.0), [(EventType.FullscreenExited, Severity.High, {"by": "Escape"})])
        case Temper.unlucky if dice.random() < 0.4:
            yield Act(dice.uniform(0.5, 2.0), [], offline_s=dice.uniform(2.0, 8.0))
        case _ if dice.random() < 0.02:
            yield from _other_tab(dice, question)


def _other_tab(dice: random.Random, question: int) -> Iterator[Act]:
    """Away, back, and sometimes with something in the clipboard."""
    yield Act(
        dice.uniform(0.1, 1.0),
        [
            (EventType.TabSwitched, Severity.Medium, {"question": question}),
            (EventType.WindowBlurred, Severity.Low, {}),
        ],
    )
    away_s = dice.uniform(1.0, 6.0)
    yield Act(away_s, [(EventType.WindowFocus, Severity.Info, {"awayMs": round(away_s * 1000)})])
    if dice.random() < 0.5:
        pasted = TEXT[: dice.randint(20, len(TEXT))]
        paste: Happening = (
            EventType.PasteAttempt,
            Severity.High,
            {"characters": len(pasted), "text": pasted},
        )
        yield Act(dice.uniform(0.5, 9.0), [paste])
