"""Every column that can hold a text is classified: personal and how it goes, or not and why (spec.md G-2)."""

import psycopg
import pytest

from kernel.personal import HELD, Of
from kernel.privacy import TRANSITIONS, ErasureStatus, Step

PLAIN = (
    "uuid", "uuid[]", "boolean", "smallint", "integer", "bigint", "numeric", "double precision", "xid8",
    "timestamp with time zone", "timestamp with time zone[]",
)  # fmt: skip
COLUMNS = """
SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, NULL)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace)
  AND a.attnum > 0 AND NOT a.attisdropped
"""


@pytest.fixture(scope="module")
def columns(template: dict[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    with psycopg.connect(next(iter(template.values()))) as conn:
        for table, column, kind in conn.execute(COLUMNS):
            found.setdefault(table, {})[column] = kind
    return found


def test_every_column_that_can_hold_a_text_is_said_to_go_or_to_stay(
    columns: dict[str, dict[str, str]],
) -> None:
    texts = {
        (table, column) for table, own in columns.items() for column, kind in own.items() if kind not in PLAIN
    }
    said = {(table, column) for table, held in HELD.items() for column in (*held.goes, *held.stays)}

    assert texts - said == set(), "new columns: say in kernel/personal.py what becomes of them"
    assert said - texts == set(), "columns that are no more, or hold no texts"


def test_a_column_goes_or_stays_and_its_table_says_whose_it_is(columns: dict[str, dict[str, str]]) -> None:
    assert [name for name, held in HELD.items() if held.goes.keys() & held.stays.keys()] == []
    assert [name for name, held in HELD.items() if (held.of is Of.nobody) != (held.by == "")] == []
    assert [name for name, held in HELD.items() if held.by and held.by not in columns[name]] == []


def test_states_and_steps_are_those_of_the_database(database: str) -> None:
    with psycopg.connect(database) as conn:
        checks = " ".join(
            text
            for (text,) in conn.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE conrelid = 'erasures'::regclass AND contype = 'c'"
            )
        )
        trigger = conn.execute("SELECT prosrc FROM pg_proc WHERE proname = 'keep_erasure'").fetchall()[0][0]

    assert all(f"'{each}'::text" in checks for each in (*ErasureStatus, *Step))
    allowed = {f"('{before}', '{after}')" for before, those in TRANSITIONS.items() for after in those}
    assert {pair for pair in allowed if pair in trigger} == allowed
    assert trigger.count("', '") == len(allowed)
