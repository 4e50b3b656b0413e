"""
Pairs of attempts whose answers are more alike than chance explains, and the clusters that they make
(spec.md W-5; docs/analytics.md, collusion). Indications: time, address and device stand beside them, and
decide nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.analytics.exams import require_analysed
from core_api.analytics.measures import Coverage, MetricVersion
from core_api.analytics.reasons import Reason, reasons_in
from core_api.database import Connection, of_row, page_of
from core_api.wire import LIMIT_DEFAULT, Limit, invalid
from sql import named

QUERIES: Final = named("similarity")
CLUSTERS_MAX: Final = 50


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """One of the attempts that are compared."""

    attempt_id: UUID
    student_id: UUID
    student_name: str


class SimilarPair(msgspec.Struct, frozen=True, kw_only=True):
    """
    Two attempts with more identical answers than two people of these totals have who worked alone.

    `p` is the chance of that, `q` the same for all pairs of the form together (Benjamini-Hochberg): 0.01 or
    less is similar. `omega` is `matches` less `expected_matches`, in standard deviations. What time, address
    and device say is null where it is not known of one of the two.
    """

    first: Partner
    second: Partner
    form_id: UUID | None
    items: int
    answered_both: int
    right_first: int
    right_second: int
    matches: int
    expected_matches: float
    identical_wrong: int
    expected_identical_wrong: float
    longest_run: int
    run_begins: Annotated[int, Meta(description="Place in the form at which the longest run begins, from 1.")]
    omega: float
    p: float
    q: float
    overlap_s: Annotated[float, Meta(description="For how long both were at work at a time.")] | None
    same_address: bool | None
    same_device: bool | None
    second_factor: bool | None
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime


class SimilarCluster(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attempts that similar pairs connect; `density` is the share of all pairs among them that are similar.
    """

    cluster_id: UUID
    members: list[Partner]
    pairs: int
    density: float
    most_matches: int
    most_identical_wrong: int
    strongest_p: float
    weakest_q: float
    second_factor_pairs: int | None
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime


class Similarity(msgspec.Struct, frozen=True, kw_only=True):
    """
    A page of similar pairs, the least explained by chance first; on the first page the clusters, the largest
    first, null on others. `next_cursor` is null on the last page.
    """

    clusters: list[SimilarCluster] | None
    pairs: list[SimilarPair]
    next_cursor: str | None


class ListSimilar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pairs."""

    second_factor: (
        Annotated[
            bool, Meta(description="Only pairs that time, address or device connect as well, or do not.")
        ]
        | None
    ) = None
    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9.e-]{1,25}_[0-9a-f-]{36}_[0-9a-f-]{36}$(?!\n)",
                description="`next_cursor` of the page before.",
            ),
        ]
        | None
    ) = None


async def list_of_exam(conn: Connection, actor: Actor, exam_id: UUID, query: ListSimilar) -> Similarity:
    """
    Return a page of the exam's similar pairs, and its clusters.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, without the right to its analytics.
    """
    q, attempt_a, attempt_b = _after(query.cursor)
    clusters: Sequence[asyncpg.Record] | None = None
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await require_analysed(conn, actor, exam_id)
        rows = await QUERIES.run(
            conn.fetch,
            "list_pairs",
            exam_id=exam_id,
            second_factor=query.second_factor,
            q=q,
            attempt_a=attempt_a,
            attempt_b=attempt_b,
            limit=query.limit + 1,
        )
        if query.cursor is None:
            clusters = await conn.fetch(QUERIES["list_clusters"], exam_id, CLUSTERS_MAX)
    page, last = page_of(rows, query.limit)
    return Similarity(
        clusters=None if clusters is None else [_cluster(row) for row in clusters],
        pairs=[_pair(row) for row in page],
        next_cursor=None if last is None else f"{last['q']!r}_{last['attempt_a']}_{last['attempt_b']}",
    )


def _pair(row: asyncpg.Record) -> SimilarPair:
    first, second = (
        Partner(
            attempt_id=row[f"attempt_{one}"],
            student_id=row[f"student_{one}"],
            student_name=row[f"name_{one}"],
        )
        for one in "ab"
    )
    return of_row(
        row,
        SimilarPair,
        first=first,
        second=second,
        right_first=row["right_a"],
        right_second=row["right_b"],
        reasons=reasons_in(row["reasons"]),
    )


def _cluster(row: asyncpg.Record) -> SimilarCluster:
    members = [
        Partner(attempt_id=attempt, student_id=student, student_name=name)
        for attempt, student, name in zip(row["attempt_ids"], row["student_ids"], row["names"], strict=True)
    ]
    return of_row(row, SimilarCluster, members=members, reasons=reasons_in(row["reasons"]))


def _after(cursor: str | None) -> tuple[float | None, UUID | None, UUID | None]:
    """Return what a page follows; raises InvalidInputError."""
    if cursor is None:
        return None, None, None
    q, attempt_a, attempt_b = cursor.split("_")
    try:
        return float(q), UUID(attempt_a), UUID(attempt_b)
    except ValueError as error:
        raise invalid("cursor", "Expected `next_cursor` of the page before") from error
