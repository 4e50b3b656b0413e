"""Answer similarity against its definition in plain Python, and on exams of known truth (spec.md W-1)."""

from collections import Counter, defaultdict
from itertools import combinations
from math import sqrt
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm

from pipeline.extract import as_table
from pipeline.features import chances, similarity
from pipeline.features.collusion import clusters
from pipeline.features.forms import Form, forms_of
from pipeline.features.frames import CONTACTS
from pipeline.features.pairs import count
from pipeline.features.similarity import Judged, answer_similarity, judge, partners
from pipeline.features.simulated import Cohort, Plan, cohort
from warehouse.datasets.answer_similarity import ANSWER_SIMILARITY
from warehouse.datasets.collusion_clusters import COLLUSION_CLUSTERS
from warehouse.layout import conform

SEEDS = st.integers(0, 2**32 - 1)
OPTIONS = ["A", "B", "C", None, "elsewhere"]


def rough(seed: int, *, candidates: int = 34, items: int = 12) -> Cohort:
    """Return an exam with what is rare: omitted, singular and partly right answers, and a retake."""
    exam = cohort(seed, Plan(candidates=candidates, items=items, omitted=0.1, copiers=3, copied=0.8))
    random = np.random.default_rng(seed)
    drawn = random.random((2, candidates * items))
    numbers = pl.Series([f"{each:.3f}" for each in drawn[0] * 1000])
    answer, letter = pl.col("response"), pl.Series(drawn[1])
    responses = exam.responses.with_columns(
        response=pl.when(answer.is_null()).then(None).when(letter < 0.02).then(numbers).otherwise(answer)
    )
    is_open = pl.col("position") == 3
    responses = responses.with_columns(
        key=pl.when(~is_open).then("key"),
        points=pl.when(is_open)
        .then(answer.is_in(["A", "B"]).fill_null(value=False).cast(pl.Float64))
        .otherwise((answer == "A").fill_null(value=False).cast(pl.Float64)),
    )
    people = exam.submissions["student_id"]
    again = {people[1]: people[0]}  # one candidate sat twice
    return Cohort(
        submissions=exam.submissions.with_columns(pl.col("student_id").replace(again)),
        responses=responses.with_columns(pl.col("student_id").replace(again)),
        copies=exam.copies,
        insiders=(),
        leaked=(),
    )


def form_of(exam: Cohort) -> Form:
    [form] = forms_of(exam.responses, answered_min=0.5)
    return form


class Plain:
    """A form as a teacher would go through it, answer by answer."""

    def __init__(self, responses: pl.DataFrame) -> None:
        self.answers: dict[str, dict[int, str]] = defaultdict(dict)
        self.students: dict[str, str] = {}
        full: dict[tuple[int, str], list[bool]] = defaultdict(list)
        for row in responses.iter_rows(named=True):
            self.students[row["attempt_id"]] = row["student_id"]
            if row["response"] is not None:
                self.answers[row["attempt_id"]][row["position"]] = row["response"]
                is_full = row["points"] == 1 if row["key"] is None else row["response"] == row["key"]
                full[row["position"], row["response"]].append(is_full)
        self.right = {each for each, marks in full.items() if 2 * sum(marks) >= len(marks)}
        items = responses["position"].n_unique()
        self.attempts = sorted(each for each, own in self.answers.items() if 2 * len(own) >= items)

    def score(self, attempt: str) -> int:
        return sum(each in self.right for each in self.answers[attempt].items())

    def shared(self, one: str, other: str) -> list[tuple[int, str]]:
        return sorted(self.answers[one].items() & self.answers[other].items())

    def pairs(self) -> list[tuple[str, str]]:
        return [
            (one, other)
            for one, other in combinations(self.attempts, 2)
            if self.students[one] != self.students[other]
        ]

    def longest_run(self, one: str, other: str) -> int:
        same = {item for item, _ in self.shared(one, other)}
        return max(next(n for n in range(99) if at + n not in same) for at in range(1, 60))


