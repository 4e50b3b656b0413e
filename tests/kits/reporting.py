"""Rows of what is projected, for tests of whoever reads them: what a row must have is anything of a type."""

from typing import Any
from uuid import UUID

import msgspec

from tests.kits.core import Api

COLUMNS = (
    "SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute"
    " WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
    " AND (attnotnull OR attname = ANY ($2))"
)
NEEDED = {"recommended_action": "none"}  # of what CHECK names
ANYTHING = {
    "uuid": str(UUID(int=1)), "text": "anything", "jsonb": {}, "boolean": False, "bigint": 1, "integer": 1,
    "smallint": 1, "double precision": 1.0, "timestamp with time zone": "2026-09-01T09:00:00Z",
}  # fmt: skip


ALERT = {"code": "DROPOUT", "rank": 6, "value": 1, "threshold": 1, "n": 1, "text": "They fall behind."}


def alerting(attempt_id: str, exam_id: str, student_id: str, *alerts: dict[str, Any]) -> dict[str, Any]:
    """Return what a row of `behavior_analysis` says of an attempt that alerts; of dropout unless told."""
    found = list(alerts) or [ALERT]
    return {
        "attempt_id": attempt_id, "exam_id": exam_id, "student_id": student_id, "alerts": found,
        "alert_rank": min(each["rank"] for each in found),
    }  # fmt: skip


async def put_row(api: Api, dataset: str, **about: Any) -> None:
    """Put a row into a dataset's table, with what is said about it; nothing where no table has it."""
    given = NEEDED | about
    columns = await api.owner.fetch(COLUMNS, f"reporting.{dataset}", list(given))
    row = {
        each["name"]: given.get(each["name"], [] if "[]" in each["type"] else ANYTHING[each["type"]])
        for each in columns
    }
    if row:
        table = f"reporting.{dataset}"
        text = f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, $1)"
        await api.owner.execute(f"{text} ON CONFLICT DO NOTHING", msgspec.json.encode(row).decode())
