"""
What a good client keeps until it is safe, and what it sends next. Pure: no clock, no network.

An event is *offered* until a reply has given it a server sequence, and *held* until PostgreSQL has stored
that sequence (`storedThrough`). A reply that shows that the server no longer knows an acknowledged event puts
it back on offer with its old `clientSequence` (spec.md, decision 7 and I-2).
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from kernel.events import EventType

BATCH_EVENTS_MAX: Final = 500  # spec.md I-4
BATCH_BYTES_MAX: Final = 900_000  # below the 1 MiB that a body may have on the wire


class OutboxFullError(Exception):
    """The client holds as many unstored events as it may; nothing was added."""


class Ack(msgspec.Struct, frozen=True, rename="camel"):
    """
    The member `ack` of an event reply.

    `sequence_from` … `sequence_through` are the server's numbers of this request's events, one by one unless
    `sequences` lists them; `acked_through` and `missing` speak about this client instance's own numbers.
    """

    sequence_from: int
    sequence_through: int
    stored_through: int
    duplicate: bool = False
    duplicates: int = 0
    acked_through: int | None = None
    missing: list[tuple[int, int]] = []
    sequences: list[int] | None = None
    late: bool = False
    ignored: list[str] = []

    def numbers(self, count: int) -> list[int]:
        """
        Return the server sequence of each of the request's `count` events.

        Raises:
            ValueError: the reply names another number of events than were sent.
        """
        numbers = self.sequences or list(range(self.sequence_from, self.sequence_through + 1))
        if len(numbers) != count:
            message = f"{count} events were sent and {len(numbers)} acknowledged"
            raise ValueError(message)
        return numbers


class Held(msgspec.Struct):
    """
    One event: client sequence, type, its JSON as it goes into a request, server sequence once known.

    `wrong`: the server has named it when it refused its batch. It goes along once more, so that its number is
    settled and leaves no hole.
    """

    seq: int
    event_type: int
    body: bytes
    sequence: int | None = None
    wrong: bool = False


class Outbox:
    """The events of one client instance, numbered from 1 without a hole."""

    def __init__(self, held_max: int = 100_000) -> None:
        """Hold at most `held_max` events that are not stored yet."""
        self._held_max = held_max
        self._held: dict[int, Held] = {}
        self._offers: deque[int] = deque()
        self._acknowledged_max = 0
        self._batch_max: int | None = None  # while an event that the server did not name is looked for
        self.created = 0

    def __len__(self) -> int:
        """Return how many events are not known to be stored."""
        return len(self._held)

    @property
    def offered(self) -> int:
        """Return how many events still want an acknowledgement."""
        return len(self._offers)

    def add(self, event_type: int, body: bytes) -> int:
        """
        Take an event and return its client sequence.

        Raises:
            OutboxFullError: `held_max` events are waiting.
        """
        if len(self._held) >= self._held_max:
            message = f"{self._held_max} events are waiting to be stored"
            raise OutboxFullError(message)
        self.created += 1
        self._held[self.created] = Held(self.created, event_type, body)
        self._offers.append(self.created)
        return self.created

    def next_batch(self, events_max: int = BATCH_EVENTS_MAX, bytes_max: int = BATCH_BYTES_MAX) -> list[Held]:
        """
        Return the lowest events on offer whose client sequences follow one by one; empty when none is.

        A heartbeat that is the newest event leaves alone: its route tells the server this client's clock.
        """
        batch: list[Held] = []
        events_max = min(events_max, self._batch_max or events_max)
        size = 0
        for seq in self._offers:
            held = self._held[seq]
            size += len(held.body)
            if batch and (seq != batch[-1].seq + 1 or len(batch) == events_max or size > bytes_max):
                break
            if batch and held.event_type == EventType.Heartbeat and seq == self._offers[-1]:
                break
            batch.append(held)
        return batch

    def probe(self) -> list[Held]:
        """Return one acknowledged event to send again: the duplicate's reply tells how far the server is."""
        return [next(reversed(self._held.values()))] if self._held else []

    def acknowledge(self, batch: list[Held], ack: Ack) -> list[int]:
        """
        Take a reply in: number the batch, put back what the server has lost, drop what is stored.

        Losses come first: after one, the numbers of lost events are given out again, and `storedThrough`
        would cover events that it does not mean.

        Returns:
            client sequences that were acknowledged before and are on offer again.
        """
        for held, number in zip(batch, ack.numbers(len(batch)), strict=True):
            held.sequence = number
        self._take_off_offer(batch)
        self._acknowledged_max = max(self._acknowledged_max, batch[-1].seq)
        lost = [] if ack.acked_through is None else self._lost(ack.acked_through, ack.missing)
        for seq in lost:
            self._held[seq].sequence = None
        if lost:
            self._offers = deque(sorted({*self._offers, *lost}))
        self._drop_stored(ack.stored_through)
        return lost

    def refuse(self, batch: list[Held]) -> None:
        """Give up events that the server will never take (a 4xx that no retry mends)."""
        given_up = {held.seq for held in batch}
        for seq in given_up:
            self._held.pop(seq, None)
        self._offers = deque(seq for seq in self._offers if seq not in given_up)
        self._batch_max = None

    def halve(self, batch: list[Held]) -> None:
        """Send half of a refused batch next: one of its events is wrong, and the server did not say which."""
        self._batch_max = len(batch) // 2

    def _take_off_offer(self, batch: list[Held]) -> None:
        """Remove the batch, which heads the offers unless it was a probe."""
        answered = {held.seq for held in batch}
        while self._offers and self._offers[0] in answered:
            self._offers.popleft()

    def _lost(self, acked_through: int, missing: Iterable[tuple[int, int]]) -> list[int]:
        ranges = list(missing)
        if not ranges:  # without a hole, what was received ends at acked_through
            ranges = [(acked_through + 1, self._acknowledged_max)]
        candidates = (seq for low, high in ranges for seq in range(low, high + 1))
        return [seq for seq in candidates if seq in self._held and self._held[seq].sequence is not None]

    def _drop_stored(self, through: int) -> None:
        stored = []
        for held in self._held.values():
            if held.sequence is None or held.sequence > through:
                break
            stored.append(held.seq)
        for seq in stored:
            del self._held[seq]
