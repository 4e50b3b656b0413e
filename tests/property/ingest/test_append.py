"""The function in Redis against a plain model of one session (spec.md I-2, decision 7)."""

from typing import Any

import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.admission.numbering import ranges_of
from ingest.stream import calls
from ingest.stream.protocol import (
    PIECE,
    format_ranges,
    function,
    library,
    parse_ranges,
    session_key,
    shard_key,
    shard_of,
)
from tests.kits.ingest.stream import SHARDS, append, batch_of

RANGES_MAX = 4
ORG = "org"


class Model:
    """What one session must hold: a sequence for each client's number, once."""

    def __init__(self, client: redis.Redis, session: int) -> None:
        self.redis = client
        self.session = session
        self.next = 1
        self.given: dict[tuple[int, int], int] = {}
        shard = shard_of(session, SHARDS)
        client.fcall(*calls.open_epoch(shard, 1))
        rows = [1, 1, "", ORG, 0, 0, 0, "", "", "", 60, 0, "", ""]
        client.fcall(function("restore").decode(), 2, session_key(shard, session), shard_key(shard), *rows)

    def received(self, tab: int) -> set[int]:
        return {number for client, number in self.given if client == tab}

    def send(self, tab: int, numbers: set[int]) -> None:
        """Send a batch, and hold the reply and the state against the model."""
        reply = self.call(tab, numbers)
        lacking = numbers - self.received(tab)
        if not lacking:
            assert reply[0] == b"dup"
            self.check_located(tab, reply[1])
            assert parse_ranges(reply[4]) == ranges_of(self.received(tab))
        elif lacking != numbers:
            assert reply[:2] == [b"part", format_ranges(ranges_of(lacking)).encode()]
            self.check_located(tab, reply[2])
        elif len(ranges_of(self.received(tab) | numbers)) > RANGES_MAX:
            assert reply == [b"holes"]
        else:
            assert reply[:2] == [b"ok", self.next]
            for number in sorted(numbers):
                self.given[tab, number] = self.next
                self.next += 1
            assert parse_ranges(reply[5]) == ranges_of(self.received(tab))

    def call(self, tab: int, numbers: set[int]) -> list[Any]:
        batch = batch_of(*("1" for _ in numbers), client=tab, sequences=sorted(numbers))
        return append(
            self.redis,
            batch,
            self.session,
            org=ORG,
            ranges=format_ranges(ranges_of(numbers)),
            ranges_max=RANGES_MAX,
        )

    def check_located(self, tab: int, pieces: bytes) -> None:
        for low, high, seq, *_ in PIECE.iter_unpack(pieces):
            for step in range(int(high - low) + 1):
                assert self.given[tab, int(low) + step] == int(seq) + step


BATCHES = st.tuples(st.integers(1, 2), st.sets(st.integers(1, 12), min_size=1, max_size=5))


@settings(max_examples=150)
@given(st.lists(BATCHES, max_size=25))
def test_every_number_gets_one_sequence_whatever_is_sent_again(
    redis_url: str, sent: list[tuple[int, set[int]]]
) -> None:
    """Overlaps, holes filled late, two tabs, retries: dense sequences, first answers, bounded ranges."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        if not client.function_list(f"veritas_ingest_{library()[0]}"):
            client.function_load(library()[1])
        model = Model(client, 5)
        for tab, numbers in sent:
            model.send(tab, numbers)

        assert sorted(model.given.values()) == list(range(1, model.next))


def test_an_idempotency_key_gets_its_first_answer_and_no_other_body(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.function_load(library()[1])
        Model(client, 5)
        batch = batch_of("1", "2")
        first = append(client, batch, 5, org=ORG, key="k", body=b"d")
        again = append(client, batch, 5, org=ORG, key="k", body=b"d")
        other = append(client, batch, 5, org=ORG, key="k", body=b"e")

    assert first[:2] == [b"ok", 1]
    assert again[:3] == [b"again", 1, 2]
    assert other == [b"reused"]
