"""
The fastest way PostgreSQL has to take the same rows: server-side binary COPY of a file into the product's own
table.

The file holds what the ingest benchmark stores: bulks of 50 events in arrival order, round robin over the
sessions, dense sequences, the same payloads. The server reads the file itself, so no client CPU is in the
figure; the table has the product's own index and triggers, because it is the product's table on a migrated
database.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pgpq
import pyarrow as pa
from pgpq import encoders, schema

from kernel.events import is_violation
from loadtests.sample import BULK, client_times, sample_bulk
from sql import named
from sql.running import Connection, run

ROWS: Final = 2_000_000
FILE_NAME: Final = "copy_baseline.bin"  # sql/queries/loadtests/bench.sql names it too, from the data folder
BENCH: Final = named("bench")
BULKS_PER_BATCH: Final = 2_000
ARRIVAL_GAP: Final = timedelta(microseconds=400)  # between two bulks: 125,000 events/s
CLIENT: Final = 0x62656E6368  # a client instance's hash, as the product stores one

_SCHEMA: Final = pa.schema(
    [
        ("session_id", pa.int64()),
        ("seq", pa.int32()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("effective_at", pa.timestamp("us", "UTC")),
        ("client_at", pa.timestamp("us", "UTC")),
        ("client", pa.int64()),
        ("client_seq", pa.int64()),
        ("event_type", pa.int16()),
        ("severity", pa.int16()),
        ("is_violation", pa.bool_()),
        ("is_late", pa.bool_()),
        ("event_name", pa.string()),
        ("payload", pa.string()),
    ]
)


def write_file(path: Path, session_ids: Sequence[int], rows: int, started_at: datetime) -> None:
    """
    Write a binary COPY file readable by the server.

    Args:
        path: where; replaced.
        session_ids: the sessions, in turn, one bulk each.
        rows: how many; a multiple of the bulk of 50.
        started_at: arrival of the first bulk, tz-aware UTC.
    """
    encoder = _encoder()
    with path.open("wb") as file:
        file.write(encoder.write_header())
        for batch in _batches(session_ids, rows // BULK, started_at):
            file.write(encoder.write_batch(batch))
        file.write(encoder.finish())
    path.chmod(0o644)


def _encoder() -> pgpq.ArrowToPostgresBinaryEncoder:
    kind = pgpq.ArrowToPostgresBinaryEncoder
    fields: dict[str, Any] = {field.name: kind.infer_encoder(field) for field in _SCHEMA}
    # jsonb's binary form is text behind a version byte; pgpq writes that when the output type is named.
    fields["payload"] = encoders.StringEncoderBuilder.new_with_output(
        _SCHEMA.field("payload"), schema.Jsonb()
    )
    return kind.new_with_encoders(_SCHEMA, fields)


def _batches(session_ids: Sequence[int], bulks: int, started_at: datetime) -> Iterator[pa.RecordBatch]:
    sample = sample_bulk()
    steady: dict[str, list[Any]] = {
        "event_type": [int(event.event_type) for event in sample],
        "severity": [int(event.severity) for event in sample],
        "is_violation": [is_violation(event.event_type, event.severity) for event in sample],
        "is_late": [False] * BULK,
        "client": [CLIENT] * BULK,
        "payload": [event.metadata for event in sample],
        "effective_at": [None] * BULK,
        "event_name": [None] * BULK,
    }
    for first in range(0, bulks, BULKS_PER_BATCH):
        columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        for bulk in range(first, min(first + BULKS_PER_BATCH, bulks)):
            turn, session = divmod(bulk, len(session_ids))
            sequences = range(turn * BULK + 1, turn * BULK + BULK + 1)
            arrived_at = started_at + ARRIVAL_GAP * bulk
            columns["session_id"] += [session_ids[session]] * BULK
            columns["seq"] += sequences
            columns["client_seq"] += sequences
            columns["occurred_at"] += [arrived_at] * BULK
            columns["client_at"] += client_times(arrived_at)
        for name, values in steady.items():
            columns[name] = values * (len(columns["seq"]) // BULK)
        yield pa.RecordBatch.from_pydict(columns, schema=_SCHEMA)


def copy_rows_per_s(owner: Connection, rows: int) -> float:
    """
    Return the rate of one pass, rows a second, of a file that `write_file` has put into the data folder.

    Args:
        owner: autocommit connection of a superuser to a migrated database; its events are emptied, before and
        after.
        rows: how many the file holds; the pass counts them back.
    """
    run(owner, BENCH["empty_events"])
    run(owner, BENCH["checkpoint"])
    started = time.perf_counter()
    copied = run(owner, BENCH["copy_file"])
    seconds = time.perf_counter() - started
    assert copied.rowcount == rows, "COPY counts what it has stored"
    run(owner, BENCH["empty_events"])
    return rows / seconds


def arrival_start() -> datetime:
    """Return when the first bulk is said to have arrived: early today, so that one chunk takes all rows."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=1, microsecond=0)
