"""
How far the two reviewers of sessions agree (spec.md C-2): for whoever adjudicates an exam, of it and of a
period.

A pair belongs to the period in which it was whole. Pairs that wait for their adjudicator count, since all of
them differ; but for their own two reviewers, who would learn by it that they do.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.database import Connection
from core_api.exams import exams
from core_api.reviews.decisions import VERDICTS
from core_api.reviews.kappa import Kappa, kappa_of
from core_api.wire import Moment, check_moments
from kernel.errors import ForbiddenError
from kernel.events import DecisionStatus
from sql import named

QUERIES: Final = named("blind_reviews")
STATUSES: Final = tuple(sorted(VERDICTS))


class Agreement(Kappa, frozen=True, kw_only=True, rename="camel"):
    """
    Cohen's kappa over pairs of blind reviews, with the table that it rests on: a row for each status of the
    first review, a column for each of the second, both in the order of `statuses`. Of the `pairs`,
    `undecided` still wait for an adjudicator.
    """

    exam_id: UUID | None
    reviewed_from: datetime | None
    reviewed_before: datetime | None
    statuses: list[DecisionStatus]
    status_names: list[str]
    counts: list[list[int]]
    undecided: int


class AskAgreement(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Of which pairs: by exam, and by when the second review was given."""

    exam_id: (
        Annotated[UUID, Meta(description="Only this exam's; of all that the caller adjudicates by default.")]
        | None
    ) = None
    reviewed_from: (
        Annotated[Moment, Meta(description="Only pairs that were whole by then or later.")] | None
    ) = None
    reviewed_before: Annotated[Moment, Meta(description="Only pairs that were whole before.")] | None = None

    def __post_init__(self) -> None:
        """Hold the moments to what can be counted with."""
        check_moments(self.reviewed_from, self.reviewed_before)


async def measure(conn: Connection, actor: Actor, query: AskAgreement) -> Agreement:
    """
    Return how far reviewers agree on the sessions of the exams that the caller adjudicates.

    Raises:
        NotFoundError: an exam is named that the caller may not see.
        ForbiddenError: they may, and do not adjudicate it.
    """
    if query.exam_id is not None:
        exam = await exams.require_visible(conn, actor, query.exam_id)
        if not exam["can_adjudicate"]:
            raise ForbiddenError("You may look at this exam, but not see how far its reviewers agree.")
    rows = await QUERIES.run(conn.fetch, "count_pairs", **actor.reach, **msgspec.structs.asdict(query))
    counts = [[0] * len(STATUSES) for _ in STATUSES]
    for row in rows:
        counts[STATUSES.index(row["first"])][STATUSES.index(row["second"])] = row["pairs"]
    return Agreement(
        **msgspec.structs.asdict(kappa_of(counts)),
        **msgspec.structs.asdict(query),
        statuses=list(STATUSES),
        status_names=[each.name for each in STATUSES],
        counts=counts,
        undecided=sum(row["undecided"] for row in rows),
    )
