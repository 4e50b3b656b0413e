"""
Scores computed once more, from everything that they could be computed from: a snapshot's own trace, the
events in PostgreSQL, and the archive.

A snapshot keeps the position that it was computed at (last sequence, judgements of silences, adjustment,
end), and rows that it rests on are appended only. So whoever doubts a score gets the same number again,
whatever has arrived or changed since.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import polars as pl
from msgspec import Struct

from kernel import risk
from kernel.risk import Event, GapClass, Part, Rule
from pipeline.riders.risk import RISK_ROWS, read_sets
from sql import named
from sql.running import Connection, rows, run
from warehouse.archived import scan_events
from warehouse.files import Root
from warehouse.risk import GAPS, PERCENTS, risk_frame, rules_frame, told_events

REPLAYS: Final = named("replays")


class Snapshot(Struct, frozen=True, kw_only=True):
    """A score as it was stored, in hundredths, and its position; times in microseconds of the Unix epoch."""

    id: int
    as_of_us: int
    score: int
    peak: int
    cause: str
    trace: list[Part]
    through_seq: int
    judgements: int
    adjustment_id: int
    ended_us: int | None


class Replay(Struct, frozen=True):
    """
    A snapshot and what it computes to: score from its trace, score and peak from events and from the archive;
    None where the events are not there: not yet in the archive, or no longer in PostgreSQL.
    """

    snapshot: Snapshot
    from_trace: int
    from_events: tuple[int, int] | None
    from_archive: tuple[int, int] | None

    @property
    def is_equal(self) -> bool:
        """Whether everything that is there gives the number that was stored; the trace always is."""
        stored = (self.snapshot.score, self.snapshot.peak)
        return self.from_trace == stored[0] and {self.from_events, self.from_archive} <= {stored, None}


class _Basis(Struct, frozen=True):
    """What all snapshots of a session are computed from, beside its events."""

    rule_set_id: int
    rules: tuple[Rule, ...]
    weights: dict[int, dict[int, int]]  # what rules weighed after an adjustment, where that is not all
    judged: list[tuple[int, str | None, int]]  # when the silence began, class, number of the judgement

    def percents(self, at: Snapshot) -> dict[int, int]:
        """Return what rules weighed at a snapshot's position, where that is not all."""
        return self.weights[at.adjustment_id]

    def gaps(self, at: Snapshot) -> list[tuple[int, GapClass | None]]:
        """Return silences as they were judged at a snapshot's position, by beginning."""
        known = {began: judged for began, judged, place in self.judged if place <= at.judgements}
        return [(began, GapClass(judged) if judged else None) for began, judged in sorted(known.items())]


def replay(conn: Connection, warehouse: Root, session_id: int, *, limit: int) -> list[Replay] | None:
    """
    Compute a session's newest snapshots once more; None where there is no such session.

    Args:
        conn: to PostgreSQL, as its owner or the pipeline.
        warehouse: its root.
        session_id: whose.
        limit: snapshots at most.
    """
    found = rows(conn, REPLAYS["find_session"], session_id)
    if not found:
        return None
    [session] = found
    stored = rows(conn, REPLAYS["list_snapshots_back"], session_id, limit)
    snapshots = [
        Snapshot(**row | {"trace": msgspec.json.decode(row["trace"], type=list[Part])}) for row in stored
    ]
    if not snapshots:
        return []
    basis = _basis(conn, session_id, session, snapshots)
    types = risk.told_types(basis.rules)
    told = rows(conn, RISK_ROWS["read_told_events"], session_id, types)
    events = scan_events(warehouse, session["first_event_at"], session["last_event_at"]).filter(
        (pl.col("session_id") == session_id) & pl.col("event_type").is_in(types)
    )
    archived = events.collect()
    by_columns = _from_archive(archived, snapshots, basis)
    return [
        Replay(
            snapshot=each,
            from_trace=risk.score_of_trace(each.trace),
            from_events=_from_events(told, each, basis) if _covers(told, archived, each) else None,
            from_archive=by_columns[each.id] if each.through_seq <= session["archived_seq"] else None,
        )
        for each in snapshots
    ]


def _basis(
    conn: Connection, session_id: int, session: Mapping[str, Any], snapshots: Sequence[Snapshot]
) -> _Basis:
    attempt_id, rule_set_id = session["attempt_id"], session["rule_set_id"]
    weights: dict[int, dict[int, int]] = {each.adjustment_id: {} for each in snapshots}
    for adjustment_id, rule_id, percent in run(conn, REPLAYS["list_weights"], attempt_id, list(weights)):
        weights[adjustment_id][rule_id] = percent
    return _Basis(
        rule_set_id=rule_set_id,
        rules=read_sets(conn, [rule_set_id])[rule_set_id],
        weights=weights,
        judged=run(conn, REPLAYS["list_judged"], session_id).fetchall(),
    )


def _covers(told: Sequence[Mapping[str, Any]], archived: pl.DataFrame, at: Snapshot) -> bool:
    """Tell whether PostgreSQL has the events that a snapshot rests on: no fewer than the archive."""
    stored = sum(1 for row in told if row["seq"] <= at.through_seq)
    return stored >= archived.filter(pl.col("seq") <= at.through_seq).height


def _from_events(told: Sequence[Mapping[str, Any]], at: Snapshot, basis: _Basis) -> tuple[int, int]:
    """Return score and peak of the events in PostgreSQL."""
    gaps, rules = basis.gaps(at), risk.weighed(basis.rules, basis.percents(at))
    events = [
        Event(
            seq=row["seq"],
            at_us=row["told_us"] if at.ended_us is None else min(row["told_us"], at.ended_us),
            event_type=row["event_type"],
            severity=row["severity"],
            gap_class=risk.gap_class_of(row["event_type"], row["told_us"], gaps) if row["is_ours"] else None,
        )
        for row in told
        if row["seq"] <= at.through_seq
    ]
    state, _ = risk.advance(risk.begin(rules), rules, events)
    return risk.score(rules, events, at.as_of_us).score, state.peak


def _from_archive(
    archived: pl.DataFrame, snapshots: Sequence[Snapshot], basis: _Basis
) -> dict[int, tuple[int, int]]:
    """Return score and peak of the archived events, by snapshot: each is a session of its own, in columns."""
    whole = pl.Int64()
    positions = pl.LazyFrame(
        [(each.id, basis.rule_set_id, each.as_of_us, each.ended_us, each.through_seq) for each in snapshots],
        schema={
            "session_id": whole, "rule_set_id": whole, "as_of_us": whole, "ended_us": whole, "through": whole,
        },
        orient="row",
    )  # fmt: skip
    own = archived.lazy().drop("session_id").join(positions.select("session_id", "through"), how="cross")
    gaps = [(each.id, started_us, judged) for each in snapshots for started_us, judged in basis.gaps(each)]
    percents = [(each.id, *weighs) for each in snapshots for weighs in basis.percents(each).items()]
    told = told_events(
        own.filter(pl.col("seq") <= pl.col("through")),
        positions,
        pl.LazyFrame(gaps, schema=GAPS, orient="row"),
    )
    found = risk_frame(
        positions,
        rules_frame({basis.rule_set_id: basis.rules}),
        pl.LazyFrame(percents, schema=PERCENTS, orient="row"),
        told,
    ).collect()
    return {row["session_id"]: (row["score"], row["peak"]) for row in found.iter_rows(named=True)}