@settings(max_examples=8)
@given(SEEDS, st.integers(1, 2000))
def test_blocks_find_what_going_through_all_pairs_finds(seed: int, block: int) -> None:
    exam = rough(seed)
    plain = Plain(exam.responses)

    form = form_of(exam)
    counted = count(form, block=block)
    found = answer_similarity(exam.submissions, exam.responses, block=block)

    assert sorted(form.attempts) == plain.attempts
    assert dict(zip(form.attempts, form.score.tolist(), strict=True)) == {
        each: plain.score(each) for each in plain.attempts
    }
    tallied = Counter(
        (*sorted((plain.score(one), plain.score(other))), len(plain.shared(one, other)))
        for one, other in plain.pairs()
    )
    cells = zip(
        counted.scores[counted.first].tolist(),
        counted.scores[counted.second].tolist(),
        counted.matches.tolist(),
        strict=True,
    )
    assert dict(zip(cells, counted.pairs.tolist(), strict=True)) == tallied
    for row in found.iter_rows(named=True):
        pair = row["attempt_a"], row["attempt_b"]
        assert row["matches"] == len(plain.shared(*pair))
        assert row["identical_wrong"] == sum(each not in plain.right for each in plain.shared(*pair))
        assert row["longest_run"] == plain.longest_run(*pair)
        run = range(row["run_begins"], row["run_begins"] + row["longest_run"])
        assert {item for item, _ in plain.shared(*pair)} >= set(run)


@settings(max_examples=6)
@given(SEEDS)
def test_kept_are_the_similar_pairs_and_everybodys_best_partner(seed: int) -> None:
    exam = rough(seed)
    plain, judged = Plain(exam.responses), judge(form_of(exam))
    by_cell = cells_of(judged)

    def seen(one: str, other: str) -> tuple[float, float]:
        low, high = sorted((plain.score(one), plain.score(other)))
        return by_cell[low, high, len(plain.shared(one, other))]

    found = answer_similarity(exam.submissions, exam.responses)

    similar = {pair for pair in plain.pairs() if seen(*pair)[1] <= similarity.BAR.q}
    assert set(found.filter("is_similar").select("attempt_a", "attempt_b").iter_rows()) == similar
    best = {}
    for attempt in plain.attempts:
        others = [each for each in plain.attempts if plain.students[each] != plain.students[attempt]]
        best[attempt] = min(others, key=lambda other: (-seen(attempt, other)[0], other))
    told = partners(found)
    assert dict(told.select("attempt_id", "partner_id").iter_rows()) == best
    assert len(found) == len(similar | {tuple(sorted(pair)) for pair in best.items()})


def cells_of(judged: Judged) -> dict[tuple[int, int, int], tuple[float, float]]:
    counted = judged.counted
    keys = zip(
        counted.scores[counted.first].tolist(),
        counted.scores[counted.second].tolist(),
        counted.matches.tolist(),
        strict=True,
    )
    return dict(zip(keys, zip(judged.z.tolist(), judged.q.tolist(), strict=True), strict=True))


@settings(max_examples=4)
@given(SEEDS, st.randoms(use_true_random=False))
def test_order_blocks_and_partitions_change_no_byte(seed: int, random: Random) -> None:
    exams = [rough(seed), rough(seed + 1, items=15)]
    submissions = pl.concat([each.submissions for each in exams])
    responses = pl.concat([each.responses for each in exams])

    whole = answer_similarity(submissions, responses)
    order = random.sample(range(len(responses)), len(responses))
    mixed = answer_similarity(submissions.reverse(), responses[order], block=97)
    apart = pl.concat([answer_similarity(each.submissions, each.responses) for each in exams])

    assert mixed.equals(whole)
    assert apart.sort("exam_id", "attempt_a", "attempt_b").equals(whole)
    assert clusters(mixed.reverse()).equals(clusters(whole))


def convolved(items: chances._Items, one: int, other: int) -> list[float]:
    """Return P(matches ≥ m | both totals) for each m, by adding up everything that can happen."""
    n = items.both.shape[1]
    ways = np.zeros((n + 1, n + 1, n + 1))
    ways[0, 0, 0] = 1
    for item in range(n):
        after = ways * items.none[0, item]
        after[1:, 1:, 1:] += ways[:-1, :-1, :-1] * items.both[0, item]
        after[1:, 1:, :] += ways[:-1, :-1, :] * items.apart[0, item]
        after[1:] += ways[:-1] * items.first[0, item]
        after[:, 1:] += ways[:, :-1] * items.second[0, item]
        after[:, :, 1:] += ways[:, :, :-1] * items.same[0, item]
        ways = after
    of = ways[one, other] / ways[one, other].sum()
    return list(of[::-1].cumsum()[::-1])


