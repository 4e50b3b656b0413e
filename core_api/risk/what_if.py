"""
A draft of risk rules, tried on past sessions before it is activated (spec.md R-5): who would be in which
band, by the rules that each session keeps and by the draft. Nothing is changed.

The events come from the archive. It is read, and Polars loaded, in a thread of lower priority, one draft at a
time in a process; what it may cost is bounded by the sessions' events before it begins. It ends when whoever
asks has left.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, Pool, connection, page_of
from core_api.risk import drafts, scores
from core_api.risk.drafts import Draft, NamedRule, named_rule
from core_api.risk.scores import micros
from core_api.wire import LIMIT_DEFAULT, Limit, Moment, Paging, check_moments, invalid
from kernel.errors import OverloadedError, UnavailableError
from kernel.events import SESSION_ID_MAX
from kernel.risk import POINT, Level, level_of
from kernel.running.threads import give_way
from kernel.settings import Settings
from sql import named

if TYPE_CHECKING:
    from warehouse.what_if import Compared, Weighed

QUERIES: Final = named("what_if")
EXAMS_MAX: Final = 200
DRAFT: Final = 0  # the draft's number among sets of rules, as `warehouse.what_if` has it
RETRY_AFTER_S: Final = 5
_AT_WORK: Final = threading.Lock()  # one draft at a time in a process
_WORKER: Final = ThreadPoolExecutor(1, "what-if", initializer=give_way)  # begins its thread when it is used
Shown = Literal["crossing", "changed", "all"]


class WhatIf(Draft, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    A draft, and past sessions to try it on: those of the exams that are named, begun in the time that is
    given; of all exams and times, where neither is.
    """

    exam_ids: Annotated[list[UUID], Meta(min_length=1, max_length=EXAMS_MAX)] | None = None
    started_from: Moment | None = None
    started_before: Moment | None = None
    show: Annotated[
        Shown,
        Meta(description="Sessions in another band, with another score or peak, or all of them."),
    ] = "crossing"
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            int, Meta(ge=1, le=SESSION_ID_MAX, description="`nextCursor` of the page before, a session.")
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Hold the moments to what can be counted with."""
        check_moments(self.started_from, self.started_before)


class TriedPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What one rule adds to a peak. `draft` is its place in `rules`, from 0, where it is one of those; `ruleId`
    and `ruleVersion` are null where there is no such rule yet.
    """

    rule_id: int | None
    rule_version: int | None
    draft: int | None
    rule_name: str
    risk_points: float
    trigger_count: int


