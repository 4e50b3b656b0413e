"""Sealing beside long, prepared and aborted transactions (spec.md L-1, L-2; design.md, the ledger)."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from core_api.ledger.entries import record
from deploy.local.postgres import DATABASE, Postgres, start_postgres
from deploy.local.roles import give_passwords, on_database
from pipeline.ledger.sealer import seal
from sql.migrate import migrate
from tests.kits.ledger import Log, check_whole, entry, make_log

PREPARED_MAX = 8
numbers = count(1)


@pytest.fixture(scope="module")
def server(module_folder: Path) -> Iterator[Postgres]:
    """A migrated PostgreSQL of this module that takes prepared transactions; ours does not by default."""
    server = start_postgres(module_folder / "postgres")
    with psycopg.connect(server.url, autocommit=True) as owner:
        owner.execute(f"ALTER SYSTEM SET max_prepared_transactions = {PREPARED_MAX}".encode())
    server.stop()
    server.start()
    migrate(server.url)
    yield server
    server.close()


@pytest.fixture
def log(server: Postgres, tmp_path: Path) -> Log:
    name = f"log_{next(numbers)}"
    with psycopg.connect(on_database(server.url, "postgres"), autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}".encode())
    url = on_database(server.url, name)
    return make_log(url, give_passwords(url).__getitem__, tmp_path)


async def prepare(log: Log, name: str) -> UUID:
    """Append an event in a transaction and prepare that; nobody's connection holds it any more."""
    conn = await log.core()
    await conn.execute("BEGIN")
    (event_id,) = await record(conn, entry(kind="late.viewed"))
    await conn.execute(f"PREPARE TRANSACTION '{name}'")
    await conn.close()
    return event_id


async def finish(log: Log, how: str, name: str) -> None:
    conn = await log.core()
    await conn.execute(f"{how} PREPARED '{name}'")
    await conn.close()


def sealed(log: Log) -> list[UUID]:
    """Return the events in the order of their positions, which have no gap."""
    rows = log.rows("SELECT position, event_id FROM ledger_leaves ORDER BY position")
    assert [position for position, _ in rows] == list(range(len(rows)))
    return [event_id for _, event_id in rows]


async def test_prepared_long_and_aborted_transactions_hold_up_nobody_and_take_later_positions(
    log: Log,
) -> None:
    """Positions go in the order of commits: each turn seals what was committed before it, and all of it."""
    first = await prepare(log, "first")
    never = await prepare(log, "never")
    long = await log.core()
    begun = long.transaction()
    await begun.start()
    (slow,) = await record(long, entry(kind="late.viewed"))
    aborted = await log.core()
    given_up = aborted.transaction()
    await given_up.start()
    (gone,) = await record(aborted, entry(kind="never.viewed"))

    early = await log.append(3)
    assert log.seal() == 3
    await given_up.rollback()
    await aborted.close()
    assert log.seal() == 0
    await finish(log, "COMMIT", "first")
    assert log.seal() == 1
    later = await log.append(2)
    assert log.seal() == 2
    await finish(log, "ROLLBACK", "never")
    assert log.seal() == 0
    await begun.commit()
    await long.close()
    assert log.seal() == 1

    assert sealed(log) == [*sorted(early), first, *sorted(later), slow]
    assert {never, gone}.isdisjoint(sealed(log))
    check_whole(log, 7)


async def test_a_prepared_transaction_outlives_a_crash_and_is_sealed_when_it_commits(
    log: Log, server: Postgres
) -> None:
    prepared = await prepare(log, "kept")
    early = await log.append(2)
    assert log.seal() == 2
    server.kill()
    server.start()
    assert log.seal() == 0
    after = await log.append(1)
    assert log.seal() == 1
    await finish(log, "COMMIT", "kept")

    assert log.seal() == 1
    assert sealed(log) == [*sorted(early), *after, prepared]
    check_whole(log, 4)


async def test_a_sealers_own_transaction_that_a_crash_cuts_off_gives_no_position_twice(
    log: Log, server: Postgres
) -> None:
    """The server dies while the sealer has given positions and not committed; prepared events wait beside."""
    prepared = await prepare(log, "beside")
    early = await log.append(4)
    sealer = log.sealer()
    with suppress(psycopg.OperationalError), log.connect() as conn, conn.transaction():
        assert seal(sealer, conn) == 4
        server.kill()
    server.start()
    assert sealed(log) == []

    assert log.seal() == 4
    await finish(log, "COMMIT", "beside")
    assert log.seal() == 1
    assert sealed(log) == [*sorted(early), prepared]
    check_whole(log, 5)


async def test_many_prepared_transactions_committed_in_any_order_are_each_sealed_once(log: Log) -> None:
    events = {name: await prepare(log, name) for name in "abcdefgh"}
    order = "hbdacgfe"
    for name in order:
        await finish(log, "COMMIT", name)
        assert log.seal() == 1

    assert sealed(log) == [events[name] for name in order]
    check_whole(log, len(order))
