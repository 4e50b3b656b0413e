"""
Risk on the fold: a session's score now and its peak in reporting.session_risk, and how they came about in
risk_snapshots.

What a score is carried forward from stands in a row of its own, with the position that it has reached and the
version of its form: an event that took place before what is in it, a rule that weighs otherwise, a silence
that was judged anew or a state of another form makes the session's score computed from all its stored events,
in the same turn. The row is written when the score's state moves, which heartbeats do not. Of each turn at
most two snapshots come: the score where it or the peak has changed, and before it the peak, where that lies
between.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct

from kernel import risk
from kernel.events import EventType
from kernel.risk import POINT, Event, GapClass, Rule, Scored
from pipeline.features.session import NO_TIME, Events, Session
from pipeline.riders.rider import Folded, Rider
from sql import named
from sql.running import Connection, rows, run

RISK_ROWS: Final = named("risk")
EPOCH: Final = datetime.fromtimestamp(0, UTC)
VERSION: Final = "risk-1"  # of `Carried`; scores of another one are computed anew as they are touched

Gaps = list[tuple[int, GapClass | None]]


class Facts(Struct, frozen=True):
    """What a session's score rests on beside its events."""

    rule_set_id: int
    rules: tuple[Rule, ...]
    adjustment_id: int
    judgements: int
    gaps: Gaps


class Carried(Struct, array_like=True):
    """The state of a score, and the sequence of the last event that rules are about in it."""

    through_seq: int
    state: risk.State


class Stored(Struct, frozen=True):
    """
    What stood in the rows before: a state, None where it has another form, what it was computed with, and the
    scores in hundredths.
    """

    carried: Carried | None
    judgements: int
    adjustment_id: int
    has_ended: bool
    score: int
    peak: int


class Outcome(Struct, frozen=True):
    """A session's new state and score; `top` is the score at the peak's moment, where that has risen."""

    folded: Folded
    stored: Stored | None
    carried: Carried
    found: Scored
    top: Scored | None
    cause: str

    @property
    def is_news(self) -> bool:
        """Whether the score or the peak is another than before."""
        before = (0, 0) if self.stored is None else (self.stored.score, self.stored.peak)
        return before != (self.found.score, self.carried.state.peak)


def _read(conn: Connection, sessions: Sequence[Session]) -> Mapping[int, Facts]:
    found = rows(conn, RISK_ROWS["read_facts"], [each.session_id for each in sessions])
    sets = read_sets(conn, {row["rule_set_id"] for row in found})
    return {
        row["id"]: Facts(
            rule_set_id=row["rule_set_id"],
            rules=risk.weighed(
                sets[row["rule_set_id"]], msgspec.json.decode(row["percents"], type=dict[int, int])
            ),
            adjustment_id=row["adjustment_id"],
            judgements=row["judgements"],
            gaps=msgspec.json.decode(row["gaps"], type=Gaps),
        )
        for row in found
    }


def read_sets(conn: Connection, ids: Collection[int]) -> dict[int, tuple[Rule, ...]]:
    """Return the rules of sets, by the sets' ids."""
    sets: dict[int, list[Rule]] = {each: [] for each in ids}
    for row in rows(conn, RISK_ROWS["read_sets"], list(ids)):
        sets[row["rule_set_id"]].append(risk.rule_of(row))
    return {each: tuple(rules) for each, rules in sets.items()}


def _store(conn: Connection, folded: Sequence[Folded], now: datetime) -> Mapping[int, datetime]:
    """Put scores, snapshots and states in, and say when windows will have forgotten enough."""
    ids = [each.session.session_id for each in folded]
    stored = {
        row["session_id"]: Stored(
            carried=msgspec.msgpack.decode(row["state"], type=Carried) if row["version"] == VERSION else None,
            judgements=row["judgements"],
            adjustment_id=row["adjustment_id"],
            has_ended=row["has_ended"],
            score=row["score"],
            peak=row["peak"],
        )
        for row in rows(conn, RISK_ROWS["read_states"], ids)
    }
    outcomes = [_scored(conn, each, stored.get(each.session.session_id), now) for each in folded]
    if fresh := [each for each in outcomes if each.stored is None or each.is_news]:
        run(conn, RISK_ROWS["upsert_risk"], _json([_risk_row(each) for each in fresh]))
    if snapshots := [row for each in outcomes if not each.folded.is_rebuilt for row in _snapshots(each)]:
        run(conn, RISK_ROWS["insert_snapshots"], _json(snapshots))
    _store_states(conn, [each for each in outcomes if _is_moved(each)])
    return {
        each.folded.session.session_id: _moment(due)
        for each in outcomes
        if each.folded.session.ended_us is None
        and (due := risk.due_us(each.carried.state, each.folded.facts.rules, each.found.as_of_us)) is not None
    }


