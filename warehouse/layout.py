"""
What the warehouse holds: one explicit schema per dataset, with its grain, partition key, sort order, units.

The schema is asserted when a part is written and again when it is read; the descriptions travel in the
Parquet files' field metadata and in the catalogue's view `columns`.
"""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

ROW_GROUP_ROWS: Final = 122_880  # DuckDB's own row group: one Parquet group is one unit of its work
PART_ROWS_MAX: Final = 8 * ROW_GROUP_ROWS
PART_BYTES_MAX: Final = 256 << 20  # of Arrow memory, before compression
EMPTY: Final = "empty"  # the partition, and the group, of a dataset without rows


class LayoutError(Exception):
    """Rows or a file do not have their dataset's schema; the message names dataset and column."""


class Dataset(Struct, frozen=True, kw_only=True):
    """A dataset of one version. `sort` orders the rows inside each part; `partition_key` is what a part never
    mixes; `group` is which characters of it name the group of partitions that a part belongs to.
    """

    name: str
    version: int
    grain: str
    partition_key: str
    group: slice
    sort: tuple[str, ...]
    schema: pa.Schema


_TIME: Final = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, about: str, unit: str = "", *, null: str = "") -> pa.Field:
    described = {"description": about} | ({"unit": unit} if unit else {}) | ({"null": null} if null else {})
    return pa.field(name, kind, nullable=bool(null), metadata=described)


def _dataset(
    name: str,
    version: int,
    *,
    grain: str,
    partition_key: str,
    group: slice,
    sort: tuple[str, ...],
    columns: list[pa.Field],
) -> Dataset:
    metadata = {
        "veritas.dataset": name,
        "veritas.version": str(version),
        "veritas.grain": grain,
        "veritas.partition_key": partition_key,
        "veritas.sort": ", ".join(sort),
    }
    return Dataset(
        name=name,
        version=version,
        grain=grain,
        partition_key=partition_key,
        group=group,
        sort=sort,
        schema=pa.schema(columns, metadata=metadata),
    )


EVENTS: Final = _dataset(
    "events",
    1,
    grain="one row per stored event",
    partition_key="UTC day of occurred_at",
    group=slice(7),  # its month
    sort=("session_id", "seq"),
    columns=[
        _column("session_id", pa.int64(), "Proctor session."),
        _column(
            "seq", pa.int32(), "Sequence number in the session, from 1 without a gap; unique with session_id."
        ),
        _column("attempt_id", pa.string(), "Attempt that the session belongs to.", "UUID as text"),
        _column("exam_id", pa.string(), "Exam of the attempt.", "UUID as text"),
        _column("occurred_at", _TIME, "Server time of acceptance; never runs backwards in a session.", "UTC"),
        _column(
            "effective_at",
            _TIME,
            "Corrected client time of a back-filled event.",
            "UTC",
            null="not back-filled",
        ),
        _column("client_at", _TIME, "What the client's clock said.", "UTC", null="the client did not say"),
        _column("client", pa.int64(), "Client instance: hash of its name.", null="the client sent none"),
        _column("client_seq", pa.int64(), "The client's own sequence number.", null="the client sent none"),
        _column("event_type", pa.int16(), "Type as its wire number."),
        _column(
            "event_type_name", pa.string(), "Type as its wire name; for type 0 the name that the client gave."
        ),
        _column("severity", pa.int16(), "0 Info, 1 Low, 2 Medium, 3 High, 4 Critical, 5 Terminal."),
        _column("is_violation", pa.bool_(), "Counts as a violation."),
        _column("is_late", pa.bool_(), "Arrived after the session had ended."),
        _column(
            "event_name", pa.string(), "The client's name for an event of type 0.", null="any other type"
        ),
        _column(
            "payload", pa.string(), "Metadata of the event.", "JSON object as text", null="none was sent"
        ),
    ],
)

