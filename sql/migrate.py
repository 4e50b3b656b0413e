"""
Apply the numbered migrations, forward only, each in one transaction, each exactly once.

An advisory lock lets one migrator work at a time; a checksum refuses a file that changed after it was
applied. Optional migrations (`sql/optional/`) are applied only when named.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Final

import psycopg

from sql import named
from sql.running import Connection, connect, run

MIGRATIONS: Final = named("migrations")
LOCK_TRIES: Final = 12  # of 5 s each (queries/sql/migrations.sql)
PAUSE_S: Final = 1.0
LOCK_KEY: Final = 0x7665726974617300  # "veritas\0"


class MigrationError(Exception):
    """An applied migration's file has changed, or a named optional migration does not exist."""


def available(folder: str = "migrations") -> dict[str, str]:
    """Return migration texts by name, in order."""
    entries = sorted((files("sql") / folder).iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for entry in entries
        if entry.name.endswith(".sql")
    }


def checksum(text: str) -> str:
    """Return the text's SHA-256 as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def pending(conn: Connection, optional: Sequence[str] = ()) -> dict[str, str]:
    """
    Return the migrations still to apply, in order.

    Raises:
        MigrationError: an applied one has changed since, or an optional one is unknown.
    """
    wanted = available()
    extras = available("optional")
    for name in optional:
        if name not in extras:
            message = f"no optional migration {name!r}; there are {', '.join(extras) or 'none'}"
            raise MigrationError(message)
        wanted[name] = extras[name]
    run(conn, MIGRATIONS["create_ledger"])
    applied: dict[str, str] = dict(run(conn, MIGRATIONS["list_applied"]).fetchall())
    for name, text in wanted.items():
        if name in applied and applied[name] != checksum(text):
            message = f"migration {name} was changed after it was applied"
            raise MigrationError(message)
    return {name: text for name, text in wanted.items() if name not in applied}


def migrate(
    url: str,
    optional: Sequence[str] = (),
    report: Callable[[str], None] = lambda _: None,
    tries: int = LOCK_TRIES,
) -> list[str]:
    """
    Bring the database at `url` up to date and return the names of what was applied.

    Applying twice changes nothing. A failure leaves the database as the last whole migration left it. A
    migration that does not get its locks soon lets those behind it through, and is tried again.

    Raises:
        MigrationError: see `pending`.
        psycopg.OperationalError: the database is away, or a lock is held through all tries.
    """
    with connect(url) as conn:
        run(conn, MIGRATIONS["lock"], LOCK_KEY)
        done = []
        for name, text in pending(conn, optional).items():
            for left in reversed(range(tries)):
                try:
                    with conn.transaction():
                        run(conn, MIGRATIONS["bound_waits"])
                        conn.execute(text.encode(), prepare=False)
                        run(conn, MIGRATIONS["record_applied"], name, checksum(text))
                    break
                except psycopg.errors.LockNotAvailable:
                    if not left:
                        raise
                    time.sleep(PAUSE_S)
            report(name)
            done.append(name)
        return done
