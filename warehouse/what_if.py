"""
Past sessions under their own rules and under a draft: from the archive, in columns, a bounded piece at a
time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl
from msgspec import Struct

from kernel.risk import Rule, told_types
from warehouse.archived import scan_events
from warehouse.files import Root
from warehouse.risk import GAPS, PERCENTS, risk_frame, rules_frame, told_events

DRAFT: Final = 0  # the draft's number among sets of rules, which count from 1
CELLS_MAX: Final = 4_000_000  # events times rules in memory at once
_SESSIONS: Final = dict.fromkeys(("session_id", "own_set", "as_of_us", "ended_us", "stored"), pl.Int64())


class Past(Struct, frozen=True):
    """
    A session that is over: the set of rules that it keeps, its end in microseconds of the Unix epoch, how
    many events are stored of it, and moments that all of them lie between.
    """

    session_id: int
    rule_set_id: int
    ended_us: int
    events: int
    first_at: datetime
    last_at: datetime


class Basis(Struct, frozen=True):
    """
    What scores rest on beside events: sets of rules by number, the draft's among them; what rules weigh, as
    (session, rule, percent); silences as they are judged, as (session, beginning, class).
    """

    sets: Mapping[int, Sequence[Rule]]
    percents: Sequence[tuple[int, int, int]]
    gaps: Sequence[tuple[int, int, str | None]]


class Part(Struct, frozen=True):
    """
    What one rule adds: its place in the set, its points a trigger in hundredths, and how often it triggers as
    of the end, at the peak, and at most.
    """

    place: int
    points: int
    now: int
    at_peak: int
    most: int


class Weighed(Struct, frozen=True):
    """A session's score at its end, and its peak, in hundredths; the rules that ever triggered."""

    score: int
    peak: int
    parts: list[Part]


class Compared(Struct, frozen=True):
    """A session by the rules that it keeps, and by the draft."""

    session_id: int
    before: Weighed
    after: Weighed


def compare(root: Root, sessions: Sequence[Past], basis: Basis) -> Iterator[Compared]:
    """
    Yield each session of which the archive has all events, by its number; the others are left out.

    Args:
        root: the warehouse's.
        sessions: by their numbers, each once.
        basis: with the sets that they keep, and the draft's.

    Raises:
        OSError, AWAY: the archive cannot be read (`warehouse.files.ROOT_FAILS`).
        LayoutError: a file has another schema.
    """
    rules = max(len(each) for each in basis.sets.values())
    for some in pieces(sessions, CELLS_MAX // max(rules, 1)):
        yield from _compare(root, some, basis)


def pieces(sessions: Sequence[Past], events_max: int) -> Iterator[list[Past]]:
    """Yield the sessions in pieces of so many events, or of one session that has more."""
    piece: list[Past] = []
    events = 0
    for each in sessions:
        if piece and events + each.events > events_max:
            yield piece
            piece, events = [], 0
        piece.append(each)
        events += each.events
    if piece:
        yield piece


def _compare(root: Root, sessions: Sequence[Past], basis: Basis) -> Iterator[Compared]:
    known = pl.LazyFrame(
        [(each.session_id, each.rule_set_id, each.ended_us, each.ended_us, each.events) for each in sessions],
        schema=_SESSIONS,
        orient="row",
    )
    archived = scan_events(
        root, min(each.first_at for each in sessions), max(each.last_at for each in sessions)
    ).filter(pl.col("session_id").is_between(sessions[0].session_id, sessions[-1].session_id))
    types = told_types(rule for rules in basis.sets.values() for rule in rules)
    gaps = pl.LazyFrame(basis.gaps, schema=GAPS, orient="row")
    found, told = pl.collect_all(
        [
            archived.group_by("session_id").agg(archived=pl.len()),
            told_events(archived.filter(pl.col("event_type").is_in(types)), known, gaps),
        ]
    )
    whole = (
        known.join(found.lazy(), on="session_id", how="left")
        .filter(pl.col("archived").fill_null(0) == pl.col("stored"))
        .drop("archived")
        .collect()
        .lazy()
    )
    before, after = (
        _scored(whole.with_columns(rule_set_id=rule_set), basis, told)
        for rule_set in (pl.col("own_set"), pl.lit(DRAFT, pl.Int64))
    )
    for one, other in zip(before, after, strict=True):
        yield Compared(one["session_id"], _weighed(one), _weighed(other))


def _scored(sessions: pl.LazyFrame, basis: Basis, told: pl.DataFrame) -> Iterator[dict[str, Any]]:
    percents = pl.LazyFrame(basis.percents, schema=PERCENTS, orient="row")
    frame = risk_frame(sessions, rules_frame(basis.sets), percents, told.lazy()).collect()
    return frame.iter_rows(named=True)


def _weighed(row: dict[str, Any]) -> Weighed:
    return Weighed(row["score"], row["peak"], [Part(**part) for part in row["parts"]])
