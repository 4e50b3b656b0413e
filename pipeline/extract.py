"""
Read PostgreSQL as Arrow, everything of one moment; turn rows into what the features take.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import adbc_driver_postgresql.dbapi as adbc  # type: ignore[import-untyped]  # ships no types
import polars as pl
import psycopg
import pyarrow as pa

from sql import named
from warehouse.layout import Dataset

WAITS_MAX: Final = 24  # of the role's lock timeout
DATABASE_AWAY: Final = (psycopg.OperationalError, adbc.OperationalError)
Cursor = psycopg.RawCursor[tuple[Any, ...]]  # `$n` parameters, as everywhere


class Snapshot:
    """One read-only REPEATABLE READ transaction: every statement sees the same moment."""

    def __init__(self, conn: "adbc.Connection") -> None:
        """Begin on an open ADBC connection."""
        self._cursor = conn.cursor()
        self._cursor.execute(named("projections")["read_one_snapshot"])

    def table(self, noun: str, name: str, *parameters: object) -> pa.Table:
        """Return the named statement's rows."""
        self._cursor.execute(named(noun)[name], parameters=parameters or None)
        return self._cursor.fetch_arrow_table()

    def frame(self, noun: str, name: str, *parameters: object) -> pl.DataFrame:
        """Return the named statement's rows as a Polars frame."""
        return as_frame(self.table(noun, name, *parameters))

    def batches(self, noun: str, name: str) -> Iterator[pa.RecordBatch]:
        """Stream the rows of a named statement without parameters; memory stays at a few batches."""
        self._cursor.execute(named(noun)[name])
        yield from self._cursor.fetch_record_batch()

    def close(self) -> None:
        """Let the cursor go."""
        self._cursor.close()


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """Open a connection of its own and read one moment through it."""
    with adbc.connect(url) as conn:
        reader = Snapshot(conn)
        try:
            yield reader
        finally:
            reader.close()


@contextmanager
def connect(url: str) -> Iterator[Cursor]:
    """Open a connection for writing; statements commit at once outside `cursor.connection.transaction()`."""
    with psycopg.connect(url, autocommit=True) as conn, psycopg.RawCursor(conn) as cursor:
        yield cursor


def one(cursor: Cursor, noun: str, name: str, *parameters: object) -> Any:  # noqa: ANN401  a decode boundary
    """Return the first column of the named statement's only row, or None without a row."""
    row = run(cursor, noun, name, *parameters).fetchone()
    return None if row is None else row[0]


def run(cursor: Cursor, noun: str, name: str, *parameters: object) -> Cursor:
    """Execute the named statement."""
    return cursor.execute(named(noun)[name].encode(), parameters)


def wait_for(cursor: Cursor, noun: str, name: str, *parameters: object) -> None:
    """Take a lock of the named statement, for as long as WAITS_MAX of the role's lock timeouts."""
    for attempt in range(WAITS_MAX):
        try:
            run(cursor, noun, name, *parameters)
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


def as_sessions(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Give sessions as the features take them: times as microseconds of the Unix epoch."""
    return frame.select(
        "session_id",
        "attempt_id",
        "exam_id",
        "student_id",
        started_us=pl.col("started_at").dt.epoch("us"),
        ended_us=pl.col("ended_at").dt.epoch("us"),
    )


def as_events(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Give events, from the table or from the archive, as the features take them."""
    return frame.select(
        "session_id",
        "seq",
        "event_type",
        "severity",
        "is_violation",
        "is_late",
        occurred_us=pl.col("occurred_at").dt.epoch("us"),
        client_us=pl.col("client_at").dt.epoch("us"),
        is_backfilled=pl.col("effective_at").is_not_null(),
    )
