"""
What a programme asks of somebody's submissions, and how far they are: one pure function (spec.md M-3).

A requirement is met by submissions that count for it: of its exams, finalised in time, good enough, not void,
not lapsed, and handed in when what it comes after was met. All bounds are half-open: a submission counts
where it was finalised earlier than `before`, and until `valid_days` after it was finalised.

    judge(requirements, facts, as_of=now).is_complete
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

REQUIREMENTS_MAX: Final = 50
EXAMS_MAX: Final = 100
DAYS_MAX: Final = 36_500
TOGETHER_MAX: Final = 500  # submissions that a completion rests on: the ledger names them

Key = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$(?!\n)", description="Its name in this programme.")]


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all requirements may ask of a submission beside its exam; what is left out is not asked."""

    key: Key
    min_percentage: Annotated[float, Meta(ge=0, le=100)] | None = None
    must_pass: bool = False
    before: Annotated[datetime, Meta(tz=True, description="Finalised before this.")] | None = None
    valid_days: Annotated[int, Meta(ge=1, le=DAYS_MAX, description="Counts so long, then lapses.")] | None = (
        None
    )
    after: Annotated[
        list[Key],
        Meta(max_length=REQUIREMENTS_MAX, description="Of earlier ones: met when it was handed in."),
    ] = []


class OneExam(Requirement, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="exam"):
    """This exam."""

    exam_id: UUID


class SomeExams(Requirement, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="some"):
    """Any `count` of these exams."""

    exam_ids: Annotated[list[UUID], Meta(min_length=1, max_length=EXAMS_MAX)]
    count: Annotated[int, Meta(ge=1, le=EXAMS_MAX)]


