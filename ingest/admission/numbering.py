"""
clientSequences of a batch: which it has, which are left out, which are settled without an event. Pure.

Batches are bounded, so numbers are handled one by one here; what a session has received in all is kept as
ranges, in Redis and in PostgreSQL.
"""

from array import array
from collections.abc import Collection, Iterable
from itertools import pairwise

from msgspec.structs import replace

from ingest.admission.batches import Admitted, admitted
from ingest.admission.forms import BATCH
from ingest.stream.protocol import BATCH_VERSION, Batch


def numbers_in(ranges: Iterable[list[int]]) -> list[int]:
    """Return every number of the ranges."""
    return [number for low, high in ranges for number in range(low, high + 1)]


def ranges_of(numbers: Iterable[int]) -> list[list[int]]:
    """Return numbers as sorted ranges, touching ones joined."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def progress(ranges: list[list[int]]) -> tuple[int, list[list[int]]]:
    """Return (ackedThrough, missing): everything up to the first has arrived, the holes are named."""
    acked = ranges[0][1] if ranges and ranges[0][0] == 1 else 0
    edges = [[0, 0], *ranges]
    missing = [[before[1] + 1, after[0] - 1] for before, after in pairwise(edges) if after[0] > before[1] + 1]
    return acked, missing


def sequence_column(batch: Batch, events: int) -> list[int]:
    """Return the clientSequence of every event of a batch that has them."""
    match batch.sequences:
        case int(first):
            return list(range(first, first + events))
        case list(numbers):
            return numbers
        case _:
            return []


def settle(valid: Admitted | None, client: int, refused: Collection[int]) -> Admitted:
    """
    Return a batch that also settles the numbers of refused events.

    Args:
        valid: the valid events of the batch, with their numbers; None when there are none.
        client: key of the client instance.
        refused: their numbers; those that a valid event has as well are not settled.
    """
    if valid is None:
        settled = ranges_of(refused)
        return admitted(
            Batch(BATCH_VERSION, client, [], b"", b"", b"", [], settled=settled), settled, (), BATCH
        )
    kept = sequence_column(valid.batch, valid.events)
    left = set(refused) - set(kept)
    if not left:
        return valid
    batch = replace(valid.batch, settled=ranges_of(left))
    return admitted(batch, ranges_of({*kept, *left}), valid.places, valid.form)


def select(whole: Admitted, wanted: list[list[int]]) -> Admitted:
    """Return the part of a batch whose clientSequences lie in `wanted`, settled ones among them."""
    batch, chosen = whole.batch, set(numbers_in(wanted))
    numbers = sequence_column(batch, whole.events)
    keep = [i for i, number in enumerate(numbers) if number in chosen]
    times = array("q")
    times.frombytes(batch.client_us)
    part = Batch(
        version=batch.version,
        client=batch.client,
        sequences=[numbers[i] for i in keep],
        types=bytes(batch.types[i] for i in keep),
        severities=bytes(batch.severities[i] for i in keep),
        client_us=array("q", [times[i] for i in keep]).tobytes(),
        payloads=[batch.payloads[i] for i in keep],
        names=None if batch.names is None else [batch.names[i] for i in keep],
        buffered=None if batch.buffered is None else bytes(batch.buffered[i] for i in keep),
        settled=ranges_of(chosen.intersection(numbers_in(batch.settled or []))) or None,
    )
    return admitted(part, wanted, [whole.places[i] for i in keep], whole.form)


def split(whole: Admitted, lacking: list[list[int]]) -> tuple[Admitted, Admitted]:
    """Return the part of a batch whose numbers lie in `lacking`, and the rest of it."""
    rest = set(numbers_in(whole.ranges)).difference(numbers_in(lacking))
    return select(whole, lacking), select(whole, ranges_of(rest))
