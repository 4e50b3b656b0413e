"""
Archived events for whoever computes from events, and how they come back to the events table.

Where `gone_events` has a session, the archive alone has its events, up to a sequence.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
import polars as pl

from kernel.ledger.event import SYSTEM, LedgerEvent, body_of, event_id_at
from kernel.ledger.kinds import Kind, about
from kernel.settings import Settings
from pipeline.archive_told import Archive
from pipeline.features.session import NO_TIME, Events
from sql import named
from sql.running import Connection, one, rows
from warehouse.archived import Extent, scan_extents
from warehouse.files import open_root

RETENTION: Final = named("retention")


class Gone(Extent, frozen=True, kw_only=True):
    """A session whose events up to a sequence are in the archive alone, and how many there are."""

    total_events: int
    organisation_id: UUID


def list_gone(conn: Connection, session_ids: Sequence[int]) -> list[Gone]:
    """Return those of the sessions whose events are in the archive alone."""
    return [Gone(**row) for row in rows(conn, RETENTION["list_gone"], list(session_ids))]


def list_gone_between(
    conn: Connection,
    *,
    since: datetime | None = None,
    before: datetime | None = None,
    exam_id: UUID | None = None,
    session_id: int | None = None,
) -> list[Gone]:
    """Return sessions with events in the archive alone, from or before a moment, of an exam; None is any."""
    found = rows(conn, RETENTION["list_gone_between"], since, before, exam_id, session_id)
    return [Gone(**row) for row in found]


def read_gone(conn: Connection, settings: Settings, session_ids: Sequence[int]) -> dict[int, Events]:
    """Return the archived events of those of the sessions that have them nowhere else, by session."""
    gone = list_gone(conn, session_ids)
    if not gone:
        return {}
    root = open_root(settings.warehouse, settings)
    return events_of(scan_extents(root, gone), [each.session_id for each in gone])


def put_in_front(
    events: dict[int, Events], gone: Mapping[int, Events], session_id: int, after: int, through: int
) -> None:
    """Put what is gone of a session, beyond a sequence and up to another, in front of its events."""
    if (old := gone.get(session_id)) is None:
        return
    first, last = (int(np.searchsorted(old.seq, seq, side="right")) for seq in (after, through))
    if first < last:
        taken = old[first:last]
        events[session_id] = taken.followed_by(events[session_id]) if session_id in events else taken


def events_of(archived: pl.LazyFrame, session_ids: list[int]) -> dict[int, Events]:
    """Return the archived events of the sessions, by session, in the order of their sequence."""
    owned = pl.LazyFrame({"session_id": session_ids}, schema={"session_id": pl.Int64})
    utc = pl.Datetime("us", "UTC")
    times = {
        "occurred_us": pl.col("occurred_at"),
        "effective_us": pl.coalesce("effective_at", "occurred_at"),
        "client_us": pl.col("client_at"),
    }
    frame = (
        archived.join(owned, on="session_id", how="semi")
        .select(
            "session_id",
            *(pl.col(name).cast(pl.Int64) for name in ("seq", "event_type", "severity")),
            *(time.cast(utc).dt.epoch("us").alias(name) for name, time in times.items()),
            "is_violation",
            "is_late",
            is_backfilled=pl.col("effective_at").is_not_null(),
        )
        .with_columns(pl.col("client_us").fill_null(NO_TIME))
        .sort("session_id", "seq")
        .collect(engine="streaming")
    )
    if frame.is_empty():
        return {}
    columns = {name: frame[name].to_numpy() for name in frame.columns}
    sessions, starts = np.unique(columns.pop("session_id"), return_index=True)
    whole = Events(**columns)
    ends = [*starts[1:].tolist(), len(whole)]
    return {
        session: whole[start:end]
        for session, start, end in zip(sessions.tolist(), starts.tolist(), ends, strict=True)
    }


def bring_back(
    conn: Connection, archive: Archive, session: Gone, *, until: datetime, now: datetime
) -> int | None:
    """
    Put a session's events from the archive back into the events table, in one transaction.

    Returns:
        How many; None where they are there.

    Raises:
        psycopg.errors.DataException: the archive has not all of them; nothing was changed.
        ForeignArchiveError: a file of its days is not what the ledger says.
    """
    archive.addresses(session.first_at, session.last_at)
    found = scan_extents(archive.root, [session]).sort("seq").collect()
    detail = {"events": session.total_events, "from": session.first_at, "until": session.last_at}
    event = event_of(Kind.events_restored, session.organisation_id, str(session.session_id), detail, now)
    columns = {
        "seqs": "seq", "occurred": "occurred_at", "effective": "effective_at", "client_times": "client_at",
        "clients": "client", "client_seqs": "client_seq", "types": "event_type", "severities": "severity",
        "violations": "is_violation", "lates": "is_late", "names": "event_name", "payloads": "payload",
    }  # fmt: skip
    given = {name: found[column].to_list() for name, column in columns.items()}
    statement = RETENTION.bind(
        "bring_back",
        session_id=session.session_id,
        until=until,
        at=now,
        event_id=event.event_id,
        body=body_of(event),
        **given,
    )
    return found.height if one(conn, *statement) else None


def event_of(
    kind: Kind, organisation_id: UUID, aggregate_id: str, detail: Mapping[str, Any], now: datetime
) -> LedgerEvent:
    """Return the ledger's event of an act of retention; moments are told as text."""
    told = {key: each.isoformat() if isinstance(each, datetime) else each for key, each in detail.items()}
    return LedgerEvent(
        event_id=event_id_at(now),
        organisation_id=organisation_id,
        occurred_at=now,
        kind=kind,
        aggregate_type=about(kind).aggregate,
        aggregate_id=aggregate_id,
        actor_id=None,
        actor_role=SYSTEM,
        detail=told,
    )
