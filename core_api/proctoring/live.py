"""An exam while it runs, as its staff watch it: each session as it stands, and what they come to (U-1)."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, of_row, page_of
from core_api.exams import exams
from core_api.proctoring.session_views import OFFSET_MAX
from core_api.wire import LIMIT_DEFAULT, Limit, Paging, Text200
from kernel.errors import InvalidInputError
from kernel.events import (
    HEARTBEAT_MISSED_AFTER_S,
    SESSION_ID_MAX,
    DecisionStatus,
    EventType,
    SessionStatus,
    TypeName,
    TypeNumber,
    type_name,
)
from sql import named

QUERIES: Final = named("live")
TOP_VIOLATIONS: Final = 10
TELEMETRY_MIN: Final = (
    EventType.EyeMovement
)  # from here on types say what a candidate does, not what is wrong
# What monitors see that somebody should know; the others are signs of life, of order, or of staff.
SIGNALS: Final = [
    each.name
    for each in EventType
    if EventType.Heartbeat < each < TELEMETRY_MIN
    and each
    not in {
        EventType.NetworkReconnected,
        EventType.ScreenShareStarted,
        EventType.ScreenShareRequested,
        EventType.ScreenShareResumed,
        EventType.ProctorWarning,
        EventType.ProctorFlagged,
        EventType.ProctorUnflagged,
        EventType.ProctorTerminated,
    }
]
Level = Literal["Low", "Medium", "High", "Critical"]
RANGES: Final[Mapping[Level, str]] = {
    "Low": "0-20 (Low)",
    "Medium": "21-50 (Medium)",
    "High": "51-75 (High)",
    "Critical": "76-100 (Critical)",
}
Sort = Literal[
    "riskScore", "peakRiskScore", "totalViolations", "lastHeartbeatAt", "candidateName",
    "-riskScore", "-peakRiskScore", "-totalViolations", "-lastHeartbeatAt",
]  # fmt: skip


class LastEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session's latest event that is no heartbeat."""

    event_type: TypeNumber
    event_type_name: TypeName
    occurred_at: datetime


class LiveSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A session as it stands. Scores and level are null until something was scored, and while it waits for two
    blind reviews, for who has not given theirs; the level is that of the peak. Online is an active session
    with a heartbeat within 45 seconds.
    """

    proctor_session_id: int
    attempt_id: UUID
    candidate_name: str
    status: SessionStatus
    risk_score: float | None
    peak_risk_score: float | None
    risk_level: Level | None
    total_violations: int
    last_heartbeat_at: datetime | None
    is_online: bool
    last_event: LastEvent | None


class ListLive(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which sessions of an exam, in which order, and which page of them."""

    status: Annotated[SessionStatus, Meta(description="1 Active, 2 Completed, 3 Cancelled.")] = (
        SessionStatus.Active
    )
    level: Annotated[Level, Meta(description="Only those whose peak score is in this band.")] | None = None
    online: Annotated[bool, Meta(description="Only those that are online, or only the others.")] | None = None
    q: Annotated[Text200, Meta(description="Only candidates whose name has this in it.")] | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            int, Meta(ge=1, le=SESSION_ID_MAX, description="`nextCursor` of the page before, in its order.")
        ]
        | None
    ) = None
    sort: (
        Annotated[
            Sort,
            Meta(
                description="Order, and with it the `total`; a leading minus is descending. Without one they "
                "come in the order in which they began."
            ),
        ]
        | None
    ) = None


class TypeCount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many events of a type there were."""

    event_type: TypeNumber
    event_type_name: TypeName
    count: int


class Band(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many of the scored sessions have their peak score in a band, and the share in percent."""

    range: str
    count: int
    percentage: float


