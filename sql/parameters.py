"""
Parameters by name: `:name` in a statement's text becomes the `$n` that PostgreSQL knows.

Only what stands in the statement itself is a parameter: not a cast (`::text`), not `:=`, not a slice
(`[low:high]`), nothing in texts, quoted names, dollar quotes and comments. What is not read here, nested
comments, is refused.
"""

import re
from typing import Final

_PIECE: Final = re.compile(
    r"""
      --[^\n]*                                                    # a comment
    | (?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'                             # a text with backslashes
    | '(?:[^']|'')*+'                                              # a text
    | "(?:[^"]|"")*+"                                              # a quoted name
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$       # a text in dollars
    | ::
    | (?<![\w\])$]):(?P<name>[a-z][a-z0-9_]*)(?![\w$])
    | (?P<number>(?<![\w$])\$\d+)
    | (?P<unread>/\*|(?<!\w)[eE]'|['"]|(?<![\w$])\$(?:[^\W\d]\w*)?\$)  # never ends
    """,
    re.VERBOSE | re.DOTALL,
)


def numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """
    Return a statement with `$n` in place of names, and the names in the order of their numbers.

    A statement that is written with `$n` comes back as it is, with no names.

    Raises:
        ValueError: it has names and numbers, or something that is not read.
    """
    names: dict[str, int] = {}
    numbers: list[str] = []

    def replaced(found: "re.Match[str]") -> str:
        if found["unread"]:
            message = f"{found['unread']} at {found.start()} is not read"
            raise ValueError(message)
        if found["number"]:
            numbers.append(found["number"])
        if not found["name"]:
            return found[0]
        return f"${names.setdefault(found['name'], len(names) + 1)}"

    written = _PIECE.sub(replaced, text)
    if names and numbers:
        message = f"a statement has :{next(iter(names))} or {numbers[0]}, not both"
        raise ValueError(message)
    return written, tuple(names)
