"""
Every SQL text of the system, the loader that hands it out by name, and how it runs on psycopg.

`migrations/NNNN_noun.sql` build the schema. `queries/**/noun.sql` hold named statements
(`-- name: verb_noun`), each noun once, whichever folder it is in. A few parameters are written `$n`, as the
drivers take them; more of them by name, `:name`. `templates/verb_noun.sql` are statements that many tables
have alike (`shaped`). Imports `kernel` only.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sql.parameters import numbered

T = TypeVar("T")

_NAMES: Final = re.compile(r"[a-zA-Z0-9_., :\[\]]+")
_HEADER: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Statements:
    """
    The statements of one query file, as asyncpg takes them, and `sql.running`.

    Attributes:
        texts: every statement by its name, with `$n`.
        parameters: the names of each one's parameters in the order of `$n`; none where it has no names.
    """

    def __init__(self, noun: str, bodies: Mapping[str, str]) -> None:
        """Number the parameters, once; raises ValueError where a statement cannot be read."""
        self._noun = noun
        read = {name: numbered(body) for name, body in bodies.items()}
        self.texts = MappingProxyType({name: text for name, (text, _) in read.items()})
        self.parameters = MappingProxyType({name: names for name, (_, names) in read.items()})

    def __getitem__(self, name: str) -> str:
        """
        Return a statement that takes its arguments in the order of `$n`.

        Raises:
            KeyError: there is none of that name.
            TypeError: it takes them by name: see `bind`.
        """
        if self.parameters[name]:
            message = f"{self._noun}.{name} takes its arguments by name"
            raise TypeError(message)
        return self.texts[name]

    def bind(self, name: str, /, **given: object) -> tuple[Any, ...]:
        """
        Return a statement that is written with names, and its arguments in the order of `$n`.

            run(conn, *QUERIES.bind("insert_loss", shard=shard, …))

        Raises:
            KeyError: there is none of that name.
            TypeError: a parameter is left out, or there is none of a name that is given.
        """
        names = self.parameters[name]
        if len(given) == len(names):
            try:
                return self.texts[name], *[given[each] for each in names]
            except KeyError:
                pass
        message = f"{self._noun}.{name} takes {', '.join(names)}; {', '.join(given)} were given"
        raise TypeError(message)

    def run(self, method: Callable[..., T], name: str, /, **given: object) -> T:
        """
        Run a statement that is written with names by a connection's method; raises as `bind` does, too.

            await QUERIES.run(conn.execute, "insert_draft", id=version_id, title=title, …)
        """
        return method(*self.bind(name, **given))


@cache
def named(noun: str) -> Statements:
    """
    Return the statements of the query file of that name, in whichever folder it is.

    Raises:
        KeyError: there is no such file.
        ValueError: a name stands twice, or a statement's parameters cannot be read.
    """
    text = _files()[noun].read_text(encoding="utf-8")
    pieces = _HEADER.split(text)[1:]
    bodies: dict[str, str] = {}
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        if name in bodies:
            message = f"{noun}.sql: {name} stands twice"
            raise ValueError(message)
        bodies[name] = body.strip().rstrip(";")
    return Statements(noun, bodies)


def nouns() -> list[str]:
    """Return the names of all query files."""
    return sorted(_files())


@cache
def shaped(template: str, **names: str) -> str:
    """
    Return a statement of `templates/` with names put in: of tables, of columns, of types, and nothing else.

    Raises:
        ValueError: something is no list of names.
    """
    for each in names.values():
        if not _NAMES.fullmatch(each):
            message = f"{template}.sql takes names, not {each!r}"
            raise ValueError(message)
    text = (files(__name__) / "templates" / f"{template}.sql").read_text(encoding="utf-8")
    return text.format(**names).strip()


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
