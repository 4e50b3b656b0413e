"""
Risk rules as an organisation's admins keep them, in versions (spec.md R-1, R-2).

A change appends a version and makes a new set of rules, which sessions that begin from then on keep; no
session that is there is judged by it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, fetch_one, of_row
from core_api.ledger import entries as ledger
from core_api.wire import NO_NUL, SEQUENCE_63_MAX, Text1000, invalid
from kernel.errors import ConflictError
from kernel.events import (
    SEVERITY_BY_NAME,
    TYPE_BY_NAME,
    EventType,
    GivenSeverity,
    GivenType,
    Severity,
    SeverityNumber,
    TypeName,
    TypeNumber,
    type_name,
)
from kernel.ledger.kinds import Kind
from kernel.risk import RULE_EVENTS_MAX, GapClass, rule_of
from kernel.settings import Settings
from sql import named

R = TypeVar("R", bound="RiskRule")
QUERIES: Final = named("risk_rules")
HELD: Final = named("users")
WINDOW_S_MAX: Final = 86_400
RULE_ID_MAX: Final = SEQUENCE_63_MAX

RuleName = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]


class RuleTerms(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    What a rule says: of events of one type, each `thresholdCount` of them within the last `windowSeconds`
    trigger it once, and add `riskPoints`.

    An update says all of it: what is left out takes the value that it has here.
    """

    name_en: RuleName
    name_ar: RuleName
    description_en: Text1000 = ""
    description_ar: Text1000 = ""
    is_active: bool = True
    event_type: GivenType
    threshold_count: Annotated[int, Meta(ge=1, le=RULE_EVENTS_MAX)]
    window_seconds: Annotated[
        int, Meta(ge=0, le=WINDOW_S_MAX, description="0 counts the whole session; a day at most.")
    ] = 0
    risk_points: Annotated[
        float, Meta(ge=0.01, le=100, description="Points a trigger, with two decimals at most.")
    ]
    min_severity: GivenSeverity | None = None
    max_triggers: Annotated[int, Meta(ge=1, le=1000, description="null: as often as it goes.")] | None = None
    priority: Annotated[int, Meta(ge=0, le=10_000, description="Order; the lowest comes first.")] = 100
    gap_class: (
        Annotated[GapClass, Meta(description="Of NetworkDisconnected: only silences judged so count.")] | None
    ) = None


class RiskRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A rule in its newest version."""

    id: int
    version: int
    name_en: str
    name_ar: str
    description_en: str
    description_ar: str
    is_active: bool
    event_type: TypeNumber
    event_type_name: TypeName
    threshold_count: int
    window_seconds: int
    risk_points: float
    min_severity: SeverityNumber | None
    max_triggers: int | None
    priority: int
    gap_class: GapClass | None
    created_at: datetime
    updated_at: datetime


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    How a rule fared: in how many sessions it `fired`, and what was decided of those: finally suspicious or
    invalidated (`upheld`), finally cleared (`cleared`), the latter by an override of the former
    (`overturned`).
    """

    fired: int
    upheld: int
    cleared: int
    overturned: int


class RuleWithRecord(RiskRule, frozen=True, kw_only=True, rename="camel"):
    """A rule, how it fared, and its versions, newest first."""

    statistics: Record
    versions: list["RuleVersion"]


class RuleVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a rule said from when on."""

    version: int
    name_en: str
    is_active: bool
    event_type: TypeNumber
    threshold_count: int
    window_seconds: int
    risk_points: float
    min_severity: SeverityNumber | None
    max_triggers: int | None
    priority: int
    gap_class: GapClass | None
    created_at: datetime


def columns_of(terms: RuleTerms) -> dict[str, Any]:
    """
    Return what a rule says by the columns of `risk_rule_versions`.

    Raises:
        InvalidInputError: a type, a severity or the points are none that rules have, or the rule would rest
            on more events than a trace names.
    """
    kind = _event_type(terms.event_type)
    points = Decimal(str(terms.risk_points))
    if points != round(points, 2):
        raise invalid("riskPoints", "Expected two decimals at most")
    if terms.gap_class is not None and kind is not EventType.NetworkDisconnected:
        raise invalid("gapClass", "Only rules about NetworkDisconnected have one")
    columns = msgspec.structs.asdict(terms) | {
        "event_type": int(kind),
        "risk_points": points,
        "min_severity": _severity(terms.min_severity),
    }
    if rule_of({"rule_id": 1, "version": 1} | columns).kept > RULE_EVENTS_MAX:
        message = f"Would rest on more than {RULE_EVENTS_MAX} events: give more points, or fewer triggers"
        raise invalid("maxTriggers", message)
    return columns


def _event_type(given: int | str) -> EventType:
    try:
        return EventType(given) if isinstance(given, int) else TYPE_BY_NAME[given]
    except (ValueError, KeyError):
        raise invalid("eventType", "Expected the number or the name of an event type") from None


def _severity(given: int | str | None) -> int | None:
    try:
        return None if given is None else int(Severity(given) if isinstance(given, int) else _named(given))
    except (ValueError, KeyError):
        raise invalid("minSeverity", "Expected 0 to 5, normal, warning or critical") from None


def _named(given: str) -> Severity:
    return SEVERITY_BY_NAME[given]


def _shown(row: asyncpg.Record, kind: type[R], **further: object) -> R:
    """Return a rule of a row of `list_rules`, with more."""
    points, name = float(row["risk_points"]), type_name(row["event_type"])
    return of_row(row, kind, risk_points=points, event_type_name=name, **further)


async def list_of_organisation(conn: Connection, actor: Actor) -> list[RiskRule]:
    """Return all of the organisation's rules, those that are not active too, in their order."""
    rows = await conn.fetch(QUERIES["list_rules"], actor.organisation_id, None)
    return [_shown(row, RiskRule) for row in rows]


