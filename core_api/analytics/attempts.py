"""
One attempt's monitoring, live from the events: timeline, gaps, a page of events (spec.md W-5).

A page costs what is on it: totals stand in `session_progress`, and the timeline, which takes a look at every
event, is counted for the first page only, or where it is asked for.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api import archived
from core_api.actors import Actor
from core_api.analytics.exams import Counts
from core_api.archived import Gone
from core_api.database import TICK, Connection, Row, fetch_one, of_row, page_of
from core_api.wire import LIMIT_DEFAULT, Limit
from kernel.errors import InvalidInputError
from kernel.events import (
    SEQUENCE_BITS,
    SEQUENCE_MAX,
    EventType,
    Label,
    Mode,
    SessionStatus,
    Severity,
    SeverityNumber,
    TypeName,
    TypeNumber,
    event_id,
    type_name,
)
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("monitoring")
ATTEMPTS: Final = named("attempts")
SESSIONS: Final = named("sessions")
BUCKETS_MAX: Final = 1000
BUCKETS_AIM: Final = 120
WIDTHS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
GAPS_MAX: Final = 200
CLOCK_STEPS_MAX: Final = 200
OUTAGES_MAX: Final = 200
ANALYSIS: Final = ("is_anomaly", "anomaly_score", "description", "analysis_notes")
EVENT_ID_MAX: Final = 2**53 - 1


class MonitoringQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the timeline is counted, how wide its buckets are, and which page of events."""

    timeline: (
        Annotated[
            bool, Meta(description="Count the timeline. When not given: on the first page of events only.")
        ]
        | None
    ) = None
    bucket_s: (
        Annotated[int, Meta(ge=1, le=86_400, description="Width in seconds; chosen when not given.")] | None
    ) = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Annotated[int, Meta(ge=0, le=EVENT_ID_MAX, description="`next_cursor` of the page before.")] = 0


class MonitoredAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Whose attempt at what."""

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str
    status: str
    started_at: datetime
    expires_at: datetime
    completed_at: datetime | None


class MonitoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """
    One of the attempt's proctor sessions.

    `clock_skew_ms` is the client's clock minus the server's, null until a heartbeat told it; every sequence
    up to `stored_through` is in the database.
    """

    session_id: int
    mode: int
    mode_name: str
    status: int
    status_name: str
    started_at: datetime
    ended_at: datetime | None
    total_events: int
    total_violations: int
    stored_through: int
    last_heartbeat_at: datetime | None
    heartbeat_missed_count: int
    clock_skew_ms: float | None
    quarantined_until: datetime | None  # until then, maybe in the past, its events are set aside


class Bucket(Counts, frozen=True, kw_only=True):
    """Counts of the half-open interval that begins at `bucket_at`; empty intervals are left out."""

    bucket_at: datetime


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """
    A silence of more than 45 s, from the last heartbeat before it; `ended_at` is null while it lasts.

    As it is judged now: of `missed` heartbeat intervals `covered` hold what the client sent later from its
    buffer. More may come, and change the classification. Neither counts an interval that the service itself
    did not take; `outage_s` of `duration_s` is such time, null until the gap is judged.
    """

    session_id: int
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    classification: str | None
    missed: int | None
    covered: int | None
    outage_s: float | None


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The service took nothing for the session: no silence in this time is the candidate's."""

    session_id: int
    started_at: datetime
    ended_at: datetime


