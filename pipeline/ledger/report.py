"""
What a check of the ledger found, and the one snapshot that it looks at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import psycopg

from sql import named
from sql.running import Connection, one, run

QUERIES: Final = named("ledger_audit")
FINDINGS_MAX: Final = 1000


class TooManyFindingsError(Exception):
    """So much is wrong that more of it would tell nothing."""


class Report(msgspec.Struct):
    """
    What was looked at, and what is wrong, first found first.

    `unproven` are sentences about what is not wrong and not proven either; `remarks` about what changes
    nothing; `is_witnessed` tells whether somebody outside keeps a head as new as the newest.
    """

    size: int = 0
    heads: int = 0
    records: int = 0
    findings: list[str] = []
    unproven: list[str] = []
    remarks: list[str] = []
    is_witnessed: bool = False

    def find(self, sentence: str) -> None:
        """Add what is wrong."""
        self.findings.append(sentence)
        if len(self.findings) >= FINDINGS_MAX:
            raise TooManyFindingsError


@contextmanager
def open_snapshot(url: str) -> Iterator[Connection]:
    """Connect and see one moment, read only."""
    with psycopg.connect(url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        run(conn, QUERIES["look_at_tables"])
        yield conn


def read_size(conn: Connection) -> int:
    """Return the size of the stored tree."""
    size: int = one(conn, QUERIES["read_size"])
    return size


def lines_of(hashes: str) -> dict[str, str]:
    """Return a record's rows by name, as `record_hashes` writes them."""
    return dict(line.rpartition(": ")[::2] for line in hashes.splitlines())