AnyRequirement = OneExam | SomeExams


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What counts of a submission: its newest score (None: waits for a grader), and whether it is void."""

    submission_id: UUID
    exam_id: UUID
    finalised_at: datetime
    percentage: float | None
    passed: bool | None
    is_void: bool = False


class Met(StrEnum):
    """How far a requirement is. What is missed may still be met, by a later grade or a restored result."""

    met = "met"
    open = "open"
    missed = "missed"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """
    One requirement: how many of its exams count, of how many that it needs; the submissions that it rests on,
    in order of their exams' ids; when the first of them lapses, None for never.
    """

    key: str
    state: Met
    counted: int
    needed: int
    submission_ids: tuple[UUID, ...]
    lapses_at: datetime | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """All requirements, in their order. Before `next_at` nothing changes by time alone; None: never."""

    requirements: tuple[Judged, ...]
    is_complete: bool
    next_at: datetime | None


def exams_of(requirement: AnyRequirement) -> Sequence[UUID]:
    """Return the exams that a requirement names."""
    return [requirement.exam_id] if isinstance(requirement, OneExam) else requirement.exam_ids


def needed_of(requirement: AnyRequirement) -> int:
    """Return how many exams a requirement needs."""
    return requirement.count if isinstance(requirement, SomeExams) else 1


def faults_of(requirements: Sequence[AnyRequirement]) -> Iterator[tuple[str, str]]:
    """Yield what no programme can ask: the path in the list, and what is wrong there."""
    known: set[str] = set()
    for number, each in enumerate(requirements):
        if each.key in known:
            yield f"[{number}].key", "another requirement has this key"
        for place, key in enumerate(each.after):
            if key not in known:
                yield f"[{number}].after[{place}]", "no earlier requirement has this key"
        known.add(each.key)
        exams = exams_of(each)
        if len(set(exams)) < len(exams):
            yield f"[{number}].exam_ids", "an exam is there twice"
        if isinstance(each, SomeExams) and each.count > len(exams):
            yield f"[{number}].count", "more than there are exams"
    if sum(needed_of(each) for each in requirements) > TOGETHER_MAX:
        yield "", f"more than {TOGETHER_MAX} exams are needed together"


def judge(requirements: Sequence[AnyRequirement], facts: Sequence[Fact], *, as_of: datetime) -> Progress:
    """
    Judge somebody's submissions, in whatever order they come.

    Args:
        requirements: without faults (`faults_of`).
        facts: of all their submissions to the exams that are named; those of others do not matter.
        as_of: with a time zone; what was finalised after it is not there yet.
    """
    judging = _Judging(requirements, facts)
    judged = tuple(judging.judge(each, as_of) for each in requirements)
    changes = [each.lapses_at for each in judged if each.state is Met.met and each.lapses_at is not None]
    changes += [each.before for each in requirements if each.before is not None and each.before > as_of]
    changes += [each.finalised_at for each in facts if each.finalised_at > as_of]
    changes += judging.lapsing(as_of)
    return Progress(
        requirements=judged,
        is_complete=bool(judged) and all(each.state is Met.met for each in judged),
        next_at=min(changes, default=None),
    )


class _Judging:
    """One person's facts by exam, and what was found of each requirement at each moment asked about."""

    def __init__(self, requirements: Sequence[AnyRequirement], facts: Sequence[Fact]) -> None:
        self._by_key = {each.key: each for each in requirements}
        self._facts: dict[UUID, list[Fact]] = {}
        for fact in sorted(facts, key=lambda each: (each.finalised_at, each.submission_id), reverse=True):
            self._facts.setdefault(fact.exam_id, []).append(fact)
        self._found: dict[tuple[str, datetime], Judged] = {}

    def judge(self, requirement: AnyRequirement, at: datetime) -> Judged:
        """Return how far a requirement is at a moment, resting on what lapses last."""
        place = (requirement.key, at)
        if place not in self._found:
            self._found[place] = self._judge(requirement, at)
        return self._found[place]

    def _judge(self, requirement: AnyRequirement, at: datetime) -> Judged:
        needed = needed_of(requirement)
        newest = [
            fact
            for exam_id in exams_of(requirement)
            if (fact := next(self._counting(requirement, exam_id, at), None)) is not None
        ]
        newest.sort(key=lambda each: (each.finalised_at, each.submission_id), reverse=True)
        rests = sorted(newest[:needed], key=lambda each: each.exam_id)
        if len(newest) >= needed:
            state = Met.met
        else:
            state = Met.missed if requirement.before is not None and at >= requirement.before else Met.open
        return Judged(
            key=requirement.key,
            state=state,
            counted=len(newest),
            needed=needed,
            submission_ids=tuple(each.submission_id for each in rests),
            lapses_at=min((lapse for each in rests if (lapse := _lapse(requirement, each))), default=None),
        )

    def _counting(self, requirement: AnyRequirement, exam_id: UUID, at: datetime) -> Iterator[Fact]:
        """Yield the submissions to an exam that count, newest first."""
        for fact in self._facts.get(exam_id, ()):
            lapse = _lapse(requirement, fact)
            if (
                fact.finalised_at <= at
                and (lapse is None or at < lapse)
                and _is_good(requirement, fact)
                and all(
                    self.judge(self._by_key[key], fact.finalised_at).state is Met.met
                    for key in requirement.after
                )
            ):
                yield fact

    def lapsing(self, at: datetime) -> Iterator[datetime]:
        """Yield when what counts at a moment, and may not be rested on, lapses: the count changes."""
        for requirement in self._by_key.values():
            for exam_id in exams_of(requirement):
                fact = next(self._counting(requirement, exam_id, at), None)
                if fact is not None and (lapse := _lapse(requirement, fact)) is not None:
                    yield lapse


def _is_good(requirement: AnyRequirement, fact: Fact) -> bool:
    enough = requirement.min_percentage is None or (
        fact.percentage is not None and fact.percentage >= requirement.min_percentage
    )
    in_time = requirement.before is None or fact.finalised_at < requirement.before
    return enough and in_time and not fact.is_void and (fact.passed is True or not requirement.must_pass)


def _lapse(requirement: AnyRequirement, fact: Fact) -> datetime | None:
    days = requirement.valid_days
    return None if days is None else fact.finalised_at + timedelta(days=days)
