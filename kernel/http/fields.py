"""
What people say in header fields, read once for every tier: who they are, which language and which coding they
take. Pure, bounded, and nothing malformed fails: what cannot be read says nothing.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from kernel.errors import NotAuthenticatedError

CHOICES_MAX: Final = 32  # of one field; more are not looked at
CODING_OF: Final = {"x-gzip": "gzip"}  # by its old name (RFC 9110, 8.4.1.3)
# RFC 9110, 12.4.2; three decimals at most
_CHOICE: Final = re.compile(r"([^\s;]+)(?:\s*;\s*q\s*=\s*([01](?:\.\d{0,3})?))?", re.IGNORECASE)


def bearer(authorization: str) -> str:
    """
    Return the token of an Authorization field; the scheme may be in any case (RFC 9110, 11.1).

    Raises:
        NotAuthenticatedError: another scheme, or no token.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticatedError("Send a token as `Authorization: Bearer …`.")
    return token.strip()


def choices(field: str) -> list[tuple[str, float]]:
    """Return what a field of choices asks for, in lower case, each with its weight, 0 to 1, as it stands."""
    found = []
    for each in field.lower().split(",", CHOICES_MAX)[:CHOICES_MAX]:
        read = _CHOICE.fullmatch(each.strip())
        if read is not None:
            found.append((read[1], min(1.0, float(read[2] or 1))))
    return found


def language(accept_language: str, offered: Sequence[str]) -> str:
    """
    Return the language of those offered that an Accept-Language field likes best (RFC 9110, 12.5.4): of equal
    ones the one that stands first; the first offered that it does not refuse, where it names none.

    A range is content with what it begins with (RFC 4647, lookup): `en-GB` with `en`.
    """
    asked = choices(accept_language)
    named = {tag for tag, _ in asked}
    welcome = [each for each in offered if (each, 0.0) not in asked]
    for tag, weight in sorted(asked, key=lambda choice: -choice[1]):
        for each in welcome if weight else ():
            if tag.partition("-")[0] == each or (tag == "*" and each not in named):
                return each
    return (welcome or offered)[0]


def asked_language(accept_language: Iterable[str], offered: Sequence[str]) -> str:
    """Return as `language` does, of a header that may have come in several fields."""
    return language(",".join(accept_language), offered)


def coding(accept_encoding: str, offered: Sequence[str]) -> str | None:
    """
    Return the content coding of those offered that an Accept-Encoding field likes best, of equal ones the one
    offered first; None where the body had better go as it is (RFC 9110, 12.5.3).
    """
    weights = {CODING_OF.get(name, name): weight for name, weight in choices(accept_encoding)}
    best = max(offered, key=lambda each: weights.get(each, weights.get("*", 0.0)))
    weight = weights.get(best, weights.get("*", 0.0))
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def wants_page(accept: str) -> bool:
    """Tell whether an Accept field is a browser's, which would rather have a page than JSON."""
    weights = dict(choices(accept))
    return weights.get("text/html", 0.0) > weights.get("application/json", 0.0)
