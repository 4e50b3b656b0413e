"""A retry gets the first reply and is stored once; holes can be filled at any time (spec.md I-2)."""

import asyncio
import random

from kernel.events import Role
from tests.kits.ingest.api import Answer, Api, keystroke
from tests.kits.ingest.waiting import WITHIN_S, until


def span(answer: Answer) -> tuple[int, int, bool]:
    assert answer.status == 202, answer.body
    return answer.ack["sequenceFrom"], answer.ack["sequenceThrough"], answer.ack["duplicate"]


async def test_a_retry_by_client_sequence_gets_the_first_reply(api: Api) -> None:
    """I-2: the same sequence and server time, marked, stored once."""
    seat = api.world.seat()
    members = {"clientInstance": "tab", "clientSequence": 1, "eventType": 2, "severity": 2}
    first = await api.event(seat, **members)
    await api.event(seat, **members | {"clientSequence": 2})

    again = await api.event(seat, **members)

    assert again.status == first.status == 202
    assert again.body["data"] == first.body["data"]
    assert (first.ack["duplicate"], again.ack["duplicate"], again.ack["duplicates"]) == (False, True, 1)
    assert len(await api.stored(seat, 2)) == 2


async def test_a_retry_by_idempotency_key_gets_the_first_reply(api: Api) -> None:
    """I-2: for one event, for a batch, for a heartbeat and for a monitoring event."""
    seat, service = api.world.seat(), api.world.token(Role.service)
    key = {"Idempotency_Key": "key-1"}
    one = [await api.event(seat, headers=key) for _ in range(2)]
    many = [await api.bulk(seat, [keystroke()] * 5, headers={"Idempotency_Key": "key-2"}) for _ in range(2)]
    beat = [await api.heartbeat(seat, headers={"Idempotency_Key": "key-3"}) for _ in range(2)]
    body = {"attempt_id": str(seat.attempt_id), "event_type": "keystroke"}
    monitor = [await api.post("/monitor/events", body, service, Idempotency_Key="key-4") for _ in range(2)]

    assert one[0].body["data"] == one[1].body["data"]
    assert [span(answer) for answer in (*one, *many, *beat)] == [
        (1, 1, False),
        (1, 1, True),
        (2, 6, False),
        (2, 6, True),
        (7, 7, False),
        (7, 7, True),
    ]
    assert monitor[0].body["id"] == monitor[1].body["id"]
    assert monitor[1].body["ack"]["duplicate"] is True
    assert len(await api.stored(seat, 8)) == 8


async def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    """I-2, I-4 409."""
    seat = api.world.seat()
    key = {"Idempotency_Key": "key"}
    await api.event(seat, eventType=2, headers=key)

    answer = await api.event(seat, eventType=3, headers=key)

    assert (answer.status, answer.body["code"]) == (409, "idempotency_key_reused")
    assert len(await api.stored(seat, 1)) == 1


async def test_a_key_belongs_to_one_session(api: Api) -> None:
    """I-2: two candidates may choose the same key."""
    first, second = api.world.seat(), api.world.seat()

    answers = [await api.event(seat, headers={"Idempotency_Key": "1"}) for seat in (first, second)]

    assert [span(answer) for answer in answers] == [(1, 1, False), (1, 1, False)]


async def test_a_key_beside_client_sequences_does_not_hide_what_is_new(api: Api) -> None:
    """I-2: a batch that overlaps in part, with a key, twice."""
    seat = api.world.seat()
    await api.tab(seat, [1, 2, 3])

    for duplicate, count in ((False, 3), (True, 5)):
        answer = await api.tab(seat, [1, 2, 3, 4, 5], headers={"Idempotency_Key": "k"})
        assert span(answer) == (1, 5, duplicate)
        assert answer.ack["duplicates"] == count
    assert [row["client_seq"] for row in await api.stored(seat, 5)] == [1, 2, 3, 4, 5]


async def test_a_batch_that_overlaps_in_part_stores_what_is_missing(api: Api) -> None:
    """I-2: ends, middles, and several islands at once."""
    seat = api.world.seat()
    await api.tab(seat, [3, 4])
    await api.tab(seat, [8])

    answer = await api.tab(seat, list(range(1, 11)))

    assert answer.status == 202
    assert (answer.ack["duplicate"], answer.ack["duplicates"]) == (False, 3)
    assert (answer.ack["ackedThrough"], answer.ack["missing"]) == (10, [])
    rows = await api.stored(seat, 10)
    by_client = {row["client_seq"]: row["seq"] for row in rows}
    assert answer.ack["sequences"] == [by_client[n] for n in range(1, 11)]
    assert sorted(by_client) == list(range(1, 11))
    assert sorted(by_client.values()) == list(range(1, 11))
    assert [row["payload"] for row in sorted(rows, key=lambda row: int(row["client_seq"]))] == [
        {"n": n} for n in range(1, 11)
    ]