async def fetch(conn: Connection, actor: Actor, rule_id: int) -> RuleWithRecord:
    """Return a rule with its versions, and how it fared; raises NotFoundError."""
    row = await _read(conn, actor, rule_id)
    versions = await conn.fetch(QUERIES["list_versions"], rule_id)
    record = await fetch_one(conn, "rule", QUERIES["count_fires"], rule_id)
    return _shown(
        row,
        RuleWithRecord,
        statistics=Record(**record),
        versions=[RuleVersion(**version) for version in versions],
    )


async def create(
    conn: Connection, actor: Actor, command: RuleTerms, *, settings: Settings, now: datetime
) -> RiskRule:
    """
    Make a rule of the organisation; sessions that begin from now on are judged by it.

    Raises:
        InvalidInputError: a value is none that rules have.
        ConflictError: there are as many as there may be.
    """
    columns = columns_of(command)
    async with conn.transaction():
        await _hold(conn, actor)
        if await conn.fetchval(QUERIES["count_rules"], actor.organisation_id) >= settings.risk_rules_max:
            raise ConflictError(f"There are {settings.risk_rules_max} rules already: delete one first.")
        rule_id = await conn.fetchval(QUERIES["insert_rule"], actor.organisation_id, actor.user_id, now)
        await _append(conn, actor, rule_id, columns, now=now)
        return _shown(await _read(conn, actor, rule_id), RiskRule)


async def update(
    conn: Connection, actor: Actor, rule_id: int, command: RuleTerms, *, now: datetime
) -> RiskRule:
    """
    Give a rule a new version; the same values again leave it as it is.

    Raises:
        InvalidInputError: a value is none that rules have.
        NotFoundError: not of the organisation, or deleted.
    """
    columns = columns_of(command)
    async with conn.transaction():
        await _hold(conn, actor)
        before = await _read(conn, actor, rule_id)
        if any(before[name] != value for name, value in columns.items()):
            await _append(conn, actor, rule_id, columns, now=now)
        return _shown(await _read(conn, actor, rule_id), RiskRule)


async def toggle(conn: Connection, actor: Actor, rule_id: int, *, now: datetime) -> RiskRule:
    """Make an active rule inactive, and an inactive one active; raises NotFoundError."""
    async with conn.transaction():
        await _hold(conn, actor)
        before = await _read(conn, actor, rule_id)
        columns = {name: before[name] for name in RuleTerms.__struct_fields__}
        await _append(conn, actor, rule_id, columns | {"is_active": not before["is_active"]}, now=now)
        return _shown(await _read(conn, actor, rule_id), RiskRule)


async def delete(conn: Connection, actor: Actor, rule_id: int, *, now: datetime) -> RiskRule:
    """Delete a rule, and return it as it was; what it scored stays explained. Raises NotFoundError."""
    async with conn.transaction():
        await _hold(conn, actor)
        before = await _read(conn, actor, rule_id)
        await conn.execute(QUERIES["delete_rule"], rule_id, now)
        await _publish(conn, actor, rule_id, Kind.risk_rule_deleted, now=now)
        return _shown(before, RiskRule)


async def _hold(conn: Connection, actor: Actor) -> None:
    """Hold the organisation: two changes of its rules never make sets that miss one another's."""
    await conn.execute(HELD["hold_organisation"], actor.organisation_id)


async def _read(conn: Connection, actor: Actor, rule_id: int) -> asyncpg.Record:
    return await fetch_one(conn, "rule", QUERIES["list_rules"], actor.organisation_id, rule_id)


async def _append(
    conn: Connection, actor: Actor, rule_id: int, columns: dict[str, Any], *, now: datetime
) -> None:
    await QUERIES.run(
        conn.execute,
        "insert_version",
        rule_id=rule_id,
        organisation=actor.organisation_id,
        **columns,
        created_by=actor.user_id,
        created_at=now,
    )
    await _publish(conn, actor, rule_id, Kind.risk_rule_saved, now=now)


async def _publish(conn: Connection, actor: Actor, rule_id: int, kind: Kind, *, now: datetime) -> None:
    rule_set = await conn.fetchval(QUERIES["publish_set"], actor.organisation_id, now)
    detail = {"rule_set_id": rule_set}
    await ledger.record(conn, ledger.by(actor, kind, rule_id, now=now, detail=detail))
