"""
Observations as they are read: by the observer who made them, and by the staff of their exam; and the
subjects that an observer can name (spec.md M-4).
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.authoring.evaluations import Paper
from core_api.authoring.items import ItemKind, Response
from core_api.database import Connection, fetch_one, fetch_page, of_row
from core_api.exams import exams
from core_api.observations.states import State
from core_api.observations.subjects import QUERIES as SUBJECTS
from core_api.people import directory
from core_api.wire import ListPage, Page, shown_as
from kernel.access import Scope
from sql import named

QUERIES: Final = named("observation_views")


class ObservedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for one item of the form; null: not answered. `points` null: waits for a grader."""

    position: int
    question_id: UUID
    kind: ItemKind
    response: Response | None
    points: float | None
    max_points: float


class ObservedSubject(msgspec.Struct, frozen=True, kw_only=True):
    """Who or what was observed; without a name where it is no person, or one who is no student any more."""

    id: UUID
    kind: Literal["user", "entity"]
    full_name: str | None


class EvidenceLink(msgspec.Struct, frozen=True, kw_only=True):
    """
    A piece of evidence, and the item that it belongs to; null: the whole observation. It was attached to the
    observation `submission_id`: this one, or one that it amends.
    """

    evidence_id: int
    position: int | None
    submission_id: UUID


