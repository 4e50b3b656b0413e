"""A pattern ends where the text ends: `$` alone also matches before a newline that follows (spec.md A-5)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("core_api", "ingest", "kernel", "pipeline", "warehouse")  # whatever judges what comes in
# Whatever a negated class takes in, the newline at the end is among it.
WHOLE = {"^[^\\x00]*$", "^[^\\x00]*[^\\s\\x00][^\\x00]*$"}


def patterns() -> Iterator[tuple[str, str]]:
    """Yield (file, text) of every text in the code that is an anchored pattern."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and node.value.startswith("^")
                ):
                    yield str(path.relative_to(ROOT)), node.value


def test_no_pattern_lets_a_newline_pass_behind_its_end() -> None:
    found = dict.fromkeys(patterns())
    loose = [
        (file, text)
        for file, text in found
        if text not in WHOLE and re.search(r"(?<!\\)\$$", text) is not None
    ]

    assert len(found) > 5, "the walk finds the patterns"
    assert loose == []