class ClockStep(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate's clock was moved; skews are client minus server, in milliseconds."""

    session_id: int
    at: datetime
    old_skew_ms: float
    new_skew_ms: float


class MonitoringEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event; `effective_at` is when it happened, `server_timestamp` when it arrived."""

    id: int
    session_id: int
    sequence_number: int
    event_type: TypeName
    event_type_number: TypeNumber
    severity: SeverityNumber
    severity_label: Label
    is_violation: bool
    is_late: bool
    data_payload: Annotated[Any, Meta(description="The event's JSON, as it is stored.")]
    is_anomaly: bool | None
    anomaly_score: float | None
    description: str | None
    client_timestamp: datetime | None
    server_timestamp: datetime
    effective_at: datetime


class Monitoring(msgspec.Struct, frozen=True, kw_only=True):
    """
    Everything stored about one attempt so far; `next_cursor` is null on the last page of events.

    `timeline` is null where it was left out; the summary's counts by type and severity are then those of the
    last projection, as the exam's analytics have them.
    """

    attempt: MonitoredAttempt
    sessions: list[MonitoredSession]
    summary: Counts
    bucket_s: int
    timeline: list[Bucket] | None
    heartbeat_gaps: list[Gap]
    ingest_outages: list[Outage]
    clock_steps: list[ClockStep]
    events: list[MonitoringEvent]
    next_cursor: int | None


async def fetch(
    conn: Connection, actor: Actor, attempt_id: UUID, query: MonitoringQuery, *, settings: Settings
) -> Monitoring:
    """
    Return an attempt's sessions, timeline, gaps and a page of its events, all from one snapshot.

    Raises:
        NotFoundError: the attempt's exam is not visible to the caller.
        InvalidInputError: the buckets asked for would be too many.
        UnavailableError: some of it is in the archive, which cannot be read.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        attempt = await fetch_one(
            conn, "attempt", *ATTEMPTS.bind("fetch_attempt_for_staff", id=attempt_id, **actor.reach)
        )
        sessions = await conn.fetch(SESSIONS["list_sessions_of_attempt"], attempt_id)
        ids = [row["id"] for row in sessions]
        seen = [row for row in sessions if row["first_event_at"] is not None]
        since = min((row["first_event_at"] for row in seen), default=attempt["started_at"])
        before = max((row["last_event_at"] for row in seen), default=attempt["started_at"]) + TICK
        width = bucket_width(query.bucket_s, (before - since).total_seconds())
        gone = await archived.gone_of(conn, ids)
        counts = projected = None
        if not query.cursor if query.timeline is None else query.timeline:
            counts = await _counts(conn, ids, since, before, timedelta(seconds=width), gone, settings)
        else:
            projected = await conn.fetchrow(QUERIES["read_projected_counts"], attempt_id)
        gaps = await conn.fetch(QUERIES["list_gaps"], ids, GAPS_MAX)
        outages = await conn.fetch(QUERIES["list_session_outages"], ids, settings.shards, OUTAGES_MAX)
        steps = await conn.fetch(QUERIES["list_clock_steps"], ids, CLOCK_STEPS_MAX)
        events = await _next_events(conn, seen, query.cursor, query.limit + 1, gone, settings)
    page, last = page_of([_event(row) for row in events], query.limit)
    return Monitoring(
        attempt=MonitoredAttempt(**attempt),
        sessions=[_session(row) for row in sessions],
        summary=_summary(sessions, projected) if counts is None else Counts(**_fold(counts)),
        bucket_s=width,
        timeline=None if counts is None else _timeline(counts),
        heartbeat_gaps=[_gap(row) for row in gaps],
        ingest_outages=[Outage(**row) for row in outages],
        clock_steps=[_clock_step(row) for row in steps],
        events=page,
        next_cursor=None if last is None else last.id,
    )


async def _counts(
    conn: Connection,
    ids: Sequence[int],
    since: datetime,
    before: datetime,
    width: timedelta,
    gone: Gone,
    settings: Settings,
) -> list[Any]:
    """Return counts by bucket, type and severity, of the archive where it alone has the events."""
    counts: list[Any] = await conn.fetch(QUERIES["count_timeline"], ids, since, before, width)
    if gone.rows:
        counts += await archived.timeline(settings, gone, since, before, width)
        counts.sort(key=lambda row: (row["bucket_at"], row["event_type"], row["severity"]))
    return counts


async def _next_events(
    conn: Connection,
    sessions: Iterable[asyncpg.Record],
    cursor: int,
    limit: int,
    gone: Gone,
    settings: Settings,
) -> list[Any]:
    """
    Return the events after the cursor, by session and sequence.

    Each session is read by itself, from where the cursor stands in its index; an attempt has one a mode.
    """
    after_session, after_seq = cursor >> SEQUENCE_BITS, cursor & SEQUENCE_MAX
    events: list[Any] = []
    for row in sessions:  # in the order of their ids
        after = after_seq if row["id"] == after_session else 0
        if row["id"] >= after_session and len(events) < limit and after < gone.through.get(row["id"], 0):
            events += await _gone_events(conn, settings, gone, row["id"], after, limit - len(events))
        if row["id"] >= after_session and len(events) < limit:
            events += await QUERIES.run(
                conn.fetch,
                "list_monitoring_events",
                session_id=row["id"],
                since=row["first_event_at"],
                before=row["last_event_at"] + TICK,
                after=after,
                limit=limit - len(events),
            )
    return events


async def _gone_events(
    conn: Connection, settings: Settings, gone: Gone, session_id: int, after: int, limit: int
) -> list[dict[str, Any]]:
    """Return archived events as `list_monitoring_events` does, with what analysis says of them."""
    rows = await archived.page(settings, gone, session_id, limit, after=after)
    said = await conn.fetch(archived.QUERIES["list_analyses"], session_id, [row["seq"] for row in rows])
    analyses = {each["seq"]: each for each in said}
    return [
        row
        | {
            "proctor_session_id": session_id,
            "sequence_number": row["seq"],
            "data_payload": None if row["payload"] is None else row["payload"].encode(),
            "client_timestamp": row["client_at"],
            "server_timestamp": row["occurred_at"],
            "effective_at": row["effective_at"] or row["occurred_at"],
        }
        | {name: analyses[row["seq"]][name] if row["seq"] in analyses else None for name in ANALYSIS}
        for row in rows
    ]


def _summary(sessions: Iterable[asyncpg.Record], projected: asyncpg.Record | None) -> Counts:
    """Return the totals without a look at the events: exact in number, as of the last projection by kind."""
    rows = list(sessions)
    return Counts(
        events=sum(row["total_events"] for row in rows),
        violations=sum(row["total_violations"] for row in rows),
        by_type=projected["by_type"] if projected else {},
        by_severity=projected["by_severity"] if projected else {},
    )


def bucket_width(asked: int | None, span_s: float) -> int:
    """
    Return the bucket width: the one asked for if it gives at most 1000 buckets, else the finest of about 120.
    """
    if asked is None:
        return next((width for width in WIDTHS_S if span_s <= width * BUCKETS_AIM), WIDTHS_S[-1])
    if span_s > asked * BUCKETS_MAX:
        finest = int(span_s / BUCKETS_MAX) + 1
        raise InvalidInputError(
            "The timeline would have too many steps; ask for longer ones.",
            errors=[{"path": "bucket_s", "message": f"at least {finest} seconds for this attempt"}],
        )
    return asked


def _timeline(counts: Iterable[asyncpg.Record]) -> list[Bucket]:
    return [Bucket(bucket_at=at, **_fold(rows)) for at, rows in groupby(counts, key=_bucket_at)]


def _bucket_at(row: asyncpg.Record) -> datetime:
    at: datetime = row["bucket_at"]
    return at


def _fold(rows: Iterable[asyncpg.Record]) -> dict[str, Any]:
    """Return `Counts` of rows of `count_timeline`; keys in the order of their numbers."""
    events = violations = 0
    by_type: Counter[int] = Counter()
    by_severity: Counter[int] = Counter()
    for row in rows:
        events += row["events"]
        violations += row["violations"]
        by_type[row["event_type"]] += row["events"]
        by_severity[row["severity"]] += row["events"]
    return {
        "events": events,
        "violations": violations,
        "by_type": {EventType(number).name: by_type[number] for number in sorted(by_type)},
        "by_severity": {str(number): by_severity[number] for number in sorted(by_severity)},
    }


def _session(row: asyncpg.Record) -> MonitoredSession:
    offset_us: int | None = row["clock_offset_us"]
    return of_row(
        row,
        MonitoredSession,
        session_id=row["id"],
        mode_name=Mode(row["mode"]).name,
        status_name=SessionStatus(row["status"]).name,
        clock_skew_ms=None if offset_us is None else -offset_us / 1000,  # stored as server minus client
    )


def _gap(row: asyncpg.Record) -> Gap:
    ended_at: datetime | None = row["ended_at"]
    duration_s = None if ended_at is None else (ended_at - row["started_at"]).total_seconds()
    return of_row(row, Gap, duration_s=duration_s, classification=row["class"])


def _clock_step(row: asyncpg.Record) -> ClockStep:
    return of_row(
        row,
        ClockStep,
        old_skew_ms=-row["old_offset_us"] / 1000,  # stored as server minus client
        new_skew_ms=-row["new_offset_us"] / 1000,
    )


def _event(row: Row) -> MonitoringEvent:
    return of_row(
        row,
        MonitoringEvent,
        id=event_id(row["proctor_session_id"], row["sequence_number"]),
        session_id=row["proctor_session_id"],
        event_type=type_name(row["event_type"], row["event_name"]),
        event_type_number=row["event_type"],
        severity_label=Severity(row["severity"]).name,
    )
