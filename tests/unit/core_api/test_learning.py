"""
Results as learning records (spec.md W-6), held to what the standards ask of each member: strict types, in
which nothing may stand that the standards do not know.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import orjson
import pytest
from msgspec import Meta, UnsetType

from core_api.exports import caliper, xapi
from core_api.exports.learning import Item, Lines, Names, Result
from core_api.exports.tables import Exported
from warehouse.datasets import DATASETS

HOME = "https://exams.school.example"
BEGUN = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
Iri = Annotated[str, Meta(pattern=r"^(https?://|urn:uuid:)\S+$")]
Lasting = Annotated[str, Meta(pattern=r"^PT\d+(\.\d{1,2})?S$")]
Moment = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]


def result(**changed: Any) -> Result:
    """Return a result with an item of each kind, saved one minute after the other."""
    answers = {
        "single_choice": ["b"], "multiple_choice": ["a", "c"], "numeric": ["3.5"], "short_text": ["osmosis"],
        "essay": None,
    }  # fmt: skip
    items = [
        Item(
            position=n, question_id=UUID(int=n), kind=kind, response=response,
            points=None if kind == "essay" else 1.5, max_points=2.0, seconds=30.25 * n,
            saved_at=BEGUN + timedelta(minutes=n),
        )
        for n, (kind, response) in enumerate(answers.items(), 1)
    ]  # fmt: skip
    whole = Result(
        attempt_id=UUID(int=10), attempt_number=1, exam_id=UUID(int=11), exam_title="Biologie 1",
        student_id=UUID(int=12), started_at=BEGUN, finalised_at=BEGUN + timedelta(hours=1),
        scored_at=BEGUN + timedelta(days=1), score=60.0, max_score=100.0, percentage=60.0, passed=True,
        is_void=False, items=items,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changed)


class Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Takes no member that it does not name."""


class Account(Strict, kw_only=True):
    homePage: Iri  # noqa: N815  as the standard spells it
    name: str


class Agent(Strict, kw_only=True):
    objectType: Literal["Agent"]  # noqa: N815
    account: Account


class Verb(Strict, kw_only=True):
    id: Iri
    display: dict[str, str]


class Definition(Strict, kw_only=True):
    type: Iri
    name: dict[str, str] | UnsetType = msgspec.UNSET
    interactionType: (  # noqa: N815
        Literal["choice", "numeric", "fill-in", "long-fill-in", "other"] | UnsetType
    ) = msgspec.UNSET


class Activity(Strict, kw_only=True):
    objectType: Literal["Activity"]  # noqa: N815
    id: Iri
    definition: Definition


class Score(Strict, kw_only=True):
    raw: float
    min: float
    max: float
    scaled: Annotated[float, Meta(ge=-1, le=1)]


class Outcome(Strict, kw_only=True):
    score: Score | UnsetType = msgspec.UNSET
    success: bool | UnsetType = msgspec.UNSET
    completion: bool | UnsetType = msgspec.UNSET
    response: str | UnsetType = msgspec.UNSET
    duration: Lasting | UnsetType = msgspec.UNSET


class Context(Strict, kw_only=True):
    registration: UUID
    platform: str
    contextActivities: dict[  # noqa: N815
        Literal["parent", "grouping", "category", "other"], list[Activity]
    ] = {}


class Statement(Strict, kw_only=True):
    """Experience API 1.0.3, part two, 2.4."""

    id: UUID
    actor: Agent
    verb: Verb
    object: Activity
    result: Outcome | UnsetType = msgspec.UNSET
    context: Context
    timestamp: Moment
    version: Literal["1.0.3"]


class Event(Strict, kw_only=True):
    """Caliper 1.2: what every event has, and `generated`, which these have, too."""

    context: Literal["http://purl.imsglobal.org/ctx/caliper/v1p2"] = msgspec.field(name="@context")
    id: Annotated[str, Meta(pattern=r"^urn:uuid:[0-9a-f-]{36}$")]
    type: Literal["AssessmentEvent", "AssessmentItemEvent", "GradeEvent"]
    profile: Literal["AssessmentProfile", "GradingProfile"]
    actor: dict[str, Any]
    action: Literal["Started", "Submitted", "Completed", "Graded"]
    object: dict[str, Any]
    generated: dict[str, Any]
    eventTime: Moment  # noqa: N815
    edApp: dict[str, Any]  # noqa: N815


class Envelope(Strict, kw_only=True):
    sensor: Iri
    sendTime: Moment  # noqa: N815
    dataVersion: Literal["http://purl.imsglobal.org/ctx/caliper/v1p2"]  # noqa: N815
    data: list[Event]


# Members of the entities, as the specification lists them under each type.
ENTITIES = {
    "Person": {"id", "type"},
    "SoftwareApplication": {"id", "type", "name"},
    "Assessment": {"id", "type", "name", "maxScore"},
    "AssessmentItem": {"id", "type", "isPartOf", "maxScore"},
    "Attempt": {
        "id", "type", "assignee", "assignable", "isPartOf", "count", "startedAtTime", "endedAtTime",
        "duration",
    },
    "Response": {"id", "type", "attempt", "dateCreated", "duration"},
    "MultipleChoiceResponse": {"id", "type", "attempt", "dateCreated", "duration", "value"},
    "MultipleResponseResponse": {"id", "type", "attempt", "dateCreated", "duration", "values"},
    "FillinBlankResponse": {"id", "type", "attempt", "dateCreated", "duration", "values"},
    "Score": {"id", "type", "attempt", "maxScore", "scoreGiven", "scoredBy", "dateCreated"},
}  # fmt: skip


