"""What programmes ask of submissions, by properties (spec.md M-3)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.programmes import (
    AnyRequirement,
    Fact,
    Met,
    OneExam,
    Progress,
    Requirement,
    SomeExams,
    faults_of,
    judge,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
EXAMS = [UUID(int=number) for number in range(1, 5)]
DAYS = st.integers(0, 60)
PERCENTAGES = st.none() | st.sampled_from([0.0, 40.0, 50.0, 80.0, 100.0])


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def fact(number: int = 1, exam: int = 0, at: int = 0, **more: Any) -> Fact:
    given = {"percentage": 80.0, "passed": True} | more
    return Fact(submission_id=UUID(int=1000 + number), exam_id=EXAMS[exam], finalised_at=day(at), **given)


def states(progress: Progress) -> list[str]:
    return [each.state for each in progress.requirements]


@st.composite
def programmes(draw: st.DrawFn) -> list[AnyRequirement]:
    made: list[AnyRequirement] = []
    for number in range(draw(st.integers(1, 4))):
        common: dict[str, Any] = {
            "key": f"r{number}",
            "min_percentage": draw(st.sampled_from([None, 50.0, 80.0])),
            "must_pass": draw(st.booleans()),
            "before": draw(st.none() | DAYS.map(day)),
            "valid_days": draw(st.none() | st.integers(1, 40)),
            "after": draw(st.lists(st.sampled_from([each.key for each in made]), unique=True))
            if made
            else [],
        }
        exams = draw(st.lists(st.sampled_from(EXAMS), min_size=1, unique=True))
        if draw(st.booleans()):
            made.append(OneExam(exam_id=exams[0], **common))
        else:
            made.append(SomeExams(exam_ids=exams, count=draw(st.integers(1, len(exams))), **common))
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    return [
        fact(
            number,
            draw(st.integers(0, len(EXAMS) - 1)),
            draw(DAYS),
            percentage=(percentage := draw(PERCENTAGES)),
            passed=None if percentage is None else percentage >= 50,
            is_void=draw(st.integers(0, 4)) == 0,
        )
        for number in range(draw(st.integers(0, 8)))
    ]


@settings(max_examples=60)
@given(programmes(), histories(), DAYS.map(day), st.randoms())
def test_the_order_of_submissions_does_not_matter_m3(
    asked: list[AnyRequirement], facts: list[Fact], as_of: datetime, random: Any
) -> None:
    mixed = list(facts)
    random.shuffle(mixed)
    assert list(faults_of(asked)) == []
    assert judge(asked, mixed, as_of=as_of) == judge(asked, facts, as_of=as_of)


@settings(max_examples=60)
@given(programmes(), histories(), DAYS.map(day), st.data())
def test_a_void_takes_away_at_most_and_restoring_gives_back_m3(
    asked: list[AnyRequirement], facts: list[Fact], as_of: datetime, data: st.DataObject
) -> None:
    before = judge(asked, facts, as_of=as_of)
    gone = data.draw(st.sampled_from([each.submission_id for each in facts] or [UUID(int=0)]))
    voided = [
        msgspec.structs.replace(each, is_void=True) if each.submission_id == gone else each for each in facts
    ]
    after = judge(asked, voided, as_of=as_of)
    assert after == judge(asked, [each for each in voided if not each.is_void], as_of=as_of) or any(
        each.finalised_at > as_of for each in facts
    )
    assert no_further(after, before)
    assert all(gone not in each.submission_ids for each in after.requirements)
    assert judge(asked, facts, as_of=as_of) == before


def no_further(one: Progress, other: Progress) -> bool:
    """Tell whether nothing is met in one that is not in the other, and no more exams count."""
    pairs = zip(one.requirements, other.requirements, strict=True)
    return all((a.state is not Met.met or b.state is Met.met) and a.counted <= b.counted for a, b in pairs)


@settings(max_examples=60)
@given(programmes(), histories(), DAYS.map(day), st.data())
def test_better_scores_and_more_submissions_never_take_away_m3(
    asked: list[AnyRequirement], facts: list[Fact], as_of: datetime, data: st.DataObject
) -> None:
    better = [
        msgspec.structs.replace(each, percentage=100.0, passed=True) if data.draw(st.booleans()) else each
        for each in facts
    ]
    more = [*better, fact(99, data.draw(st.integers(0, 3)), data.draw(DAYS))]
    assert no_further(judge(asked, facts, as_of=as_of), judge(asked, better, as_of=as_of))
    assert no_further(judge(asked, better, as_of=as_of), judge(asked, more, as_of=as_of))


@settings(max_examples=100)
@given(programmes(), histories(), DAYS.map(day), st.integers(0, 3_000))
def test_nothing_changes_by_time_alone_before_it_says_m3(
    asked: list[AnyRequirement], facts: list[Fact], as_of: datetime, hours: int
) -> None:
    progress = judge(asked, facts, as_of=as_of)
    later = as_of + timedelta(hours=hours)
    assert progress.next_at is None or progress.next_at > as_of
    if progress.next_at is None or later < progress.next_at:
        assert judge(asked, facts, as_of=later).requirements == progress.requirements


@settings(max_examples=60)
@given(programmes(), histories(), DAYS.map(day))
def test_what_is_met_rests_on_as_many_submissions_as_it_needs_m3(
    asked: list[AnyRequirement], facts: list[Fact], as_of: datetime
) -> None:
    known = {each.submission_id: each for each in facts}
    for requirement, judged in zip(asked, judge(asked, facts, as_of=as_of).requirements, strict=True):
        rests = [known[each] for each in judged.submission_ids]
        assert (judged.state is Met.met) == (len(rests) == judged.needed)
        assert len({each.exam_id for each in rests}) == len(rests)
        for each in rests:
            assert not each.is_void
            assert each.finalised_at <= as_of
            assert requirement.min_percentage is None or (each.percentage or 0) >= requirement.min_percentage


def test_a_submission_counts_until_it_lapses_m3() -> None:
    asked = [OneExam(key="basics", exam_id=EXAMS[0], valid_days=10)]
    before = judge(asked, [fact()], as_of=day(9))
    assert (before.is_complete, before.next_at) == (True, day(10))
    assert judge(asked, [fact()], as_of=day(10)).is_complete is False
    again = judge(asked, [fact(), fact(2, at=8)], as_of=day(10))
    assert (again.is_complete, again.next_at) == (True, day(18))


def test_a_deadline_that_passes_is_said_and_takes_nothing_away_m3() -> None:
    asked = [OneExam(key="basics", exam_id=EXAMS[0], before=day(5))]
    assert states(judge(asked, [], as_of=day(4))) == ["open"]
    assert states(judge(asked, [], as_of=day(5))) == ["missed"]
    assert states(judge(asked, [fact(at=5)], as_of=day(6))) == ["missed"]
    assert states(judge(asked, [fact(at=4)], as_of=day(6))) == ["met"]


def test_what_comes_after_counts_only_when_that_was_met_m3() -> None:
    asked = [
        OneExam(key="basics", exam_id=EXAMS[0], must_pass=True),
        OneExam(key="finals", exam_id=EXAMS[1], after=["basics"]),
    ]
    too_early = [fact(1, 0, at=5), fact(2, 1, at=3)]
    assert states(judge(asked, too_early, as_of=day(9))) == ["met", "open"]
    assert judge(asked, [*too_early, fact(3, 1, at=6)], as_of=day(9)).is_complete
    voided = [fact(1, 0, at=5, is_void=True), fact(3, 1, at=6)]
    assert states(judge(asked, voided, as_of=day(9))) == ["open", "open"]


def test_any_k_of_these_are_of_different_exams_m3() -> None:
    asked = [SomeExams(key="electives", exam_ids=EXAMS[:3], count=2, min_percentage=50)]
    twice = judge(asked, [fact(1, 0), fact(2, 0, at=1)], as_of=day(9))
    assert (states(twice), twice.requirements[0].counted) == (["open"], 1)
    assert judge(asked, [fact(1, 0), fact(2, 2)], as_of=day(9)).is_complete
    assert not judge(asked, [fact(1, 0), fact(2, 2, percentage=None)], as_of=day(9)).is_complete


def test_a_programme_that_asks_nothing_is_never_complete_m3() -> None:
    assert judge([], [fact()], as_of=day(9)).is_complete is False


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ([OneExam(key="a", exam_id=EXAMS[0]), OneExam(key="a", exam_id=EXAMS[1])], "[1].key"),
        ([OneExam(key="a", exam_id=EXAMS[0], after=["a"])], "[0].after[0]"),
        ([SomeExams(key="a", exam_ids=[EXAMS[0], EXAMS[0]], count=1)], "[0].exam_ids"),
        ([SomeExams(key="a", exam_ids=EXAMS[:1], count=2)], "[0].count"),
    ],
)
def test_what_no_programme_can_ask_is_named_m3(asked: list[AnyRequirement], path: str) -> None:
    assert [place for place, _ in faults_of(asked)] == [path]


def test_a_requirement_is_read_by_its_kind_and_knows_no_other_members_m3() -> None:
    read = msgspec.json.Decoder(list[AnyRequirement]).decode
    one: Requirement = OneExam(key="a", exam_id=EXAMS[0], must_pass=True)
    assert read(msgspec.json.encode([one])) == [one]
    with pytest.raises(msgspec.ValidationError, match="unknown field `exams`"):
        read(b'[{"kind": "some", "key": "a", "exams": [], "exam_ids": [], "count": 1}]')
