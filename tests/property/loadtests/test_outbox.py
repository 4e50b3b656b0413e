"""However replies are cut and the server forgets, everything is stored once (spec.md decision 7, I-2)."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadtests.client.outbox import Ack, Held, Outbox


class ModelServer:
    """The contract, short: numbers what is new, knows duplicates, stores a prefix, may forget the rest."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}  # client sequence -> server sequence, of all that was received
        self.stored = 0

    def receive(self, batch: list[Held]) -> Ack:
        before = len(self.numbers)
        for held in batch:
            self.numbers.setdefault(held.seq, len(self.numbers) + 1)
        acked, missing = self.received()
        numbers = [self.numbers[held.seq] for held in batch]
        return Ack(
            sequence_from=min(numbers),
            sequence_through=max(numbers),
            sequences=numbers,
            duplicate=len(self.numbers) == before,
            stored_through=self.stored,
            acked_through=acked,
            missing=missing,
        )

    def received(self) -> tuple[int, list[tuple[int, int]]]:
        known = [0, *sorted(self.numbers)]
        holes = [(low + 1, high - 1) for low, high in pairwise(known) if high > low + 1]
        return (holes[0][0] - 1 if holes else known[-1]), holes

    def store(self, through: int) -> None:
        self.stored = max(self.stored, min(through, len(self.numbers)))

    def forget_unstored(self) -> None:
        self.numbers = {seq: number for seq, number in self.numbers.items() if number <= self.stored}


@given(st.randoms(use_true_random=False))
def test_all_is_stored_once_whatever_is_cut_or_forgotten(dice: random.Random) -> None:
    outbox, server = Outbox(), ModelServer()
    for _ in range(dice.randint(1, 40)):
        match dice.choice(["create", "send", "cut", "store", "forget"]):
            case "create":
                outbox.add(102, b"{}")
            case "send" if batch := outbox.next_batch(dice.randint(1, 5)):
                outbox.acknowledge(batch, server.receive(batch))
            case "cut" if batch := outbox.next_batch(dice.randint(1, 5)):
                server.receive(batch)
            case "store":
                server.store(dice.randint(0, 50))
            case "forget":
                server.forget_unstored()
    for _ in range(2 * outbox.created + 4):
        if batch := outbox.next_batch() or outbox.probe():
            outbox.acknowledge(batch, server.receive(batch))
        server.store(10_000)

    assert len(outbox) == 0
    assert sorted(server.numbers) == list(range(1, outbox.created + 1))
    assert sorted(server.numbers.values()) == list(range(1, outbox.created + 1))