def _scored(conn: Connection, folded: Folded, stored: Stored | None, now: datetime) -> Outcome:
    """Carry a session's score forward, or compute it from all its stored events."""
    facts, ended_us = folded.facts, folded.session.ended_us
    before = (stored and stored.carried) or Carried(0, risk.begin(facts.rules))
    told = _told(folded.events, facts, before.through_seq, ended_us)
    cause = _why_anew(folded, stored, told)
    if cause is None:
        state, top = risk.advance(before.state, facts.rules, told)
        cause = "events" if told else "ended" if stored and ended_us and not stored.has_ended else "time"
    else:
        gone = _told(folded.gone, facts, 0, ended_us)
        told = [*gone, *_all_told(conn, folded.session, facts)]
        state, top = risk.advance(risk.begin(facts.rules), facts.rules, told)
    through = max([before.through_seq, *(event.seq for event in told)])
    as_of_us = max(_micros(now), state.at_us) if ended_us is None else ended_us
    found = risk.scored(state, facts.rules, as_of_us)
    return Outcome(folded, stored, Carried(through, state), found, top, cause)


def _why_anew(folded: Folded, stored: Stored | None, told: Sequence[Event]) -> str | None:
    """Return why a score cannot be carried forward; None where it can."""
    facts, ended_us = folded.facts, folded.session.ended_us
    if stored is None:
        return None
    if stored.carried is None:
        return "rebuilt"
    if stored.adjustment_id != facts.adjustment_id:
        return "adjusted"
    if stored.judgements != facts.judgements and any(rule.gap_class for rule in facts.rules):
        return "gaps"
    if ended_us is not None and stored.carried.state.at_us > ended_us:
        return "ended"
    return None if risk.follows(stored.carried.state, facts.rules, told) else "backfilled"


def _told(events: Events, facts: Facts, after_seq: int, ended_us: int | None) -> list[Event]:
    """Return the events that rules may be about, of those beyond a sequence."""
    about = frozenset(rule.event_type for rule in facts.rules)
    chosen = [place for place, kind in enumerate(events.event_type.tolist()) if kind in about]
    return [
        _event(
            int(events.seq[place]),
            int(events.effective_us[place]),
            int(events.event_type[place]),
            int(events.severity[place]),
            facts,
            ended_us,
            is_ours=bool(events.is_backfilled[place]) and int(events.client_us[place]) == NO_TIME,
        )
        for place in chosen
        if events.seq[place] > after_seq
    ]


def _all_told(conn: Connection, session: Session, facts: Facts) -> list[Event]:
    found = rows(conn, RISK_ROWS["read_told_events"], session.session_id, risk.told_types(facts.rules))
    return [
        _event(
            row["seq"], row["told_us"], row["event_type"], row["severity"], facts, session.ended_us,
            is_ours=row["is_ours"],
        )
        for row in found
    ]  # fmt: skip


def _event(
    seq: int,
    told_us: int,
    event_type: int,
    severity: int,
    facts: Facts,
    ended_us: int | None,
    *,
    is_ours: bool,
) -> Event:
    gap_class = None
    if is_ours and event_type == EventType.NetworkDisconnected:
        gap_class = risk.gap_class_of(event_type, told_us, facts.gaps)
    at_us = told_us if ended_us is None else min(told_us, ended_us)
    return Event(seq=seq, at_us=at_us, event_type=event_type, severity=severity, gap_class=gap_class)


