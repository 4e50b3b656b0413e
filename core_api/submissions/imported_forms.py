"""
The exam of results that come from elsewhere: its questions, published as a form, made once and found again.

An item is known by its name, the first line of its stem. The exam is known by its title, among those that an
import has made; it is never open to candidates. A file may hold fewer items and options than the form, never
other ones: what results were scored by does not change under them.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from core_api.actors import Actor
from core_api.authoring import content, evaluations, questions
from core_api.authoring.content import NewTerm, Title
from core_api.authoring.evaluations import DraftItem, SaveDraft
from core_api.authoring.items import (
    ChoiceContent,
    Item,
    KeyedItem,
    MultipleChoice,
    SingleChoice,
    fault_of_item,
)
from core_api.authoring.published import Current, Key, as_published, current_of, key_of
from core_api.authoring.questions import Points, SaveQuestion
from core_api.database import Connection
from core_api.exams import exams
from core_api.exams.exams import MaxScore, Minutes, NewExam
from core_api.exams.exams import Points as Score
from core_api.people.groups import GroupName
from core_api.wire import Text200
from kernel.errors import ConflictError, InvalidInputError
from sql import named

QUERIES: Final = named("imported")
ITEMS_MAX: Final = 500
TOPICS_MAX: Final = 20
MARK: Final = msgspec.Raw(b'{"imported": true}')  # in the metadata of an exam that an import has made


class FormItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One item: the first line of its stem is its name, and no other item's. An item whose key nobody knows is
    an essay: it keeps its response, and the points that it came with.
    """

    item: Item
    points: Points = 1.0
    topics: Annotated[list[Title], Meta(max_length=TOPICS_MAX)] = []


class ImportedForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The exam: `max_score` is the sum of its items' points unless given, `passing_score` half of that. An exam
    that is made compares members of `focal_group` with those of `reference_group`, where these are named.
    """

    title: Title
    items: Annotated[list[FormItem], Meta(min_length=1, max_length=ITEMS_MAX)]
    subject: Text200 = ""
    topic: Text200 = ""
    max_score: MaxScore | None = None
    passing_score: Score | None = None
    duration_minutes: Minutes = 60
    reference_group: GroupName | None = None
    focal_group: GroupName | None = None


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """
    The exam as it is there, or as it would be made (`exam_id` null); its items by name. `current` is the key
    that counts by now.
    """

    exam_id: UUID | None
    evaluation_version_id: UUID | None
    max_score: Decimal
    passing_score: Decimal
    duration_minutes: int
    key: Key
    current: Current
    by_name: Mapping[str, KeyedItem]


def name_of(item: Item) -> str:
    """Return by which name an item is known."""
    return item.content.stem.partition("\n")[0]


def check(given: ImportedForm) -> None:
    """Hold a form against itself; raises InvalidInputError that names every item that cannot be one."""
    faults: list[dict[str, str]] = []
    reference, focal = given.reference_group, given.focal_group
    if (reference is None) != (focal is None):
        faults.append({"path": "exam.focal_group", "message": "both groups or neither"})
    elif reference is not None and focal is not None and reference.lower() == focal.lower():
        faults.append({"path": "exam.focal_group", "message": "another group than reference_group"})
    names: set[str] = set()
    for n, each in enumerate(given.items):
        fault = fault_of_item(each.item)
        if fault is not None:
            faults.append({"path": f"exam.items[{n}].item.{fault[0]}", "message": fault[1]})
        if name_of(each.item) in names:
            faults.append({"path": f"exam.items[{n}].item.content.stem", "message": "the name stands twice"})
        names.add(name_of(each.item))
    if faults:
        raise InvalidInputError("The form cannot be one.", errors=faults)


async def find(conn: Connection, actor: Actor, given: ImportedForm) -> Form | None:
    """
    Return the exam that an import has made before; None where there is none.

    Raises:
        ConflictError: several imported exams have the title.
        InvalidInputError: the form holds what the exam does not.
    """
    rows = await QUERIES.run(
        conn.fetch, "find_imported_exams", organisation=actor.organisation_id, title=given.title
    )
    if len(rows) > 1:
        raise ConflictError("Several imported exams have this title; rename or archive all but one.")
    if not rows:
        return None
    form = await _form(conn, rows[0])
    faults = [
        {"path": f"exam.items[{n}]", "message": fault}
        for n, each in enumerate(given.items)
        if (fault := _difference(form.by_name.get(name_of(each.item)), each)) is not None
    ]
    if faults:
        raise InvalidInputError("The exam was imported with another form.", errors=faults)
    return form


async def _form(conn: Connection, row: asyncpg.Record) -> Form:
    key = await key_of(conn, row["evaluation_version_id"])
    return Form(
        exam_id=row["id"],
        evaluation_version_id=row["evaluation_version_id"],
        max_score=Decimal(row["max_score"]),
        passing_score=Decimal(row["passing_score"]),
        duration_minutes=row["duration_minutes"],
        key=key,
        current=await current_of(conn, row["evaluation_version_id"]),
        by_name={name_of(each.item): each for each in key.items},
    )


def _difference(known: KeyedItem | None, given: FormItem) -> str | None:
    """Return what an item has that the form has not, or None."""
    if known is None:
        return "the exam was imported without this item"
    if known.points != Decimal(repr(given.points)).quantize(Decimal("0.01")):
        return f"the exam was imported with {known.points} points for it"
    if type(known.item) is not type(given.item) or known.item.key != given.item.key:
        return "the exam was imported with another key for it"
    if isinstance(known.item, SingleChoice | MultipleChoice):
        assert isinstance(given.item.content, ChoiceContent), "they are of one type"
        ids = {each.id for each in known.item.content.options}
        if not ids.issuperset(each.id for each in given.item.content.options):
            return "the exam was imported without one of its options"
    return None


def planned(given: ImportedForm) -> Form:
    """Return the exam as it would be made; its items have no ids of anything that is stored."""
    nothing = UUID(int=0)
    items = [
        KeyedItem(
            position=n,
            question_id=UUID(int=n),
            question_version_id=nothing,
            points=Decimal(repr(each.points)),
            item=each.item,
        )
        for n, each in enumerate(given.items, 1)
    ]
    max_score = _max_score(given)
    passing = max_score / 2 if given.passing_score is None else given.passing_score
    key = Key(snapshot={}, items=items, asked={each.question_id: each.item for each in items})
    return Form(
        exam_id=None,
        evaluation_version_id=None,
        max_score=Decimal(repr(max_score)),
        passing_score=Decimal(repr(passing)),
        duration_minutes=given.duration_minutes,
        key=key,
        current=as_published(key),
        by_name={name_of(each.item): each for each in items},
    )


def _max_score(given: ImportedForm) -> float:
    points = sum((Decimal(repr(each.points)) for each in given.items), Decimal(0))
    return given.max_score or float(points) or 100.0


async def make(
    conn: Connection, actor: Actor, given: ImportedForm, groups: Mapping[str, UUID], *, now: datetime
) -> Form:
    """
    Make questions, form and exam as the caller's, in their transaction; the exam is open to nobody. `groups`:
    those that it names, by name.
    """
    names = list(dict.fromkeys(topic for each in given.items for topic in each.topics))
    terms = {}
    for name in names:
        term, _ = await content.create_term(conn, actor, NewTerm(kind="term", name=name), now=now)
        terms[name] = term.id
    made = await questions.make(
        conn,
        actor,
        [
            SaveQuestion(
                item=each.item, points=each.points, term_ids=list({terms[name]: 0 for name in each.topics})
            )
            for each in given.items
        ],
        now=now,
    )
    draft = SaveDraft(title=given.title, items=[DraftItem(question_id=each) for each in made])
    evaluation = await evaluations.save_draft(conn, actor, None, draft, now=now)
    version = await evaluations.publish(conn, actor, evaluation.evaluation_id, now=now)
    new = NewExam(
        title=given.title,
        duration_minutes=given.duration_minutes,
        subject=given.subject,
        topic=given.topic,
        max_score=_max_score(given),
        passing_score=given.passing_score,
        enable_monitoring=False,
        metadata=MARK,
        evaluation_version_id=version.evaluation_version_id,
        reference_group_id=None if given.reference_group is None else groups[given.reference_group],
        focal_group_id=None if given.focal_group is None else groups[given.focal_group],
    )
    await exams.create(conn, actor, new, now=now)
    form = await find(conn, actor, given)
    assert form is not None, "this transaction has made it"
    return form
