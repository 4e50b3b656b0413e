"""
What a batch of the stream says of each client's numbers: which were received, and where they are. Pure.

`received` ranges tell whether a number came before; pieces tell where, for the reply to a retry.
"""

from collections.abc import Iterator

import msgspec
import numpy as np

from ingest.admission.numbering import ranges_of
from ingest.stream.protocol import HEADER, Batch
from ingest.writer.encoding import Request


class Piece(msgspec.Struct, gc=False):
    """
    Numbers of a client, `first` to `through`, whose events follow one another from sequence `seq` on.

    `seq` is None where they were refused and settled. `first_us` and `last_us` are server times.
    """

    session: int
    client: int
    first: int
    through: int
    seq: int | None
    first_us: int
    last_us: int

    def continues(self, before: "Piece") -> bool:
        """Tell whether this piece goes on where the other one ends."""
        length = before.through - before.first + 1
        return (self.session, self.client, self.first, self.seq) == (
            before.session,
            before.client,
            before.through + 1,
            None if before.seq is None else before.seq + length,
        )


def pieces_of(requests: list[Request]) -> list[Piece]:
    """Return the pieces that requests of one shard bring, sorted by session, client and number, joined."""
    found: list[Piece] = []
    headers = np.frombuffer(b"".join(request.header for request in requests), dtype=HEADER)
    columns = (headers[name].tolist() for name in ("session", "seq", "events", "at_us"))
    for session, seq, events, at_us, request in zip(*columns, requests, strict=True):
        client = request.batch.client
        if client is None:
            continue
        for first, through, place in _runs(request.batch, events, seq):
            found.append(Piece(session, client, first, through, place, at_us, at_us))
    found.sort(key=lambda piece: (piece.session, piece.client, piece.first))
    joined: list[Piece] = []
    for piece in found:
        if joined and piece.continues(joined[-1]):
            joined[-1].through, joined[-1].last_us = piece.through, piece.last_us
        else:
            joined.append(piece)
    return joined


def _runs(batch: Batch, events: int, seq: int) -> Iterator[tuple[int, int, int | None]]:
    """Return (first, last number, first sequence or None) of every run of a batch."""
    match batch.sequences:
        case int(first):
            yield first, first + events - 1, seq
        case list(numbers):
            for low, high in ranges_of(numbers):
                yield low, high, seq
                seq += high - low + 1
        case _:
            pass
    for low, high in batch.settled or ():
        yield low, high, None


def received_of(pieces: list[Piece]) -> tuple[list[int], list[int], list[str]]:
    """Return (sessions, clients, received ranges as int8multirange text), one place a session and client."""
    ranges: dict[tuple[int, int], list[str]] = {}
    for piece in pieces:
        ranges.setdefault((piece.session, piece.client), []).append(f"[{piece.first},{piece.through}]")
    texts = ["{" + ",".join(some) + "}" for some in ranges.values()]
    return [session for session, _ in ranges], [client for _, client in ranges], texts
