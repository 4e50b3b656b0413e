"""
The demo's paper: ten questions on programming, of every kind a candidate answers alone, and how simulated
candidates answer them. Pure; seeded.
"""

import random
from typing import Any, Final

ESSAY: Final = (
    "A loop repeats its body while its condition holds, and each turn must bring the end nearer. Recursion "
    "says the same with a call: there is a case that needs none, and every other one is made smaller. Which "
    "of the two reads better depends on the data, for a tree is recursive itself and a list is not."
)
STEP_CHARS: Final = 40  # an essay grows by about so much between two drafts


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
    _multiple("Which of these are immutable?", "ac", "a tuple", "a list", "a string", "a dictionary"),
    _short("What is a function called that calls itself?", "recursive"),
    _single("What does a hash table look up in?", "a", "O(1)", "O(log n)", "O(n)", "O(n log n)"),
    _numeric("What is 2 to the power of 10?", 1024),
    _multiple(
        "Which sort in O(n log n) at worst?", "bd", "quicksort", "merge sort", "bubble sort", "heapsort"
    ),
    _short("Which structure gives back first what came in last?", "stack", "a stack"),
    _single("What does TCP promise?", "d", "speed", "low latency", "secrecy", "order"),
    {
        "kind": "essay",
        "content": {"stem": "Compare loops and recursion."},
        "key": {"rubric": "Termination, readability, depth of the stack."},
    },
]


def respond(
    dice: random.Random, kind: str, content: dict[str, Any], before: dict[str, Any]
) -> dict[str, Any]:
    """Return what a candidate answers next to an item: anew, or for an essay more of the text `before`."""
    match kind:
        case "single_choice":
            return {"choice": dice.choice(content["options"])["id"]}
        case "multiple_choice":
            ids = [option["id"] for option in content["options"]]
            return {"choices": sorted(dice.sample(ids, dice.randint(1, 2)))}
        case "numeric":
            return {"number": dice.choice([7, 8, 1000, 1024])}
        case "short_text":
            return {"text": dice.choice(["recursive", "stack", "a stack", "queue", "no idea"])}
        case _:
            written = len(before.get("text", "")) + dice.randint(STEP_CHARS // 2, STEP_CHARS * 2)
            return {"text": ESSAY[:written]}
