"""Scoring: its bounds and its symmetries, for any items and answers (spec.md S-3, E-1). Pure."""

from decimal import Decimal
from random import Random
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core_api.authoring import items as of
from core_api.submissions.scoring import Given, item_points, totals

OPTIONS = of.ChoiceContent(stem="?", options=[of.Option(id=each, text=each) for each in "abcd"])
TEXT = of.TextContent(stem="?")
HUNDRED, FIFTY = Decimal(100), Decimal(50)

ids = st.sampled_from("abcd")
texts = st.text("aA\u00df\ufb01 1", max_size=9)
numbers = st.decimals(-1000, 1000, places=2).map(float)
items: st.SearchStrategy[of.Item] = st.one_of(
    st.builds(of.SingleChoice, content=st.just(OPTIONS), key=st.builds(of.SingleKey, choice=ids)),
    st.builds(
        of.MultipleChoice,
        content=st.just(OPTIONS),
        key=st.builds(of.MultipleKey, choices=st.lists(ids, min_size=1, unique=True), partial=st.booleans()),
    ),
    st.builds(
        of.Numeric,
        content=st.just(TEXT),
        key=st.builds(of.NumericKey, number=numbers, tolerance=st.sampled_from([0.0, 0.1, 5.0])),
    ),
    st.builds(
        of.ShortText,
        content=st.just(TEXT),
        key=st.builds(
            of.ShortKey,
            accepted=st.lists(texts.filter(bool), min_size=1, max_size=3),
            case_sensitive=st.booleans(),
        ),
    ),
    st.builds(of.Essay, content=st.just(TEXT), key=st.builds(of.EssayKey)),
    st.builds(
        of.Finding,
        content=st.just(OPTIONS),
        key=st.builds(of.FindingKey, shares=st.fixed_dictionaries(dict.fromkeys("abcd", st.floats(0, 1)))),
    ),
)
responses = st.one_of(
    st.builds(of.Response),
    st.builds(of.Response, choice=ids),
    st.builds(of.Response, choices=st.lists(ids, max_size=4)),
    st.builds(of.Response, number=numbers),
    st.builds(of.Response, text=texts),
)


@st.composite
def papers(draw: st.DrawFn) -> list[of.KeyedItem]:
    return [
        of.KeyedItem(
            position=n,
            question_id=UUID(int=n),
            question_version_id=UUID(int=1000 + n),
            points=draw(st.decimals(0, 50, places=2)),
            item=draw(items),
        )
        for n in range(1, draw(st.integers(0, 6)) + 1)
    ]


answers = st.dictionaries(st.integers(1, 8).map(lambda n: UUID(int=n)), responses)


def right_answer(item: of.Item) -> of.Response:
    match item:
        case of.SingleChoice(key=key):
            return of.Response(choice=key.choice)
        case of.MultipleChoice(key=key):
            return of.Response(choices=list(reversed(key.choices)))
        case of.Numeric(key=key):
            return of.Response(number=key.number)
        case of.ShortText(key=key):
            return of.Response(text=f"  {key.accepted[-1]} ")
        case of.Finding(key=key):
            return of.Response(choice=max(key.shares, key=lambda each: key.shares[each]))
        case of.Essay():
            return of.Response(text="an essay")


@given(papers(), answers)
def test_points_lie_between_nothing_and_the_items_own(
    paper: list[of.KeyedItem], given_: dict[UUID, of.Response]
) -> None:
    result = totals(paper, given_, max_score=HUNDRED, passing_score=FIFTY)

    for keyed in paper:
        points = result.item_points[keyed.position]
        assert points is None or Decimal(0) <= points <= keyed.points
    assert Decimal(0) <= result.points <= result.max_points
    assert result.score is None or Decimal(0) <= result.score <= HUNDRED
    assert (result.passed is None) == (result.score is None)


@given(papers(), answers, st.integers())
def test_the_order_of_items_and_answers_does_not_matter(
    paper: list[of.KeyedItem], given_: dict[UUID, of.Response], seed: int
) -> None:
    shuffled, pairs = list(paper), list(given_.items())
    Random(seed).shuffle(shuffled)
    Random(seed).shuffle(pairs)

    assert totals(shuffled, dict(pairs), max_score=HUNDRED, passing_score=FIFTY) == totals(
        paper, given_, max_score=HUNDRED, passing_score=FIFTY
    )


@given(papers())
def test_who_answers_nothing_has_nothing_and_nothing_waits_for_a_grader(paper: list[of.KeyedItem]) -> None:
    result = totals(paper, {}, max_score=HUNDRED, passing_score=FIFTY)

    assert result.points == 0
    assert result.ungraded == 0
    assert result.score in {None, 0}


@given(papers())
def test_the_keys_own_answers_earn_everything_that_a_machine_gives(paper: list[of.KeyedItem]) -> None:
    for keyed in paper:
        right = right_answer(keyed.item)
        points = item_points(keyed, right)
        if isinstance(keyed.item, of.Essay):
            assert points is None
        elif isinstance(keyed.item, of.Finding):
            share = Decimal(repr(max(keyed.item.key.shares.values())))
            assert points == (keyed.points * share).quantize(Decimal("0.01"), "ROUND_HALF_UP")
        elif not of.is_blank(right):
            assert points == keyed.points


@given(papers(), answers, st.dictionaries(st.integers(1, 6), st.decimals(-5, 60, places=2)))
def test_a_graders_points_win_within_the_items_own_and_complete_the_score(
    paper: list[of.KeyedItem], given_: dict[UUID, of.Response], graded: dict[int, Decimal]
) -> None:
    by_hand = {
        each.position: Given(graded[each.position], each.points) for each in paper if each.position in graded
    }
    result = totals(paper, given_, max_score=HUNDRED, passing_score=FIFTY, given=by_hand)

    for keyed in paper:
        if keyed.position in graded:
            expected = min(max(graded[keyed.position], Decimal(0)), keyed.points)
            assert result.item_points[keyed.position] == expected
    assert result.ungraded == sum(each is None for each in result.item_points.values())


@given(st.builds(of.MultipleChoice, content=st.just(OPTIONS), key=st.builds(
    of.MultipleKey, choices=st.lists(ids, min_size=1, unique=True), partial=st.just(value=True)
)), st.sets(ids), ids)  # fmt: skip
def test_another_right_choice_never_costs_points_and_a_wrong_one_never_earns_any(
    item: of.MultipleChoice, chosen: set[str], more: str
) -> None:
    keyed = of.KeyedItem(
        position=1, question_id=UUID(int=1), question_version_id=UUID(int=2), points=Decimal(6), item=item
    )
    before = item_points(keyed, of.Response(choices=sorted(chosen))) or Decimal(0)
    after = item_points(keyed, of.Response(choices=sorted(chosen | {more}))) or Decimal(0)

    assert after >= before if more in item.key.choices else after <= before


@given(items, responses)
def test_an_answer_without_a_fault_names_one_member_at_most(item: of.Item, response: of.Response) -> None:
    members = [name for name in of.Response.__struct_fields__ if getattr(response, name) is not None]

    if of.fault_of_response(item, response) is None:
        assert len(members) <= 1
    assert of.fault_of_response(item, right_answer(item)) is None


@given(papers())
def test_a_key_is_read_back_from_its_json_as_it_was(paper: list[of.KeyedItem]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(paper), type=list[of.KeyedItem]) == paper
