"""
Read PostgreSQL as Arrow, everything of one moment.
"""

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import adbc_driver_postgresql.dbapi as adbc  # type: ignore[import-untyped]  # ships no types
import polars as pl
import psycopg
import pyarrow as pa

from sql import named
from sql.running import Connection, run
from warehouse.layout import Dataset

WAITS_MAX: Final = 24  # of the role's lock timeout
DATABASE_AWAY: Final = (psycopg.OperationalError, adbc.OperationalError)
PROJECTIONS: Final = named("projections")


class Snapshot:
    """One read-only REPEATABLE READ transaction: every statement sees the same moment."""

    def __init__(self, conn: "adbc.Connection") -> None:
        """Begin on an open ADBC connection."""
        self._cursor = conn.cursor()
        self._cursor.execute(PROJECTIONS["read_one_snapshot"])

    def table(self, statement: str, *arguments: object) -> pa.Table:
        """Return a statement's rows."""
        self._cursor.execute(statement, parameters=arguments or None)
        return self._cursor.fetch_arrow_table()

    def frame(self, statement: str, *arguments: object) -> pl.DataFrame:
        """Return a statement's rows as a Polars frame."""
        return as_frame(self.table(statement, *arguments))

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Stream the rows of a statement without parameters; memory stays at a few batches."""
        self._cursor.execute(statement)
        yield from self._cursor.fetch_record_batch()

    def close(self) -> None:
        """Let the cursor go."""
        self._cursor.close()


class Origin:
    """
    A connection that others are made from. The first to a database reads all of its types, for 0.1 s of a
    core; those made from it know them, and are as independent as any. One is kept, of the latest database.
    """

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self._lock = threading.Lock()
        self._url = ""
        self._kept: adbc.Connection | None = None

    def connect(self, url: str) -> "adbc.Connection":
        """Return a new connection; raises adbc.OperationalError as any connecting does."""
        with self._lock:
            if self._url != url or self._kept is None:
                self._close()
                self._url, self._kept = url, adbc.connect(url, autocommit=True)
            return self._kept.adbc_clone()

    def close(self) -> None:
        """Let the database go."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


ORIGIN: Final = Origin()
atexit.register(ORIGIN.close)


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """Open a connection of its own and read one moment through it."""
    with ORIGIN.connect(url) as conn:
        reader = Snapshot(conn)
        try:
            yield reader
        finally:
            reader.close()


def wait_for(conn: Connection, statement: str, *arguments: object) -> None:
    """Take a lock of the statement, for as long as WAITS_MAX of the role's lock timeouts."""
    for attempt in range(WAITS_MAX):
        try:
            run(conn, statement, *arguments)
        except psycopg.errors.LockNotAvailable:
            if attempt + 1 == WAITS_MAX:
                raise
        else:
            return


def as_frame(table: pa.Table) -> pl.DataFrame:
    """Return the rows as a Polars frame."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame), "a table gives a frame"
    return frame


def as_table(frame: pl.DataFrame, dataset: Dataset) -> pa.Table:
    """Return the rows as Arrow in the dataset's types (Polars itself hands over 64-bit strings)."""
    wanted = pa.schema([pa.field(name, dataset.schema.field(name).type) for name in frame.columns])
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(wanted)