def statements(of: Result) -> list[Statement]:
    told = orjson.dumps(list(xapi.statements(Names(HOME), of)))
    return msgspec.json.decode(told, type=list[Statement])


def envelope(of: Result, sent_at: datetime = BEGUN) -> Envelope:
    (told,) = caliper.envelopes(Names(HOME), sent_at, of)
    return msgspec.json.decode(orjson.dumps(told), type=Envelope)


def entities(value: Any) -> list[dict[str, Any]]:
    match value:
        case {"type": str()}:
            return [value, *(found for each in value.values() for found in entities(each))]
        case _:
            return []


def test_statements_say_what_was_done_in_the_order_of_time_w6() -> None:
    told = statements(result())
    verbs = [each.verb.id.removeprefix("http://adlnet.gov/expapi/verbs/") for each in told]

    assert verbs == ["initialized", *["answered"] * 5, "completed", "scored"]
    assert [each.timestamp for each in told] == sorted(each.timestamp for each in told)
    outcomes = [each.result for each in told if not isinstance(each.result, UnsetType)]
    assert [each.response for each in outcomes[:4]] == ["b", "a[,]c", "3.5", "osmosis"]
    assert outcomes[4] == Outcome(duration="PT151.25S"), "an essay waits for its grader and says nothing"
    assert outcomes[0].score == Score(raw=1.5, min=0, max=2, scaled=0.75)
    assert outcomes[0].success is False
    assert outcomes[-2] == Outcome(completion=True, duration="PT3600S")
    assert outcomes[-1] == Outcome(success=True, score=Score(raw=60, min=0, max=100, scaled=0.6))
    assert {each.actor.account.name for each in told} == {str(UUID(int=12))}
    assert told[1].context.contextActivities["parent"][0] == told[0].object


def test_events_say_the_same_under_their_profiles_w6() -> None:
    events = envelope(result()).data
    kinds = [(each.type, each.action, each.profile) for each in events]

    assert kinds == [
        ("AssessmentEvent", "Started", "AssessmentProfile"),
        *[("AssessmentItemEvent", "Completed", "AssessmentProfile")] * 5,
        ("AssessmentEvent", "Submitted", "AssessmentProfile"),
        *[("GradeEvent", "Graded", "GradingProfile")] * 5,
    ]
    found = [
        each
        for event in events
        for part in (event.actor, event.object, event.generated, event.edApp)
        for each in entities(part)
    ]
    assert [each for each in found if not {"id", "type"} <= each.keys() <= ENTITIES[each["type"]]] == []
    assert {each["type"] for each in found} == ENTITIES.keys()
    assert [each for each in found if not msgspec.convert(each["id"], Iri)] == []
    assert events[-1].object["id"] == events[0].generated["id"] == f"urn:uuid:{UUID(int=10)}"
    assert events[-1].generated["scoreGiven"] == 60


@pytest.mark.parametrize("ids", [
    lambda of: [each.id for each in statements(of)],
    lambda of: [each.id for each in envelope(of, BEGUN + timedelta(days=2)).data],
])  # fmt: skip
def test_exported_again_everything_has_its_name_and_what_changed_another_w6(ids: Any) -> None:
    first, again = ids(result()), ids(result())
    regraded = ids(result(score=70.0, scored_at=BEGUN + timedelta(days=3)))

    assert first == again
    assert len(set(first)) == len(first)
    assert first[:7] == regraded[:7]
    assert first[-1] != regraded[-1]
    assert set(first).isdisjoint(ids(result(student_id=UUID(int=99), attempt_id=UUID(int=98))))


def test_a_void_result_has_neither_score_nor_points_w6() -> None:
    void = result(is_void=True)
    told = orjson.dumps([*xapi.statements(Names(HOME), void), *caliper.envelopes(Names(HOME), BEGUN, void)])

    assert b"score" not in told.replace(b"maxScore", b"").lower()
    assert b'"success"' not in told
    assert b"submitted" in told.lower()


def test_lines_are_whole_and_unanswered_exams_have_some_w6() -> None:
    row = msgspec.structs.asdict(result(items=[], score=None)) | {"items": b"[]"}
    form = Lines(lambda each: xapi.statements(Names(HOME), each))
    text = form.piece([row, row])  # type: ignore[list-item]  # a row is a mapping

    assert [orjson.loads(line)["verb"]["display"]["en"] for line in text.splitlines()] == [
        "initialized", "completed",
    ] * 2  # fmt: skip
    assert text.endswith(b"\n")
    assert form.end() == b""


def test_the_page_names_what_can_be_exported_w6() -> None:
    page = (Path(__file__).parents[3] / "docs/exports.md").read_text(encoding="utf-8")
    table = page.partition("<!-- datasets -->\n")[2].partition("<!-- end of datasets -->")[0]

    assert table.splitlines() == [f"| `{each}` | {DATASETS[each.value].grain} |" for each in Exported]
