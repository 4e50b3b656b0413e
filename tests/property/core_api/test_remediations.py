"""
Remediations over any paper, in any order: what is undone was never there, and moving what changed comes to
the same as scoring all of it (spec.md M-1, S-3). Pure.
"""

from decimal import Decimal
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core_api.authoring import items as of
from core_api.remediations import changes as act
from core_api.remediations.changes import Act, Change, effective, faults, moved, standing
from core_api.remediations.rescoring import by_key
from core_api.submissions.scoring import Given, Totals, item_points, summed, totals
from core_api.wire import as_json
from tests.property.core_api.test_scoring import (
    FIFTY,
    HUNDRED,
    answers,
    ids,
    numbers,
    papers,
    responses,
    texts,
)

positions = st.integers(1, 6)
new_keys = st.one_of(
    st.builds(act.NewKey, choice=ids),
    st.builds(act.NewKey, choices=st.lists(ids, min_size=1, unique=True), partial=st.booleans()),
    st.builds(act.NewKey, number=numbers),
    st.builds(act.NewKey, accepted=st.lists(texts.filter(bool), min_size=1, max_size=2)),
)
some_changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(act.ChangeKey, position=positions, key=new_keys),
    st.builds(act.AcceptAnswer, position=positions, response=responses),
    st.builds(act.DropQuestion, position=positions),
    st.builds(act.Reweight, position=positions, points=st.integers(1, 9999).map(lambda n: n / 100)),
    st.builds(act.FullPoints, position=positions),
)
by_hand = st.dictionaries(positions, st.integers(0, 100).map(Decimal))  # in percent of what the item has


@st.composite
def histories(draw: st.DrawFn, paper: list[of.KeyedItem]) -> list[Act]:
    """Return acts that fit, one after the other; some take an earlier one back."""
    acts: list[Act] = []
    for n in range(draw(st.integers(1, 5))):
        of_now = UUID(int=n + 1)
        held = list(standing(acts))
        undoes = draw(st.sampled_from([None, *held]))
        if undoes is not None:
            acts.append(Act(id=of_now, undoes=undoes))
            continue
        wanted = draw(st.lists(some_changes, min_size=1, max_size=3))
        fitting: list[Change] = []
        for each in wanted:
            if not list(faults(effective(paper, acts), [*fitting, each])):
                fitting.append(each)
        acts.append(Act(id=of_now, changes=fitting))
    return acts


def scored(paper: list[of.EffectiveItem], given_: dict[UUID, of.Response], hand: dict[int, Given]) -> Totals:
    return totals(paper, given_, max_score=HUNDRED, passing_score=FIFTY, given=hand)


@settings(max_examples=60)
@given(st.data(), papers(), answers, by_hand)
def test_moving_what_changed_comes_to_the_same_as_scoring_everything(
    data: st.DataObject,
    paper: list[of.KeyedItem],
    given_: dict[UUID, of.Response],
    percents: dict[int, Decimal],
) -> None:
    acts = data.draw(histories(paper))
    hand = {
        each.position: Given(percents[each.position] / 100 * each.points, each.points)
        for each in paper
        if each.position in percents
    }
    answered = {each.position: given_[each.question_id] for each in paper if each.question_id in given_}
    points = scored(effective(paper, []), given_, hand).item_points
    for n in range(len(acts)):
        before, after = effective(paper, acts[:n]), effective(paper, acts[: n + 1])
        at = {each.position: each for each in after}
        points = by_key(points, at, moved(before, after), answered, hand)

        assert summed(after, points, max_score=HUNDRED, passing_score=FIFTY) == scored(after, given_, hand)


@settings(max_examples=60)
@given(st.data(), papers(), answers, by_hand)
def test_what_is_undone_was_never_there_whatever_came_in_between(
    data: st.DataObject,
    paper: list[of.KeyedItem],
    given_: dict[UUID, of.Response],
    percents: dict[int, Decimal],
) -> None:
    acts = data.draw(histories(paper))
    hand = {position: Given(percent, HUNDRED) for position, percent in percents.items()}
    one = data.draw(st.sampled_from([*standing(acts)]))
    undone = [*acts, Act(id=UUID(int=98), undoes=one)]
    again = [*undone, Act(id=UUID(int=99), undoes=UUID(int=98))]
    last = acts[-1]

    assert one not in standing(undone)
    assert scored(effective(paper, again), given_, hand) == scored(effective(paper, acts), given_, hand)
    if one == last.id:
        assert effective(paper, undone) == effective(paper, acts[:-1])


@settings(max_examples=60)
@given(st.data(), papers())
def test_a_key_is_read_back_as_it_was_stored(data: st.DataObject, paper: list[of.KeyedItem]) -> None:
    items = effective(paper, data.draw(histories(paper)))

    assert msgspec.json.decode(as_json(items), type=list[of.EffectiveItem]) == items


@settings(max_examples=60)
@given(st.data(), papers(), responses)
def test_a_full_item_and_a_dropped_one_are_the_same_for_everybody(
    data: st.DataObject, paper: list[of.KeyedItem], response: of.Response
) -> None:
    for each in effective(paper, data.draw(histories(paper))):
        anybody = {
            item_points(each, given_, hand)
            for given_ in (None, response)
            for hand in (None, Given(Decimal(1), Decimal(2)))
        }

        if each.is_dropped:
            assert anybody == {Decimal(0)} == {each.points}
        elif each.is_full:
            assert anybody == {each.points}
