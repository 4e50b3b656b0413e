"""
Whatever a use case can raise stands in the document: what it calls is followed, from the route list itself.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

from core_api.app import routes
from ingest.routes import ROUTES
from kernel.errors import DomainError, ForbiddenError, NotFoundError, OutcomeUnknownError
from kernel.http.refusals import Refusal, refusals
from kernel.http.web import Route

ROOMS = ("core_api.", "ingest.", "kernel.")
# What cannot come, though it is written: the row was just made or seen, or the role has the scope.
NEVER: dict[tuple[str, str], set[Refusal]] = {
    ("POST", "/auth/launch"): {ForbiddenError},
    ("POST", "/admin/groups"): {NotFoundError},
    ("POST", "/admin/users/import"): {NotFoundError},
    ("POST", "/teacher/exams/import"): {NotFoundError},
    ("POST", "/proctor/rules"): {NotFoundError},
}


def objects_in(function: FunctionType, tree: ast.AST) -> Iterator[Any]:
    """Return what the names of a function's text stand for."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                yield function.__globals__.get(name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                module = function.__globals__.get(name)
                if isinstance(module, ModuleType):
                    yield getattr(module, attribute, None)


def raised_by(function: Any, seen: dict[Any, set[Refusal]]) -> set[Refusal]:
    """Return the errors that a function names, and what it calls, but for those that it catches."""
    function = inspect.unwrap(function)
    ours = isinstance(function, FunctionType) and function.__module__.startswith(ROOMS)
    if not ours or function.__name__ == "<lambda>":
        return set()
    if function in seen:
        return seen[function]
    found: set[Refusal] = set()
    seen[function] = found
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    handlers = [each.type for each in ast.walk(tree) if isinstance(each, ast.ExceptHandler) and each.type]
    caught = {each for handler in handlers for each in objects_in(function, handler)}
    for each in objects_in(function, tree):
        if isinstance(each, type) and issubclass(each, DomainError) and each is not DomainError:
            found.add(each)
        elif isinstance(each, FunctionType):
            found |= raised_by(each, seen)
    found -= caught
    return found


@pytest.mark.parametrize("route", [*routes(), *ROUTES], ids=lambda route: f"{route.method} {route.path}")
def test_what_a_use_case_raises_is_documented_x3(route: Route) -> None:
    handler = inspect.unwrap(route.handler)
    use_case = inspect.getclosurevars(handler).nonlocals.get("use_case", handler)
    documented = {each for some in refusals(route).values() for each in some}
    never = set(NEVER.get((route.method, route.path), ()))
    if route.method == "GET":
        never.add(OutcomeUnknownError)  # nothing was done: it is told as away (`kernel.http.web`)
    found = raised_by(use_case, {})
    # One that only carries more than the documented one that it is, with its code, is told as that.
    told = {
        each for each in found if any(issubclass(each, one) and each.code == one.code for one in documented)
    }

    assert found - told == never & found