class ExamDashboard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    An exam's sessions in numbers. Risk is that of each session's peak score; the average is null, and the
    distribution empty, until something was scored.
    """

    exam_id: UUID
    exam_title_en: str
    total_sessions: int
    active_sessions: int
    completed_sessions: int
    high_risk_count: Annotated[int, Meta(description="In the band High.")]
    critical_risk_count: Annotated[int, Meta(description="In the band Critical.")]
    pending_review_count: Annotated[int, Meta(description="Completed, and nothing is decided for good.")]
    cleared_count: int
    invalidated_count: int
    average_risk_score: float | None
    top_violations: Annotated[
        list[TypeCount], Meta(description="The ten most frequent types of what monitors see.")
    ]
    risk_distribution: list[Band]


async def list_live(
    conn: Connection, actor: Actor, exam_id: UUID, query: ListLive, *, now: datetime
) -> tuple[list[LiveSession], Paging]:
    """
    Return a page of an exam's sessions as they stand.

    Raises:
        NotFoundError: the caller may not see the exam.
        InvalidInputError: a page of a sorted list too far in.
    """
    await exams.require_visible(conn, actor, exam_id)
    wanted = {
        "exam_id": exam_id,
        "status": query.status,
        "level": query.level,
        "q": query.q,
        "online": query.online,
        "online_since": online_since(now),
    }
    if query.sort is None:
        found = {"cursor": query.cursor, "limit": query.limit + 1}
        rows = await QUERIES.run(conn.fetch, "list_live", **wanted, **found)
        page, last = page_of(rows, query.limit)
        following = None if last is None else str(last["id"])
        return [shown(row, now) for row in page], Paging(limit=query.limit, next_cursor=following)
    offset = query.cursor or 0
    if offset > OFFSET_MAX:
        sentence = f"only the first {OFFSET_MAX} sessions of a sorted list are shown; filter it"
        raise InvalidInputError(
            "A query parameter is not allowed.", errors=[{"path": "cursor", "message": sentence}]
        )
    total = await QUERIES.run(conn.fetchval, "count_live", **wanted)
    rows = await QUERIES.run(
        conn.fetch,
        "list_live_sorted",
        **wanted,
        sort=query.sort.removeprefix("-"),
        descending=query.sort.startswith("-"),
        offset=offset,
        limit=query.limit,
    )
    following = str(offset + query.limit) if offset + query.limit < total else None
    return [shown(row, now) for row in rows], Paging(limit=query.limit, next_cursor=following, total=total)


def online_since(now: datetime) -> datetime:
    """Return the moment since when a session that is online has sent a heartbeat."""
    return now - timedelta(seconds=HEARTBEAT_MISSED_AFTER_S)


def shown(row: asyncpg.Record, now: datetime) -> LiveSession:
    """Return a session of a row of `live_sessions`."""
    heard_at = row["last_heartbeat_at"]
    last = None
    if row["last_other_type"] is not None:
        last = LastEvent(
            event_type=row["last_other_type"],
            event_type_name=type_name(row["last_other_type"], row["last_other_name"]),
            occurred_at=row["last_other_at"],
        )
    is_online = (
        row["status"] == SessionStatus.Active and heard_at is not None and heard_at >= online_since(now)
    )
    return of_row(row, LiveSession, proctor_session_id=row["id"], is_online=is_online, last_event=last)


async def fetch_dashboard(conn: Connection, actor: Actor, exam_id: UUID) -> ExamDashboard:
    """Return an exam's sessions in numbers; raises NotFoundError when the caller may not see the exam."""
    exam = await exams.require_visible(conn, actor, exam_id)
    rows = await conn.fetch(QUERIES["count_dashboard"], exam_id)
    violations = await conn.fetch(QUERIES["list_top_violations"], exam_id, SIGNALS, TOP_VIOLATIONS)
    states, levels, decisions = Counter[int](), Counter[str](), Counter[int]()
    pending, peaks = 0, 0.0
    for row in rows:
        states[row["status"]] += row["sessions"]
        decisions[row["decision"] or DecisionStatus.Pending] += row["sessions"]
        if row["status"] == SessionStatus.Completed and not row["is_final"]:
            pending += row["sessions"]
        if row["risk_level"] is not None:
            levels[row["risk_level"]] += row["sessions"]
            peaks += row["peaks"]
    scored = levels.total()
    return ExamDashboard(
        exam_id=exam_id,
        exam_title_en=exam["title"],
        total_sessions=states.total(),
        active_sessions=states[SessionStatus.Active],
        completed_sessions=states[SessionStatus.Completed],
        high_risk_count=levels["High"],
        critical_risk_count=levels["Critical"],
        pending_review_count=pending,
        cleared_count=decisions[DecisionStatus.Cleared],
        invalidated_count=decisions[DecisionStatus.Invalidated],
        average_risk_score=round(peaks / scored, 2) if scored else None,
        top_violations=[
            TypeCount(event_type=EventType[row["type"]], event_type_name=row["type"], count=row["events"])
            for row in violations
        ],
        risk_distribution=distribution(levels),
    )


def distribution(levels: Mapping[str, int]) -> list[Band]:
    """Return how sessions are distributed, lowest band first, by the level; percents are of all of them."""
    scored = sum(levels.values())
    return [
        Band(
            range=text,
            count=levels.get(level, 0),
            percentage=round(100 * levels.get(level, 0) / scored, 2) if scored else 0.0,
        )
        for level, text in RANGES.items()
    ]
