"""
How a text grew, from its versions and from the pastes that were seen.

Grain: one `Growth` per text. Takes its versions in their order, the prompt, and its typing (`keystrokes`).
Characters are counted from each version to the next: inserted and deleted are those outside of a longest
common subsequence (a lower bound of what was typed and erased in between); new are those of words which the
next version has more often than the one before, passages of five words of the prompt left out: who moves a
paragraph or quotes the question writes nothing new.

A paste counts as far as its words are new in the version saved after it, and only if half of them are: one
that was refused, undone, or moved the writer's own words has brought nothing. Where its text is not known,
all that is new there may be of it. Speed between versions is that of what is new and was not pasted, over two
intervals: a connection that comes back sends at once what was written for minutes, so the slower of the last
interval and of both counts.

>>> from datetime import UTC, datetime, timedelta
>>> start = datetime(2026, 5, 4, 9, tzinfo=UTC)
>>> def version(second, text):
...     return Version(start + timedelta(seconds=second), text)
>>> own = version(30, "one two three four five")
>>> found = growth([own, version(60, "four five one two three, six")])
>>> [(each.inserted, each.deleted, each.new) for each in found.steps]
[(23, 0, 19), (13, 8, 3)]
>>> paste = Paste(at=start + timedelta(seconds=40), question_id=None, characters=9, text="six seven")
>>> after = version(60, "one two three four five six seven")
>>> growth([own, after], Typed(pastes=[paste])).pasted
[0, 9]
>>> growth([own, version(60, own.text)], Typed(pastes=[paste])).pasted
[0, 0]

Source: analytics.md, "originality_indicators": PASTE_SHARE, LARGE_PASTE, BURST_SPEED.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import accumulate
from typing import Final

from msgspec import Struct
from rapidfuzz.distance import LCSseq

from pipeline.features.keystrokes import Paste, Typed
from pipeline.features.tokens import CHARACTERS_MAX, words_of

ARRIVED_MIN: Final = 0.5
QUOTED_WORDS: Final = 5  # as many of the question's in their order are a quotation
NOTHING_TYPED: Final = Typed()


class Version(Struct, frozen=True):
    """One version of a text, and when it was saved, by the server."""

    saved_at: datetime
    text: str


class Step(Struct, frozen=True, kw_only=True):
    """What one version changed in the one before it, in characters; `words` are those that are new."""

    inserted: int
    deleted: int
    new: int
    words: Counter[str]


class Growth(Struct, frozen=True, kw_only=True):
    """
    How a text came to be; lists have an entry for each version.

    Attributes:
        steps: against the version before; for the first, against the empty text. pasted: characters that
            pastes brought. pastes: how many characters each paste brought, of those that brought any.
            fastest: the highest speed between versions, in characters per second, and of how many characters;
            None under three versions, or where they are too close in time.
    """

    steps: Sequence[Step]
    pasted: Sequence[int]
    pastes: Sequence[int]
    fastest: tuple[float, int] | None

    @property
    def inserted(self) -> int:
        """Return all characters that were inserted, as far as versions and pastes tell."""
        return max(sum(each.inserted for each in self.steps), sum(self.pasted))

    @property
    def deleted(self) -> int:
        """Return all characters that were deleted, as far as versions tell."""
        return sum(each.deleted for each in self.steps)

    @property
    def paste_share(self) -> float:
        """Return the share of what was inserted that was pasted, 0 to 1."""
        return sum(self.pasted) / self.inserted if self.inserted else 0.0


def growth(
    versions: Sequence[Version],
    typed: Typed = NOTHING_TYPED,
    *,
    words: Sequence[Sequence[str]] | None = None,
    prompt: str = "",
    span_s: float = 5.0,
) -> Growth:
    """
    Return how a text came to be.

    Args:
        versions: in their order, at least one.
        typed: what was seen of its typing.
        words: of each version, where they are cut already.
        prompt: the question that was put.
        span_s: the shortest time that a speed is told of.
    """
    texts = [each.text[:CHARACTERS_MAX] for each in versions]
    steps = _steps(texts, words or [words_of(each) for each in texts], prompt)
    times = list(accumulate((each.saved_at for each in versions), max))
    left = [each.words.copy() for each in steps]
    pasted, pastes = [0] * len(steps), []
    for paste in typed.pastes:
        at = min(bisect_left(times, paste.at), len(times) - 1)
        if arrived := _arrived(paste, left[at], steps[at].new - pasted[at]):
            pasted[at] += arrived
            pastes.append(arrived)
    typed_new = [max(step.new - brought, 0) for step, brought in zip(steps, pasted, strict=True)]
    return Growth(steps=steps, pasted=pasted, pastes=pastes, fastest=_fastest(times, typed_new, span_s))


def _steps(texts: Sequence[str], words: Sequence[Sequence[str]], prompt: str) -> list[Step]:
    question = words_of(prompt)
    asked = {tuple(question[at : at + QUOTED_WORDS]) for at in range(len(question) - QUOTED_WORDS + 1)}
    before, had = "", Counter[str]()
    found = []
    for text, written in zip(texts, words, strict=True):
        own = Counter(_unquoted(written, asked))
        common = LCSseq.similarity(before, text)
        new = own - had
        inserted = len(text) - common
        length = min(sum(len(word) * times for word, times in new.items()), inserted)
        found.append(Step(inserted=inserted, deleted=len(before) - common, new=length, words=new))
        before, had = text, own
    return found


def _unquoted(words: Sequence[str], asked: AbstractSet[tuple[str, ...]]) -> Iterable[str]:
    """Return the words that stand in no passage of the question."""
    if not asked:
        return words
    quoted = {
        at + n
        for at in range(len(words) - QUOTED_WORDS + 1)
        if tuple(words[at : at + QUOTED_WORDS]) in asked
        for n in range(QUOTED_WORDS)
    }
    return (word for at, word in enumerate(words) if at not in quoted)


def _arrived(paste: Paste, left: Counter[str], room: int) -> int:
    """Return how many characters a paste brought, and take its words from what is left of the new ones."""
    if paste.text is None:
        return min(paste.characters, room) if room >= ARRIVED_MIN * paste.characters else 0
    words = Counter(words_of(paste.text))
    taken = words & left
    of, there = (sum(len(word) * times for word, times in each.items()) for each in (words, taken))
    if not of or there < ARRIVED_MIN * of:
        return 0
    left.subtract(taken)
    return paste.characters * there // of


def _fastest(times: Sequence[datetime], new: Sequence[int], span_s: float) -> tuple[float, int] | None:
    best: tuple[float, int] | None = None
    for at in range(2, len(times)):
        last_s = (times[at] - times[at - 1]).total_seconds()
        both_s = (times[at] - times[at - 2]).total_seconds()
        if last_s >= span_s:
            found = min(new[at] / last_s, (new[at] + new[at - 1]) / both_s), new[at]
            best = found if best is None else max(best, found)
    return best
