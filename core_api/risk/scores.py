"""
Scores of proctor sessions with what explains them: computed at once from the stored events, and as they came
about (spec.md R-1, R-4; proctor-module.txt, 6).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import asyncpg
import msgspec
from msgspec import Meta

from core_api import archived
from core_api.actors import Actor
from core_api.archived import Gone
from core_api.database import TICK, Connection, Row, page_of
from core_api.proctoring import session_views
from core_api.wire import LIMIT_DEFAULT, SEQUENCE_63_MAX, Limit, Paging
from kernel import risk
from kernel.errors import ReviewedBlindError
from kernel.events import SessionStatus, event_id, type_name
from kernel.risk import POINT, Event, GapClass, Level, Part, Rule, Scored
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("risk_scores")
EVENTS_AT_ONCE: Final = 2_000  # between two turns of the event loop
EPOCH: Final = datetime.fromtimestamp(0, UTC)


class TriggeredRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What one rule adds: `riskPoints` in all, for `triggerCount` triggers. `windowStart` is null where it
    counts the whole session; `percent` is what the rule weighs for this candidate; `eventIds` are the events
    that made the triggers, in order of time.
    """

    rule_id: int
    rule_name: str
    rule_name_ar: str
    rule_version: int
    risk_points: float
    trigger_count: int
    window_seconds: int
    window_start: datetime | None
    percent: int
    event_ids: list[int]


