"""
What an observer fills in: the exams that were granted to them, and each one's questions (spec.md M-4).
"""

from typing import Final
from uuid import UUID

import msgspec
import orjson

from core_api.actors import Actor
from core_api.authoring.evaluations import Paper
from core_api.database import Connection, fetch_one, fetch_page
from core_api.wire import ListPage, Page
from kernel.events import Role
from sql import named

QUERIES: Final = named("forms")


class ObservableExam(msgspec.Struct, frozen=True, kw_only=True):
    """An exam whose candidates can be observed now."""

    id: UUID
    title: str
    description: str
    subject: str
    topic: str
    evaluation_version_id: UUID


class ObservableExams(Page, frozen=True):
    """A page of exams, newest first; `next_cursor` is null on the last page."""

    exams: list[ObservableExam]


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The questions of an exam, without their keys; observed can be what is published."""

    exam_id: UUID
    title: str
    is_published: bool
    evaluation_version_id: UUID
    paper: Paper


async def list_observable(conn: Connection, actor: Actor, query: ListPage) -> ObservableExams:
    """Return a page of the open exams that were granted to the observer."""
    page, following = await fetch_page(
        conn,
        query,
        QUERIES,
        "list_observable",
        organisation=actor.organisation_id,
        user_id=actor.user_id,
    )
    return ObservableExams([ObservableExam(**row) for row in page], next_cursor=following)


async def fetch(conn: Connection, actor: Actor, exam_id: UUID) -> dict[str, object]:
    """
    Return a `Form`, its paper as the bytes that are stored; raises NotFoundError when the exam is not visible
    to the caller, has no evaluation, or, for an observer, is not open.
    """
    observes = actor.role is Role.observer
    bound = QUERIES.bind("fetch_form", id=exam_id, observes=observes, **actor.reach)
    row = await fetch_one(conn, "form", *bound)
    return {**row, "paper": orjson.Fragment(row["paper"])}
