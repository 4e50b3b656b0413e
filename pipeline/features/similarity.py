"""
Answer similarity: who answered more alike than chance explains.

**Grain.** `answer_similarity`: one row per pair of attempts of one form that is kept, which is every pair
found similar and, for each candidate, the partner whose answers are most like theirs. `partners`: one row
per attempt.

**Takes.** `RESPONSES` of whole forms and their `SUBMISSIONS`, rows in any order; `CONTACTS` where
addresses and devices are known. Kinds that have answers to compare: choices, numbers, short texts. A
voided result is compared like any other: what it shares is evidence about somebody else. A student is
never compared with themselves.

**Definition.** M is the number of items that both answered identically; an omitted answer matches
nothing. Given both totals (numbers right), M has a mean E and a spread s that follow from how often each
option is chosen at each total (`pipeline.features.chances`):

    ω = (M - E) / s,        p = P(M ≥ observed | both totals)

p is by the double saddlepoint. Where answers of a form are more alike throughout than independence
allows (a subject of several parts, classes taught apart), every pair's z is divided by √λ, where λ =
max(1, median ω² / 0.455) over all pairs: genomic control, `inflation`. Then Benjamini-Hochberg over all
pairs of the form: `q`; a pair `is_similar` when q ≤ 0.01 (a setting). Overlap in time, of address and of
device stand beside it and change nothing of it.

**Units.** Counts of items; seconds; p and q are probabilities; coverage is the share of items that both
answered.

**NULL.** No row where a form has under 10 items to compare or under 30 candidates, nor for a candidate
who answered less than half of them. What stands beside a pair is null where it is not known of one of the
two.

**What it does not show.** Among N candidates there are N²/2 pairs to tell from chance: of 200 candidates
and 40 items, a pair is found when some three quarters of the answers were taken over, of longer forms
with less. People who knew right answers before look like able people: pairs of them are mostly not
found, whether their items were easy or hard. Where it is known which questions got out,
`pipeline.features.beforehand` finds them by these.

>>> from pipeline.features.simulated import Plan, cohort
>>> exam = cohort(7, Plan(candidates=100, copiers=1, copied=0.7))
>>> pairs = answer_similarity(exam.submissions, exam.responses)
>>> [found] = pairs.filter("is_similar").rows(named=True)
>>> {found["attempt_a"], found["attempt_b"]} == set(exam.copies[0])
True
>>> found["matches"], round(found["expected_matches"], 1), round(found["omega"], 2), found["second_factor"]
(34, 21.8, 5.41, True)

Source: Wollack 1997 (Applied Psychological Measurement 21, 307) for ω; Ramsay 1991 (Psychometrika 56,
611); Skovgaard 1987 (Journal of Applied Probability 24, 875); Devlin & Roeder 1999 (Biometrics 55, 997)
for λ; Benjamini & Hochberg 1995 (Journal of the Royal Statistical Society B 57, 289).
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from pipeline.features.chances import Cells, Chances, cells, chances, rescaled, tail
from pipeline.features.forms import NONE, Form, forms_of
from pipeline.features.frames import (
    CONTACTS,
    RESPONSES,
    SUBMISSIONS,
    UTC,
    checked,
    schema,
    version_of,
)
from pipeline.features.pairs import BLOCK, NOBODY, Counted, count, find
from pipeline.features.together import beside, explained

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
METRIC_VERSION: Final = "similarity-1"
ITEMS_MIN: Final = 10
CANDIDATES_MIN: Final = 30
ANSWERED_MIN: Final = 0.5  # share of the items
FOUND_MAX: Final = 100_000  # similar pairs of one form that are kept, the most similar first
PAIRS_AT_ONCE: Final = 1 << 20  # answers of pairs
USUAL: Final = 0.4549364231195724  # median of a squared standard normal value
SCHEMA: Final = schema(
    organisation_id=pl.String,
    exam_id=pl.String,
    form_id=pl.String,
    attempt_a=pl.String,
    attempt_b=pl.String,
    student_a=pl.String,
    student_b=pl.String,
    items=pl.Int64,
    answered_both=pl.Int64,
    right_a=pl.Int64,
    right_b=pl.Int64,
    matches=pl.Int64,
    expected_matches=pl.Float64,
    omega=pl.Float64,
    identical_wrong=pl.Int64,
    expected_identical_wrong=pl.Float64,
    longest_run=pl.Int64,
    run_begins=pl.Int64,
    p=pl.Float64,
    q=pl.Float64,
    is_similar=pl.Boolean,
    is_best_of_a=pl.Boolean,
    is_best_of_b=pl.Boolean,
    pairs=pl.Int64,
    similar_pairs=pl.Int64,
    inflation=pl.Float64,
    overlap_s=pl.Float64,
    same_address=pl.Boolean,
    same_device=pl.Boolean,
    second_factor=pl.Boolean,
    metric_version=pl.String,
    coverage=pl.Float64,
    reasons=pl.String,
    as_of=UTC,
)


class Bar(Struct, frozen=True):
    """What an operator may set: the share of similar pairs that may be so by chance."""

    q: float = 0.01


BAR: Final = Bar()


class Judged(Struct, frozen=True):
    """
    All that occurs on a form, judged. One place for each cell and number of matches, as `Counted` has them.

    Attributes:
        known: chances per score.
        counted: what occurs.
        expected: mean and spread.
        omega: standardised matches.
        z: of p, after λ; p itself; and q.
        inflation: λ.
    """

    known: Chances
    counted: Counted
    expected: Cells
    omega: Floats
    z: Floats
    p: Floats
    q: Floats
    inflation: float


def answer_similarity(
    submissions: pl.DataFrame,
    responses: pl.DataFrame,
    contacts: pl.DataFrame | None = None,
    *,
    block: int = BLOCK,
    found_max: int = FOUND_MAX,
    bar: Bar = BAR,
) -> pl.DataFrame:
    """
    Return the pairs that are kept, as SCHEMA has them, in the order of (exam, form, attempt_a, attempt_b).

    Args:
        submissions: of `frames.SUBMISSIONS`: those of the responses. Only ids and times are looked at.
        responses: of `frames.RESPONSES`: all of each form.
        contacts: of `frames.CONTACTS`.
        block: pairs that are worked on at a time; changes memory and nothing else.
        found_max: similar pairs of one form that are kept at most; `similar_pairs` says how many there were.
        bar: from which on a pair is called similar.
    """
    submissions, responses = checked(submissions, SUBMISSIONS), checked(responses, RESPONSES)
    contacts = CONTACTS.schema.to_frame() if contacts is None else checked(contacts, CONTACTS)
    parts = [
        _rows(form, judge(form, block=block), block, found_max, bar)
        for form in forms_of(responses, answered_min=ANSWERED_MIN)
        if is_enough(form)
    ]
    if not parts:
        return SCHEMA.to_frame()
    return explained(beside(pl.concat(parts), submissions, contacts)).select(SCHEMA.names())


def is_enough(form: Form) -> bool:
    """Return whether a form has the items and candidates that a comparison needs."""
    return form.chosen.shape[1] >= ITEMS_MIN and len(form.attempts) >= CANDIDATES_MIN


def judge(form: Form, *, block: int = BLOCK) -> Judged:
    """Return p and q of all that occurs on a form."""
    counted = count(form, block=block)
    known = chances_of(form, counted.scores, counted.place)
    cell = counted.first * len(counted.scores) + counted.second
    _, places, back = np.unique(cell, return_index=True, return_inverse=True)
    each = cells(known, counted.first[places], counted.second[places])
    expected = Cells(each.mean[back], each.spread[back], each.wrong[back])
    omega = (counted.matches - expected.mean) / expected.spread
    size = np.abs(omega)
    order = np.argsort(size, kind="stable")
    through = np.cumsum(counted.pairs[order])
    middle = size[order][np.searchsorted(through, through[-1] / 2)]
    inflation = max(1.0, float(middle) ** 2 / USUAL)
    z, p = rescaled(tail(known, expected, counted.first, counted.second, counted.matches), inflation)
    return Judged(known, counted, expected, omega, z, p, adjusted(p, counted.pairs), inflation)


def adjusted(p: Floats, times: Ints) -> Floats:
    """Return Benjamini-Hochberg's adjusted values, where each p occurred that many times."""
    order = np.argsort(p, kind="stable")
    rank = np.cumsum(times[order])
    least = np.minimum.accumulate((p[order] * rank[-1] / rank)[::-1])[::-1]
    q = np.empty_like(p)
    q[order] = np.minimum(least, 1.0)
    return q