class Peak(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The highest score at any event's moment, the first time that it was reached, and what explains it."""

    risk_score: float
    at: datetime
    triggered_rules: list[TriggeredRule]


class CalculatedRisk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A session's score as of `asOf`: now, or its end once it has ended. `riskLevel` is the band of the peak,
    which no window forgets; `peak` is null where no rule ever triggered.
    """

    proctor_session_id: int
    risk_score: float
    peak_risk_score: float
    risk_level: Level
    total_events: int
    total_violations: int
    triggered_rules: list[TriggeredRule]
    event_breakdown: dict[str, int]
    calculated_at: datetime
    as_of: datetime
    peak: Peak | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A score as it came about: as of a moment, from the events up to `throughSequence`. `cause` is what brought
    it: new `events`, passing `time`, `backfilled` events, `gaps` that were judged anew, rules that were
    `adjusted` for the candidate, the session's end (`ended`), or that scores were `rebuilt`.
    """

    id: int
    proctor_session_id: int
    risk_score: float
    peak_risk_score: float
    risk_level: Level
    cause: str
    as_of: datetime
    calculated_at: datetime
    through_sequence: int
    rule_set_id: int
    triggered_rules: list[TriggeredRule]


class ListSnapshots(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which page of a session's snapshots, newest first."""

    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[int, Meta(ge=1, le=SEQUENCE_63_MAX, description="`nextCursor` of the page before.")] | None
    ) = None


async def calculate(
    conn: Connection, actor: Actor, session_id: int, *, settings: Settings, now: datetime
) -> CalculatedRisk:
    """
    Compute a session's score from its stored events.

    Nothing is stored: snapshots are appended as events arrive, by the same rules.

    Raises:
        NotFoundError: the caller may not see the session.
        ReviewedBlindError: it waits for one of two blind reviews, and theirs is not among them.
        UnavailableError: its events are in the archive, which cannot be read.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        session = await _require_told(conn, actor, session_id)
        versions = await conn.fetch(QUERIES["list_kept_rules"], session_id)
        rules = risk.weighed([risk.rule_of(row) for row in versions], await _percents(conn, session_id))
        ended = None if session["status"] == SessionStatus.Active else session["ended_at"]
        gone = await archived.gone_of(conn, [session_id])
        state, top = await _carried(conn, session, rules, ended, gone, settings)
        breakdown = await _breakdown(conn, session, gone, settings)
    as_of_us = max(micros(ended or now), state.at_us)
    found = risk.scored(state, rules, as_of_us)
    names = {(row["rule_id"], row["version"]): row for row in versions}
    peak = None
    if top is not None:
        at, told = _moment(top.as_of_us), _told(session_id, top.trace, names)
        peak = Peak(risk_score=top.score / POINT, at=at, triggered_rules=told)
    return CalculatedRisk(
        proctor_session_id=session_id,
        risk_score=found.score / POINT,
        peak_risk_score=state.peak / POINT,
        risk_level=risk.level_of(state.peak),
        total_events=session["total_events"],
        total_violations=session["total_violations"],
        triggered_rules=_told(session_id, found.trace, names),
        event_breakdown=breakdown,
        calculated_at=now,
        as_of=_moment(as_of_us),
        peak=peak,
    )


async def _require_told(conn: Connection, actor: Actor, session_id: int) -> asyncpg.Record:
    """Return a session whose numbers the caller may see; raises NotFoundError, ReviewedBlindError."""
    session = await session_views.require_visible(conn, actor, session_id)
    if await conn.fetchval(QUERIES["is_blinded"], session_id):
        raise ReviewedBlindError(
            "Two people review this session blind: give your review, then see its score."
        )
    return session


async def _carried(
    conn: Connection,
    session: asyncpg.Record,
    rules: Sequence[Rule],
    ended: datetime | None,
    gone: Gone,
    settings: Settings,
) -> tuple[risk.State, Scored | None]:
    """Return the state of all stored events of a session, and its peak."""
    state, top = risk.begin(rules), None
    if session["first_event_at"] is None:
        return state, top
    gaps = [
        (micros(row["started_at"]), None if row["class"] is None else GapClass(row["class"]))
        for row in await conn.fetch(QUERIES["list_gaps"], [session["id"]])
    ]
    wanted = QUERIES.bind(
        "stream_told_events",
        session_id=session["id"],
        since=session["first_event_at"],
        before=session["last_event_at"] + TICK,
        types=risk.told_types(rules),
        ended_at=ended,
    )
    if gone.rows:
        old = await archived.told(settings, gone, risk.told_types(rules), ended)
        rest = await conn.fetch(*wanted)
        told = [*(_event(row, gaps) for row in old), *(_event(row, gaps) for row in rest)]
        return risk.advance(state, rules, told)
    cursor = await conn.cursor(*wanted)
    while rows := await cursor.fetch(EVENTS_AT_ONCE):
        state, risen = risk.advance(state, rules, (_event(row, gaps) for row in rows))
        top = risen or top
    return state, top


def _event(row: Row, gaps: Sequence[tuple[int, GapClass | None]]) -> Event:
    at_us = micros(row["at"])
    told_us = micros(row["told_at"])
    return Event(
        seq=row["seq"],
        at_us=at_us,
        event_type=row["event_type"],
        severity=row["severity"],
        gap_class=risk.gap_class_of(row["event_type"], told_us, gaps) if row["is_ours"] else None,
    )


async def _percents(conn: Connection, session_id: int) -> dict[int, int]:
    """Return what rules weigh in the session's attempt, where that is not all."""
    rows = await conn.fetch(QUERIES["list_percents"], [session_id])
    return {row["rule_id"]: row["percent"] for row in rows}


async def _breakdown(
    conn: Connection, session: asyncpg.Record, gone: Gone, settings: Settings
) -> dict[str, int]:
    """Return how many events of each type there are, the most frequent first."""
    if session["first_event_at"] is None:
        return {}
    first, last = session["first_event_at"], session["last_event_at"] + TICK
    rows = await conn.fetch(QUERIES["count_by_type"], session["id"], first, last)
    found = Counter({row["event_type"]: row["events"] for row in rows})
    if gone.rows:
        found.update(await archived.by_type(settings, gone))
    return {type_name(each): found[each] for each in sorted(found, key=lambda each: (-found[each], each))}


def _told(
    session_id: int, trace: Iterable[Part], names: Mapping[tuple[int, int], Any]
) -> list[TriggeredRule]:
    """Return a trace in words of the API; `names` are versions of rules by rule and version."""
    return [
        TriggeredRule(
            rule_id=part.rule_id,
            rule_name=names[part.rule_id, part.version]["name_en"],
            rule_name_ar=names[part.rule_id, part.version]["name_ar"],
            rule_version=part.version,
            risk_points=part.triggers * part.points / POINT,
            trigger_count=part.triggers,
            window_seconds=part.window_us // risk.SECOND,
            window_start=None if part.since_us is None else _moment(part.since_us),
            percent=part.percent,
            event_ids=[event_id(session_id, seq) for seq in part.events],
        )
        for part in trace
    ]


async def list_snapshots(
    conn: Connection, actor: Actor, session_id: int, query: ListSnapshots
) -> tuple[list[Snapshot], Paging]:
    """
    Return a page of a session's snapshots.

    Raises:
        NotFoundError: the caller may not see the session.
        ReviewedBlindError: it waits for one of two blind reviews, and theirs is not among them.
    """
    await _require_told(conn, actor, session_id)
    rows = await conn.fetch(QUERIES["list_snapshots"], session_id, query.cursor, query.limit + 1)
    page, last = page_of(rows, query.limit)
    versions = await conn.fetch(QUERIES["list_kept_rules"], session_id)
    names = {(row["rule_id"], row["version"]): row for row in versions}
    paging = Paging(limit=query.limit, next_cursor=None if last is None else str(last["id"]))
    return [_snapshot(row, names) for row in page], paging


def _snapshot(row: asyncpg.Record, names: Mapping[tuple[int, int], Any]) -> Snapshot:
    trace = msgspec.json.decode(row["trace"], type=list[Part])
    return Snapshot(
        id=row["id"],
        proctor_session_id=row["session_id"],
        risk_score=float(row["risk_score"]),
        peak_risk_score=float(row["peak_risk_score"]),
        risk_level=risk.level_of(int(row["peak_risk_score"] * POINT)),
        cause=row["cause"],
        as_of=row["as_of"],
        calculated_at=row["calculated_at"],
        through_sequence=row["through_seq"],
        rule_set_id=row["rule_set_id"],
        triggered_rules=_told(row["session_id"], trace, names),
    )


def micros(moment: datetime) -> int:
    """Return microseconds of the Unix epoch."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
