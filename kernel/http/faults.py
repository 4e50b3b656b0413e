"""
What is wrong with a value that somebody sent, in words that say what would be right: of a choice what there
is to choose from, of an unknown name the names that are known (spec.md A-8). Pure.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from enum import Enum
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from kernel.errors import InvalidInputError

NAMED_MAX: Final = 20  # of what could be chosen; more of it is read in the documentation
NAME_CHARS_MAX: Final = 100  # of a name that is likened to others
_UNKNOWN: Final = "Object contains unknown field `"
_STEP: Final = re.compile(r"\.([^.\[\]]+)|(\[)[^\]]*\]")


def refused(sentence: str, error: msgspec.ValidationError, kind: Any, whole: str) -> InvalidInputError:  # noqa: ANN401  a type is anything
    """
    Return the refusal of the value that an error is about.

    Args:
        sentence: what is said of the request.
        error: of decoding it.
        kind: the type that it should have been.
        whole: what it is called where no part of it is to blame.
    """
    text, _, path = str(error).partition(" - at `")
    path = path.rstrip("`").removeprefix("$")
    found = list(_at(_info(kind), _STEP.findall(path)))
    choice = _names(found, text) if text.startswith(_UNKNOWN) else _values(found)
    errors = [{"path": path.lstrip(".") or whole, "message": text + choice}]
    return InvalidInputError(sentence, errors=errors)


@cache
def _info(kind: Any) -> inspect.Type:  # noqa: ANN401
    return inspect.type_info(kind)


def _at(kind: inspect.Type, steps: list[tuple[str, str]]) -> Iterator[inspect.Type]:
    """Yield what the type may be at the end of a path: (name of a member, or that it is one of many)."""
    match kind:
        case inspect.Metadata():
            yield from _at(kind.type, steps)
        case inspect.UnionType():
            for each in kind.types:
                yield from _at(each, steps)
        case _ if not steps:
            yield kind
        case inspect.StructType():
            for field in kind.fields:
                if field.encode_name == steps[0][0]:
                    yield from _at(field.type, steps[1:])
        case inspect.CollectionType():
            yield from _at(kind.item_type, steps[1:])
        case inspect.DictType():
            yield from _at(kind.value_type, steps[1:])


def _values(found: list[inspect.Type]) -> str:
    """Return what there is to choose from, where there is a choice of few; nothing otherwise."""
    values: list[str] = []
    for each in found:
        match each:
            case inspect.EnumType():
                values += [_value(member) for member in each.cls]
            case inspect.LiteralType():
                values += map(str, each.values)
            case inspect.BoolType():
                values += ["true", "false"]
    return f": one of {', '.join(values)}" if 0 < len(values) <= NAMED_MAX else ""


def _value(member: Enum) -> str:
    return str(member.value) if isinstance(member.value, str) else f"{member.value} ({member.name})"


def _names(found: list[inspect.Type], text: str) -> str:
    """Return the name that was meant, or else those that are known."""
    known = [
        field.encode_name for each in found if isinstance(each, inspect.StructType) for field in each.fields
    ]
    name = text.removeprefix(_UNKNOWN).rstrip("`")
    if len(name) <= NAME_CHARS_MAX and (meant := get_close_matches(name, known, n=1)):
        return f": `{meant[0]}`?"
    return f": known are {', '.join(known)}" if 0 < len(known) <= NAMED_MAX else ""
