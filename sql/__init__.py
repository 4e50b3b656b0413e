"""
Every SQL text of the system, and the loader that hands it out by name.

`migrations/NNNN_noun.sql` build the schema, `queries/noun.sql` hold named statements (`-- name: verb_noun`),
written with `$n` parameters for asyncpg and for psycopg's raw cursors alike. Imports `kernel` only.
"""

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_HEADER: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


@cache
def named(noun: str) -> MappingProxyType[str, str]:
    """
    Return the statements of `queries/<noun>.sql` by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name stands twice.
    """
    text = (files(__name__) / "queries" / f"{noun}.sql").read_text(encoding="utf-8")
    pieces = _HEADER.split(text)[1:]
    statements: dict[str, str] = {}
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        if name in statements:
            message = f"queries/{noun}.sql: {name} stands twice"
            raise ValueError(message)
        statements[name] = body.strip().rstrip(";")
    return MappingProxyType(statements)


def nouns() -> list[str]:
    """Return the names of all query files."""
    return sorted(entry.name.removesuffix(".sql") for entry in (files(__name__) / "queries").iterdir())
