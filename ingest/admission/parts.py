"""
Parts of a request: the events of a batch that are allowed, the events of each attempt. Pure.
"""

from uuid import UUID

import msgspec
from msgspec import Struct

from ingest.admission.batches import NUMBERED_TWICE, AttemptId, EventIn, MonitorIn, columns_of
from ingest.admission.forms import Fault
from ingest.admission.reading import Posted
from kernel.settings import Settings


class Sifted(Struct, frozen=True):
    """
    A batch without the events that are not allowed by themselves: the others, numbered, and where they
    stand; the faults of those; the clientSequences of those that have one.
    """

    events: list[EventIn]
    places: list[int]
    faults: dict[int, list[Fault]]
    settled: list[int]


def sift(posted: Posted[EventIn], settings: Settings) -> Sifted:
    """
    Part the events of a batch by whether they are allowed; each gets its number where the batch has the
    first.
    """
    first: int | None = posted.head.client_sequence
    wrong: list[Fault] = []
    columns_of(posted.events, settings, wrong)
    faults: dict[int, list[Fault]] = {}
    for each in posted.faults:
        faults.setdefault(each.place or 0, []).append(each)
    for each in wrong:
        place = posted.places[each.place or 0]
        faults.setdefault(place, []).append(each.at(place))
    events, places = [], []
    own = {place: right.get("client_sequence") for place, right in posted.refused.items()}
    for place, event in zip(posted.places, posted.events, strict=True):
        if first is not None and event.client_sequence is not None:
            faults.setdefault(place, []).append(Fault(place, "client_sequence", NUMBERED_TWICE))
        if place in faults:
            own[place] = event.client_sequence
            continue
        numbered = {} if first is None else {"client_sequence": first + place}
        events.append(msgspec.structs.replace(event, **numbered) if numbered else event)
        places.append(place)
    return Sifted(events, places, dict(sorted(faults.items())), _settled(own, first))


def _settled(own: dict[int, int | None], first: int | None) -> list[int]:
    """
    Return the numbers of refused events; of one with two, nobody knows which is its own: neither is
    settled.
    """
    if first is not None:
        return [first + place for place, number in own.items() if number is None]
    return [number for number in own.values() if number is not None]


class Share(Struct, frozen=True):
    """The events of one attempt in a list: as `Posted`, and the attempt as its first event has it."""

    attempt_id: AttemptId
    events: list[MonitorIn]
    places: list[int]
    faults: list[Fault]


def by_attempt(posted: Posted[MonitorIn]) -> dict[UUID, Share]:
    """Return the events of a list by their attempt, in the order of their first event."""
    told = {place: right["attempt_id"] for place, right in posted.refused.items()}
    told |= {place: event.attempt_id for place, event in zip(posted.places, posted.events, strict=True)}
    shares: dict[UUID, Share] = {}
    for _, attempt in sorted(told.items()):
        shares.setdefault(UUID(attempt), Share(attempt, [], [], []))
    for place, event in zip(posted.places, posted.events, strict=True):
        share = shares[UUID(event.attempt_id)]
        share.events.append(event)
        share.places.append(place)
    for each in posted.faults:
        shares[UUID(told[each.place or 0])].faults.append(each)
    return shares
