"""
How a statement runs on psycopg: as on asyncpg, its text with `$n` and then the arguments.

    run(conn, QUERIES["read_offset"], shard)
    run(conn, *QUERIES.bind("insert_loss", shard=shard, …))
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row, tuple_row

Connection = psycopg.Connection[Any]
Cursor = psycopg.RawCursor[tuple[Any, ...]]
STREAMED_ROWS: Final = 2048  # that wait in memory
_NUMBERS: Final = count()


def connect(url: str, **options: Any) -> Connection:  # noqa: ANN401  libpq's
    """Open a connection, which `with` closes; what runs outside `conn.transaction()` commits at once."""
    return psycopg.connect(url, autocommit=True, **options)


def run(conn: Connection, statement: str, *arguments: object) -> Cursor:
    """Run a statement; the cursor has its rows as tuples."""
    return psycopg.RawCursor(conn, row_factory=tuple_row).execute(statement.encode(), arguments)


def one(conn: Connection, statement: str, *arguments: object) -> Any:  # noqa: ANN401  a decode boundary
    """Return the first column of a statement's only row, or None without a row."""
    row = run(conn, statement, *arguments).fetchone()
    return None if row is None else row[0]


def rows(conn: Connection, statement: str, *arguments: object) -> list[dict[str, Any]]:
    """Return a statement's rows, by the names of their columns."""
    return psycopg.RawCursor(conn, row_factory=dict_row).execute(statement.encode(), arguments).fetchall()


def stream(conn: Connection, statement: str, *arguments: object) -> Iterator[tuple[Any, ...]]:
    """Yield a statement's rows, a few at a time in memory, in the caller's transaction."""
    with psycopg.RawServerCursor(conn, f"streamed_{next(_NUMBERS)}") as cursor:
        cursor.itersize = STREAMED_ROWS
        cursor.execute(statement.encode(), arguments or None)
        yield from cursor
