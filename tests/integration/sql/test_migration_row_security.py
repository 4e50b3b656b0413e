"""What the migration to row security does with what was there before it."""

from collections.abc import Iterator
from itertools import takewhile
from uuid import uuid4

import psycopg
import pytest

from deploy.local.postgres import Postgres
from deploy.local.roles import on_database
from sql.migrate import available

NAME = "veritas_before_row_security"
BEFORE = """
INSERT INTO organisations (id, name) VALUES ('{org}', 'Here');
INSERT INTO users (id, organisation_id, email, username, role)
VALUES ('{org}', '{org}', 't@x.example', 't', 'teacher');
INSERT INTO exams (id, organisation_id, creator_id, title, duration_minutes)
VALUES ('{org}', '{org}', '{org}', 'E', 60);
INSERT INTO assignments (id, exam_id, group_id, created_by, created_at)
VALUES ('{org}', '{org}', '{group}', '{org}', now());
"""


@pytest.fixture
def before(postgres: Postgres) -> Iterator[str]:
    """A database as the migration finds it."""
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {NAME}".encode())
        url = on_database(postgres.url, NAME)
        yield url
        conn.execute(f"DROP DATABASE {NAME} WITH (FORCE)".encode())


def test_an_assignment_whose_group_was_deleted_gets_one_back_and_stays(before: str) -> None:
    """E-3: without its assignment the exam would open to everybody."""
    org, group = uuid4(), uuid4()
    older = dict(takewhile(lambda each: each[0] < "0011", available().items()))
    with psycopg.connect(before) as conn:
        for text in older.values():
            conn.execute(text.encode(), prepare=False)
        conn.execute(BEFORE.format(org=org, group=group).encode(), prepare=False)
    with psycopg.connect(before) as conn:
        conn.execute(available()["0011_row_security"].encode(), prepare=False)
        found = conn.execute(
            "SELECT g.id, g.organisation_id, g.name FROM assignments a JOIN groups g ON g.id = a.group_id"
        ).fetchall()

    assert found == [(group, org, f"Deleted group {group}")]
