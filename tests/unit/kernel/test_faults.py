"""Whoever sends what cannot be is told what can be (spec.md A-8)."""

from enum import IntEnum, StrEnum
from typing import Any, Literal

import msgspec
import pytest
from msgspec import inspect

from core_api.app import routes
from ingest.routes import ROUTES
from kernel.errors import InvalidInputError
from kernel.http.faults import NAMED_MAX
from kernel.http.web import Route, decode


class Colour(StrEnum):
    """A choice of words."""

    red = "red"
    blue = "blue"


class Size(IntEnum):
    """A choice of numbers."""

    small = 1
    large = 2


class Thing(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Something with choices in it, at every depth."""

    colour_of: Colour | None = None
    sizes: list[Size] = []
    by_name: dict[str, Literal["a", "b"]] = {}
    parts: list["Thing"] = []


def fault(body: bytes, kind: Any = Thing) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as refused:
        decode(body, msgspec.json.Decoder(kind))
    (found,) = refused.value.errors or []
    return found


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b'{"colourOf": "green"}', "colourOf", "Invalid enum value 'green': one of red, blue"),
        (b'{"sizes": [1, 7]}', "sizes[1]", "Invalid enum value 7: one of 1 (small), 2 (large)"),
        (b'{"sizes": ["large"]}', "sizes[0]", "Expected `int`, got `str`: one of 1 (small), 2 (large)"),
        (b'{"byName": {"x": "c"}}', "byName[...]", "Invalid enum value 'c': one of a, b"),
        (b'{"parts": [{"colourOf": "x"}]}', "parts[0].colourOf", "Invalid enum value 'x': one of red, blue"),
        (b'{"colour_of": "red"}', "body", "Object contains unknown field `colour_of`: `colourOf`?"),
        (
            b'{"parts": [{"weight": 1}]}', "parts[0]",
            "Object contains unknown field `weight`: known are colourOf, sizes, byName, parts",
        ),
        (b'{"parts": 5}', "parts", "Expected `array`, got `int`"),
    ],
)  # fmt: skip
def test_a_fault_says_what_could_be_chosen(body: bytes, path: str, message: str) -> None:
    assert fault(body) == {"path": path, "message": message}


def choices_of(kind: inspect.Type) -> list[str]:
    match kind:
        case inspect.Metadata():
            return choices_of(kind.type)
        case inspect.UnionType():
            return [value for each in kind.types for value in choices_of(each)]
        case inspect.EnumType():
            return [str(each.value) for each in kind.cls]
        case inspect.LiteralType():
            return [str(each) for each in kind.values]
        case _:
            return []


def chosen() -> list[tuple[Route, type, inspect.Field]]:
    """Return every member of a body or a query that is a choice of few values."""
    found: list[tuple[Route, type, inspect.Field]] = []
    for route in (*routes(), *ROUTES):
        for kind in (route.body, route.query):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                info = inspect.type_info(kind)
                assert isinstance(info, inspect.StructType)
                found += [
                    (route, kind, field)
                    for field in info.fields
                    if 0 < len(choices_of(field.type)) <= NAMED_MAX
                ]
    return found


def test_every_choice_of_every_operation_names_its_values() -> None:
    """As far as a fault is one of the choice: members come in the order in which they are sent."""
    cases = chosen()
    silent = []
    for route, kind, field in cases:
        message = fault(msgspec.json.encode({field.encode_name: [[]]}), kind)["message"]
        if not all(value in message for value in choices_of(field.type)):
            silent.append(f"{route.name}: {field.encode_name}: {message}")

    assert len(cases) > 20, "the search finds choices"
    assert silent == []
