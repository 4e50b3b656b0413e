"""
The events of a proctor session as staff read them, by sequence.

Every read is bounded by the first and the last event that the writer has stored, so that only the
hypertable's chunks between them are touched.
"""

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
import msgspec
from msgspec import Meta

from core_api import archived
from core_api.database import TICK, Connection, Row, of_row, page_of
from core_api.wire import LIMIT_DEFAULT, Limit, Moment, Paging, check_moments
from kernel.errors import NotFoundError
from kernel.events import (
    SEQUENCE_MAX,
    TYPE_BY_NAME,
    EventOut,
    EventType,
    Severity,
    SeverityNumber,
    TypeName,
    TypeNumber,
    event_id,
    type_name,
)
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("sessions")
RECENT_EVENTS: Final = 10
NEXT: Final = "`nextCursor` of the page before."


class RecentEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of a session's latest events."""

    id: int
    event_type: TypeNumber
    event_type_name: TypeName
    severity: SeverityNumber
    is_violation: bool
    occurred_at: datetime


class ProctorEvent(EventOut, frozen=True, kw_only=True, rename="camel"):
    """
    One stored event. `occurredAt` is the server's time; `effectiveAt` the corrected time of a back-filled
    event.

    `metadataJson` is the payload as JSON text; `isLate` marks what arrived after the session had ended.
    """

    client_timestamp: datetime | None
    effective_at: datetime | None
    is_late: bool


class ListEvents(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which events of a session, and which page of them."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX, description=NEXT)] | None = None
    severity: Annotated[Severity, Meta(description="Exactly this severity, 0 to 5.")] | None = None
    severity_min: Annotated[Severity, Meta(description="This severity or a higher one.")] | None = None
    violation: Annotated[bool, Meta(description="Only violations, or only others.")] | None = None
    since: Annotated[Moment, Meta(description="Server time, inclusive.")] | None = msgspec.field(
        default=None, name="from"
    )
    before: Annotated[Moment, Meta(description="Server time, exclusive.")] | None = msgspec.field(
        default=None, name="to"
    )

    def __post_init__(self) -> None:
        """Bound the moments; msgspec turns the ValueError into a refusal."""
        check_moments(self.since, self.before)


def type_in_path(text: str) -> EventType:
    """Return the event type of a number or a name in either spelling; raises NotFoundError for any other."""
    try:
        return EventType(int(text)) if text.isascii() and text.isdigit() else TYPE_BY_NAME[text]
    except (ValueError, KeyError) as error:
        raise NotFoundError("There is no such event type.") from error


async def recent(conn: Connection, session: asyncpg.Record, settings: Settings) -> list[RecentEvent]:
    """
    Return the latest ten events of a `session_overview` row, newest first.

    Raises:
        UnavailableError: they are in the archive, which cannot be read.
    """
    if session["first_event_at"] is None:
        return []
    rows: list[Any] = await conn.fetch(
        QUERIES["list_recent_events"],
        session["id"],
        session["first_event_at"],
        session["last_event_at"] + TICK,
        RECENT_EVENTS,
    )
    gone = await archived.gone_of(conn, [session["id"]]) if len(rows) < RECENT_EVENTS else None
    if gone is not None and gone.rows:  # maybe since
        old = await archived.page(settings, gone, session["id"], RECENT_EVENTS, newest=True)
        known = {row["seq"] for row in rows}
        rows = [*rows, *(row for row in old if row["seq"] not in known)][:RECENT_EVENTS]
    return [
        of_row(
            row,
            RecentEvent,
            id=event_id(session["id"], row["seq"]),
            event_type_name=type_name(row["event_type"], row["event_name"]),
        )
        for row in rows
    ]


async def list_of_session(
    conn: Connection,
    session: asyncpg.Record,
    query: ListEvents,
    event_type: EventType | None,
    *,
    settings: Settings,
) -> tuple[list[ProctorEvent], Paging]:
    """
    Return a page of a visible session's events, in order of sequence.

    Raises:
        UnavailableError: they are in the archive, which cannot be read.
    """
    first, last = session["first_event_at"], session["last_event_at"]
    if first is None:
        return [], Paging(limit=query.limit, next_cursor=None)
    which = {
        "since": max(first, query.since or first),
        "before": min(last + TICK, query.before or last + TICK),
        "after": query.cursor or 0,
        "event_type": event_type,
        "severity": query.severity,
        "severity_min": query.severity_min,
        "is_violation": query.violation,
    }
    wanted, rows = query.limit + 1, list[Any]()
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        gone = await archived.gone_of(conn, [session["id"]])
        if gone.rows and which["after"] < gone.through[session["id"]]:
            rows += await archived.page(settings, gone, session["id"], wanted, **which)
        if len(rows) < wanted:
            given = which | {"session_id": session["id"], "limit": wanted - len(rows)}
            rows += await QUERIES.run(conn.fetch, "list_events", **given)
    page, last = page_of(rows, query.limit)
    paging = Paging(limit=query.limit, next_cursor=None if last is None else str(last["seq"]))
    return [_event(session["id"], row) for row in page], paging


def _event(session_id: int, row: Row) -> ProctorEvent:
    return of_row(
        row,
        ProctorEvent,
        id=event_id(session_id, row["seq"]),
        proctor_session_id=session_id,
        event_type_name=type_name(row["event_type"], row["event_name"]),
        severity_label=Severity(row["severity"]).name,
        metadata_json=row["payload"],
        sequence_number=row["seq"],
        client_timestamp=row["client_at"],
    )
