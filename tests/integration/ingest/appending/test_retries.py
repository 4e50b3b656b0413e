"""
First reply or 409: a number that comes again with another event, wherever the first one is by then; numbers
of refused events are settled (spec.md I-2).
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ingest.stream.protocol import session_key, shard_of
from tests.kits.ingest.api import Answer, Api, assert_problem, keystroke, stamp
from tests.kits.ingest.waiting import until
from tests.kits.ingest.world import Seat

TAB = "tab-1"
WHEN = stamp()
FIRST: dict[str, Any] = {
    "eventType": "custom_thing",
    "severity": 2,
    "clientTimestamp": WHEN,
    "metadataJson": '{"a": 1, "b": [1.5, true, null, "x"]}',
}
OTHERS: list[dict[str, Any]] = [
    {"eventType": "another_thing"},
    {"eventType": 102},
    {"severity": 3},
    {"clientTimestamp": stamp(s=1)},
    {"clientTimestamp": None},
    {"metadataJson": '{"a": 1, "b": [1.5, 1, null, "x"]}'},
    {"metadataJson": '{"a": 1, "b": [1.5, true, null]}'},
    {"metadataJson": "null"},
    {"metadataJson": None},
]
# The same event, written by another hand.
SAME = {"severity": "Medium", "metadataJson": ' {"b":[15e-1,true,null,"\\u0078"],"a":1.0}'}


def event(number: int, **changed: Any) -> dict[str, Any]:
    """Return an event that names its number, with other members where asked."""
    members = FIRST | changed | {"clientSequence": number}
    return {name: value for name, value in members.items() if value is not None}


async def in_redis(api: Api, seat: Seat) -> None:
    """Leave the first events among the appends that Redis remembers."""


async def in_postgres(api: Api, seat: Seat) -> None:
    """Let so many appends follow that Redis forgets where the first ones are; wait until all is stored."""
    for n in range(101, 121):
        await api.tab(seat, [n])
    await api.stored(seat, 23)


async def forgotten(api: Api, seat: Seat) -> None:
    """Let Redis forget the session."""
    await api.stored(seat, 3)
    shard = shard_of(seat.session_id, api.at.settings.shards)
    api.at.redis.delete(session_key(shard, seat.session_id))


PLACES: list[Callable[[Api, Seat], Awaitable[None]]] = [in_redis, in_postgres, forgotten]


@pytest.mark.parametrize("later", PLACES)
async def test_a_number_stands_for_one_event_wherever_that_is_by_then(
    api: Api, later: Callable[[Api, Seat], Awaitable[None]]
) -> None:
    """I-2: in the stream or just stored; stored long ago; after Redis has lost its memory."""
    seat = api.world.seat()
    first = await api.bulk(seat, [event(n) for n in (1, 2, 3)], clientInstance=TAB)
    await later(api, seat)

    again = await api.bulk(seat, [event(n) for n in (1, 2, 3)], clientInstance=TAB)
    alone = await api.event(seat, clientInstance=TAB, **event(2))
    anew = await api.bulk(seat, [event(2, **SAME), event(3, **SAME)], clientInstance=TAB)
    others = [await api.bulk(seat, [event(2, **other)], clientInstance=TAB) for other in OTHERS]

    assert (again.status, again.ack["duplicate"]) == (202, True)
    assert again.ack["sequenceFrom"] == first.ack["sequenceFrom"]
    assert [(a.status, a.ack["sequenceFrom"]) for a in (alone, anew)] == [(202, 2), (202, 2)]
    for other in others:
        assert_problem(other, 409, "client_sequence_reused")
        assert [fault["path"] for fault in other.body["errors"]] == ["events[0]"]


async def test_a_batch_with_another_event_among_received_ones_stores_nothing_of_itself(api: Api) -> None:
    """I-2: every number that is not its event's is named; what is new waits for the client to mend it."""
    seat = api.world.seat()
    await api.bulk(seat, [event(n) for n in (1, 2, 3)], clientInstance=TAB)

    batch = [event(1, severity=4), event(2), event(3, severity=4), event(4)]
    refused = await api.bulk(seat, batch, clientInstance=TAB)
    mended = await api.bulk(seat, [event(n) for n in (1, 2, 3, 4)], clientInstance=TAB)

    assert_problem(refused, 409, "client_sequence_reused")
    assert [fault["path"] for fault in refused.body["errors"]] == ["events[0]", "events[2]"]
    assert (mended.status, mended.ack["duplicates"], mended.ack["sequenceThrough"]) == (202, 3, 4)
    assert len(await api.stored(seat, 4)) == 4


