"""
An imported result: how it comes in, and how it becomes durable (spec.md W-7, S-1).

It is kept as a hand-in is: an attempt that is over, and a submission of kind `imported` with its items, the
versions of its texts, its first score, its subject, its exact bytes, and its events on the ledger, which name
the file by its hash and the line.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from uuid_utils.compat import uuid7

from core_api.actors import Actor
from core_api.authoring.items import ESSAY_LENGTH_MAX, POINTS_MAX, Response
from core_api.database import Connection
from core_api.exams.policy import Defaults, effective
from core_api.ledger import entries as ledger
from core_api.ledger.entries import Entry
from core_api.people.groups import GroupName
from core_api.submissions.contents import Scored, content_of, item_columns, scored
from core_api.submissions.imported_forms import Form
from core_api.submissions.scoring import SCORING_VERSION, Given
from core_api.wire import NO_NUL, Moment, as_json, check_moments
from kernel.ledger.event import event_id_at
from kernel.ledger.kinds import Kind
from sql import named

QUERIES: Final = named("imported")
DRAFTS_MAX: Final = 500  # of one answer
LINE_MAX: Final = 2**31 - 1
ATTEMPTS_MAX: Final = 1000
SECONDS_MAX: Final = 1e7

Label = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]


class EarlierVersion(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """An earlier version of a text, and when it was saved, where that is known."""

    text: Annotated[str, Meta(max_length=ESSAY_LENGTH_MAX, pattern=NO_NUL)]
    at: Moment | None = None


class GivenAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """
    What became of one item: points that are given win over what its key says. `drafts`: the versions that a
    text had before its response, oldest first; `at`: when the response was saved.
    """

    item: Label
    response: Response | None = None
    points: Annotated[float, Meta(ge=0, le=POINTS_MAX)] | None = None
    seconds: Annotated[float, Meta(ge=0, le=SECONDS_MAX)] | None = None
    at: Moment | None = None
    drafts: Annotated[list[EarlierVersion], Meta(max_length=DRAFTS_MAX)] = []


class GivenResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """
    One candidate's result; items left out were not answered. `line`: where it stands in the file; `attempt`:
    which of theirs at the exam it is; `group`: which group they belong to, which is made where there is none
    of that name.
    """

    line: Annotated[int, Meta(ge=1, le=LINE_MAX)]
    candidate: Label
    finalised_at: Moment
    answers: list[GivenAnswer]
    started_at: Moment | UnsetType = UNSET
    attempt: Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)] = 1
    group: GroupName | None = None

    def __post_init__(self) -> None:
        """Hold the moments to what can be counted with."""
        check_moments(self.finalised_at, self.began_at, *(each.at for each in self.answers))
        check_moments(*(draft.at for each in self.answers for draft in each.drafts))
        if self.began_at > self.finalised_at:
            message = "Expected a result that began before it ended"
            raise ValueError(message)

    @property
    def began_at(self) -> datetime:
        """Return when it began; where that is not known, when it ended."""
        return self.finalised_at if self.started_at is UNSET else self.started_at


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One result as it becomes durable: `answers` by position."""

    given: GivenResult
    author_id: UUID
    key: str
    body_sha256: bytes
    attempt_id: UUID
    submission_id: UUID
    event_id: UUID
    snapshot: dict[str, Any]
    content: bytes
    score: Scored
    answers: dict[int, GivenAnswer]


def key_of(form: Form, given: GivenResult) -> str:
    """Return what a candidate's result is known by."""
    return f"import:{form.exam_id}:{given.attempt}"


def digest_of(given: GivenResult) -> bytes:
    """Return the hash of what a result says, wherever it stands and in whatever order; of no group."""
    answers = sorted(given.answers, key=lambda each: each.item)
    said = msgspec.structs.replace(given, line=1, answers=answers, group=None)
    return hashlib.sha256(msgspec.json.encode(said)).digest()


def all_made(
    fresh: Sequence[GivenResult],
    form: Form,
    people: Mapping[str, UUID],
    actor: Actor,
    file_sha256: str,
    now: datetime,
) -> list[Made]:
    """Return results as they are kept: none of them is there yet, and all of their candidates are known."""
    source = {"file_sha256": file_sha256, "imported_by": str(actor.user_id), "imported_at": now}
    return [_made(each, form, people[each.candidate], source, now=now) for each in fresh]


def _made(given: GivenResult, form: Form, author_id: UUID, source: dict[str, Any], *, now: datetime) -> Made:
    """Return a result as it is kept: scored, with its exact bytes and new ids."""
    asked = [(form.by_name[each.item], each) for each in given.answers]
    by_question = {keyed.question_id: each for keyed, each in asked}
    score = scored(
        form.key,
        form.current,
        {question: each.response for question, each in by_question.items() if each.response is not None},
        max_score=form.max_score,
        passing_score=form.passing_score,
        given={
            keyed.position: Given(Decimal(repr(each.points)), keyed.points)
            for keyed, each in asked
            if each.points is not None
        },
    )
    submission_id, attempt_id = uuid7(), uuid7()
    snapshot = {
        **form.key.snapshot,
        "scoring_version": SCORING_VERSION,
        "import": {**source, "line": given.line},
    }
    head = {
        "submission_id": submission_id,
        "kind": "imported",
        "attempt_id": attempt_id,
        "exam_id": form.exam_id,
        "candidate_id": author_id,
        "submitted_by": "import",
        "finalised_at": given.finalised_at,
        "version_snapshot": snapshot,
    }
    return Made(
        given=given,
        author_id=author_id,
        key=key_of(form, given),
        body_sha256=digest_of(given),
        attempt_id=attempt_id,
        submission_id=submission_id,
        event_id=event_id_at(now),
        snapshot=snapshot,
        content=content_of(head, form.key.items, "answer", by_question),
        score=score,
        answers={keyed.position: each for keyed, each in asked},
    )


