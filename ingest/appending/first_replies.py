"""
What was answered when events came for the first time: for a retry, and only for a retry (spec.md I-2).

An event that comes again under its clientSequence must say what it said then. A batch that comes again as it
was is known by its digest, at no cost. Any other is held to the events themselves, which are always
somewhere: in the stream until PostgreSQL has them, then in their table, or among its dead letters.
"""

from typing import Any, Final

import numpy as np

from ingest.admission.batches import Admitted
from ingest.admission.contents import contents_of, same
from ingest.admission.numbering import ranges_of, sequence_column
from ingest.appending.epochs import Epochs
from ingest.appending.sessions import Placed, Sessions
from ingest.stream.link import RedisLink
from ingest.stream.protocol import (
    HEADER,
    PIECE,
    decode_batch,
    digest,
    encode_batch,
    entry_id,
    shard_of,
    stream_key,
)
from kernel.errors import ClientSequenceReusedError, UnavailableError

# (server sequence, server time us) by clientSequence; the time is negative of what was late.
Positions = dict[int, tuple[int, int]]
REFUSED: Final = "Its clientSequence {} belongs to an event that was refused: it is settled"
OTHER: Final = "Another event was received under its clientSequence {}"


class _Retry:
    """The events of a retry, and what was found out: the first position of each, or what is wrong with it."""

    def __init__(self, known: Admitted) -> None:
        numbers = sequence_column(known.batch, known.events)
        self.wanted = dict(zip(numbers, contents_of(known.batch), strict=True))
        self.positions: Positions = {}
        self.wrong: dict[int, str] = {}

    def left(self) -> list[int]:
        """Return the numbers of which nothing is known yet."""
        return [n for n in self.wanted if n not in self.positions and n not in self.wrong]

    def recall(self, pieces: bytes, digest: bytes) -> set[int]:
        """Take what the function remembers; return the stream entries in which the others were received."""
        entries: set[int] = set()
        for low, high, seq, at, counter, of_batch in PIECE.iter_unpack(pieces):
            for number in self.wanted.keys() & set(range(int(low), int(high) + 1)):
                if not seq:
                    self.wrong[number] = REFUSED
                elif of_batch == digest:
                    self.positions[number] = (int(seq) + number - int(low), int(at))
                else:
                    entries.add(int(counter))
        return entries

    def compare(self, found: dict[int, Placed]) -> None:
        """Take events as they were received."""
        for number in self.left():
            placed = found.get(number)
            if placed is None:
                continue
            if placed.content is None:
                self.wrong[number] = REFUSED
            elif same(placed.content, self.wanted[number]):
                self.positions[number] = (placed.seq, placed.at_us)
            else:
                self.wrong[number] = OTHER


class FirstReplies:
    """The way back from a client's number to the first reply."""

    def __init__(self, link: RedisLink, epochs: Epochs, sessions: Sessions, shards: int) -> None:
        """Remember where to look."""
        self._link = link
        self._epochs = epochs
        self._sessions = sessions
        self._shards = shards

    async def positions(self, session_id: int, sent: Admitted, known: Admitted, pieces: bytes) -> Positions:
        """
        Return where events are that were received before.

        Args:
            session_id: whose.
            sent: what the function was called with.
            known: the part of it that was received before.
            pieces: what the function remembers of it.

        Raises:
            ClientSequenceReusedError: some of them are others than those received under their numbers, or
                were refused then; every one is named.
            UnavailableError: some of them cannot be looked at now.
        """
        retry, client = _Retry(known), known.batch.client
        entries = retry.recall(pieces, digest(encode_batch(sent.batch), 8))
        if retry.left():
            assert client is not None, "only batches of a client are recognised by their numbers"
            for counter in sorted(entries):
                retry.compare(await self._in_stream(session_id, client, counter))
            if left := retry.left():
                retry.compare(await self._sessions.locate(session_id, client, ranges_of(left)))
        if retry.wrong:
            places = dict(zip(retry.wanted, known.places, strict=True))
            raise ClientSequenceReusedError(
                "Some events are not those received under their clientSequence; nothing was stored.",
                errors=[
                    {"path": known.form.path(places[number]), "message": message.format(number)}
                    for number, message in sorted(retry.wrong.items())
                ],
            )
        if retry.left():
            raise UnavailableError(
                "The events were received and are being stored; ask again.", retry_after_s=1
            )
        return retry.positions

    async def _in_stream(self, session_id: int, client: int, counter: int) -> dict[int, Placed]:
        """Return the events of one entry of the stream; nothing when it is stored and gone."""
        shard = shard_of(session_id, self._shards)
        epoch = self._epochs.of(shard)
        ident = entry_id(epoch.number, counter)
        found: list[Any] = await self._link.call(
            epoch.incarnation, b"XRANGE", stream_key(shard), ident, ident
        )
        if not found:
            return {}
        fields: list[bytes] = found[0][1]
        header, batch = np.frombuffer(fields[1], dtype=HEADER)[0], decode_batch(fields[3])
        if (int(header["session"]), batch.client) != (session_id, client):
            return {}
        events = zip(sequence_column(batch, len(batch.types)), contents_of(batch), strict=True)
        at_us = -int(header["at_us"]) if header["late"] else int(header["at_us"])
        return {
            number: Placed(int(header["seq"]) + index, at_us, content)
            for index, (number, content) in enumerate(events)
        }