class ObservationReview(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody of staff said of an observation."""

    number: int
    verdict: Literal["accepted", "returned"]
    reason: str
    reviewed_by: UUID
    reviewer_name: str
    reviewed_at: datetime


class WholeObservation(msgspec.Struct, frozen=True, kw_only=True):
    """
    An observation with its form, findings, subjects, evidence, reviews and newest score. `exam_title` and
    `form` are null where the caller may not see the exam any more, or it has another evaluation since.
    `amends` names the observation in whose place it stands, with the reason; `amended_by` the one in its own.
    """

    submission_id: UUID
    exam_id: UUID
    exam_title: str | None
    observer_id: UUID
    observer_name: str
    finalised_at: datetime
    content_sha256: str
    event_id: UUID
    state: State
    amends: UUID | None
    amendment_reason: str | None
    amended_by: UUID | None
    evaluation_version_id: UUID
    form: Paper | None
    findings: list[ObservedFinding]
    subjects: list[ObservedSubject]
    evidence: list[EvidenceLink]
    reviews: list[ObservationReview]
    revision: int
    points: float
    max_points: float
    ungraded: int
    score: float | None
    percentage: float | None
    passed: bool | None


class NamedSubject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject in a list of observations."""

    id: UUID
    full_name: str | None


class ListedObservation(msgspec.Struct, frozen=True, kw_only=True):
    """An observation in a list, with its first five subjects and the newest revision of its score."""

    submission_id: UUID
    exam_id: UUID
    observer_id: UUID
    observer_name: str
    finalised_at: datetime
    state: State
    amends: UUID | None
    subject_count: int
    subjects: list[NamedSubject]
    ungraded: int
    score: float | None
    percentage: float | None
    passed: bool | None


class Observations(Page, frozen=True):
    """A page of observations, newest first; `next_cursor` is null on the last page."""

    observations: list[ListedObservation]


InState = Annotated[State, Meta(description="Only those that stand so.")]


class ListObservations(ListPage, frozen=True):
    """Which of an exam's observations."""

    state: InState | None = None
    observer: Annotated[UUID, Meta(description="Only those that this person made.")] | None = None
    subject: Annotated[UUID, Meta(description="Only those about this subject.")] | None = None


class ListOwnObservations(ListPage, frozen=True):
    """Which of one's own observations."""

    state: InState | None = None
    exam: Annotated[UUID, Meta(description="Only those of this exam.")] | None = None
    subject: Annotated[UUID, Meta(description="Only those about this subject.")] | None = None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Who or what can be observed: a candidate with their address, or an entity with its category."""

    id: UUID
    kind: Literal["user", "entity"]
    full_name: str
    email: str | None
    category: str | None


class Subjects(Page, frozen=True):
    """A page of subjects, by name; `next_cursor` is null on the last page."""

    subjects: list[Subject]


class FindSubjects(ListPage, frozen=True):
    """Which subjects: candidates, or what is no person. Of an entity `q` may stand anywhere in the name."""

    kind: Annotated[Literal["user", "entity"], Meta(description="Candidates, or what is no person.")] = "user"
    q: directory.Beginnings | None = None


async def list_of_exam(
    conn: Connection, actor: Actor, exam_id: UUID, query: ListObservations
) -> Observations:
    """
    Return a page of an exam's observations, to an observer their own; raises NotFoundError when the caller
    may not see the exam.
    """
    await exams.fetch(conn, actor, exam_id)
    own = {"own": actor.scope is Scope.own, "user_id": actor.user_id}
    page, following = await fetch_page(
        conn, query, QUERIES, "list_observations_of_exam", exam_id=exam_id, **own, key="submission_id"
    )
    return Observations([_listed(row) for row in page], next_cursor=following)


async def list_own(conn: Connection, actor: Actor, query: ListOwnObservations) -> Observations:
    """Return a page of the observations that the caller made."""
    page, following = await fetch_page(
        conn, query, QUERIES, "list_own_observations", user_id=actor.user_id, key="submission_id"
    )
    return Observations([_listed(row) for row in page], next_cursor=following)


def _listed(row: asyncpg.Record) -> ListedObservation:
    of = zip(row["subject_ids"], row["subject_names"], strict=True)
    return of_row(
        row, ListedObservation, subjects=[NamedSubject(id=each, full_name=name) for each, name in of]
    )


async def fetch(conn: Connection, actor: Actor, submission_id: UUID) -> WholeObservation:
    """
    Return an observation whole; raises NotFoundError when it is of an exam that the caller may not see, or,
    for an observer, another one's.
    """
    own = actor.scope is Scope.own
    row = await fetch_one(
        conn, "observation", *QUERIES.bind("find_observation", id=submission_id, own=own, **actor.reach)
    )
    items = await conn.fetch(QUERIES["list_observed_items"], submission_id)
    subjects = await conn.fetch(QUERIES["list_observed_subjects"], submission_id)
    evidence = await conn.fetch(QUERIES["list_evidence_links"], submission_id)
    reviews = await conn.fetch(QUERIES["list_observation_reviews"], submission_id)
    return of_row(
        row,
        WholeObservation,
        form=shown_as(row["form"], Paper | None),
        findings=[
            ObservedFinding(**{**each, "response": shown_as(each["response"], Response | None)})
            for each in items
        ],
        subjects=[ObservedSubject(**each) for each in subjects],
        evidence=[EvidenceLink(**each) for each in evidence],
        reviews=[ObservationReview(**each) for each in reviews],
    )


def only_subject(found: WholeObservation) -> UUID | None:
    """Return whom an observation is about; None where it is about several, or no person."""
    people = [each.id for each in found.subjects if each.kind == "user"]
    return people[0] if len(people) == 1 else None


async def find_subjects(conn: Connection, actor: Actor, exam_id: UUID, query: FindSubjects) -> Subjects:
    """
    Return a page of whom or what an observation of the exam can name; raises NotFoundError when the exam was
    not granted to the caller.
    """
    await exams.fetch(conn, actor, exam_id)
    if query.kind == "user":
        page, following = await directory.page_of_students(conn, actor, query, q=query.q, group=None)
        found = [
            Subject(id=row["id"], kind="user", full_name=row["full_name"], email=row["email"], category=None)
            for row in page
        ]
    else:
        wanted = ListPage(limit=query.limit, cursor=query.cursor)
        page, following = await fetch_page(
            conn, wanted, SUBJECTS, "find_entities", organisation=actor.organisation_id, q=query.q
        )
        found = [Subject(**row, kind="entity", email=None) for row in page]
    return Subjects(found, next_cursor=following)
