"""
Results as Caliper 1.2 events, in an envelope for each: an assessment was started, its items completed, it was
submitted (Assessment Profile), the attempt and its items were graded (Grading Profile). Pure.

Source: 1EdTech Caliper Analytics 1.2, the profiles Assessment and Grading, the entities Attempt, Response and
Score, the envelope.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from core_api.exports.learning import Item, Names, Result, Said, duration, moment

CONTEXT: Final = "http://purl.imsglobal.org/ctx/caliper/v1p2"
# What a response is, and which of its members says what was answered; of any other kind none does.
RESPONSES: Final = {
    "single_choice": ("MultipleChoiceResponse", "value"),
    "multiple_choice": ("MultipleResponseResponse", "values"),
    "numeric": ("FillinBlankResponse", "values"),
    "short_text": ("FillinBlankResponse", "values"),
}


def envelopes(names: Names, sent_at: datetime, result: Result) -> Iterator[Said]:
    """Yield the envelope of a result."""
    events = [{"id": _urn(names.of(each)), **each} for each in _events(names, result)]
    yield {"sensor": names.home, "sendTime": moment(sent_at), "dataVersion": CONTEXT, "data": events}


def _events(names: Names, result: Result) -> Iterator[Said]:
    """Yield the events of a result without their ids, in the order of time."""
    person = {"id": names.person(result), "type": "Person"}
    named = {"name": result.exam_title, "maxScore": result.max_score}
    exam = {"id": names.exam(result), "type": "Assessment", **named}
    begun = {
        "id": _urn(result.attempt_id), "type": "Attempt", "assignee": person["id"],
        "assignable": exam["id"], "count": result.attempt_number, "startedAtTime": moment(result.started_at),
    }  # fmt: skip
    ended = begun | {"endedAtTime": moment(result.finalised_at)} | result.lasted
    yield _event(names, "AssessmentEvent", "Started", person, exam, begun, result.started_at)
    for item in result.items:
        response = _response(names, result, item)
        asked = _item(names, result, item)
        yield _event(names, "AssessmentItemEvent", "Completed", person, asked, response, item.saved_at)
    yield _event(names, "AssessmentEvent", "Submitted", person, exam, ended, result.finalised_at)
    if result.is_void:
        return
    for item in result.items:
        if item.points is not None:
            attempt = _item_attempt(names, result, item)
            yield _graded(names, attempt, item.points, item.max_points, result.scored_at)
    if result.score is not None:
        yield _graded(names, ended, result.score, result.max_score, result.scored_at)


def _event(
    names: Names, kind: str, action: str, actor: Said, about: Said, generated: Said, at: datetime
) -> Said:
    return {
        "@context": CONTEXT,
        "type": kind,
        "profile": "GradingProfile" if kind == "GradeEvent" else "AssessmentProfile",
        "actor": actor,
        "action": action,
        "object": about,
        "generated": generated,
        "eventTime": moment(at),
        "edApp": _application(names),
    }


def _application(names: Names) -> Said:
    return {"id": names.home, "type": "SoftwareApplication", "name": "Veritas"}


def _item(names: Names, result: Result, item: Item) -> Said:
    whole = {"id": names.exam(result), "type": "Assessment"}
    asked = {"id": names.question(item), "type": "AssessmentItem", "isPartOf": whole}
    return asked | {"maxScore": item.max_points}


def _item_attempt(names: Names, result: Result, item: Item) -> Said:
    whole = _urn(result.attempt_id)
    return {
        "id": _urn(names.of([whole, item.position])), "type": "Attempt", "assignee": names.person(result),
        "assignable": names.question(item), "isPartOf": whole, "count": 1,
    }  # fmt: skip


def _response(names: Names, result: Result, item: Item) -> Said:
    kind, member = RESPONSES.get(item.kind, ("Response", ""))
    said: Said = {"attempt": _item_attempt(names, result, item), "dateCreated": moment(item.saved_at)}
    if item.seconds is not None:
        said["duration"] = duration(item.seconds)
    if item.said and member:
        said[member] = item.said[0] if member == "value" else item.said
    return {"id": _urn(names.of([kind, said])), "type": kind, **said}


def _graded(names: Names, attempt: Said, points: float, points_max: float, at: datetime) -> Said:
    score = {
        "type": "Score", "attempt": attempt["id"], "scoreGiven": points, "maxScore": points_max,
        "scoredBy": names.home, "dateCreated": moment(at),
    }  # fmt: skip
    given = {"id": _urn(names.of(score)), **score}
    return _event(names, "GradeEvent", "Graded", _application(names), attempt, given, at)


def _urn(name: object) -> str:
    return f"urn:uuid:{name}"
