"""
How each item of an exam measured: difficulty, discrimination, distractors, times, and what stands out
(spec.md W-5; docs/analytics.md, items).

An evaluation has only so many items, so a page of them is a part of a list that is read whole.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.analytics.exams import require_analysed
from core_api.analytics.measures import Coverage, MetricVersion
from core_api.analytics.reasons import Reason, reasons_in
from core_api.authoring.items import AskedItem
from core_api.authoring.published import asked_of
from core_api.database import Connection, of_row
from core_api.wire import LIMIT_DEFAULT, Limit
from kernel.errors import StoredSpoiltError
from sql import named

QUERIES: Final = named("item_tables")
ITEMS_MAX: Final = 10_000

Sort = Literal[
    "position", "difficulty", "point_biserial", "median_seconds", "omitted",
    "-position", "-difficulty", "-point_biserial", "-median_seconds", "-omitted",
]  # fmt: skip


class ItemFlag(StrEnum):
    """What stands out in an item: `MISKEY` says to check the key first."""

    miskey = "MISKEY"
    easy = "EASY"
    hard = "HARD"
    weak = "WEAK"
    rapid = "RAPID"
    dif = "DIF"


class Distractor(msgspec.Struct, frozen=True, kw_only=True):
    """
    An option: how many chose it, and how that goes with their points in all other items. A wrong one with a
    higher `r` than the key is chosen by those who know.
    """

    option: str
    text: str | None
    is_key: bool
    chosen: int
    share: float
    r: float | None


class AnalysedItem(msgspec.Struct, frozen=True, kw_only=True):
    """
    How an item of a form measured, over the `n` submissions whose points are all known. What there is too
    little evidence for is null; under 30 submissions nothing is flagged.

    `difficulty` is the mean share of the points: the higher, the easier. `point_biserial`, `biserial` and
    `d27` say how well the item tells who knows more, `alpha_if_deleted` what reliability the others have
    without it. `nt10_share` is the share of answers too fast to have read the question. `dif_class` says
    whether it is harder for one group at equal knowledge: `A` negligible, `B`, or `C` large; where the exam
    names groups that are compared, a reason (`DIF_…`) says why it does not.
    """

    form_id: UUID
    position: int
    question_id: UUID
    question_version_id: UUID
    stem: Annotated[str, Meta(description="What it asks.")] | None
    kind: str
    key: str | None
    max_points: float
    n: int
    difficulty: float | None
    omitted: int
    point_biserial: float | None
    biserial: float | None
    d27: float | None
    alpha_if_deleted: float | None
    distractors: list[Distractor] | None
    timed: int
    median_seconds: float | None
    nt10_share: float | None
    dif_delta: float | None
    dif_class: str | None
    flags: list[str]
    metric_version: MetricVersion
    coverage: Coverage
    reasons: list[Reason]
    as_of: datetime


class AnalysedItems(msgspec.Struct, frozen=True, kw_only=True):
    """A page of an exam's items; `next_cursor` is null on the last page."""

    items: list[AnalysedItem]
    next_cursor: int | None


class ListItems(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which items, in which order."""

    form_id: Annotated[UUID, Meta(description="Only of this form.")] | None = None
    flag: Annotated[ItemFlag, Meta(description="Only items with this flag.")] | None = None
    sort: Annotated[
        Sort, Meta(description="By this, from the least on; with a `-` from the greatest. Nulls are last.")
    ] = "position"
    limit: Limit = LIMIT_DEFAULT
    cursor: Annotated[int, Meta(ge=0, le=ITEMS_MAX, description="`next_cursor` of the page before.")] = 0


async def list_of_exam(conn: Connection, actor: Actor, exam_id: UUID, query: ListItems) -> AnalysedItems:
    """
    Return a page of the exam's items with their statistics.

    Raises:
        NotFoundError: the exam is not visible to the caller.
        ForbiddenError: it is, without the right to its analytics.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await require_analysed(conn, actor, exam_id)
        rows = await QUERIES.run(
            conn.fetch,
            "list_items",
            exam_id=exam_id,
            form_id=query.form_id,
            flag=query.flag,
            by=query.sort.removeprefix("-"),
            sign=-1.0 if query.sort.startswith("-") else 1.0,
            limit=query.limit + 1,
            offset=query.cursor,
        )
        asked = {form: await _asked(conn, form) for form in {row["shown_form"] for row in rows} - {None}}
    page = rows[: query.limit]
    return AnalysedItems(
        items=[_item(row, asked.get(row["form_id"], {}).get(row["question_id"])) for row in page],
        next_cursor=query.cursor + query.limit if len(rows) > query.limit else None,
    )


async def _asked(conn: Connection, form: UUID) -> Mapping[UUID, AskedItem]:
    """Return what a form asks; nothing where its paper cannot be read, for its numbers stand without it."""
    with suppress(StoredSpoiltError):
        return await asked_of(conn, form)
    return {}


def _item(row: asyncpg.Record, item: AskedItem | None) -> AnalysedItem:
    content = None if item is None else item.content
    options = [] if content is None else content.options or []
    texts = {option.id: option.text for option in options}
    distractors = None
    if row["distractors"] is not None:
        distractors = [
            msgspec.convert({"text": texts.get(each["option"]), **each}, Distractor, strict=False)
            for each in row["distractors"]
        ]
    return of_row(
        row,
        AnalysedItem,
        stem=None if content is None else content.stem,
        distractors=distractors,
        reasons=reasons_in(row["reasons"]),
    )