class TriedScore(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session's score at its end, its peak with the band of that, and what each rule adds at the peak."""

    risk_score: float
    peak_risk_score: float
    risk_level: Level
    triggered_rules: list[TriedPart]


class TriedSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A past session by the rules that it keeps (`before`), and by the draft (`after`)."""

    proctor_session_id: int
    attempt_id: UUID
    exam_id: UUID
    exam_title_en: str
    candidate_id: UUID
    candidate_name: str
    ended_at: datetime
    before: TriedScore
    after: TriedScore


class TriedBand(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many of the sessions are in a band."""

    risk_level: Level
    before: int
    after: int


class TriedCrossing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many of the sessions are in one band by the rules that they keep, and in another by the draft."""

    before: Level
    after: Level
    sessions: int


class TriedRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A rule of the draft, and in how many of the sessions it ever triggers; `firedBefore` is in how many the
    same rule does as they keep it, whatever its version, null for a rule that is new.
    """

    rule_id: int | None
    rule_version: int | None
    draft: int | None
    rule_name: str
    fired_before: int | None
    fired_after: int


class TriedDraft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    What a draft would have made of `sessions` past sessions: how many are in which band, how many cross to
    another, what each rule of the draft did, and a page of the sessions that were asked for.

    `notArchived` sessions are left out: the archive does not have all of their events yet. What is reviewed
    blind, and not yet by who asks, is not among the `sessions`.
    """

    sessions: int
    not_archived: int
    bands: list[TriedBand]
    crossings: list[TriedCrossing]
    rules: list[TriedRule]
    results: list[TriedSession]


class _World(msgspec.Struct, frozen=True):
    """What is read before the archive is: sessions by number, sets by number, what scores rest on."""

    rows: dict[int, asyncpg.Record]
    sets: dict[int, list[NamedRule]]
    percents: list[tuple[int, int, int]]
    gaps: list[tuple[int, int, str | None]]


async def try_draft(
    pool: Pool, actor: Actor, command: WhatIf, *, settings: Settings
) -> tuple[TriedDraft, Paging]:
    """
    Try a draft of rules on past sessions; exemptions and adjustments count as they do in the real score.

    Raises:
        InvalidInputError: a rule is none that rules can be, is not the organisation's or is named twice, or
            there are more sessions or events than may be tried at a time.
        OverloadedError: another draft is tried at the moment.
        UnavailableError: the archive cannot be read.
    """
    async with connection(pool, actor) as conn:
        world = await _read(conn, actor, command, settings)
    if not _AT_WORK.acquire(blocking=False):
        raise OverloadedError("Another draft is being tried; try again.", retry_after_s=RETRY_AFTER_S)
    given_up = threading.Event()
    work = _WORKER.submit(_compared, settings, world, given_up)
    work.add_done_callback(lambda _: _AT_WORK.release())
    try:
        compared = await asyncio.wrap_future(work)
    finally:
        given_up.set()  # whoever stops waiting stops the work, at its next piece
    shown = [each for each in compared if _is_shown(each, command)]
    page, last = page_of(shown, command.limit)
    found = TriedDraft(
        sessions=len(compared),
        not_archived=len(world.rows) - len(compared),
        bands=_bands(compared),
        crossings=_crossings(compared),
        rules=_rules(compared, world),
        results=[_session(each, world) for each in page],
    )
    cursor = None if last is None else str(last.session_id)
    return found, Paging(limit=command.limit, next_cursor=cursor)


async def _read(conn: Connection, actor: Actor, command: WhatIf, settings: Settings) -> _World:
    """Return what a comparison needs, as of one moment; raises InvalidInputError."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        draft = await drafts.read(conn, actor, command, settings=settings)
        rows = await QUERIES.run(
            conn.fetch,
            "list_past_sessions",
            organisation=actor.organisation_id,
            exam_ids=command.exam_ids,
            started_from=command.started_from,
            started_before=command.started_before,
            limit=settings.what_if_sessions_max + 1,
        )
        _check_size(rows, settings)
        ids = [row["id"] for row in rows]
        sets: dict[int, list[NamedRule]] = {row["rule_set_id"]: [] for row in rows}
        for row in await conn.fetch(QUERIES["list_sets"], list(sets)):
            sets[row["rule_set_id"]].append(named_rule(row))
        percents = await conn.fetch(scores.QUERIES["list_percents"], ids)
        gaps = await conn.fetch(scores.QUERIES["list_gaps"], ids)
    return _World(
        rows={row["id"]: row for row in rows},
        sets=sets | {DRAFT: draft},
        percents=[tuple(row) for row in percents],
        gaps=[(row["session_id"], micros(row["started_at"]), row["class"]) for row in gaps],
    )


def _check_size(rows: Sequence[asyncpg.Record], settings: Settings) -> None:
    """Raise InvalidInputError where there are more sessions or events than may be tried at a time."""
    for what, there, most in (
        ("sessions", len(rows), settings.what_if_sessions_max),
        ("events", sum(row["total_events"] for row in rows), settings.what_if_events_max),
    ):
        if there > most:
            raise invalid("examIds", f"More than {most} {what}: name fewer exams, or a shorter time")


def _compared(settings: Settings, world: _World, given_up: threading.Event) -> "list[Compared]":
    """
    Compare, in the worker's thread, until it is given up.

    Raises:
        UnavailableError: the archive cannot be read.
    """
    from warehouse.files import ROOT_FAILS, open_root  # noqa: PLC0415  as below
    from warehouse.layout import LayoutError  # noqa: PLC0415  a process that tries nothing loads no Polars
    from warehouse.what_if import Basis, Past, compare  # noqa: PLC0415

    try:
        past = [
            Past(
                session_id=row["id"],
                rule_set_id=row["rule_set_id"],
                ended_us=micros(row["ended_at"]),
                events=row["total_events"],
                first_at=row["first_at"],
                last_at=row["last_at"],
            )
            for row in world.rows.values()
        ]
        sets = {number: [each.rule for each in rules] for number, rules in world.sets.items()}
        root, basis = open_root(settings.warehouse, settings), Basis(sets, world.percents, world.gaps)
        return list(takewhile(lambda _: not given_up.is_set(), compare(root, past, basis)))
    except (*ROOT_FAILS, LayoutError) as error:
        raise UnavailableError("The archive cannot be read.", retry_after_s=RETRY_AFTER_S) from error


def _is_shown(each: "Compared", command: WhatIf) -> bool:
    """Tell whether a session is on the page that was asked for, or on a later one."""
    if each.session_id <= (command.cursor or 0):
        return False
    before, after = each.before, each.after
    match command.show:
        case "crossing":
            return level_of(before.peak) is not level_of(after.peak)
        case "changed":
            return (before.score, before.peak) != (after.score, after.peak)
        case _:
            return True


def _bands(compared: "Sequence[Compared]") -> list[TriedBand]:
    before = Counter(level_of(each.before.peak) for each in compared)
    after = Counter(level_of(each.after.peak) for each in compared)
    return [TriedBand(risk_level=level, before=before[level], after=after[level]) for level in Level]


def _crossings(compared: "Sequence[Compared]") -> list[TriedCrossing]:
    """Return who crosses from where to where, in the order of the bands."""
    pairs = Counter((level_of(each.before.peak), level_of(each.after.peak)) for each in compared)
    return [
        TriedCrossing(before=before, after=after, sessions=pairs[before, after])
        for before in Level
        for after in Level
        if before is not after and pairs[before, after]
    ]


def _rules(compared: "Sequence[Compared]", world: _World) -> list[TriedRule]:
    """Return what each rule of the draft did, in their order."""
    before: Counter[int] = Counter()
    after: Counter[int] = Counter()
    for each in compared:
        own = world.sets[world.rows[each.session_id]["rule_set_id"]]
        before.update(own[part.place].rule.rule_id for part in each.before.parts)
        after.update(part.place for part in each.after.parts)
    return [
        TriedRule(
            rule_id=each.rule_id,
            rule_version=each.version,
            draft=each.draft,
            rule_name=each.name,
            fired_before=None if each.rule_id is None else before[each.rule_id],
            fired_after=after[place],
        )
        for place, each in enumerate(world.sets[DRAFT])
    ]


def _session(each: "Compared", world: _World) -> TriedSession:
    row = world.rows[each.session_id]
    return TriedSession(
        proctor_session_id=each.session_id,
        attempt_id=row["attempt_id"],
        exam_id=row["exam_id"],
        exam_title_en=row["exam_title"],
        candidate_id=row["candidate_id"],
        candidate_name=row["candidate_name"],
        ended_at=row["ended_at"],
        before=_score(each.before, world.sets[row["rule_set_id"]]),
        after=_score(each.after, world.sets[DRAFT]),
    )


def _score(weighed: "Weighed", rules: Sequence[NamedRule]) -> TriedScore:
    return TriedScore(
        risk_score=weighed.score / POINT,
        peak_risk_score=weighed.peak / POINT,
        risk_level=level_of(weighed.peak),
        triggered_rules=[
            TriedPart(
                rule_id=rules[part.place].rule_id,
                rule_version=rules[part.place].version,
                draft=rules[part.place].draft,
                rule_name=rules[part.place].name,
                risk_points=part.at_peak * part.points / POINT,
                trigger_count=part.at_peak,
            )
            for part in weighed.parts
            if part.at_peak
        ],
    )
