r"""
Drafts: how much of a text was thought over between two versions of it.

Takes two texts; gives a share from 0 to 1, and what it is made of. With the tokens of `tokens`, sentences
that a text says again counted once:

- d, the share of words changed: word Levenshtein distance / words of the longer text (Levenshtein 1966);
- s, the share of the second draft's sentences that are new: their best similarity, 1 - d, to any sentence of
  the first is below 0.60;
- c, the share of the second draft's distinct content words that the first had not;
- r = 0.5 d + 0.25 s + 0.25 c, and thinking quality TQ = (1 - 2^(-r / 0.32)) (1 - paste share).

TQ grows with every kind of revision and saturates: r = 0.32 gives one half. It is a number about a revision
and never about a person. Null: the first or the second draft is empty, so that there is no revision to speak
of; one draft alone is no evidence either. Identical drafts, and those that differ in space, case or
punctuation only, give 0. Because sentences count once, a text padded with its own sentences gives what it
gave before. That surface edits (words) and deeper ones (sentences, content) count apart follows Faigley and
Witte, "Analyzing Revision" (1981).

>>> first = "Cats sleep. They like milk. The house was quiet all day."
>>> second = "Cats sleep. They like fish. Nobody had expected the storm."
>>> found = revision(first, second)
>>> found.text
'64 % of words changed, 1 new sentence, 4 new content words'
>>> round(found.words_changed, 4), round(found.sentences_new_share, 4), round(found.content_new_share, 4)
(0.6364, 0.3333, 0.5714)
>>> round(analyze_thinking_quality(first, second), 4)
0.6925
>>> analyze_thinking_quality(first, "  CATS sleep; they like milk.\nThe house was quiet, all day!")
0.0
>>> analyze_thinking_quality("", second) is None
True

Source: analytics.md, "analyze_thinking_quality".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp2
from typing import Final

from msgspec import Struct
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from pipeline.features.tokens import content_words, said_once, sentences_of

SIMILAR_MIN: Final = 0.60  # a sentence less like any of the first draft is new
WORDS_WEIGHT: Final = 0.5
SENTENCES_WEIGHT: Final = 0.25
CONTENT_WEIGHT: Final = 0.25
HALF: Final = 0.32  # the revision that gives one half
# A draft replaces another if more of the words changed, and less of the old passages stand: text that only
# grew, or was moved, keeps its own.
REPLACED_MIN: Final = 0.9
KEPT_MAX: Final = 0.5
PASSAGE: Final = 3  # words
REPLACED_WORDS_MIN: Final = 50  # of both versions: to begin again after a line is no replacing
LETTERS: Final = 0x10000  # the first code point that a word may stand as: behind the surrogates
WHOLE_MIN: Final = 0.8  # of the last version's words: the first version that has them is the first draft

Sentences = Sequence[Sequence[str]]


class Revision(Struct, frozen=True, kw_only=True):
    """
    What changed from one draft to another; shares are 0 to 1.

    Attributes:
        words_changed: d, the word Levenshtein distance over the words of the longer draft.
        passages_kept: share of the first draft's runs of three words that stand anywhere in the second.
        sentences_new: how many of the second draft's sentences are new.
        sentences_new_share: s, of all its sentences.
        content_new: how many distinct content words are new.
        content_new_share: c, of all distinct content words of the second draft.
        words_first: words of the first draft.
        words_second: words of the second.
    """

    words_changed: float
    passages_kept: float
    sentences_new: int
    sentences_new_share: float
    content_new: int
    content_new_share: float
    words_first: int
    words_second: int

    @property
    def extent(self) -> float:
        """Return r, 0 to 1."""
        return (
            WORDS_WEIGHT * self.words_changed
            + SENTENCES_WEIGHT * self.sentences_new_share
            + CONTENT_WEIGHT * self.content_new_share
        )

    @property
    def is_replaced(self) -> bool:
        """Say whether the second draft stands in the first one's place, not on it."""
        return (
            self.words_changed > REPLACED_MIN
            and self.passages_kept < KEPT_MAX
            and min(self.words_first, self.words_second) >= REPLACED_WORDS_MIN
        )

    @property
    def text(self) -> str:
        """Return it in words that a teacher reads."""
        return (
            f"{100 * self.words_changed:.0f} % of words changed, "
            f"{_counted(self.sentences_new, 'new sentence')}, "
            f"{_counted(self.content_new, 'new content word')}"
        )