async def write(
    conn: Connection, actor: Actor, file_sha256: str, form: Form, made: Sequence[Made], *, now: datetime
) -> None:
    """Write results, and record them: what an event commits to is there before."""
    scores = [each.score.columns for each in made]
    outcome = {
        "scores": [each["score"] for each in scores],
        "percentages": [each["percentage"] for each in scores],
        "passes": [each["passed"] for each in scores],
    }
    policy = effective(Defaults(duration_minutes=form.duration_minutes, monitoring_mode=0), [], now=now)
    authors, finalised = [each.author_id for each in made], [each.given.finalised_at for each in made]
    ids, attempt_ids = [each.submission_id for each in made], [each.attempt_id for each in made]
    await QUERIES.run(
        conn.execute,
        "insert_attempts",
        exam_id=form.exam_id,
        evaluation_version_id=form.evaluation_version_id,
        max_score=str(form.max_score),
        policy=as_json(policy),
        ids=attempt_ids,
        submission_ids=ids,
        authors=authors,
        started=[each.given.began_at for each in made],
        finalised=finalised,
        durations=[_duration_s(each.given) for each in made],
        numbers=[each.given.attempt for each in made],
        **outcome,
    )
    await QUERIES.run(
        conn.execute,
        "insert_submissions",
        organisation=actor.organisation_id,
        exam_id=form.exam_id,
        ids=ids,
        attempt_ids=attempt_ids,
        authors=authors,
        keys=[each.key for each in made],
        bodies=[each.body_sha256 for each in made],
        snapshots=[as_json(each.snapshot) for each in made],
        contents=[each.content for each in made],
        event_ids=[each.event_id for each in made],
        finalised=finalised,
    )
    await QUERIES.run(conn.execute, "insert_items", **_items(form, made))
    await QUERIES.run(
        conn.execute,
        "insert_parts",
        ids=ids,
        authors=authors,
        **_drafts(made),
        scoring_version=SCORING_VERSION,
        scored_at=now,
        item_points=[each["points_by_item"] for each in scores],
        total_points=[each["points"] for each in scores],
        total_max=[each["max_points"] for each in scores],
        ungraded=[each["ungraded"] for each in scores],
        given_points=[each["given_points"] for each in scores],
        remediation_id=scores[0]["remediation_id"],
        reweighted=scores[0]["reweighted"],
        **outcome,
    )
    await ledger.record(
        conn, *(entry for each in made for entry in _entries(actor, file_sha256, form, each, now=now))
    )


def _duration_s(given: GivenResult) -> int | None:
    """Return how long the attempt took; None where nobody knows when it began."""
    return None if given.started_at is UNSET else int((given.finalised_at - given.began_at).total_seconds())


def _items(form: Form, made: Sequence[Made]) -> dict[str, list[Any]]:
    """Return the columns of `insert_items`: every item of the form, of every result."""
    of_form = item_columns(form.key, made[0].score.as_published)
    rows = [
        (each, position, each.answers.get(position)) for each in made for position in of_form["positions"]
    ]
    points = [each.score.as_published.item_points[position] for each, position, _ in rows]
    return {
        "submission_ids": [each.submission_id for each, _, _ in rows],
        "positions": [position for _, position, _ in rows],
        "responses": [
            None if answer is None or answer.response is None else as_json(answer.response)
            for _, _, answer in rows
        ],
        # A text is its last version.
        "client_seqs": [
            len(answer.drafts) + 1
            if answer is not None and answer.response is not None and answer.response.text is not None
            else None
            for _, _, answer in rows
        ],
        "saved": [None if answer is None else answer.at for _, _, answer in rows],
        "points": [None if each is None else str(each) for each in points],
        "seconds": [None if answer is None else answer.seconds for _, _, answer in rows],
        "form_positions": of_form["positions"],
        "question_ids": of_form["question_ids"],
        "question_version_ids": of_form["question_version_ids"],
        "kinds": of_form["kinds"],
        "max_points": of_form["item_max_points"],
    }


def _drafts(made: Sequence[Made]) -> dict[str, list[Any]]:
    """Return the columns of `insert_parts` that hold earlier versions of texts."""
    rows = [
        (each.submission_id, position, number, draft)
        for each in made
        for position, answer in each.answers.items()
        for number, draft in enumerate(answer.drafts, 1)
    ]
    return {
        "draft_submissions": [each for each, _, _, _ in rows],
        "draft_positions": [position for _, position, _, _ in rows],
        "draft_versions": [number for _, _, number, _ in rows],
        "draft_texts": [draft.text for _, _, _, draft in rows],
        "draft_times": [draft.at for _, _, _, draft in rows],
    }


def _entries(actor: Actor, file_sha256: str, form: Form, made: Made, *, now: datetime) -> list[Entry]:
    """Return what the ledger says of a result: its attempt came from elsewhere, and it was finalised."""
    source = {"file_sha256": file_sha256, "line": made.given.line}
    content_sha256 = hashlib.sha256(made.content).hexdigest()
    attempt = ledger.by(
        actor,
        Kind.attempt_imported,
        made.attempt_id,
        now=now,
        subject_id=made.author_id,
        detail={"exam_id": str(form.exam_id), **source},
    )
    finalised = ledger.by(
        actor,
        Kind.submission_finalised,
        made.submission_id,
        now=now,
        subject_id=made.author_id,
        detail={"attempt_id": str(made.attempt_id), "content_sha256": content_sha256, **source},
    )
    return [attempt, msgspec.structs.replace(finalised, event_id=made.event_id)]
