"""
Alerts: attempts in which something stands out, the most urgent first, and who has looked at them (V,
`GET /teacher/alerts`; analytics.md, flags).

What alerts is what was projected of an attempt. An acknowledgement is for the alerts that there were: an
attempt that alerts of something else afterwards is not acknowledged any more.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.analytics.reasons import Reason, reasons_in
from core_api.database import Connection, fetch_one, of_row, page_of
from core_api.ledger import entries as ledger
from core_api.wire import LIMIT_DEFAULT, Limit, Text1000, invalid
from kernel.ledger.event import EPOCH
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("alerts")
REPORTING: Final = named("reporting")
MICROSECOND: Final = timedelta(microseconds=1)


class Code(StrEnum):
    """What an alert is about, in the order of urgency."""

    critical_risk = "CRITICAL_RISK"
    high_risk = "HIGH_RISK"
    evidence_tampering = "EVIDENCE_TAMPERING"
    unexplained_silence = "UNEXPLAINED_SILENCE"
    anomaly_cluster = "ANOMALY_CLUSTER"
    dropout = "DROPOUT"


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """Who has looked at an attempt's alerts, when, and what they noted."""

    acknowledged_by: UUID
    acknowledged_by_name: str
    acknowledged_at: datetime
    note: str


class AlertedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """
    An attempt with its alerts, the most urgent first. `acknowledged` is null until somebody has looked at all
    of them. `completed_at` is null while it runs.
    """

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str
    completed_at: datetime | None
    risk_level: str | None
    integrity_band: str | None
    recommended_action: str
    alerts: list[Reason]
    acknowledged: Acknowledged | None
    as_of: datetime | None


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of attempts that alert; `next_cursor` is null on the last page."""

    attempts: list[AlertedAttempt]
    next_cursor: str | None


class ListAlerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts."""

    exam_id: Annotated[UUID, Meta(description="Only of this exam.")] | None = None
    code: Annotated[Code, Meta(description="Only attempts with this alert.")] | None = None
    acknowledged: (
        Annotated[bool, Meta(description="Only those that somebody has looked at, or nobody has.")] | None
    ) = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            str,
            Meta(
                pattern=r"^[1-9]\.-?\d{1,18}\.[0-9a-f-]{36}$(?!\n)",
                description="`next_cursor` of the page before.",
            ),
        ]
        | None
    ) = None


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That the caller has looked at these alerts of an attempt, which are all that they were shown."""

    codes: Annotated[list[Code], Meta(min_length=1, max_length=len(Code))]
    note: Text1000 = ""


async def list_of_caller(conn: Connection, query: ListAlerts) -> Alerts:
    """Return a page of the attempts that alert, of the exams whose analytics the caller may see."""
    rank, ended_at, attempt_id = _after(query.cursor)
    async with conn.transaction():
        await conn.execute(REPORTING["plan_once"])
        rows = await QUERIES.run(
            conn.fetch,
            "list_alerts",
            exam_id=query.exam_id,
            code=query.code,
            acknowledged=query.acknowledged,
            rank=rank,
            ended_at=ended_at,
            attempt_id=attempt_id,
            limit=query.limit + 1,
        )
    page, last = page_of(rows, query.limit)
    return Alerts(attempts=[_shown(row) for row in page], next_cursor=None if last is None else _cursor(last))


async def acknowledge(
    conn: Connection, actor: Actor, attempt_id: UUID, command: Acknowledge, *, now: datetime
) -> AlertedAttempt:
    """
    Note that the caller has looked at an attempt's alerts; the same again changes nothing.

    Raises:
        NotFoundError: the attempt alerts of nothing, or the caller may not see its exam's analytics.
        InvalidInputError: it does not alert of one that is named.
    """
    async with conn.transaction():
        row = await fetch_one(conn, "alert", QUERIES["fetch_alert"], attempt_id)
        there = {each.code for each in reasons_in(row["alerts"])}
        odd = [each for each in command.codes if each not in there]
        if odd:
            raise invalid("codes", f"this attempt does not alert of {', '.join(odd)}")
        codes = sorted(set(command.codes))
        is_new = await QUERIES.run(
            conn.fetchval,
            "put_acknowledgement",
            attempt_id=attempt_id,
            codes=codes,
            user_id=actor.user_id,
            note=command.note,
            at=now,
        )
        if is_new:
            detail = {"codes": codes}
            entry = ledger.by(
                actor,
                Kind.alerts_acknowledged,
                attempt_id,
                now=now,
                subject_id=row["student_id"],
                detail=detail,
            )
            await ledger.record(conn, entry)
        return _shown(await fetch_one(conn, "alert", QUERIES["fetch_alert"], attempt_id))


def _shown(row: asyncpg.Record) -> AlertedAttempt:
    acknowledged = of_row(row, Acknowledged) if row["is_acknowledged"] else None
    return of_row(row, AlertedAttempt, alerts=reasons_in(row["alerts"]), acknowledged=acknowledged)


def _cursor(row: asyncpg.Record) -> str:
    return f"{row['alert_rank']}.{(row['ended_at'] - EPOCH) // MICROSECOND}.{row['attempt_id']}"


def _after(cursor: str | None) -> tuple[int | None, datetime | None, UUID | None]:
    """Return what a page follows; raises InvalidInputError."""
    if cursor is None:
        return None, None, None
    rank, ended_us, attempt = cursor.split(".")
    try:
        return int(rank), EPOCH + int(ended_us) * MICROSECOND, UUID(attempt)
    except (ValueError, OverflowError) as error:
        raise invalid("cursor", "Expected `next_cursor` of the page before") from error