def chances_of(form: Form, scores: Ints, place: Ints) -> Chances:
    """Return a form's chances, given its distinct totals and which of them each candidate has."""
    chosen = np.zeros((len(scores), *form.is_right.shape), dtype=np.int64)
    people, items = np.nonzero(form.chosen != NONE)
    np.add.at(chosen, (place[people], items, form.chosen[people, items]), 1)
    return chances(scores, np.bincount(place), chosen, form.is_right)


def _rows(form: Form, judged: Judged, block: int, found_max: int, bar: Bar) -> pl.DataFrame:
    """Return a form's pairs, without what stands beside them."""
    n = len(form.attempts)
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(form.attempts)] = np.arange(n)
    best = _best(judged, rank)
    pairs = np.concatenate([_similar(form, judged, block, found_max, bar), best])
    pairs = np.where(rank[pairs[:, :1]] <= rank[pairs[:, 1:]], pairs, pairs[:, ::-1])  # a is the first by id
    pairs = np.unique(pairs, axis=0)
    pairs = pairs[np.lexsort((rank[pairs[:, 1]], rank[pairs[:, 0]]))]
    is_best = {(int(one), int(other)) for one, other in best}
    one, other = pairs.T
    place = judged.counted.place
    shared = _shared(form, pairs)
    at = _index(judged, place[one], place[other], shared["matches"])
    similar = judged.q <= bar.q
    columns = {
        "exam_id": [form.exam_id] * len(pairs),
        "form_id": [form.form_id] * len(pairs),
        "attempt_a": [form.attempts[each] for each in one],
        "attempt_b": [form.attempts[each] for each in other],
        "student_a": [form.students[each] for each in one],
        "student_b": [form.students[each] for each in other],
        "items": np.full(len(pairs), form.chosen.shape[1], dtype=np.int64),
        "right_a": form.score[one],
        "right_b": form.score[other],
        **shared,
        "expected_matches": judged.expected.mean[at],
        "omega": judged.omega[at],
        "expected_identical_wrong": judged.expected.wrong[at],
        "p": judged.p[at],
        "q": judged.q[at],
        "is_similar": similar[at],
        "is_best_of_a": [(int(a), int(b)) in is_best for a, b in pairs],
        "is_best_of_b": [(int(b), int(a)) in is_best for a, b in pairs],
        "pairs": np.full(len(pairs), judged.counted.pairs.sum(), dtype=np.int64),
        "similar_pairs": np.full(len(pairs), judged.counted.pairs[similar].sum(), dtype=np.int64),
        "inflation": np.full(len(pairs), judged.inflation),
        "metric_version": [version_of(METRIC_VERSION, bar, BAR)] * len(pairs),
        "coverage": shared["answered_both"] / form.chosen.shape[1],
    }
    return pl.DataFrame(columns, schema={name: SCHEMA[name] for name in columns})


