"""
Count the events of exams wherever they must have arrived: the hypertable, the projection, the Parquet
archive.
"""

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import duckdb

from kernel.events import EventType
from sql import named

# By exam and name of the event type.
Counts = Counter[tuple[UUID, str]]
CATALOGUE: Final = "catalogue.duckdb"


async def in_postgres(conn: "asyncpg.Connection[asyncpg.Record]", exam_ids: Sequence[UUID]) -> Counts:
    """Count the rows of the hypertable."""
    rows = await conn.fetch(named("checker")["count_events_by_exam"], list(exam_ids))
    return Counter({(row["exam_id"], EventType(row["event_type"]).name): row["events"] for row in rows})


async def in_projection(conn: "asyncpg.Connection[asyncpg.Record]", exam_ids: Sequence[UUID]) -> Counts:
    """Sum what `reporting.attempt_activity` counted for each attempt."""
    rows = await conn.fetch(named("checker")["count_projected_by_exam"], list(exam_ids))
    return Counter({(row["exam_id"], row["event_type"]): row["events"] for row in rows})


async def submissions_of(conn: "asyncpg.Connection[asyncpg.Record]", exam_id: UUID) -> int:
    """Count the durable submissions of an exam."""
    rows = await conn.fetch(named("checker")["count_submissions_by_exam"], [exam_id])
    return sum(row["submissions"] for row in rows)


def in_archive(warehouse: Path, exam_ids: Sequence[UUID]) -> Counts:
    """Count the rows of the Parquet archive, as an analyst would. Blocking."""
    wanted = {str(exam_id) for exam_id in exam_ids}
    _, rows = ask(warehouse, "events_by_exam_and_type")
    return Counter({(UUID(exam), name): events for exam, name, events in rows if exam in wanted})


def question(name: str) -> str:
    """Return the text of `loadtests/analyst/<name>.sql`: DuckDB's dialect, over the catalogue."""
    return (files("loadtests") / "analyst" / f"{name}.sql").read_text(encoding="utf-8")


def ask(warehouse: Path, name: str, **parameters: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and rows of a question to the catalogue as it is now, read-only. Blocking."""
    with duckdb.connect(str(warehouse / CATALOGUE), read_only=True) as conn:
        answer = conn.execute(question(name), parameters)
        return [column[0] for column in answer.description or []], answer.fetchall()
