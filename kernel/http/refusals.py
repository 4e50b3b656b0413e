"""
Which errors a route can answer with: what follows from its form, and what it says of itself.

`Route.refuses` is for what a use case refuses by its own rules, as its docstring says; what stands in front
of a handler (an account's allowance, a key's first reply) adds its errors where it wraps the route.
"""

import inspect
import re
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter
from typing import Final

from kernel.errors import (
    DomainError,
    ForbiddenError,
    HeaderTooLargeError,
    InvalidInputError,
    MalformedError,
    NotAuthenticatedError,
    NotFoundError,
    OriginNotAllowedError,
    OutcomeUnknownError,
    RateLimitedError,
    ReadTimeoutError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaError,
)
from kernel.http.web import Route

Refusal = type[DomainError]

_RAISED: Final = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_RAISES: Final = re.compile(r"\braises (\w+):? ([^.;]+)")
# What the parser, the query's text, a fault of ours and a part that is away answer, whatever is asked for.
_ANYWHERE: Final[tuple[Refusal, ...]] = (
    MalformedError,
    HeaderTooLargeError,
    InvalidInputError,
    DomainError,
    UnavailableError,
)
_OF_A_BODY: Final = (ReadTimeoutError, TooLargeError, UnsupportedMediaError)
_OF_A_TOKEN: Final = (NotAuthenticatedError, ForbiddenError, OriginNotAllowedError, RateLimitedError)


def refusals(route: Route) -> dict[int, tuple[Refusal, ...]]:
    """Return the errors that a route can answer with, by status, both in order."""
    found = {
        *_ANYWHERE,
        *(_OF_A_BODY if route.body is not None else ()),
        *(_OF_A_TOKEN if route.action is not None else ()),
        *((NotFoundError,) if "{" in route.path else ()),
        *((OutcomeUnknownError,) if route.method != "GET" else ()),
        *route.refuses,
    }
    by_status = attrgetter("status")
    ordered = sorted(found, key=attrgetter("status", "code"))
    return {status: tuple(some) for status, some in groupby(ordered, by_status)}


def raised(function: Callable[..., object]) -> dict[Refusal, str]:
    """
    Return the errors of ours that a docstring says a function raises, with when it does: in a section,
    or in a sentence.
    """
    sentences, _, section = (inspect.getdoc(function) or "").partition("\nRaises:\n")
    kinds = {kind.__name__: kind for kind in tree()}
    said = _RAISES.findall(" ".join(sentences.split())) + _RAISED.findall(section)
    named = ((name, when) for names, when in said for name in names.split(", ") if name in kinds)
    return {kinds[name]: " ".join(when.split()) for name, when in named}


def tree() -> list[Refusal]:
    """Return every error there is, by status and code."""

    def below(kind: Refusal) -> set[Refusal]:
        return {kind}.union(
            *(below(each) for each in kind.__subclasses__() if each.__module__ == kind.__module__)
        )

    return sorted(below(DomainError), key=attrgetter("status", "code"))