def _is_moved(each: Outcome) -> bool:
    """Tell whether a state, or what it was computed with, is another than what stands in its row."""
    stored, facts = each.stored, each.folded.facts
    return stored is None or (
        stored.carried,
        stored.judgements,
        stored.adjustment_id,
        stored.has_ended,
    ) != (each.carried, facts.judgements, facts.adjustment_id, each.folded.session.ended_us is not None)


def _store_states(conn: Connection, moved: Sequence[Outcome]) -> None:
    if not moved:
        return
    ids = [each.folded.session.session_id for each in moved]
    columns = {
        "sessions": ids,
        "version": VERSION,
        "states": [msgspec.msgpack.encode(each.carried) for each in moved],
        "judgements": [each.folded.facts.judgements for each in moved],
        "adjustments": [each.folded.facts.adjustment_id for each in moved],
        "ended": [_moment_or_none(each.folded.session.ended_us) for each in moved],
    }
    run(conn, *RISK_ROWS.bind("upsert_states", **columns))
    if fired := [each for each in moved if _has_fired_anew(each)]:
        _store_fires(conn, fired)


def _has_fired_anew(each: Outcome) -> bool:
    """Tell whether a rule was met more often than before, or counts otherwise."""
    stored = each.stored
    return (
        stored is None
        or stored.carried is None
        or stored.adjustment_id != each.folded.facts.adjustment_id
        or [met.most for met in stored.carried.state.met] != [met.most for met in each.carried.state.met]
    )


def _store_fires(conn: Connection, fired: Sequence[Outcome]) -> None:
    run(conn, RISK_ROWS["delete_fires"], [each.folded.session.session_id for each in fired])
    fires = [
        {
            "session_id": each.folded.session.session_id,
            "rule_id": rule.rule_id,
            "version": rule.version,
            "organisation_id": each.folded.session.organisation_id,
            "triggers": met.most,
        }
        for each in fired
        for rule, met in zip(each.folded.facts.rules, each.carried.state.met, strict=True)
        if met.most
    ]
    if fires:
        run(conn, RISK_ROWS["insert_fires"], _json(fires))


def _risk_row(each: Outcome) -> dict[str, Any]:
    session = each.folded.session
    return {
        "session_id": session.session_id,
        "attempt_id": session.attempt_id,
        "exam_id": session.exam_id,
        "organisation_id": session.organisation_id,
        "rule_set_id": each.folded.facts.rule_set_id,
        "risk_score": each.found.score / POINT,
        "peak_risk_score": each.carried.state.peak / POINT,
        "risk_level": risk.level_of(each.carried.state.peak),
        "as_of": _moment(each.found.as_of_us),
    }


def _snapshots(each: Outcome) -> Iterable[dict[str, Any]]:
    """Yield the snapshots of a turn: a new peak, where it lies above the score of the moment, and that."""
    if not each.is_news:
        return
    facts, peak = each.folded.facts, 0 if each.stored is None else each.stored.peak
    if each.top is not None and each.top.score != peak and each.top.score > each.found.score:
        yield _snapshot(each, each.top, facts)
    yield _snapshot(each, each.found, facts)


def _snapshot(each: Outcome, found: Scored, facts: Facts) -> dict[str, Any]:
    return {
        "session_id": each.folded.session.session_id,
        "rule_set_id": facts.rule_set_id,
        "as_of": _moment(found.as_of_us),
        "risk_score": found.score / POINT,
        "peak_risk_score": each.carried.state.peak / POINT,
        "cause": each.cause,
        "trace": msgspec.to_builtins(found.trace),
        "through_seq": each.carried.through_seq,
        "judgements": facts.judgements,
        "adjustment_id": facts.adjustment_id,
        "ended_at": _moment_or_none(each.folded.session.ended_us),
    }


def _forget(conn: Connection) -> None:
    run(conn, RISK_ROWS["forget_risk"])


def _json(values: object) -> str:
    return orjson.dumps(values).decode()


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _moment_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else _moment(micros)


RISK: Final = Rider(name="risk", read=_read, store=_store, forget=_forget)
