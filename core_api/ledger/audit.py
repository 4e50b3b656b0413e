"""
The audit log: the ledger as an admin reads it, newest first (spec.md L-1, A-6, decision 14).

Whole, or as `audit_logs`, under the names of the architecture document: without what candidates and the
system do in attempts, sessions and submissions.
"""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_page, of_row
from core_api.wire import NO_NUL, ListPage, Moment, Page, check_moments
from kernel.ledger.event import MILLISECOND, ORIGIN, RECORD, first_id_at, read_body
from kernel.ledger.merkle import leaf_hash
from sql import named

QUERIES: Final = named("ledger")

Word = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    One ledger event. `personal` holds the values that have not been erased, None for those that have;
    `position` is null while it waits for the sealer; `leaf_hash` is hex.
    """

    event_id: UUID
    occurred_at: datetime
    kind: str
    aggregate_type: str
    aggregate_id: str
    actor_id: UUID | None
    actor_role: str
    subject_id: UUID | None
    detail: dict[str, Any]
    personal: dict[str, str | None]
    position: int | None
    leaf_hash: str


class AuditPage(Page, frozen=True):
    """A page of events, newest first; `next_cursor` is null on the last page."""

    events: list[AuditEvent]


class Stretch(ListPage, frozen=True, kw_only=True):
    """Which stretch of time, and which page of it."""

    since: Annotated[Moment, Meta(description="Inclusive.")] | None = msgspec.field(default=None, name="from")
    before: Annotated[Moment, Meta(description="Exclusive.")] | None = msgspec.field(default=None, name="to")

    def __post_init__(self) -> None:
        """Bound the moments; msgspec turns the ValueError into a refusal."""
        check_moments(self.since, self.before)


class AuditQuery(Stretch, frozen=True, kw_only=True):
    """Which events."""

    kind: Annotated[Word, Meta(description="Exactly this kind.")] | None = None
    actor_id: Annotated[UUID, Meta(description="Who did it.")] | None = None
    aggregate_type: Annotated[Word, Meta(description="What kind of record.")] | None = None
    aggregate_id: Annotated[Word, Meta(description="Which record.")] | None = None


class AuditLog(msgspec.Struct, frozen=True, kw_only=True):
    """
    One entry: who did what to which record, from where. `user_id` is null for the system; address and
    browser are null where they are not known or were erased; `ledger_position` while it waits for the sealer.
    """

    id: UUID
    user_id: UUID | None
    user_role: str
    action: str
    resource_type: str
    resource_id: str
    details: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    created_at: datetime
    ledger_position: int | None


class AuditLogs(Page, frozen=True):
    """A page of entries, newest first; `next_cursor` is null on the last page."""

    audit_logs: list[AuditLog]


class AuditLogQuery(Stretch, frozen=True, kw_only=True):
    """Which entries."""

    user_id: Annotated[UUID, Meta(description="Who did it.")] | None = None
    action: Annotated[Word, Meta(description="Exactly this one, `auth.signed_in` say.")] | None = None
    resource_type: Annotated[Word, Meta(description="What kind of record.")] | None = None
    resource_id: Annotated[Word, Meta(description="Which record.")] | None = None


async def list_logs(conn: Connection, actor: Actor, query: AuditLogQuery) -> AuditLogs:
    """Return a page of the organisation's audit log."""
    asked = AuditQuery(
        limit=query.limit,
        cursor=query.cursor,
        kind=query.action,
        actor_id=query.user_id,
        aggregate_type=query.resource_type,
        aggregate_id=query.resource_id,
        since=query.since,
        before=query.before,
    )
    page = await list_events(conn, actor, asked, routine=False)
    return AuditLogs([_log(each) for each in page.events], next_cursor=page.next_cursor)


def _log(event: AuditEvent) -> AuditLog:
    return AuditLog(
        id=event.event_id,
        user_id=event.actor_id,
        user_role=event.actor_role,
        action=event.kind,
        resource_type=event.aggregate_type,
        resource_id=event.aggregate_id,
        details=event.detail,
        ip_address=event.personal.get("address") or event.personal.get("network"),
        user_agent=event.personal.get("user_agent"),
        created_at=event.occurred_at,
        ledger_position=event.position,
    )


async def list_events(
    conn: Connection, actor: Actor, query: AuditQuery, *, routine: bool = True
) -> AuditPage:
    """Return a page of the organisation's events; without `routine` those of the audit log."""
    page, following = await fetch_page(
        conn,
        query,
        QUERIES,
        "list_audit_log",
        organisation=actor.organisation_id,
        since_id=None if query.since is None else first_id_at(query.since),
        before_id=None if query.before is None else first_id_at(query.before + MILLISECOND),
        routine=routine,
    )
    return AuditPage([_event(row) for row in page], next_cursor=following)


def _event(row: asyncpg.Record) -> AuditEvent:
    said = read_body(row["body"])
    return of_row(
        row,
        AuditEvent,
        event_id=row["id"],
        detail=said.detail,
        personal=_personal(said.commitments, row["personal"] or {}),
        leaf_hash=leaf_hash(row["body"]).hex(),
    )


def _personal(commitments: dict[str, str], kept: dict[str, str]) -> dict[str, str | None]:
    """Return the personal values by name, an origin as its address and agent; None for what was erased."""
    shown = {name: kept.get(name) for name in commitments if name != ORIGIN and not name.startswith(RECORD)}
    if ORIGIN in commitments:
        origin: dict[str, str] = msgspec.json.decode(kept.get(ORIGIN, "{}"))
        shown |= {name: origin.get(name) for name in ("address", "user_agent")}
    return shown
