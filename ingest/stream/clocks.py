"""
Clients' clocks and silences: what one offset means, when it has stepped, what was back-filled. Pure.

Server time is the truth (spec.md I-6). A client's clock is known by its live heartbeats alone: each gives a
sample, server time minus client time, which is too large by its way here, never too small. Three rules:

1. `follow`: in touch, the offset follows its newest sample at once. After a silence a sample that is too
   large may be a heartbeat that waited, and counts when another agrees. What two samples agree on is
   confirmed; a confirmed offset that differs from the one confirmed before is a step of the clock, and is
   recorded.
2. `silences`: a sender of whom nothing was heard for longer than CONTACT_LOST_US was silent until now.
3. `effective`: back-filled is what the client declares as buffered, and what could not have been sent
   earlier: its corrected time lies in a silence that has just ended. In touch nothing is, whatever an offset
   says.

`append.lua` follows clocks and silences where they are kept, `encoding.py` applies the third rule by column;
property tests hold both against what stands here.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from kernel.events import HEARTBEAT_INTERVAL_S

SECOND_US: Final = 1_000_000
# A heartbeat is due every 15 s, and may take a while.
CONTACT_LOST_US: Final = (HEARTBEAT_INTERVAL_S + 5) * SECOND_US
# Samples that differ by less tell the same offset.
TOLERANCE_US: Final = 5 * SECOND_US
# No live request is longer on its way: its body must arrive within 10 s.
UNDER_WAY_US: Final = 15 * SECOND_US
# What was buffered follows a return within this; later only what is declared counts as back-filled.
FILL_US: Final = 300 * SECOND_US
SILENCES_KEPT: Final = 8
DRIFT_SHARE: Final = 16

Silence = tuple[int, int]


class Clock(Struct, frozen=True):
    """
    What is known of a sender's clock: server minus client time, microseconds.

    `offset_us` is what holds now. While `candidate_us`, first seen at `since_us` (server time), waits for a
    second sample, `firm_us` is the offset confirmed before; without a candidate the offset itself is.
    """

    offset_us: int
    candidate_us: int | None = None
    since_us: int | None = None
    firm_us: int | None = None


def confirmed(clock: Clock) -> int:
    """Return the offset to keep in PostgreSQL: after a loss an unconfirmed step is seen anew."""
    return clock.offset_us if clock.candidate_us is None or clock.firm_us is None else clock.firm_us


def follow(
    clock: Clock | None, sample_us: int, at_us: int, reach_us: int, returned_us: int
) -> tuple[Clock, int | None]:
    """
    Return the clock after a live heartbeat, and the offset before where that confirms a step.

    Args:
        clock: None before the first.
        sample_us: server time minus what the heartbeat says.
        at_us: server time.
        reach_us: how long ago the earliest silence began that may still be filled; 0 where there is none.
        returned_us: when the latest silence ended; 0 where there is none. Only who was in touch since the
            candidate came confirms it: two buffers may have waited equally long.
    """
    if clock is None:
        return Clock(sample_us, sample_us, at_us), None
    firm = clock.offset_us if clock.candidate_us is None else clock.firm_us
    agreed = None
    if clock.candidate_us is not None and abs(sample_us - clock.candidate_us) <= TOLERANCE_US:
        assert clock.since_us is not None, "a candidate was seen at some time"
        if returned_us > clock.since_us:
            return Clock(clock.offset_us, sample_us, at_us, firm), None
        if at_us - clock.since_us < TOLERANCE_US:
            return clock, None
        agreed = sample_us
    elif abs(sample_us - clock.offset_us) <= TOLERANCE_US:
        late_us = sample_us - clock.offset_us
        # The truth is at most any sample; it creeps upwards to follow a drifting clock.
        agreed = sample_us if late_us < 0 else clock.offset_us + late_us // DRIFT_SHARE
    if agreed is not None:
        return Clock(agreed), firm if firm is not None and abs(agreed - firm) > TOLERANCE_US else None
    doubtful = reach_us > 0 and 0 < sample_us - clock.offset_us <= reach_us + UNDER_WAY_US
    return Clock(clock.offset_us if doubtful else sample_us, sample_us, at_us, firm), None


def silences(known: Sequence[Silence], at_us: int, contact_us: int, window_us: int) -> list[Silence]:
    """
    Return a sender's silences to remember, oldest first: with the one that a request now ends, if it does.

    Args:
        known: remembered so far.
        at_us: server time of the request.
        contact_us: the sender's last sign of life before it.
        window_us: how long a silence may be filled after its end (the late window).
    """
    if at_us - contact_us <= CONTACT_LOST_US:
        return list(known)
    kept = [silence for silence in known if at_us - silence[1] <= window_us]
    return [*kept, (contact_us, at_us)][-SILENCES_KEPT:]


def fillable(known: Sequence[Silence], at_us: int, window_us: int, *, declared: bool) -> list[Silence]:
    """Return those of the remembered silences that a request may fill, declared or not."""
    longest_us = max(window_us, FILL_US) if declared else FILL_US
    return [silence for silence in known if at_us - silence[1] <= longest_us]


def reach(known: Sequence[Silence], at_us: int) -> int:
    """Return how long ago the earliest silence began that may be filled undeclared; 0 where there is none."""
    return max((at_us - begun for begun, ended in known if at_us - ended <= FILL_US), default=0)


def effective(
    client_us: int | None,
    offset_us: int | None,
    at_us: int,
    contact_us: int,
    filled: Sequence[Silence],
    backfill_after_us: int,
    *,
    declared: bool,
) -> int | None:
    """
    Return when a back-filled event happened, server time; None where the event is not back-filled.

    Args:
        client_us: what the client's clock said, if it did.
        offset_us: server minus client time, if a heartbeat told it.
        at_us: when the event arrived.
        contact_us: the sender's last sign of life before that.
        filled: silences that the request may fill, as `fillable` gives them for it.
        backfill_after_us: an event of this age has just happened.
        declared: the client says that it was buffered.
    """
    if client_us is None or offset_us is None:
        return None
    corrected = client_us + offset_us
    for begun, ended in reversed(filled):
        if begun - TOLERANCE_US <= corrected < ended and (declared or at_us - corrected > backfill_after_us):
            return max(corrected, begun)
    return min(max(corrected, contact_us), at_us) if declared else None
