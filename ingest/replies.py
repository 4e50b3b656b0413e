"""
Replies in the shapes of proctor-module.txt and veritas-architecture.txt, with the acknowledgement beside
them.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ingest.admission.batches import EventIn
from ingest.appending.append import Ack, Appended
from ingest.stream.protocol import Batch
from kernel.events import EventOut, Severity, event_id, is_violation, type_name, warning_text


class SingleReply(Struct, frozen=True):
    """Reply of `POST /proctor/event`."""

    success: bool
    data: EventOut
    ack: Ack


class BulkReply(Struct, frozen=True):
    """Reply of `POST /proctor/events/bulk`; `data` is how many events of the request are stored."""

    success: bool
    data: int
    message: str
    ack: Ack
    results: list[dict[str, Any]] | UnsetType = UNSET


class HeartbeatOut(Struct, frozen=True, rename="camel"):
    """What a heartbeat tells the candidate; the numbers stay null unless the deployment shows them."""

    success: bool
    server_time: datetime
    current_risk_score: float | None
    total_violations: int | None
    has_warning: bool
    warning_message: str | None


class HeartbeatReply(Struct, frozen=True):
    """Reply of `POST /proctor/heartbeat`."""

    success: bool
    data: HeartbeatOut
    ack: Ack


class MonitorOut(Struct, frozen=True, omit_defaults=True):
    """One attempt's result of `POST /monitor/events`: recorded, with its ids, or refused, with the reason."""

    attempt_id: str
    status: str
    id: str | None = None
    ids: list[str] = []
    ack: Ack | None = None
    code: str | None = None
    detail: str | None = None
    errors: list[dict[str, str]] | None = None


class MonitorReply(Struct, frozen=True):
    """Reply to a list: a result per attempt, in the order of their first event."""

    results: list[MonitorOut]
    recorded: int


def moment(us: int) -> datetime:
    """Return microseconds since 1970 as a UTC datetime."""
    return datetime.fromtimestamp(us / 1e6, UTC)


def single(session_id: int, event: EventIn, batch: Batch, appended: Appended) -> SingleReply:
    """Return the reply to one event."""
    seq, at_us = appended.positions[0]
    number, severity = batch.types[0], batch.severities[0]
    name = batch.names[0] if batch.names else None
    out = EventOut(
        id=event_id(session_id, seq),
        proctor_session_id=session_id,
        event_type=number,
        event_type_name=type_name(number, name),
        severity=severity,
        severity_label=Severity(severity).name,
        is_violation=is_violation(number, severity),
        metadata_json=event.metadata_json,
        occurred_at=moment(at_us),
        sequence_number=seq,
    )
    return SingleReply(success=True, data=out, ack=appended.ack)


def bulk(count: int, appended: Appended, results: list[dict[str, Any]] | UnsetType = UNSET) -> BulkReply:
    """Return the reply to a batch of `count` stored events."""
    message = "1 event logged" if count == 1 else f"{count} events logged"
    return BulkReply(success=True, data=count, message=message, ack=appended.ack, results=results)


def heartbeat(appended: Appended, language: str, *, show_numbers: bool) -> HeartbeatReply:
    """Return the reply to a heartbeat; see spec.md, decision 6 and P-3."""
    text = warning_text(appended.violations, language)
    out = HeartbeatOut(
        success=True,
        server_time=moment(appended.positions[0][1]),
        current_risk_score=None,
        total_violations=appended.violations if show_numbers else None,
        has_warning=text is not None,
        warning_message=text,
    )
    return HeartbeatReply(success=True, data=out, ack=appended.ack)


encode = msgspec.json.Encoder(uuid_format="canonical").encode