@pytest.mark.parametrize(("items", "options"), [(16, 4), (24, 2), (24, 5)])
def test_tails_are_those_of_the_exact_convolution(items: int, options: int) -> None:
    judged = judge(form_of(cohort(3, Plan(candidates=150, items=items, options=options))))
    known, scores = judged.known, judged.counted.scores
    random = np.random.default_rng(4)
    off = []
    for _ in range(12):
        one, other = sorted(random.integers(1, len(scores) - 1, 2).tolist())
        totals = int(scores[one]), int(scores[other])
        place = np.array([one]), np.array([other])
        exact = convolved(chances._items(known, *place), *totals)
        most = items - abs(totals[0] - totals[1])
        for matches in range(most + 1):
            if 1e-14 < exact[matches] < 0.1:
                z = chances.tail(known, chances.cells(known, *place), *place, np.array([matches]))[0]
                ratio = norm.sf(z) / exact[matches]
                assert ratio > 0.5, "at the very end of what is possible half of it, and nowhere less"
                if options == 2:  # they go up by two: what lies between has the p of the step below
                    continue
                assert ratio < 2
                if matches < most - 1:
                    off.append(abs(ratio - 1))

    assert options == 2 or (len(off) > 8 and np.median(off) < 0.04)


def test_omega_expects_what_the_generalised_binomial_test_expects_and_knows_more() -> None:
    """The older definition takes two abilities: the same mean, and a spread as if totals were not known."""
    judged = judge(form_of(cohort(5, Plan(candidates=120, items=30, difficulty=-1.2))))
    known, counted = judged.known, judged.counted
    for place in range(0, len(counted.first), 97):
        one, other = counted.first[place], counted.second[place]
        right = known.right[one] * known.right[other]
        wrong = (1 - known.right[one]) * (1 - known.right[other])
        both = known.options[one] * known.options[other]
        match = right * (both * known.is_right).sum(axis=1) + wrong * (both * ~known.is_right).sum(axis=1)

        assert judged.expected.mean[place] == pytest.approx(match.sum(), abs=1e-9)
        assert judged.expected.spread[place] < sqrt((match * (1 - match)).sum())
        assert known.right[one].sum() == pytest.approx(known.total[one], abs=1e-9)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), min_size=1, max_size=40))
def test_q_is_benjamini_and_hochbergs(found: list[tuple[float, int]]) -> None:
    p, times = np.array([each for each, _ in found]), np.array([times for _, times in found])

    ours = np.repeat(similarity.adjusted(p, times), times)

    assert ours == pytest.approx(false_discovery_control(np.repeat(p, times)), abs=1e-12)


def test_honest_exams_have_no_similar_pair_and_p_is_no_smaller_than_it_says() -> None:
    plans = [Plan(candidates=60, items=20), Plan(candidates=90, items=30, difficulty=-1.5, omitted=0.05)]
    flagged, pairs = 0, Counter[float]()
    for seed in range(12):
        judged = judge(form_of(cohort(seed, plans[seed % 2])))
        flagged += bool((judged.q <= similarity.BAR.q).any())
        for least in (1.0, 0.1, 0.01, 0.001):
            pairs[least] += int(judged.counted.pairs[judged.p <= least].sum())

    assert flagged == 0
    for least in (0.1, 0.01, 0.001):
        assert 0.05 * least < pairs[least] / pairs[1.0] < 1.1 * least


def test_planted_copiers_are_found_and_nobody_else() -> None:
    exam = cohort(11, Plan(candidates=120, items=50, copiers=4, copied=0.8))

    found = answer_similarity(exam.submissions, exam.responses)
    groups = clusters(found)

    planted = {tuple(sorted(pair)) for pair in exam.copies}
    assert set(found.filter("is_similar").select("attempt_a", "attempt_b").iter_rows()) == planted
    assert {tuple(each) for each in groups["attempt_ids"]} == planted
    assert groups["density"].to_list() == [1.0] * 4


