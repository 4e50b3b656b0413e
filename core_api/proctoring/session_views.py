"""
Proctor sessions as they are read: one with its latest events, an attempt's, lists (spec.md P-1, decision 6).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, of_row, page_of
from core_api.exams import exams
from core_api.proctoring.session_events import RecentEvent, recent
from core_api.wire import LIMIT_DEFAULT, LIMIT_MAX, Limit, Paging
from kernel.errors import InvalidInputError, NotFoundError
from kernel.events import SESSION_ID_MAX, DecisionStatus, Mode, Role, SessionStatus
from kernel.settings import Settings
from sql import named

S = TypeVar("S", bound="SessionHead")
QUERIES: Final = named("sessions")
OFFSET_MAX: Final = 10_000
GONE: Final[dict[str, Any]] = {"extra_json_schema": {"deprecated": True}}

Sort = Literal[
    "id", "startedAt", "endedAt", "lastHeartbeatAt", "totalEvents", "totalViolations", "riskScore",
    "peakRiskScore",
    "-id", "-startedAt", "-endedAt", "-lastHeartbeatAt", "-totalEvents", "-totalViolations", "-riskScore",
    "-peakRiskScore",
]  # fmt: skip
# Bands of the peak as they are stored (spec.md, decision 9): nothing here computes one.
RiskLevel = Literal["Low", "Medium", "High", "Critical"]


class SessionDecision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was decided about a session, in short; candidates never see it."""

    id: int
    status: DecisionStatus
    status_name: str
    is_finalized: bool
    decided_by: UUID
    decided_at: datetime


class SessionHead(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a session is, for whoever may see it."""

    id: int
    attempt_id: UUID
    exam_id: UUID
    exam_title_en: str
    candidate_id: UUID
    candidate_name: str
    mode: Mode
    mode_name: str
    status: SessionStatus
    status_name: str
    started_at: datetime
    ended_at: datetime | None
    ip_address: str | None
    browser_name: str | None


class OwnSession(SessionHead, frozen=True, kw_only=True, rename="camel"):
    """
    A session as its candidate sees it: nothing of risk, events, evidence or decisions (spec.md, decision 6).

    `totalViolations` is null, unless the deployment shows candidates the number.
    """

    total_violations: int | None
    last_heartbeat_at: datetime | None


class Session(SessionHead, frozen=True, kw_only=True, rename="camel"):
    """
    A session as its staff see it.

    `riskScore` is the score now, or at the session's end; `peakRiskScore` the highest that it ever had, and
    `riskLevel` the band of that. They are null until a score was computed, and while the session waits for
    two blind reviews, for who has not given theirs; `decision` until there is one. Until
    `quarantinedUntil`, which may be over, the session's events are set aside (dead letters), because the
    database refused too many of them: none of those is in the counts. Null where it never was in quarantine.
    """

    total_events: int
    total_violations: int
    risk_score: float | None
    peak_risk_score: float | None
    risk_level: RiskLevel | None
    last_heartbeat_at: datetime | None
    decision: SessionDecision | None
    quarantined_until: datetime | None


class SessionDetail(Session, frozen=True, kw_only=True, rename="camel"):
    """A session with its latest events, newest first."""

    recent_events: list[RecentEvent]


class OfAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of an attempt's sessions; the later one unless a mode is asked for."""

    mode: Annotated[Mode, Meta(description="1 Soft, 2 Advanced.")] | None = None


class ListExamSessions(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Filters, order and page of an exam's sessions."""

    status: Annotated[SessionStatus, Meta(description="1 Active, 2 Completed, 3 Cancelled.")] | None = None
    mode: Annotated[Mode, Meta(description="1 Soft, 2 Advanced.")] | None = None
    candidate_id: Annotated[UUID, Meta(description="Only this candidate's.")] | None = None
    risk_level: Annotated[RiskLevel, Meta(description="Only those whose peak is in this band.")] | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            int, Meta(ge=1, le=SESSION_ID_MAX, description="`nextCursor` of the page before, in its order.")
        ]
        | None
    ) = None
    page: (
        Annotated[int, Meta(ge=1, description="A numbered page, from 1: follow `cursor`.", **GONE)] | None
    ) = None
    size: Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="Its rows: give `limit`.", **GONE)] | None = (
        None
    )
    sort: (
        Annotated[Sort, Meta(description="Order, and with it the `total`; a leading minus is descending.")]
        | None
    ) = None


