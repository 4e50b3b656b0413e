"""
Every SQL text of the system, and the loader that hands it out by name.

`migrations/NNNN_noun.sql` build the schema. `queries/**/noun.sql` hold named statements
(`-- name: verb_noun`), each noun once, whichever folder it is in, with `$n` parameters for asyncpg and for
psycopg's raw cursors alike. Imports `kernel` only.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final

_HEADER: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


@cache
def named(noun: str) -> MappingProxyType[str, str]:
    """
    Return the statements of the query file of that name, in whichever folder it is, by their names.

    Raises:
        KeyError: there is no such file.
        ValueError: a name stands twice.
    """
    text = _files()[noun].read_text(encoding="utf-8")
    pieces = _HEADER.split(text)[1:]
    statements: dict[str, str] = {}
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        if name in statements:
            message = f"{noun}.sql: {name} stands twice"
            raise ValueError(message)
        statements[name] = body.strip().rstrip(";")
    return MappingProxyType(statements)


def nouns() -> list[str]:
    """Return the names of all query files."""
    return sorted(_files())


@cache
def _files() -> dict[str, Traversable]:
    """Return the query files by noun; raises ValueError where two folders have one of the same name."""
    found: dict[str, Traversable] = {}
    for file in _below(files(__name__) / "queries"):
        noun = file.name.removesuffix(".sql")
        if noun in found:
            message = f"two query files are called {noun}.sql"
            raise ValueError(message)
        found[noun] = file
    return found


def _below(folder: Traversable) -> Iterator[Traversable]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry)
        elif entry.name.endswith(".sql"):
            yield entry