def test_what_stands_beside_a_pair_changes_nothing_of_it() -> None:
    exam = cohort(11, Plan(candidates=60, items=30, copiers=2, copied=0.9))
    [one, other] = exam.copies[0]
    told = [(one, "address", "x"), (other, "address", "x"), (one, "device", "1"), (other, "device", "2")]
    contacts = pl.DataFrame(told, schema=CONTACTS.schema, orient="row")
    in_turn = (pl.col("attempt_id").rank("ordinal") - 1) * pl.duration(days=1)  # nobody with anybody
    apart = exam.submissions.with_columns(pl.col("started_at", "finalised_at") + in_turn)

    alone = answer_similarity(apart, exam.responses)
    told_of = answer_similarity(exam.submissions, exam.responses, contacts)

    beside = ["overlap_s", "same_address", "same_device", "second_factor", "reasons", "as_of"]
    assert told_of.drop(beside).equals(alone.drop(beside))
    assert not alone["second_factor"].any()
    assert told_of["second_factor"].all()
    pair = told_of.filter(pl.col("attempt_a") == min(one, other), pl.col("attempt_b") == max(one, other))
    assert pair.select("same_address", "same_device").rows() == [(True, False)]
    assert told_of["same_address"].null_count() == len(told_of) - 1
    assert "Both were connected from the same network address." in pair["reasons"][0]


def test_too_few_items_candidates_or_answers_say_nothing() -> None:
    short = cohort(1, Plan(candidates=40, items=similarity.ITEMS_MIN - 1))
    small = cohort(2, Plan(candidates=similarity.CANDIDATES_MIN - 1, items=20))
    exam = cohort(3, Plan(candidates=40, items=20))
    hasty = exam.submissions["attempt_id"][7]
    left_out = (pl.col("attempt_id") == hasty) & (pl.col("position") > 9)
    responses = exam.responses.with_columns(response=pl.when(~left_out).then("response"))

    found = answer_similarity(exam.submissions, responses)

    for each in (short, small):
        assert answer_similarity(each.submissions, each.responses).rows() == []
    assert clusters(found.clear()).rows() == []
    assert set(partners(found)["attempt_id"]) == set(exam.submissions["attempt_id"]) - {hasty}


def test_the_most_similar_pairs_are_kept_and_how_many_there_were_is_said() -> None:
    exam = cohort(11, Plan(candidates=60, items=40))
    ring = exam.submissions["attempt_id"][:6].to_list()
    first = exam.responses.filter(pl.col("attempt_id") == ring[0]).select("position", taken="response")
    taken = pl.col("attempt_id").is_in(ring) & (pl.col("position") > 6)
    responses = exam.responses.join(first, on="position", maintain_order="left").with_columns(
        response=pl.when(taken).then("taken").otherwise("response")
    )
    exam = Cohort(submissions=exam.submissions, responses=responses, copies=(), insiders=(), leaked=())
    others = ~pl.col("is_best_of_a") & ~pl.col("is_best_of_b")
    whole = answer_similarity(exam.submissions, exam.responses)
    bound = len(whole.filter("is_similar")) // 2

    kept = answer_similarity(exam.submissions, exam.responses, found_max=bound)

    most = whole.filter("is_similar").sort("p").head(bound)
    within = whole.filter(others).join(most, on=["attempt_a", "attempt_b"], how="semi")
    assert kept.filter(others).equals(within)
    assert 0 < len(kept.filter(others)) < len(whole.filter(others))
    assert kept.filter(~others).equals(whole.filter(~others))
    assert set(kept["similar_pairs"]) == {len(whole.filter("is_similar"))}


def test_rows_are_those_of_their_datasets() -> None:
    exam = cohort(11, Plan(candidates=60, items=30, copiers=2, copied=0.9))
    found = answer_similarity(exam.submissions, exam.responses)

    for dataset, frame in ((ANSWER_SIMILARITY, found), (COLLUSION_CLUSTERS, clusters(found))):
        assert len(frame)
        assert len(conform(dataset, as_table(frame, dataset))) == len(frame)