def revision(draft1: str, draft2: str) -> Revision | None:
    """Return what changed from a draft to another; None where one of them has no words."""
    return between(sentences_of(draft1), sentences_of(draft2))


def between(first: Sentences, second: Sentences) -> Revision | None:
    """Say what `revision` says, of drafts that are cut into sentences."""
    if not first or not second:
        return None
    # The same words are the same draft, also where a new line cuts them into other sentences.
    return _between(first, first if flat(first) == flat(second) else second)


def _between(draft1: Sentences, draft2: Sentences) -> Revision:
    first, second = said_once(draft1), said_once(draft2)
    old, new = _lettered(first, second)
    before, after = "".join(old), "".join(new)
    longer = max(len(before), len(after))
    sentences_new = _new_sentences(old, new)
    content, had = content_words(flat(second)), content_words(flat(first))
    return Revision(
        words_changed=Levenshtein.distance(before, after) / longer,
        passages_kept=_kept(before, after),
        sentences_new=sentences_new,
        sentences_new_share=sentences_new / len(new),
        content_new=len(content - had),
        content_new_share=len(content - had) / len(content) if content else 0.0,
        words_first=len(before),
        words_second=len(after),
    )


def analyze_thinking_quality(draft1: str, draft2: str, *, paste_share: float = 0.0) -> float | None:
    """
    Return TQ, 0 to 1, of the revision from one draft to another; None where one of them has no words.

    Args:
        draft1: the first draft.
        draft2: the later one.
        paste_share: share of what was inserted that was pasted, 0 to 1.

    Source: analytics.md, "analyze_thinking_quality".
    """
    found = revision(draft1, draft2)
    return None if found is None else thinking_quality(found, paste_share)


def thinking_quality(found: Revision, paste_share: float = 0.0) -> float:
    """Return TQ of what a revision changed, 0 to 1."""
    return (1 - exp2(-found.extent / HALF)) * (1 - paste_share)


def first_draft(versions: Sequence[Sentences]) -> int | None:
    """
    Return the place of the version that the last one is compared with; None where there is none before it.

    It is the first that has four fifths of the last one's words: while versions are saved every half minute,
    those before it are text on its way and no draft. Where there is none, it is the first version with any
    words.

    >>> first_draft([sentences_of(each) for each in ("One", "One two three four", "One two five four")])
    1
    >>> first_draft([sentences_of(each) for each in ("One", "One two three")])
    0
    """
    lengths = [sum(map(len, said_once(each))) for each in versions]
    whole = [at for at, words in enumerate(lengths[:-1]) if words and words >= WHOLE_MIN * lengths[-1]]
    any_words = [at for at, words in enumerate(lengths[:-1]) if words]
    return next(iter(whole or any_words), None)


def _kept(before: str, after: str) -> float:
    """Return the share of one text's runs of three letters, each standing for a word, that the other has."""
    runs, there = (
        Counter(text[at : at + PASSAGE] for at in range(len(text) - PASSAGE + 1)) for text in (before, after)
    )
    return (runs & there).total() / runs.total() if runs else 0.0


def _new_sentences(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the sentences of the second draft that are like none of the first."""
    return sum(
        process.extractOne(each, first, scorer=Levenshtein.normalized_similarity, score_cutoff=SIMILAR_MIN)
        is None
        for each in set(second) - set(first)
    )


def _lettered(*drafts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the sentences of drafts with a letter for each word, the same word the same letter."""
    letters: dict[str, str] = {}
    return [
        [
            "".join(letters.setdefault(word, chr(LETTERS + len(letters))) for word in each)
            for each in sentences
        ]
        for sentences in drafts
    ]


def flat(sentences: Iterable[Iterable[str]]) -> list[str]:
    """Return the tokens of sentences in their order."""
    return [word for sentence in sentences for word in sentence]


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