async def test_a_hole_is_named_and_can_be_filled_later(api: Api) -> None:
    """I-2: not a high-water mark."""
    seat = api.world.seat()
    await api.tab(seat, [1, 2])

    ahead = await api.tab(seat, [5, 6, 9])
    fill = await api.tab(seat, [3, 4])

    assert (ahead.ack["ackedThrough"], ahead.ack["missing"]) == (2, [[3, 4], [7, 8]])
    assert span(fill) == (6, 7, False)
    assert (fill.ack["ackedThrough"], fill.ack["missing"]) == (6, [[7, 8]])
    assert [row["client_seq"] for row in await api.stored(seat, 7)] == [1, 2, 5, 6, 9, 3, 4]


async def test_a_client_that_begins_late_is_told_what_is_missing_from_one(api: Api) -> None:
    """I-2."""
    seat = api.world.seat()

    answer = await api.tab(seat, [4, 5])

    assert (answer.ack["ackedThrough"], answer.ack["missing"]) == (0, [[1, 3]])


async def test_two_tabs_of_one_session_both_begin_at_one(api: Api) -> None:
    """I-2: ranges are kept per client instance; sequences are the session's."""
    seat = api.world.seat()

    async def tab(name: str) -> list[Answer]:
        return [await api.tab(seat, [2 * n + 1, 2 * n + 2], name) for n in range(10)]

    answers = await asyncio.gather(tab("left"), tab("right"))

    spans = sorted(span(answer) for answers_ in answers for answer in answers_)
    assert spans == [(2 * n + 1, 2 * n + 2, False) for n in range(20)]
    rows = await api.stored(seat, 40)
    for client in {row["client"] for row in rows}:
        mine = [row["client_seq"] for row in rows if row["client"] == client]
        assert mine == list(range(1, 21)), "each tab's events stay in its order"


async def test_a_duplicate_of_long_ago_is_answered_from_the_table(api: Api) -> None:
    """I-2: more appends than Redis remembers lie between; the first sequence and time all the same."""
    seat = api.world.seat()
    first = await api.event(seat, clientInstance="tab", clientSequence=1)
    batch = await api.tab(seat, [2, 3, 4], "tab")
    for n in range(5, 45):
        await api.tab(seat, [n], "tab")
    await api.stored(seat, 44)

    again = await api.event(seat, clientInstance="tab", clientSequence=1)
    whole = await api.tab(seat, [2, 3, 4], "tab")

    assert again.body["data"] == first.body["data"]
    assert again.ack["duplicate"] is True
    assert span(whole)[:2] == span(batch)[:2]
    assert len(api.world.stored(seat.session_id)) == 44


async def test_a_duplicate_is_answered_as_such_after_the_session_has_ended(api: Api) -> None:
    """design.md: the order of checks is duplicate first, then activity."""
    seat = api.world.seat()
    await api.tab(seat, [1, 2])
    api.world.end(seat.session_id)

    async def ended() -> bool:
        return (await api.event(seat)).status == 409

    async with asyncio.timeout(WITHIN_S):
        while not await ended():  # noqa: ASYNC110  only another request can tell
            await asyncio.sleep(0.02)
    again = await api.tab(seat, [1, 2])

    assert span(again) == (1, 2, True)


async def test_what_was_received_outlives_the_memory_of_redis(api: Api) -> None:
    """I-2: the ranges are restored from PostgreSQL, so a retry is known and a hole can still be filled."""
    seat = api.world.seat()
    await api.tab(seat, [1, 2, 3, 7])
    await api.stored(seat, 4)
    api.at.redis.delete(f"{{v{seat.session_id % api.at.settings.shards}}}:s:{seat.session_id}")

    retry = await api.tab(seat, [2, 3])
    fill = await api.tab(seat, [4, 5])

    assert span(retry) == (2, 3, True)
    assert span(fill) == (5, 6, False)
    assert fill.ack["missing"] == [[6, 6]]


async def test_a_session_has_a_bounded_number_of_client_instances(api: Api) -> None:
    """I-2: ranges are bounded per instance, and the instances too; those that are known go on."""
    seat = api.world.seat()
    most = api.at.settings.client_instances_max
    assert {(await api.tab(seat, [1], f"tab-{n}")).status for n in range(most)} == {202}

    refused = await api.tab(seat, [1], "one-more")
    known = await api.tab(seat, [2], "tab-0")
    anonymous = await api.event(seat)

    assert (refused.status, refused.body["code"]) == (409, "too_many_clients")
    assert (known.status, anonymous.status) == (202, 202)


async def test_retries_in_any_order_and_all_at_once_store_every_event_once(api: Api) -> None:
    """I-2: a client that resends wildly over several connections."""
    seat = api.world.seat()
    dice = random.Random(20260101)
    wanted = list(range(1, 61))
    batches = [wanted[i : i + 6] for i in range(0, 60, 6)] * 2
    batches += [sorted(dice.sample(wanted, 9)) for _ in range(10)]
    dice.shuffle(batches)

    answers = await asyncio.gather(*(api.tab(seat, batch) for batch in batches))

    assert {answer.status for answer in answers} <= {202, 503}, [answer.body for answer in answers]
    rows = await api.stored(seat, 60)
    assert sorted(row["client_seq"] for row in rows) == wanted
    assert [row["seq"] for row in rows] == wanted

    def known() -> bool:
        found = "SELECT received::text FROM session_clients WHERE session_id = %s"
        return bool(api.world.one(found, seat.session_id) == "{[1,61)}")

    await until(known, "the ranges to be stored")