def _index(judged: Judged, first: Ints, second: Ints, matches: Ints) -> Ints:
    """Return where pairs of these places stand in what occurs."""
    counted = judged.counted
    low, high = np.minimum(first, second), np.maximum(first, second)
    width = len(counted.scores)
    most = int(counted.matches.max()) + 1
    keys = (counted.first * width + counted.second) * most + counted.matches  # ascending as counted
    return np.searchsorted(keys, (low * width + high) * most + matches)


def _similar(form: Form, judged: Judged, block: int, found_max: int, bar: Bar) -> Ints:
    """Return the similar pairs: whole levels of z from the highest, as many as found_max has room for."""
    counted = judged.counted
    found = np.flatnonzero(judged.q <= bar.q)
    found = found[np.argsort(-judged.z[found], kind="stable")]
    levels, level = np.unique(-judged.z[found], return_inverse=True)
    through = np.cumsum(np.bincount(level, weights=counted.pairs[found], minlength=len(levels)))
    found = np.sort(found[level < np.searchsorted(through, found_max, side="right")])
    cell = counted.first[found] * len(counted.scores) + counted.second[found]
    _, begins = np.unique(cell, return_index=True)  # the fewest matches of each cell come first
    found = found[begins]
    return find(form, counted.first[found], counted.second[found], counted.matches[found], block=block)


