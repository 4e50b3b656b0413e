"""Appending without waiting, sealing without gaps, and crashes between any two steps (spec.md L-1, L-2)."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from core_api.ledger.entries import Personal, erase_person, record
from kernel.ledger.event import commitment, read_body
from pipeline.ledger.sealer import seal, take_up, turn
from tests.kits.core import DatabaseAs
from tests.kits.ledger import Log, check_whole, entry, make_log

PROTECTED = ("ledger_events", "ledger_leaves", "ledger_heads", "ledger_tiles")


@pytest.fixture
def log(database: str, database_as: DatabaseAs, tmp_path: Path) -> Log:
    return make_log(database, database_as, tmp_path)


def positions(log: Log) -> list[tuple[int, UUID]]:
    return log.rows("SELECT position, event_id FROM ledger_leaves ORDER BY position")


async def test_an_event_is_stored_as_it_was_given_and_sealed_after_the_commit_l1_l2(log: Log) -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, 891234, tzinfo=UTC)
    actor, subject = uuid4(), uuid4()
    (event_id,) = await log.append(
        kind="submission.finalised",
        occurred_at=moment,
        actor_id=actor,
        actor_role="student",
        subject_id=subject,
        detail={"hash": "ab", "a": [1, None, "é"]},
    )

    ((body, kind, at),) = log.rows("SELECT body, kind, occurred_at FROM ledger_events")
    said = read_body(body)
    assert (said.event_id, said.kind, said.occurred_at) == (event_id, kind, at)
    assert (said.actor_id, said.subject_id, said.detail) == (
        actor,
        subject,
        {"hash": "ab", "a": [1, None, "é"]},
    )
    assert (kind, at) == ("submission.finalised", moment)
    assert log.seal() == 1
    check_whole(log, 1)


async def test_no_append_waits_for_an_open_transaction_which_then_takes_later_positions(log: Log) -> None:
    slow = await log.core()
    transaction = slow.transaction()
    await transaction.start()
    (late,) = await record(slow, entry(kind="late.viewed"))

    early = await asyncio.wait_for(log.append(3), timeout=2)
    assert log.seal() == 3
    await transaction.commit()
    await slow.close()
    assert log.seal() == 1

    assert [event_id for _, event_id in positions(log)] == [*sorted(early), late]
    check_whole(log, 4)


async def test_what_is_rolled_back_or_cut_off_leaves_nothing_behind(log: Log) -> None:
    conn = await log.core()
    aborted = conn.transaction()
    await aborted.start()
    await record(conn, entry())
    await aborted.rollback()
    cut_off = conn.transaction()
    await cut_off.start()
    await record(conn, entry())
    conn.terminate()
    kept = await log.append(1)

    assert log.seal() == 1
    assert positions(log) == [(0, kept[0])]
    check_whole(log, 1)


async def test_concurrent_appends_while_the_sealer_works_are_each_sealed_once(log: Log) -> None:
    async def write(number: int) -> None:
        conn = await log.core()
        for n in range(40):
            async with conn.transaction():
                await record(conn, entry(number * 1000 + n))
                await asyncio.sleep(0.001 * (n % 3))
        await conn.close()

    def seal_beside(stop: list[bool]) -> int:
        sealer = log.sealer()
        sealed = 0
        with log.connect() as conn:
            take_up(sealer, conn)
            while not stop:
                sealed += turn(sealer, conn)
            return sealed + turn(sealer, conn)

    stop: list[bool] = []
    sealing = asyncio.create_task(asyncio.to_thread(seal_beside, stop))
    await asyncio.gather(*(write(number) for number in range(8)))
    stop.append(True)

    assert await sealing == 320
    check_whole(log, 320)
    assert len(log.witnessed()) > 1


async def test_many_events_fill_tiles_over_several_turns(log: Log) -> None:
    for count in (255, 1, 1, 300, 600):
        await log.append(count)
        assert log.seal() == count

    check_whole(log, 1157)
    assert log.rows("SELECT level, index, length(hashes) / 32 FROM ledger_tiles ORDER BY 1, 2") == [
        *((0, n, 256) for n in range(4)), (0, 4, 133), (1, 0, 4),
    ]  # fmt: skip


async def test_a_batch_bound_is_kept_and_one_turn_still_seals_everything(
    database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    log = make_log(database, database_as, tmp_path, ledger_batch_events=7)
    await log.append(30)

    assert log.seal() == 30
    assert [head.size for head in log.witnessed()] == [30]
    check_whole(log, 30)


class KilledError(Exception):
    """Stands for kill -9: nothing after it runs."""


@pytest.mark.parametrize("where", ["sealed", "signed", "published"])
async def test_a_sealer_that_dies_after_any_step_is_followed_by_one_that_finishes_its_work(
    log: Log, where: str
) -> None:
    def die(step: str) -> None:
        if step == where:
            raise KilledError

    await log.append(5)
    sealer = log.sealer()
    with log.connect() as conn:
        take_up(sealer, conn)
        with pytest.raises(KilledError):
            turn(sealer, conn, step=die)
    await log.append(2)

    assert log.seal() == 2
    check_whole(log, 7)


async def test_a_sealer_that_dies_within_the_transaction_has_done_nothing(log: Log) -> None:
    await log.append(5)
    sealer = log.sealer()
    with log.connect() as conn:
        take_up(sealer, conn)
        with suppress(KilledError), conn.transaction():
            assert seal(sealer, conn) == 5
            raise KilledError

    assert positions(log) == []
    assert log.seal() == 5
    check_whole(log, 5)


async def test_a_second_sealer_with_an_old_idea_of_the_tree_is_stopped(log: Log) -> None:
    await log.append(2)
    with log.connect() as first, log.connect() as second:
        leader, straggler = log.sealer(), log.sealer()
        take_up(leader, first)
        take_up(straggler, second)
        turn(leader, first)
        await log.append(1)
        with pytest.raises(psycopg.errors.UniqueViolation):
            turn(straggler, second)

    assert log.seal() == 1
    check_whole(log, 3)


async def test_only_one_connection_holds_the_sealers_lock(log: Log) -> None:
    with log.connect() as first, log.connect() as second:
        statement = b"SELECT pg_try_advisory_lock(1986359925, 16)"
        assert first.execute(statement).fetchone() == (True,)
        assert second.execute(statement).fetchone() == (False,)


@pytest.mark.parametrize("table", PROTECTED)
@pytest.mark.parametrize("role", ["owner", "veritas_core", "veritas_pipeline"])
async def test_nobody_changes_deletes_or_empties_the_ledger_the_owner_included_l1(
    log: Log, database_as: DatabaseAs, table: str, role: str
) -> None:
    await log.append(1)
    log.seal()
    column = {"ledger_tiles": "hashes", "ledger_events": "body", "ledger_leaves": "leaf_hash"}.get(
        table, "note"
    )
    value = "'x'" if column == "note" else "decode(repeat('00', 32), 'hex')"
    url = log.owner_url if role == "owner" else database_as(role)
    for statement in (
        f"UPDATE {table} SET {column} = {value}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())
    if role == "owner":  # not even as replication would
        with psycopg.connect(url) as conn:
            conn.execute(b"SET session_replication_role = replica")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"DELETE FROM {table}".encode())

    check_whole(log, 1)


@pytest.mark.parametrize("role", ["veritas_ingest", "veritas_analyst"])
async def test_roles_without_business_in_the_ledger_do_not_even_read_it(
    database_as: DatabaseAs, role: str
) -> None:
    for table in (*PROTECTED, "ledger_pending", "ledger_salts"):
        with psycopg.connect(database_as(role)) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"SELECT FROM {table}".encode())


async def test_the_core_api_can_neither_give_positions_nor_empty_the_queue(log: Log) -> None:
    for statement in (
        "INSERT INTO ledger_leaves VALUES (0, gen_random_uuid(), decode(repeat('00', 32), 'hex'))",
        "INSERT INTO ledger_heads VALUES (1, 'x')",
        "INSERT INTO ledger_pending VALUES (gen_random_uuid())",
        "DELETE FROM ledger_pending",
    ):
        with psycopg.connect(log.core_url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())


async def test_an_event_whose_id_is_of_another_time_is_refused(log: Log) -> None:
    with psycopg.connect(log.owner_url) as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            "INSERT INTO ledger_events VALUES (gen_random_uuid(), gen_random_uuid(), now(), 'a.b', 'a', '1',"
            " NULL, 'system', NULL, 'x')"
        )


async def test_erasing_a_person_leaves_a_valid_log_that_says_nothing_of_them_g2(log: Log) -> None:
    person, other = uuid4(), uuid4()
    personal = {"email": Personal("someone@example.org", person), "address": Personal("192.0.2.7", other)}
    (event_id,) = await log.append(personal=personal)
    log.seal()
    ((salt,),) = log.rows("SELECT salt FROM ledger_salts WHERE name = 'email'")
    ((body,),) = log.rows("SELECT body FROM ledger_events")
    assert read_body(body).commitments["email"] == commitment(salt, "someone@example.org")
    assert b"someone" not in body
    assert b"192.0.2.7" not in body

    conn = await log.core()
    await erase_person(conn, person)
    await conn.close()

    assert log.rows("SELECT event_id, name FROM ledger_salts WHERE name NOT LIKE 'record:%'") == [
        (event_id, "address")
    ]
    await log.append(1)
    log.seal()
    check_whole(log, 2)


async def test_equal_values_have_different_commitments(log: Log) -> None:
    await log.append(2, personal={"email": Personal("someone@example.org", uuid4())})

    bodies = [read_body(row[0]) for row in log.rows("SELECT body FROM ledger_events")]
    assert len({body.commitments["email"] for body in bodies}) == 2
