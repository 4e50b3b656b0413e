"""
What waits for a review: sessions that have ended, with their attempt, and have no final decision (P,
"pending-review"; spec.md C-1). The highest peak of risk comes first, what was not scored last.

What two people review blind (C-2) waits for both, and where they differ for an adjudicator. Until then
neither its row nor its place says how high the risk is, and nothing is recommended: each looks for
themselves. It comes first, since it takes two.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection, of_row, page_of
from core_api.exams import exams
from core_api.reviews import claims, reaching
from core_api.reviews.recommending import Exempt, FiredRule, Grounds, Recommendation, recommend
from core_api.wire import LIMIT_DEFAULT, Limit, Moment, Paging, check_moments
from kernel import risk
from kernel.errors import ConflictError
from kernel.events import DecisionStatus, Mode
from kernel.settings import Settings
from sql import named

QUERIES: Final = named("queue")
TRIED_MAX: Final = 20  # sessions that others may take at the same moment, before nothing is found
Level = Literal["Low", "Medium", "High", "Critical"]
Claimed = Literal["by_me", "by_others", "by_nobody"]
COUNTED: Final = (
    "coverage", "unexplained_gaps", "network_gaps", "stored", "missing", "damaged", "is_flagged", "findings",
)  # fmt: skip


class PendingReview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A session that waits for its review. Scores and level (of the peak) are null until something was scored,
    `recommendation` where too little is known; it is shown beside, and decides nothing. `review` is what it
    waits for: a decision (`single`), one of two reviews that do not know of one another (`blind`: scores,
    level and recommendation are withheld, here and wherever else they are told, and it comes first), or a
    decision between two that differ (`adjudication`).
    """

    proctor_session_id: int
    attempt_id: UUID
    exam_id: UUID
    exam_title_en: str
    candidate_id: UUID
    candidate_name: str
    mode: Mode
    mode_name: str
    started_at: datetime
    ended_at: datetime
    total_events: int
    total_violations: int
    risk_score: float | None
    peak_risk_score: float | None
    risk_level: Level | None
    decision_id: int | None
    decision_status: DecisionStatus | None
    decision_status_name: str | None
    claimed_by: UUID | None
    claimed_by_name: str | None
    claim_expires_at: datetime | None
    review: Literal["single", "blind", "adjudication"]
    recommendation: Recommendation | None


class ListPending(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which sessions, and which page of them."""

    exam_id: Annotated[UUID, Meta(description="Only this exam's.")] | None = None
    level: Annotated[Level, Meta(description="Only those whose peak score is in this band.")] | None = None
    ended_before: Annotated[Moment, Meta(description="Only those that have waited since then.")] | None = None
    claimed: (
        Annotated[Claimed, Meta(description="Only those that somebody is at work on, or nobody.")] | None
    ) = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            str,
            Meta(
                pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,2})?_[0-9]{1,10}$(?!\n)",
                description="`nextCursor` of the page before.",
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Hold the moment to what can be counted with."""
        check_moments(self.ended_before)


class NextReview(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Of which exam; of any, where none is named."""

    exam_id: UUID | None = None


async def list_pending(
    conn: Connection, actor: Actor, query: ListPending, *, now: datetime
) -> tuple[list[PendingReview], Paging]:
    """
    Return a page of what waits for a review, of all exams or of one.

    Raises:
        NotFoundError: an exam is named that the caller may not see.
    """
    if query.exam_id is not None:
        await exams.require_visible(conn, actor, query.exam_id)
    rank, _, after = (query.cursor or "").partition("_")
    rows = await _find(
        conn, actor, query, now=now, rank=float(rank) if rank else None, after=int(after or 0),
        limit=query.limit + 1,
    )  # fmt: skip
    page, last = page_of(rows, query.limit)
    following = None if last is None else f"{last['rank']:g}_{last['proctor_session_id']}"
    return await _shown(conn, page), Paging(limit=query.limit, next_cursor=following)


async def take_next(
    conn: Connection, actor: Actor, command: NextReview, *, settings: Settings, now: datetime
) -> PendingReview | None:
    """
    Claim the session that most needs a review of those that nobody is at work on; None where none is left.

    What somebody has escalated is for somebody else.

    Raises:
        NotFoundError: an exam is named that the caller may not see.
    """
    if command.exam_id is not None:
        await exams.require_visible(conn, actor, command.exam_id)
    query = ListPending(exam_id=command.exam_id, claimed="by_nobody")
    for row in await _find(conn, actor, query, now=now, to_decide=True, limit=TRIED_MAX):
        try:
            await claims.claim(conn, actor, row["proctor_session_id"], settings=settings, now=now)
        except ConflictError:
            continue  # somebody was faster
        session = await reaching.require_visible(conn, actor, row["proctor_session_id"])
        found = await _find(conn, actor, ListPending(), now=now, session_id=session["id"], limit=1)
        return (await _shown(conn, found))[0]
    return None


async def _find(
    conn: Connection,
    actor: Actor,
    query: ListPending,
    *,
    now: datetime,
    limit: int,
    rank: float | None = None,
    after: int = 0,
    to_decide: bool = False,
    session_id: int | None = None,
) -> list[asyncpg.Record]:
    above, most = (None, None) if query.level is None else _ranks(query.level)
    found: list[asyncpg.Record] = await QUERIES.run(
        conn.fetch,
        "list_pending",
        **actor.reach,
        exam_id=query.exam_id,
        rank_above=above,
        rank_max=most,
        ended_before=query.ended_before,
        claimed=query.claimed,
        now=now,
        rank=rank,
        after=after,
        to_decide=to_decide,
        session_id=session_id,
        limit=limit,
    )
    return found


def _ranks(level: Level) -> tuple[float, float]:
    above, most = risk.range_of(risk.Level(level))
    return above / risk.POINT, most / risk.POINT


async def _shown(conn: Connection, rows: Sequence[asyncpg.Record]) -> list[PendingReview]:
    """Return rows of `list_pending`, with a recommendation where nobody reviews it blind."""
    seen = [row["proctor_session_id"] for row in rows if row["review"] != "blind"]
    counted = await _of_each(conn, "list_grounds", seen)
    rules, exempt = await _of_each(conn, "list_fired", seen), await _of_each(conn, "list_exempt", seen)

    def grounds(row: asyncpg.Record) -> Grounds:
        session_id = row["proctor_session_id"]
        return Grounds(
            level=row["risk_level"],
            total_events=row["total_events"],
            rules=[of_row(each, FiredRule) for each in rules[session_id]],
            exempt=[of_row(each, Exempt) for each in exempt[session_id]],
            **{name: counted[session_id][0][name] for name in COUNTED},
        )

    return [_pending(row, None if row["review"] == "blind" else grounds(row)) for row in rows]


async def _of_each(
    conn: Connection, name: str, session_ids: Sequence[int]
) -> dict[int, list[asyncpg.Record]]:
    """Return a statement's rows by the sessions that they are of."""
    found: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in await conn.fetch(QUERIES[name], session_ids):
        found[row["session_id"]].append(row)
    return found


def _pending(row: asyncpg.Record, grounds: Grounds | None) -> PendingReview:
    """Return a row as it is shown; without grounds it is reviewed blind."""
    status = row["decision_status"]
    return of_row(
        row,
        PendingReview,
        mode_name=Mode(row["mode"]).name,
        decision_status_name=None if status is None else DecisionStatus(status).name,
        recommendation=None if grounds is None else recommend(grounds),
    )
