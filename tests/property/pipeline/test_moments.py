"""A form's tally, however submissions are added up (analytics.md, "Exam analytics"; spec.md W-2)."""

from collections.abc import Sequence
from functools import reduce
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from pipeline.features.items import item_rows
from pipeline.features.moments import Tally, merged, packed, rekeyed, subtracted, unpacked, without
from pipeline.features.reliability import Named, statistics_row
from pipeline.features.tallying import tallied
from tests.kits.forms import answered

Frames = tuple[pl.DataFrame, pl.DataFrame]
NAMED = Named("exam", "school", "form", None)


@st.composite
def forms(draw: st.DrawFn, items_min: int = 1) -> tuple[Frames, str]:
    """One to nine submissions, some void, some waiting, some without times; and the key."""
    items, people = draw(st.integers(items_min, 4)), draw(st.integers(1, 9))
    key = draw(st.text("abc", min_size=items, max_size=items))
    places = st.tuples(st.integers(0, people - 1), st.integers(0, items - 1))
    row = st.lists(st.none() | st.floats(0, 5000), min_size=items, max_size=items)
    frames = answered(
        draw(st.lists(st.text("abc ", min_size=items, max_size=items), min_size=people, max_size=people)),
        key,
        worth=draw(st.lists(st.sampled_from([0.05, 1.0, 2.5, 10_000.0]), min_size=items, max_size=items)),
        seconds=draw(st.lists(row, min_size=people, max_size=people)),
        ungraded=draw(st.frozensets(places, max_size=2)),
        void=draw(st.frozensets(st.integers(0, people - 1), max_size=2)),
        passed=draw(st.lists(st.none() | st.booleans(), min_size=people, max_size=people)),
    )
    return frames, key


def tally_of(frames: Frames, people: Sequence[int] | None = None, *, in_groups: bool = False) -> Tally | None:
    """Return the tally of all submissions, or of those at these places; None without a valid one."""
    submissions, responses = frames
    groups = submissions.select(
        "submission_id", group=pl.Series(["reference", "focal", None] * len(submissions))[: len(submissions)]
    )
    chosen = submissions if people is None else submissions[list(people)]
    return tallied(chosen, responses, groups if in_groups else None).get(("exam", "form"))


@settings(max_examples=25)
@given(
    form=forms(),
    partitions=st.sampled_from([1, 4, 16]),
    chance=st.randoms(use_true_random=False),
    in_groups=st.booleans(),
)
def test_partitions_in_any_order_give_the_same_bytes(
    form: tuple[Frames, str], partitions: int, chance: Random, *, in_groups: bool
) -> None:
    (submissions, responses), _ = form
    people = list(range(len(submissions)))
    chance.shuffle(people)
    shuffled = responses.sample(fraction=1.0, shuffle=True, seed=len(people))
    parts = [
        tally_of((submissions, shuffled), people[n::partitions], in_groups=in_groups)
        for n in range(partitions)
    ]
    there = [part for part in parts if part is not None]
    whole = tally_of((submissions, responses), in_groups=in_groups)

    assert (whole is None) == (there == [])
    if whole is not None:
        assert packed(reduce(merged, there)) == packed(whole)
        assert packed(unpacked(packed(whole))) == packed(whole)


@settings(max_examples=25)
@given(form=forms(), cut=st.integers(0, 8), in_groups=st.booleans())
def test_what_is_taken_away_leaves_no_trace(form: tuple[Frames, str], cut: int, *, in_groups: bool) -> None:
    frames, _ = form
    people = range(len(frames[0]))
    first, rest, whole = (
        tally_of(frames, each, in_groups=in_groups) for each in (people[:cut], people[cut:], people)
    )

    if whole is not None and first is not None and rest is not None:
        assert packed(subtracted(whole, rest)) == packed(first)
        assert packed(subtracted(merged(whole, rest), rest)) == packed(whole)


def rows_of(tally: Tally) -> list[dict[str, object]]:
    return [*item_rows(tally, NAMED), statistics_row(tally, NAMED)]


@settings(max_examples=25)
@given(forms(items_min=2), st.integers(0, 3))
def test_a_dropped_item_was_never_there(form: tuple[Frames, str], place: int) -> None:
    (submissions, responses), key = form
    dropped = place % len(key)
    whole = tally_of((submissions, responses))
    waiting = responses.filter(pl.col("points").is_null())["submission_id"].implode()
    kept = responses.filter(pl.col("question_version_id") != f"v{dropped + 1}")
    known = submissions.filter(~pl.col("submission_id").is_in(waiting))
    fresh = tally_of((known, kept))
    if whole is None or fresh is None:
        return
    made = without(structs.replace(whole, waiting=0), dropped)

    for got, wanted in zip(rows_of(made), rows_of(fresh), strict=True):
        same = [name for name in wanted if name not in HANGS_ON_TOTALS]
        assert {name: got[name] for name in same} == {name: wanted[name] for name in same}
        assert all(got.get(name) is None for name in HANGS_ON_TOTALS)


HANGS_ON_TOTALS = {
    "d27", "dif_delta", "dif_class", "median", "skew", "lowest", "highest", "total_passed", "pass_rate",
    "distribution",
}  # fmt: skip


@settings(max_examples=25)
@given(forms(items_min=2), st.integers(0, 3), st.sampled_from("abc"))
def test_another_key_is_as_if_it_had_always_been_so(form: tuple[Frames, str], place: int, right: str) -> None:
    (submissions, responses), key = form
    changed = place % len(key)
    whole = tally_of((submissions, responses))
    is_it = (pl.col("question_version_id") == f"v{changed + 1}") & pl.col("points").is_not_null()
    hits = (pl.col("response") == right).fill_null(value=False)
    rescored = responses.with_columns(
        points=pl.when(is_it).then(pl.col("max_points") * hits).otherwise("points"),
        key=pl.when(pl.col("question_version_id") == f"v{changed + 1}").then(pl.lit(right)).otherwise("key"),
    )
    fresh = tally_of((submissions, rescored))
    if whole is None or fresh is None:
        return
    made = rekeyed(whole, changed, {right: whole.items[changed].max_points})

    for n, (got, wanted) in enumerate(zip(rows_of(made), rows_of(fresh), strict=True)):
        left = HANGS_ON_TOTALS | (set() if n == changed else {"distractors"})
        same = [name for name in wanted if name not in left]
        assert {name: got[name] for name in same} == {name: wanted[name] for name in same}


@settings(max_examples=15)
@given(forms(), st.sampled_from([2, 5, 10]))
def test_the_unit_of_points_changes_no_correlation(form: tuple[Frames, str], times: int) -> None:
    (submissions, responses), _ = form
    other = responses.with_columns(pl.col("points", "max_points") * times)
    one, two = tally_of((submissions, responses)), tally_of((submissions, other))
    if one is None or two is None:
        return

    free = ("difficulty", "point_biserial", "biserial", "alpha_if_deleted", "alpha", "skew", "pass_rate")
    for got, wanted in zip(rows_of(two), rows_of(one), strict=True):
        for name in set(free) & set(wanted):
            assert (got[name] is None) == (wanted[name] is None)
            assert (got[name] or 0.0) == pytest.approx(wanted[name] or 0.0, rel=1e-12, abs=1e-12)
