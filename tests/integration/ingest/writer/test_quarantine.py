"""
A session whose payloads PostgreSQL refuses harms nobody else (spec.md I-5, I-8).

A constraint of the test's own refuses what the door lets in, as another release of PostgreSQL might.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.commands.doctor import examine
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.settings import load
from tests.kits.ingest.api import Api, keystroke
from tests.kits.ingest.station import Station, station
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat

LETTERS_MAX = 5
QUARANTINE_S = 2
POISON = '{"poison":true}'


@pytest.fixture(scope="module")
def running(postgres: Postgres, template: dict[str, str], redis_server: Redis) -> Iterator[Station]:
    with station(
        postgres,
        template,
        redis_server.url,
        dead_letters_in_a_row_max=3,
        quarantine_letters_max=LETTERS_MAX,
        quarantine_s=QUARANTINE_S,
        session_burst_events=10_000,
        writer_batch_ms=100,
    ) as at:
        at.world.run("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (payload ->> 'poison' IS NULL)")
        yield at


def letters(api: Api, seat: Seat) -> list[dict[str, Any]]:
    return api.world.rows("SELECT * FROM dead_letters WHERE session_id = %s ORDER BY seq", seat.session_id)


def quarantines(api: Api, *seats: Seat) -> list[int]:
    wanted = [seat.session_id for seat in seats]
    rows = api.world.rows(
        "SELECT session_id FROM session_quarantines WHERE session_id = ANY(%s) ORDER BY session_id", wanted
    )
    return [row["session_id"] for row in rows]


def stopped(api: Api) -> list[str]:
    return [owner.wrong for owner in api.at.writer.owners if owner.wrong is not None]


async def test_a_flood_of_one_session_sets_it_aside_and_its_neighbours_go_on(api: Api) -> None:
    """I-8: far more refusals in a row than stop a shard, and every one explained by its payload."""
    seat = api.world.seat()
    neighbours = [api.world.seat() for _ in range(4)]

    await asyncio.gather(
        api.bulk(seat, [keystroke(metadataJson=POISON)] * 300),
        *(api.bulk(each, [keystroke()] * 20) for each in neighbours),
    )
    await api.stored(seat, 300)

    found = letters(api, seat)
    assert len(found) == 300
    assert [letter["sqlstate"] for letter in found].count("23514") == LETTERS_MAX
    assert {letter["sqlstate"] for letter in found} == {"23514", "22000"}
    assert quarantines(api, seat, *neighbours) == [seat.session_id]
    for each in neighbours:
        assert len(await api.stored(each, 20)) == 20
    assert stopped(api) == []
    said = {
        each.check: each.found for each in examine(load({}, database_url=api.world.address)) if not each.ok
    }
    assert f"session {seat.session_id} until" in said["quarantine"]
    assert "no_poison" in said["quarantine"]


async def test_floods_of_many_sessions_at_once_stop_nothing(api: Api) -> None:
    seats = [api.world.seat() for _ in range(30)]
    good = [api.world.seat() for _ in range(10)]

    await asyncio.gather(
        *(api.bulk(seat, [keystroke(metadataJson=POISON)] * 40) for seat in seats),
        *(api.bulk(seat, [keystroke()] * 40) for seat in good),
    )
    for seat in (*seats, *good):
        await api.stored(seat, 40)

    assert quarantines(api, *seats, *good) == [seat.session_id for seat in seats]
    assert all(len(letters(api, seat)) == 40 for seat in seats)
    assert [len(api.world.stored(seat.session_id)) for seat in good] == [40] * 10
    assert stopped(api) == []


async def test_few_refusals_set_no_session_aside(api: Api) -> None:
    """Below the bound each row is tried: what can be stored is."""
    seat = api.world.seat()

    await api.bulk(seat, [keystroke(metadataJson=POISON if n % 3 == 0 else "1") for n in range(12)])
    rows = await api.stored(seat, 12)

    assert len(rows) == 8
    assert [letter["seq"] for letter in letters(api, seat)] == [1, 4, 7, 10]
    assert quarantines(api, seat) == []


async def test_a_slow_trickle_counts_over_batches(api: Api) -> None:
    seat = api.world.seat()

    for sent in range(1, LETTERS_MAX + 1):
        await api.bulk(seat, [keystroke(metadataJson=POISON)])
        await api.stored(seat, sent)

    assert quarantines(api, seat) == [seat.session_id]


async def test_a_quarantine_sets_good_events_aside_too_and_ends_by_itself(api: Api) -> None:
    """Nothing of it is lost: sequences stay dense over both tables."""
    seat = api.world.seat()
    await api.bulk(seat, [keystroke(metadataJson=POISON)] * LETTERS_MAX)
    await api.stored(seat, LETTERS_MAX)
    await api.bulk(seat, [keystroke()] * 3)
    during = await api.stored(seat, LETTERS_MAX + 3)

    def over() -> bool:
        return not api.world.one(
            "SELECT bool_or(ends_at > now()) FROM session_quarantines WHERE session_id = %s", seat.session_id
        )

    await until(over, "the quarantine's end")
    await api.bulk(seat, [keystroke()] * 3)
    after = await api.stored(seat, LETTERS_MAX + 6)

    assert during == []
    assert {letter["reason"] for letter in letters(api, seat)[LETTERS_MAX:]} == {
        "set aside untried: the session is in quarantine"
    }
    assert [row["seq"] for row in after] == [LETTERS_MAX + n for n in (4, 5, 6)]
    assert api.world.sequences(seat.session_id) == list(range(1, LETTERS_MAX + 7))


async def test_metrics_count_the_sessions_that_were_set_aside(api: Api) -> None:
    text = (await api.get("/metrics")).body.decode()

    assert 'veritas_writer_quarantined_total{shard="0"}' in text
