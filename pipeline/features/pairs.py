"""
Pairs of a form, counted in blocks: how many answers each pair has in common.

A block is the matrix product of the options that some candidates chose with those that others chose; its
entries are whole numbers, so that neither the size of a block nor the order of work can change any. No more
than one block is held: pairs are counted by what decides their p, which is both totals and the number of
matches, and those that turn out to be unusual are looked up in a second pass over their cells alone.

>>> from pipeline.features.forms import forms_of
>>> from pipeline.features.simulated import Plan, cohort
>>> [form] = forms_of(cohort(1, Plan(candidates=40, items=12)).responses, answered_min=0.5)
>>> counted = count(form)
>>> int(counted.pairs.sum()), int(counted.matches.max())
(780, 12)
>>> find(form, counted.first[-1:], counted.second[-1:], counted.matches[-1:]).tolist()
[[35, 39], [36, 39], [37, 39], [38, 39]]

Source: analytics.md, "collusion": blocked matrix products.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from pipeline.features.forms import NONE, Form

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int16]
BLOCK: Final = 1 << 22  # pairs of one block
NOBODY: Final = -1


class Counted(Struct, frozen=True):
    """
    What occurs, and whom each candidate is nearest to.

    Attributes:
        scores: distinct numbers right, ascending; a place below is an index into it.
        place: of each candidate's score.
        first: place of the lower score, for each cell and number of matches that occurs.
        second: of the higher one.
        matches: identical answers.
        pairs: how many pairs have these.
        most: (candidates, scores): most matches with anybody of that score, NOBODY where there is nobody.
        partner: (candidates, scores): who that is, the first of them.
    """

    scores: Ints
    place: Ints
    first: Ints
    second: Ints
    matches: Ints
    pairs: Ints
    most: npt.NDArray[np.int16]
    partner: npt.NDArray[np.int32]


class _Blocks(Struct, frozen=True):
    """The form as its blocks need it: `same` are (candidate, candidate) that are never compared, sorted."""

    chosen: npt.NDArray[np.float32]
    starts: Ints
    same: Ints

    def rows(self, place: int, columns: int, block: int) -> Iterator[tuple[int, int]]:
        """Yield the candidates of one score in runs that keep to the block's bound."""
        end = int(self.starts[place + 1])
        step = max(1, block // max(1, columns))
        for at in range(int(self.starts[place]), end, step):
            yield at, min(at + step, end)

    def product(self, begin: int, end: int, left: int, right: int) -> Counts:
        """Return the matches of some candidates with others; NOBODY between those of one student."""
        found = (self.chosen[begin:end] @ self.chosen[left:right].T).astype(np.int16)
        own = self.same[slice(*np.searchsorted(self.same[:, 0], [begin, end]))]
        own = own[(own[:, 1] >= left) & (own[:, 1] < right)]
        found[own[:, 0] - begin, own[:, 1] - left] = NOBODY
        return found


def _blocks(form: Form, starts: Ints) -> _Blocks:
    options = form.is_right.shape[1]
    people, items = np.nonzero(form.chosen != NONE)
    chosen = np.zeros((len(form.attempts), form.chosen.shape[1] * options), dtype=np.float32)
    chosen[people, items * options + form.chosen[people, items]] = 1
    chosen = np.ascontiguousarray(chosen[:, chosen.any(axis=0)])
    by_student: dict[str, list[int]] = {}
    for number, student in enumerate(form.students):
        by_student.setdefault(student, []).append(number)
    same = sorted((a, b) for own in by_student.values() for a in own for b in own)
    return _Blocks(chosen, starts, np.array(same, dtype=np.int64))


def _starts(form: Form) -> tuple[Ints, Ints]:
    scores, first = np.unique(form.score, return_index=True)
    return scores, np.append(first, len(form.score))


def count(form: Form, *, block: int = BLOCK) -> Counted:
    """Count every pair of different students once."""
    scores, starts = _starts(form)
    blocks = _blocks(form, starts)
    n, width = len(form.score), form.chosen.shape[1] + 1
    most = np.full((n, len(scores)), NOBODY, dtype=np.int16)
    partner = np.full((n, len(scores)), NOBODY, dtype=np.int32)
    cells = []
    for place in range(len(scores)):
        tally = np.zeros((len(scores), width), dtype=np.int64)
        left = int(starts[place])
        for begin, end in blocks.rows(place, n - left, block):
            found = blocks.product(begin, end, left, n)
            for other in range(place, len(scores)):
                span = slice(int(starts[other]), int(starts[other + 1]))
                part = found[:, span.start - left : span.stop - left]
                tally[other] += np.bincount(part.ravel() + 1, minlength=width + 1)[1:]
                _keep(most, partner, (slice(begin, end), other), part, span.start, axis=1)
                if other != place:
                    _keep(most, partner, (span, place), part, begin, axis=0)
        tally[place] //= 2  # each pair of equals was met from both sides
        seconds, matches = np.nonzero(tally)
        cells.append(np.stack([np.full(len(seconds), place), seconds, matches, tally[seconds, matches]]))
    whole = np.concatenate(cells, axis=1)
    place_of = np.repeat(np.arange(len(scores)), np.diff(starts))
    return Counted(scores, place_of, whole[0], whole[1], whole[2], whole[3], most, partner)


def _keep(
    most: npt.NDArray[np.int16],
    partner: npt.NDArray[np.int32],
    where: tuple[slice, int],
    part: Counts,
    offset: int,
    *,
    axis: int,
) -> None:
    """Note the most matches along the axis, and with whom; of equals the one met first, who is the first."""
    best = part.argmax(axis=axis)
    value = part.max(axis=axis)
    is_more = value > most[where]
    most[where] = np.where(is_more, value, most[where])
    partner[where] = np.where(is_more, best + offset, partner[where])


def find(form: Form, first: Ints, second: Ints, least: Ints, *, block: int = BLOCK) -> Ints:
    """
    Return the pairs of these cells with that many matches or more: (pairs, 2), candidates' numbers.

    Args:
        form: the form that was counted.
        first: place of the lower total of each cell, which occurs once.
        second: of the higher one.
        least: matches of each cell from which a pair is wanted.
        block: pairs of one block.
    """
    _, starts = _starts(form)
    blocks = _blocks(form, starts)
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for place, other, wanted in zip(first.tolist(), second.tolist(), least.tolist(), strict=True):
        left, right = int(starts[other]), int(starts[other + 1])
        for begin, end in blocks.rows(place, right - left, block):
            a, b = np.nonzero(blocks.product(begin, end, left, right) >= max(wanted, 0))
            found = np.stack([a + begin, b + left], axis=1)
            pairs.append(found[found[:, 0] < found[:, 1]])
    return np.concatenate(pairs)
