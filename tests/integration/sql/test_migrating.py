"""Bringing a schema up to date: once, and without holding up who works (sql/migrate.py)."""

import threading

import psycopg
import pytest

from sql.migrate import migrate

OPTIONAL = "payload_indexes"


def test_applying_twice_changes_nothing(database: str) -> None:
    assert migrate(database) == []


def test_a_migration_that_does_not_get_its_lock_gives_up_and_is_applied_another_time(database: str) -> None:
    with psycopg.connect(database) as at_work:
        at_work.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrate(database, [OPTIONAL], tries=1)

    assert migrate(database, [OPTIONAL]) == [OPTIONAL]
    assert migrate(database, [OPTIONAL]) == []


def test_a_migration_waits_in_turns_for_who_is_at_work(database: str) -> None:
    with psycopg.connect(database) as at_work:
        at_work.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")
        end = threading.Timer(6.0, at_work.rollback)  # past the first wait
        end.start()

        assert migrate(database, [OPTIONAL]) == [OPTIONAL]
        end.join()
