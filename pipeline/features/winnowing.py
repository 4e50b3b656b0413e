"""
Fingerprints of texts, by which a copy is found among any number of others.

Grain: one set of fingerprints per text. A fingerprint is a hash of 5 consecutive words (`tokens`); of each 4
consecutive hashes the smallest is kept: any passage of 8 words that two texts share leaves a fingerprint in
both (Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting", 2003). About
two hashes in five are kept. Hashes of the prompt's words are left out first, so that who quotes the question
copies nobody. Containment of text A in B is |F(A) ∩ F(B)| / |F(A)|, 0 to 1. Hashes are BLAKE2b's first 63
bits, the same on every machine, and fit a signed 64-bit integer.

Whoever keeps fingerprints under an index finds the texts that share one with a new text without reading the
others: the cost is that of what is shared. Null: under `FINGERPRINTS_MIN` fingerprints (about 50 words) a
text is too short to be told from another about the same thing.

>>> song = "the quick brown fox jumps over the lazy dog and runs far away from here"
>>> len(fingerprints(song))
2
>>> copied = fingerprints("As they say, " + song + ", and so on.")
>>> len(fingerprints(song) & copied)
2
>>> fingerprints(song, prompt=song)
frozenset()

Source: analytics.md, "originality_indicators": NEAR_DUPLICATE.
"""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import polars as pl
from msgspec import Struct

from pipeline.features.frames import DRAFTS, checked
from pipeline.features.tokens import words_of

WORDS: Final = 5
WINDOW: Final = 4
FINGERPRINTS_MIN: Final = 16
IDS: Final = ("attempt_id", "question_id", "student_id")
_COLUMNS: Final[dict[str, Any]] = dict.fromkeys(IDS, pl.String) | {"fingerprints": pl.List(pl.Int64)}
PASSAGES: Final = pl.Schema(_COLUMNS)


class Nearest(Struct, frozen=True, kw_only=True):
    """
    The text that contains most of another.

    Attributes:
        attempt_id: whose it is; of equals the first by id.
        shared: fingerprints that both have.
        n: fingerprints of the text that is contained.
    """

    attempt_id: str
    shared: int
    n: int

    @property
    def containment(self) -> float:
        """Return which share of the text stands in the other, 0 to 1."""
        return self.shared / self.n


def fingerprints(text: str, *, prompt: str = "") -> frozenset[int]:
    """Return a text's fingerprints, those of the prompt left out."""
    asked = set(_hashes(prompt))
    hashes = [each for each in _hashes(text) if each not in asked]
    windows = max(len(hashes) - WINDOW + 1, min(len(hashes), 1))  # what is shorter than a window is one
    return frozenset(min(hashes[at : at + WINDOW]) for at in range(windows))


def passages(drafts: pl.DataFrame, prompts: Mapping[str, str]) -> pl.DataFrame:
    """
    Return the fingerprints of each text that is long enough to be compared: PASSAGES, by its ids.

    Args:
        drafts: the frame DRAFTS: all versions of each text, in any order; the last counts.
        prompts: the question's text by its id.
    """
    last = checked(drafts, DRAFTS).sort("version").group_by(IDS).last().sort(IDS)
    rows = []
    for row in last.iter_rows(named=True):
        found = fingerprints(row["text"], prompt=prompts.get(row["question_id"], ""))
        if len(found) >= FINGERPRINTS_MIN:
            rows.append({name: row[name] for name in IDS} | {"fingerprints": sorted(found)})
    return pl.DataFrame(rows, schema=PASSAGES, orient="row")


def nearest(n: int, shared: Mapping[str, int]) -> Nearest | None:
    """
    Return the text that contains most of one with n fingerprints; None where it is too short, or nothing is
    shared.

    Args:
        n: its fingerprints.
        shared: how many of them each other text has, by attempt; other people's texts only.

    >>> nearest(20, {"b": 12, "a": 12, "c": 3})
    Nearest(attempt_id='a', shared=12, n=20)
    """
    if n < FINGERPRINTS_MIN or not shared:
        return None
    most = max(shared.values())
    return Nearest(attempt_id=min(each for each in shared if shared[each] == most), shared=most, n=n)


def nearest_among(texts: Mapping[str, frozenset[int]]) -> dict[str, Nearest | None]:
    """Return each text's nearest among the others, by attempt, through one index of them all."""
    holders: defaultdict[int, list[str]] = defaultdict(list)
    for attempt_id, own in texts.items():
        for each in own:
            holders[each].append(attempt_id)
    found: dict[str, Nearest | None] = {}
    for attempt_id, own in texts.items():
        shared: defaultdict[str, int] = defaultdict(int)
        for each in own:
            for other in holders[each]:
                if other != attempt_id:
                    shared[other] += 1
        found[attempt_id] = nearest(len(own), shared)
    return found


def _hashes(text: str) -> list[int]:
    words = words_of(text)
    return [
        int.from_bytes(blake2b(" ".join(words[at : at + WORDS]).encode(), digest_size=8).digest()) >> 1
        for at in range(len(words) - WORDS + 1)
    ]
