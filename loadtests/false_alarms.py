"""
How often the numbers accuse somebody who was honest, and how often they find what was planted: on
simulated exams.

An alarm is a row of ALARMS: what it says, and a function from an honest exam to how many of how many it
speaks of. A search is the same for exams in which somebody was not honest. Another feature adds its rows
here.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import polars as pl
from msgspec import Struct
from scipy.stats import beta

from pipeline.features.beforehand import known_beforehand
from pipeline.features.similarity import answer_similarity
from pipeline.features.simulated import Cohort, Plan, cohort

RATE_MAX: Final = 0.01
Counted = tuple[int, int]  # how many, of how many


class Alarm(Struct, frozen=True):
    """
    Something that may be said of somebody.

    Attributes:
        says: what.
        of: what is counted.
        count: how many of them it is said of, of how many, in an exam.
    """

    says: str
    of: str
    count: Callable[[Cohort], Counted]


class Search(Struct, frozen=True):
    """What is planted in an exam, and how much of it is found."""

    plan: Plan
    alarm: Alarm


class Rate(Struct, frozen=True):
    """How often an alarm was given: `found` of `among`, in so many exams."""

    alarm: Alarm
    plans: str
    exams: int
    found: int
    among: int

    @property
    def rate(self) -> float:
        """Return the share."""
        return self.found / self.among if self.among else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Return where the rate is with 95 % confidence (Clopper and Pearson)."""
        low = float(beta.ppf(0.025, self.found, self.among - self.found + 1)) if self.found else 0.0
        left = self.among - self.found
        return low, float(beta.ppf(0.975, self.found + 1, left)) if left else 1.0

    @property
    def is_too_high(self) -> bool:
        """Return whether an alarm on honest exams is too frequent."""
        return self.rate > RATE_MAX


def exams_with_similar_pairs(exam: Cohort) -> Counted:
    """Count the exam if any pair of it is found similar."""
    return int(answer_similarity(exam.submissions, exam.responses)["is_similar"].any()), 1


def copies_found(exam: Cohort) -> Counted:
    """Count the copiers whose pair with their source is found."""
    planted = {tuple(sorted(pair)) for pair in exam.copies}
    return len(planted & _similar(exam)), len(planted)


def insiders_found(exam: Cohort) -> Counted:
    """Count those who knew items before and are found in a pair with another of them."""
    insiders = set(exam.insiders)
    within = [pair for pair in _similar(exam) if insiders.issuperset(pair)]
    return len({attempt for pair in within for attempt in pair}), len(insiders)


def exams_with_striking_scores(exam: Cohort) -> Counted:
    """Count the exam if anybody did strikingly better on every third question than on the others."""
    listed = exam.responses.filter(pl.col("position") % 3 == 0)["question_id"].unique()
    return int(known_beforehand(exam.responses, listed)["is_striking"].any()), 1


def insiders_striking(exam: Cohort) -> Counted:
    """Count those who knew items before and did strikingly better on these."""
    found = known_beforehand(exam.responses, exam.leaked).filter("is_striking")
    return len(set(found["attempt_id"]).intersection(exam.insiders)), len(exam.insiders)


def _similar(exam: Cohort) -> set[tuple[str, ...]]:
    pairs = answer_similarity(exam.submissions, exam.responses).filter("is_similar")
    return {tuple(pair) for pair in pairs.select("attempt_a", "attempt_b").iter_rows()}


HONEST: Final = (
    Plan(candidates=40, items=15),
    Plan(candidates=80, items=25, options=2),
    Plan(candidates=120, items=40, difficulty=-1.5, omitted=0.05),
    Plan(candidates=250, items=30, options=5, difficulty=0.0),
)
ALARMS: Final = (
    Alarm("collusion: a pair is similar", "exams", exams_with_similar_pairs),
    Alarm("known beforehand: a score on listed items", "exams", exams_with_striking_scores),
)
COPIED: Final = Alarm("collusion: copier and source", "copiers", copies_found)
PAIRED: Final = Alarm("collusion: who knew items", "insiders", insiders_found)
KNOWN: Final = Alarm("known beforehand: who knew the listed items", "insiders", insiders_striking)
INSIDERS: Final = Plan(candidates=200, items=60, insiders=10, leaked=0.5)
SEARCHES: Final = (
    *(Search(Plan(candidates=200, copiers=5, copied=share), COPIED) for share in (0.5, 0.7, 0.9)),
    *(Search(Plan(candidates=200, items=80, copiers=5, copied=share), COPIED) for share in (0.5, 0.7)),
    *(Search(INSIDERS, alarm) for alarm in (PAIRED, KNOWN)),
    *(Search(msgspec.structs.replace(INSIDERS, difficulty=1.0), alarm) for alarm in (PAIRED, KNOWN)),
)


def honest(alarms: tuple[Alarm, ...], exams: int, seed: int) -> Iterator[list[Rate]]:
    """Yield the rates of all alarms after each honest exam; the last is of all of them."""
    plans = f"{len(HONEST)} kinds, {HONEST[0].candidates} to {HONEST[-1].candidates} candidates"
    rates = [Rate(each, plans, 0, 0, 0) for each in alarms]
    for number in range(exams):
        exam = cohort(seed + number, HONEST[number % len(HONEST)])
        rates = [_with(rate, exam) for rate in rates]
        yield rates


def planted(search: Search, exams: int, seed: int) -> Iterator[Rate]:
    """Yield what a search has found after each exam."""
    rate = Rate(search.alarm, describe(search.plan), 0, 0, 0)
    for number in range(exams):
        rate = _with(rate, cohort(seed + number, search.plan))
        yield rate


def _with(rate: Rate, exam: Cohort) -> Rate:
    found, among = rate.alarm.count(exam)
    return Rate(rate.alarm, rate.plans, rate.exams + 1, rate.found + found, rate.among + among)


def describe(plan: Plan) -> str:
    """Return a plan with planted people in words."""
    size = f"{plan.candidates} candidates, {plan.items} items"
    if plan.copiers:
        return f"{size}; {plan.copied:.0%} copied"
    hard = ", hard" if plan.difficulty > 0 else ""
    return f"{size}{hard}; {plan.insiders} knew {plan.leaked:.0%}"
