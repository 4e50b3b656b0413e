"""
The demo's paper: thirty questions on programming, of every kind a candidate answers alone, and how simulated
candidates answer them. Pure; seeded.
"""

import random
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

OMITTED: Final = 0.02  # chance that an item is left out
HESITATES: Final = 0.25  # chance that the first thing written is not the last one
# What an essay is made of: each sentence is one of each, by dice, so that no two candidates write the same.
CLAUSES: Final = (
    ("To me", "In practice", "Most of the time", "In short programs", "At first", "On paper"),
    ("a loop", "a recursive call", "the plain while", "a base case", "tail recursion", "an early exit"),
    ("makes plain", "hides", "costs less than", "needs", "asks more of", "reads better than", "rests on"),
    ("the bound", "its own state", "what one expects", "a counter", "one more frame", "a clear invariant"),
    ("as trees branch", "while data is nested", "if nothing is empty", "once depth is known", "for good"),
)  # fmt: skip
SENTENCES: Final = 12


def _options(*texts: str) -> list[dict[str, str]]:
    return [{"id": "abcd"[n], "text": text} for n, text in enumerate(texts)]


def _single(stem: str, right: str, *texts: str) -> dict[str, Any]:
    content = {"stem": stem, "options": _options(*texts)}
    return {"kind": "single_choice", "content": content, "key": {"choice": right}}


def _multiple(stem: str, right: str, *texts: str) -> dict[str, Any]:
    content = {"stem": stem, "options": _options(*texts)}
    key = {"choices": list(right), "partial": True}
    return {"kind": "multiple_choice", "content": content, "key": key}


def _numeric(stem: str, number: float) -> dict[str, Any]:
    return {"kind": "numeric", "content": {"stem": stem}, "key": {"number": number, "tolerance": 0}}


def _short(stem: str, *accepted: str) -> dict[str, Any]:
    return {"kind": "short_text", "content": {"stem": stem}, "key": {"accepted": list(accepted)}}


ITEMS: Final[list[dict[str, Any]]] = [
    _single("Where does a function's return address go?", "b", "heap", "stack", "register file", "disk"),
    _numeric("How many bits does a byte have?", 8),
    {
        "kind": "essay",
        "content": {"stem": "Compare loops and recursion."},
        "key": {"rubric": "Termination, readability, depth of the stack."},
    },
    _multiple("Which of these are immutable?", "ac", "a tuple", "a list", "a string", "a dictionary"),
    _short("What is a function called that calls itself?", "recursive"),
    _single("What does a hash table look up in?", "a", "O(1)", "O(log n)", "O(n)", "O(n log n)"),
    _numeric("What is 2 to the power of 10?", 1024),
    _multiple(
        "Which sort in O(n log n) at worst?", "bd", "quicksort", "merge sort", "bubble sort", "heapsort"
    ),
    _short("Which structure gives back first what came in last?", "stack", "a stack"),
    _single("What does TCP promise?", "d", "speed", "low latency", "secrecy", "order"),
    _single("Which port does HTTPS use?", "c", "22", "80", "443", "8080"),
    _numeric("What is 0x1F in decimal?", 31),
    _single("What is kept in a B-tree's leaves?", "b", "hashes", "keys in order", "page numbers", "locks"),
    _single("Which of these may deadlock?", "a", "two locks", "one lock", "no lock", "a counter"),
    _multiple("Which of these are idempotent?", "acd", "GET", "POST", "PUT", "DELETE"),
    _single("What does a compiler's lexer give?", "d", "a tree", "bytes", "types", "tokens"),
    _numeric("How many edges has a tree of 12 nodes?", 11),
    _single("What grows when a function calls itself?", "c", "the heap", "the code", "the stack", "the disk"),
    _short("What is a value called that never changes?", "constant", "a constant"),
    _single("Which is a race?", "b", "a slow read", "an unguarded write", "a full disk", "a long loop"),
    _single("What is UTF-8's longest character, in bytes?", "d", "1", "2", "3", "4"),
    _multiple("Which of these are lossless?", "bd", "JPEG", "PNG", "MP3", "gzip"),
    _single("What does an index cost?", "a", "writes", "reads", "names", "types"),
    _numeric("What is 7 mod 4?", 3),
    _single("What ends a transaction?", "c", "BEGIN", "SELECT", "COMMIT", "INDEX"),
    _single("Which loop runs at least once?", "b", "for", "do-while", "while", "none"),
    _short("Which structure gives back first what came in first?", "queue", "a queue"),
    _single("What is a pointer?", "a", "an address", "a type", "a file", "a thread"),
    _single("Which search needs sorted data?", "d", "linear", "depth-first", "hashed", "binary"),
    _single("What does a hash of a password need?", "c", "a port", "a lock", "a salt", "an index"),
]
ESSAY_PLACE: Final = 1 + [each["kind"] for each in ITEMS].index("essay")
_KEYS: Final[Mapping[str, dict[str, Any]]] = {each["content"]["stem"]: each["key"] for each in ITEMS}


class Hand(Struct, frozen=True, kw_only=True):
    """
    Who answers: what they know is decided beforehand, so that two with the same `seed` hand in the same.

    `skill`: the chance that they know an item, 0 to 1.
    """

    seed: int
    skill: float

    def final(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return what they answer an item with in the end; of an essay all that they would write of it."""
        dice = random.Random(f"{self.seed} {content['stem']}")
        if kind == "essay":
            return {"text": essay(dice)}
        is_known = dice.random() < self.skill
        return right(kind, _KEYS[content["stem"]]) if is_known else guess(dice, kind, content)

    def leaves_out(self, content: Mapping[str, Any]) -> bool:
        """Tell whether they hand in nothing to an item that they had no time for."""
        return random.Random(f"{self.seed} left out {content['stem']}").random() < OMITTED


def hand_of(dice: random.Random) -> Hand:
    """Return somebody who answers."""
    return Hand(seed=dice.randrange(2**32), skill=dice.uniform(0.25, 0.85))


def right(kind: str, key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer that a key has."""
    match kind:
        case "single_choice":
            return {"choice": key["choice"]}
        case "multiple_choice":
            return {"choices": key["choices"]}
        case "numeric":
            return {"number": key["number"]}
        case _:
            return {"text": key["accepted"][0]}


def guess(dice: random.Random, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody answers who does not know."""
    match kind:
        case "single_choice":
            return {"choice": dice.choice(content["options"])["id"]}
        case "multiple_choice":
            ids = [option["id"] for option in content["options"]]
            return {"choices": sorted(dice.sample(ids, dice.randint(1, 3)))}
        case "numeric":
            return {"number": dice.randint(1, 40)}
        case _:
            return {
                "text": dice.choice(["recursive", "stack", "list", "array", "no idea", "variable", "tree"])
            }


def essay(dice: random.Random) -> str:
    """Return a text of some hundred words."""
    sentences = (" ".join(dice.choice(each) for each in CLAUSES) for _ in range(SENTENCES))
    return " ".join(f"{each}." for each in sentences)