def _best(judged: Judged, rank: Ints) -> Ints:
    """Return each candidate's best partner, of equals the first by id: (candidates, 2)."""
    counted = judged.counted
    n = len(counted.place)
    z, who = np.full(n, -np.inf), np.full(n, NOBODY, dtype=np.int64)
    for place in range(len(counted.scores)):
        partner, matches = counted.partner[:, place].astype(np.int64), counted.most[:, place].astype(np.int64)
        there = np.flatnonzero(partner != NOBODY)
        found = judged.z[_index(judged, counted.place[there], np.full(len(there), place), matches[there])]
        is_better = (found > z[there]) | ((found == z[there]) & (rank[partner[there]] < rank[who[there]]))
        there, found = there[is_better], found[is_better]
        z[there], who[there] = found, partner[there]
    known = np.flatnonzero(who != NOBODY)
    return np.stack([known, who[known]], axis=1)


def _shared(form: Form, pairs: Ints) -> dict[str, Ints]:
    """Return what each pair has in common, item by item, counted."""
    items = np.arange(form.chosen.shape[1])
    counts: list[Ints] = []
    step = max(1, PAIRS_AT_ONCE // len(items))
    for at in range(0, len(pairs), step):
        one, other = pairs[at : at + step].T
        same = (form.chosen[one] == form.chosen[other]) & (form.chosen[one] != NONE)
        wrong = same & ~form.is_right[items, form.chosen[one]]
        length = np.zeros(len(one), dtype=np.int64)
        longest, ends = length.copy(), length.copy()
        for item in items:
            length = np.where(same[:, item], length + 1, 0)
            ends = np.where(length > longest, item, ends)
            longest = np.maximum(longest, length)
        both = (form.answered[one] & form.answered[other]).sum(axis=1)
        begins = ends - longest + 2  # counted from 1
        counts.append(np.stack([both, same.sum(axis=1), wrong.sum(axis=1), longest, begins]))
    names = ("answered_both", "matches", "identical_wrong", "longest_run", "run_begins")
    return dict(zip(names, np.concatenate(counts, axis=1), strict=True))


def partners(pairs: pl.DataFrame) -> pl.DataFrame:
    """
    Return what an attempt's best partner says of it, one row per attempt that was compared, by attempt.

    `partner_id` is the other attempt, `similarity_p` the pair's p adjusted for all pairs of the form,
    `has_second_factor` whether time, address or device connect the two.
    """
    sides = [
        pairs.filter(f"is_best_of_{own}").select(
            "exam_id",
            attempt_id=f"attempt_{own}",
            partner_id=f"attempt_{other}",
            similarity_p="q",
            has_second_factor="second_factor",
            identical="matches",
            items="items",
        )
        for own, other in ("ab", "ba")
    ]
    return (
        pl.concat(sides)
        .sort("exam_id", "attempt_id", "similarity_p")
        .unique("attempt_id", keep="first", maintain_order=True)
    )
