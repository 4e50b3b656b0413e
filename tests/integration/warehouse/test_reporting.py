"""Every dataset in PostgreSQL has the columns that it has in Parquet, in types that hold the same (W-1)."""

import psycopg
import pyarrow as pa

from warehouse.datasets import DATASETS
from warehouse.layout import Dataset

# From durable tables of their own, without one in `reporting`.
ARCHIVED = {"events", "ledger_events", "risk_snapshots", "rule_precision"}
COLUMNS = """
SELECT column_name, CASE WHEN data_type = 'ARRAY' THEN udt_name ELSE data_type END,
       is_nullable = 'YES'
FROM information_schema.columns WHERE table_schema = 'reporting' AND table_name = %s
"""
TYPES = {
    "int16": {"smallint"},
    "int32": {"integer"},
    "int64": {"bigint"},
    "double": {"double precision", "numeric"},
    "bool": {"boolean"},
    "string": {"text", "uuid", "jsonb", "json"},
    "timestamp[us, tz=UTC]": {"timestamp with time zone"},
    "list<element: int64>": {"_int8"},
    "list<element: string>": {"_text", "_uuid"},
}


def test_every_table_of_reporting_has_the_columns_and_types_of_its_dataset(database: str) -> None:
    with psycopg.connect(database) as conn:
        wrong = {
            name: odd
            for name, dataset in DATASETS.items()
            if name not in ARCHIVED
            for odd in [differing(dataset, conn.execute(COLUMNS, [name]).fetchall())]
            if odd
        }
    assert wrong == {}


def differing(dataset: Dataset, found: list[tuple[str, str, bool]]) -> list[str]:
    """Return what is missing, too much, of another type, or null where it must not be."""
    table = {name: (kind, nullable) for name, kind, nullable in found}
    odd = sorted(set(table) ^ set(dataset.schema.names))
    for field in dataset.schema:
        if field.name not in table:
            continue
        kind, nullable = table[field.name]
        is_json = kind in {"json", "jsonb"}
        if (
            kind not in TYPES[str(field.type)]
            or is_json != is_json_text(field)
            or nullable not in {field.nullable, None}
        ):
            odd.append(f"{field.name}: {field.type}, {field.nullable}; {kind}, {nullable}")
    return odd


def is_json_text(field: pa.Field) -> bool:
    return bool((field.metadata or {}).get(b"unit", b"").startswith(b"JSON"))
