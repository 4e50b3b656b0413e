"""
Rows of a turn into `reporting.<dataset>`: what is another, is new or is no more, and nothing else; and which
partitions, exams and students that concerns.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl
from msgspec import Struct

from pipeline.extract import as_frame, as_table
from pipeline.projections.projection import Projection
from pipeline.projections.reading import shape_of
from sql import shaped
from sql.running import Connection, run
from warehouse.layout import conform, json_columns


class Changed(Struct, frozen=True):
    """Of a dataset, one way in which changed rows belong: partition, exam, student, attempt, if they do."""

    partition: str
    exam_id: str | None
    student_id: str | None
    attempt_id: str | None
    dataset: str


def store(
    conn: Connection, projection: Projection, keys: Sequence[str], found: pl.DataFrame
) -> list[Changed]:
    """
    Store all rows of the keys, in the caller's transaction; return what they concern where they have changed.

    Raises:
        LayoutError: the columns are not the dataset's.
    """
    dataset = projection.dataset
    shape, names = shape_of(conn, dataset), dataset.schema.names
    frame = as_frame(conform(dataset, as_table(found, dataset)))
    owners = ("exam_id", "student_id", "attempt_id")
    returned = [f"t.{dataset.partition_key}::text AS partition"] + [
        f"t.{name}::text AS {name}" if name in shape.types else f"NULL::text AS {name}" for name in owners
    ]
    statement = shaped(
        "put_rows",
        dataset=dataset.name,
        columns=", ".join(names),
        primary=", ".join(shape.primary),
        key=projection.layer.key,
        current=", ".join(f"t.{name}" for name in names),
        excluded=", ".join(f"excluded.{name}" for name in names),
        returned=", ".join(returned),
    )
    text = as_text(frame, json_columns(dataset))
    return [
        Changed(partition, exam_id, student_id, attempt_id, dataset.name)
        for partition, exam_id, student_id, attempt_id in run(conn, statement, text, list(keys))
    ]


def as_text(frame: pl.DataFrame, parsed: Sequence[str]) -> str:
    """Return rows as a JSON array of objects; columns that hold JSON as text are put in as they are."""
    rows: list[dict[str, Any]] = frame.to_dicts()
    for row in rows:
        for name in parsed:
            if row[name] is not None:
                row[name] = orjson.Fragment(row[name])
    return orjson.dumps(rows).decode()