ATTEMPT_ACTIVITY: Final = _dataset(
    "attempt_activity",
    1,
    grain="one row per attempt that has events",
    partition_key="exam_id",
    group=slice(-2, None),  # one of 256: the beginning of an id is its time
    sort=("exam_id", "attempt_id"),
    columns=[
        _column("attempt_id", pa.string(), "The attempt.", "UUID as text"),
        _column("exam_id", pa.string(), "Its exam.", "UUID as text"),
        _column("student_id", pa.string(), "Its candidate.", "UUID as text"),
        _column("session_ids", pa.list_(pa.field("element", pa.int64())), "Its proctor sessions, ascending."),
        _column("events", pa.int64(), "Events of all its sessions.", "events"),
        _column("violations", pa.int64(), "Events that count as violations.", "events"),
        _column("by_type", pa.string(), "Events by type name.", "JSON object: name to events"),
        _column("by_severity", pa.string(), "Events by severity number.", "JSON object: number to events"),
        _column("first_event_at", _TIME, "Server time of the first event.", "UTC"),
        _column("last_event_at", _TIME, "Server time of the last event.", "UTC"),
        _column(
            "longest_silence_s",
            pa.float64(),
            "Longest time between consecutive events of a session, start and known end included.",
            "seconds",
            null="no session has two points in time",
        ),
        _column(
            "heartbeat_coverage",
            pa.float64(),
            "Share of the 15 s intervals of the sessions' spans that held a heartbeat.",
            "0 to 1",
            null="under four whole intervals, or no heartbeat ever came",
        ),
        _column(
            "clock_skew_ms",
            pa.float64(),
            "Median of client minus server time over heartbeats that were neither late nor back-filled.",
            "milliseconds; positive when the client is ahead",
            null="no such heartbeat said its time",
        ),
        _column("late_events", pa.int64(), "Events that arrived after their session had ended.", "events"),
        _column("metric_version", pa.string(), "Version of these definitions."),
        _column(
            "coverage",
            pa.float64(),
            "Share of silence, heartbeat coverage and skew that could be computed.",
            "0 to 1",
        ),
        _column("reasons", pa.string(), "What stands out.", "JSON list of {code, value, threshold, n, text}"),
        _column("as_of", _TIME, "How far the row's inputs reach: its last event or session end.", "UTC"),
    ],
)

DATASETS: Final = {dataset.name: dataset for dataset in (EVENTS, ATTEMPT_ACTIVITY)}


def group_of(dataset: Dataset, partition: str) -> str:
    """Return the name of the group that a partition belongs to."""
    return partition if partition == EMPTY else partition[dataset.group]


def conform(dataset: Dataset, table: pa.Table) -> pa.Table:
    """
    Return the rows in the dataset's column order, sorted, under its schema with all metadata.

    Raises:
        LayoutError: a column is missing, left over, of another type, or null where it must not be.
    """
    wanted = dataset.schema
    if sorted(table.column_names) != sorted(wanted.names):
        odd = sorted(set(table.column_names) ^ set(wanted.names))
        raise LayoutError(f"{dataset.name}: columns {', '.join(odd)} are missing or left over")
    for field in wanted:
        column = table[field.name]
        if column.type != field.type:
            raise LayoutError(f"{dataset.name}.{field.name} is {column.type}, not {field.type}")
        if not field.nullable and column.null_count:
            raise LayoutError(f"{dataset.name}.{field.name} has {column.null_count} nulls and allows none")
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in dataset.sort])
    arranged = table.select(wanted.names).take(order)
    return pa.table(arranged.columns, schema=wanted)


def assert_file(dataset: Dataset, path: Path) -> None:
    """
    Check a part's footer against the dataset's schema, descriptions included.

    Raises:
        LayoutError: it is another schema, or another version of it.
    """
    found = pq.read_schema(path)
    if not found.equals(dataset.schema, check_metadata=True):
        raise LayoutError(f"{path.name} is not {dataset.name} version {dataset.version}")