class ListSessions(ListExamSessions, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Filters, order and page of all sessions that the caller may see."""

    exam_id: Annotated[UUID, Meta(description="Only this exam's.")] | None = None


async def require_visible(conn: Connection, actor: Actor, session_id: int) -> asyncpg.Record:
    """Return the session's row of `session_overview`; raises NotFoundError when the caller may not see it."""
    return await fetch_one(
        conn, "proctor session", *QUERIES.bind("fetch_session", id=session_id, **actor.reach)
    )


async def fetch(conn: Connection, actor: Actor, session_id: int, *, settings: Settings) -> SessionDetail:
    """Return a session with its latest events; raises NotFoundError when the caller may not see it."""
    row = await require_visible(conn, actor, session_id)
    return await _detail(conn, row, settings)


async def fetch_of_attempt(
    conn: Connection, actor: Actor, attempt_id: UUID, query: OfAttempt, *, settings: Settings
) -> SessionDetail | OwnSession:
    """
    Return an attempt's session, the later one unless a mode is asked for.

    Args:
        conn: a connection.
        actor: staff, or the candidate, who is shown less (spec.md, decision 6).
        attempt_id: of the attempt.
        query: which session.
        settings: say whether this deployment lets candidates see their violation count.

    Raises:
        NotFoundError: none, or none that the caller may see.
    """
    wanted = QUERIES.bind("fetch_session_of_attempt", attempt_id=attempt_id, mode=query.mode, **actor.reach)
    row = await conn.fetchrow(*wanted)
    if row is None:
        raise NotFoundError("There is no proctor session for this attempt.")
    if actor.role is not Role.student:
        return await _detail(conn, row, settings)
    hidden = {} if settings.show_numbers_to_candidates else {"total_violations": None}
    return _shown(row, OwnSession, **hidden)


async def _detail(conn: Connection, row: asyncpg.Record, settings: Settings) -> SessionDetail:
    """Return a session as its staff see it, with its latest events and what was decided about it."""
    (decision,) = await _decisions(conn, [row])
    return _shown(row, SessionDetail, recent_events=await recent(conn, row, settings), decision=decision)


async def _decisions(conn: Connection, rows: Sequence[asyncpg.Record]) -> list[SessionDecision | None]:
    """Return what was decided about each session, as far as the asker may see it."""
    found = await conn.fetch(QUERIES["list_decisions_of"], [row["id"] for row in rows])
    decided = {
        each["session_id"]: of_row(each, SessionDecision, status_name=DecisionStatus(each["status"]).name)
        for each in found
    }
    return [decided.get(row["id"]) for row in rows]


def _shown(row: asyncpg.Record, kind: type[S], **further: object) -> S:
    """Return a session of a row of `session_overview`, with more."""
    return of_row(
        row,
        kind,
        exam_title_en=row["exam_title"],
        mode_name=Mode(row["mode"]).name,
        status_name=SessionStatus(row["status"]).name,
        ip_address=None if row["ip_address"] is None else str(row["ip_address"]),
        **further,
    )


async def list_all(conn: Connection, actor: Actor, query: ListSessions) -> tuple[list[Session], Paging]:
    """
    Return a page of sessions as `list_visible` does, of all exams or of the one that is asked for.

    Raises:
        NotFoundError: an exam is named that they may not see.
        InvalidInputError: a cursor together with numbered pages, or a page too far in.
    """
    return await list_visible(conn, actor, query, query.exam_id)


async def list_visible(
    conn: Connection, actor: Actor, query: ListExamSessions, exam_id: UUID | None
) -> tuple[list[Session], Paging]:
    """
    Return a page of the sessions that the caller may see.

    Newest first, a list stays fast and stable however long it is. Sorted otherwise, its total is counted, and
    the cursor says how many rows came before.

    Raises:
        NotFoundError: an exam is named that they may not see.
        InvalidInputError: a cursor together with a numbered page, or a page of a sorted list too far in.
    """
    if exam_id is not None:
        await exams.require_visible(conn, actor, exam_id)
    filters = {
        "exam_id": exam_id,
        "candidate_id": query.candidate_id,
        "status": query.status,
        "mode": query.mode,
        "risk_level": query.risk_level,
    }
    if query.page is None and query.size is None and query.sort is None:
        wanted = {**filters, "cursor": query.cursor, "limit": query.limit + 1}
        wanted["organisation"] = actor.organisation_id
        if actor.sees_organisation:
            rows = await QUERIES.run(conn.fetch, "list_sessions", **wanted)
        else:
            rows = await QUERIES.run(conn.fetch, "list_granted_sessions", **wanted, user_id=actor.user_id)
        page, last = page_of(rows, query.limit)
        return await _sessions(conn, page), Paging(
            limit=query.limit, next_cursor=None if last is None else str(last["id"])
        )
    numbered = query.page is not None or query.size is not None
    if numbered and query.cursor is not None:
        raise _invalid("cursor", "cannot be given together with page or size")
    number, size, sort = query.page or 1, query.size or query.limit, query.sort or "-id"
    offset = (number - 1) * size if numbered else query.cursor or 0
    if offset > OFFSET_MAX:
        sentence = (
            f"only the first {OFFSET_MAX} rows of a sorted list are shown; filter it, or take it unsorted"
        )
        raise _invalid("page" if numbered else "cursor", sentence)
    total = await QUERIES.run(conn.fetchval, "count_sessions", **filters, **actor.reach)
    rows = await QUERIES.run(
        conn.fetch,
        "list_sessions_sorted",
        **filters,
        **actor.reach,
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        offset=offset,
        limit=size,
    )
    following = str(offset + size) if offset + size < total else None
    page_number = number if numbered else msgspec.UNSET
    return await _sessions(conn, rows), Paging(
        limit=size, next_cursor=following, page=page_number, total=total
    )


async def _sessions(conn: Connection, rows: Sequence[asyncpg.Record]) -> list[Session]:
    decisions = await _decisions(conn, rows)
    return [_shown(row, Session, decision=each) for row, each in zip(rows, decisions, strict=True)]


def _invalid(path: str, message: str) -> InvalidInputError:
    return InvalidInputError("A query parameter is not allowed.", errors=[{"path": path, "message": message}])