async def test_a_dead_letter_stands_for_its_event_as_well(api: Api) -> None:
    """I-2, I-8: what PostgreSQL refused was received all the same, under its number and no other event's."""
    seat = api.world.seat()
    poison = event(1, metadataJson='{"poison": 1}')
    api.world.run("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (payload ->> 'poison' IS NULL)")
    try:
        await api.bulk(seat, [poison], clientInstance=TAB)
        for n in range(2, 22):
            await api.tab(seat, [n])
        await api.stored(seat, 21)
    finally:
        api.world.run("ALTER TABLE events DROP CONSTRAINT no_poison")
    assert api.world.one("SELECT count(*) FROM dead_letters WHERE session_id = %s", seat.session_id) == 1

    again = await api.event(seat, clientInstance=TAB, **poison)
    other = await api.event(seat, clientInstance=TAB, **event(1, metadataJson='{"poison": 2}'))

    assert (again.status, again.ack["sequenceFrom"], again.ack["duplicate"]) == (202, 1, True)
    assert_problem(other, 409, "client_sequence_reused")


REFUSED = {"eventType": 102, "severity": 77}
PARTIAL = {"query": "?partial=true", "clientInstance": TAB}


def statuses(answer: Answer) -> list[str]:
    assert answer.status == 202, answer.body
    return [result["status"] for result in answer.body["results"]]


@pytest.mark.parametrize("numbered", ["batch", "events"])
async def test_a_refused_event_is_settled_so_that_a_client_can_end(api: Api, numbered: str) -> None:
    """I-2: it counts as received, and a retry gets the same refusal."""
    seat = api.world.seat()
    events = [keystroke(), REFUSED, keystroke(), REFUSED]
    members: dict[str, Any] = PARTIAL | {"clientSequence": 1}
    if numbered == "events":
        events, members = [{**each, "clientSequence": n} for n, each in enumerate(events, 1)], PARTIAL

    first = await api.bulk(seat, events, **members)
    again = await api.bulk(seat, events, **members)

    for answer in (first, again):
        assert statuses(answer) == ["accepted", "refused", "accepted", "refused"]
        assert (answer.body["data"], answer.ack["ackedThrough"], answer.ack["missing"]) == (2, 4, [])
    assert first.body["results"] == again.body["results"]
    assert (first.ack["duplicate"], again.ack["duplicate"]) == (False, True)
    assert [row["client_seq"] for row in await api.stored(seat, 2)] == [1, 3]


@pytest.mark.parametrize("later", PLACES)
async def test_a_batch_of_refused_events_alone_is_settled_and_stays_so(
    api: Api, later: Callable[[Api, Seat], Awaitable[None]]
) -> None:
    """I-2, I-3: a refusal, for nothing is stored; the numbers are received, after a restart of Redis too."""
    seat = api.world.seat()
    await api.tab(seat, [1, 2, 3])
    settled = await api.bulk(seat, [REFUSED, REFUSED], **PARTIAL, clientSequence=4)
    more = await api.tab(seat, [6])
    await api.stored(seat, 4)
    await until(lambda: settled_in(api, seat) == (4, 5), "the settled numbers to be stored")
    await later(api, seat)

    again = await api.bulk(seat, [REFUSED, REFUSED], **PARTIAL, clientSequence=4)
    mended = await api.tab(seat, [4, 5])

    for refused in (settled, again):
        assert_problem(refused, 422, "invalid_input")
        assert [result["status"] for result in refused.body["results"]] == ["refused", "refused"]
    assert (settled.ack["sequenceFrom"], settled.ack["sequenceThrough"]) == (4, 3)
    assert (settled.ack["ackedThrough"], settled.ack["missing"]) == (5, [])
    assert again.ack["ackedThrough"] >= 6
    assert more.ack["sequenceFrom"] == 4
    assert_problem(mended, 409, "client_sequence_reused")
    assert [fault["path"] for fault in mended.body["errors"]] == ["events[0]", "events[1]"]
    assert "settled" in mended.body["errors"][0]["message"]


def settled_in(api: Api, seat: Seat) -> tuple[int, int] | None:
    rows = api.world.rows(
        "SELECT first, through FROM received_pieces WHERE session_id = %s AND seq IS NULL", seat.session_id
    )
    return (rows[0]["first"], rows[0]["through"]) if rows else None


async def test_an_event_received_later_fills_the_hole_beside_settled_ones(api: Api) -> None:
    """I-2: what came before and what is settled overlap in every way."""
    seat = api.world.seat()
    await api.tab(seat, [2])
    first = await api.bulk(seat, [keystroke(1), keystroke(2), REFUSED], **PARTIAL)
    assert statuses(first) == ["accepted", "accepted", "refused"]

    events = [*(keystroke(n) for n in (1, 2)), {**REFUSED, "clientSequence": 3}, keystroke(4)]
    second = await api.bulk(seat, events, **PARTIAL)

    assert statuses(second) == ["accepted", "accepted", "refused", "accepted"]
    assert (second.ack["ackedThrough"], second.ack["duplicates"]) == (4, 2)
    rows = await api.stored(seat, 3)
    assert sorted(row["client_seq"] for row in rows) == [1, 2, 4]


async def test_refused_events_without_numbers_are_refused_as_a_whole(api: Api) -> None:
    """I-3: there is nothing that could be settled."""
    seat = api.world.seat()

    answer = await api.bulk(seat, [REFUSED], query="?partial=true")

    assert_problem(answer, 422, "invalid_input")
