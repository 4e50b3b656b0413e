"""
Results as xAPI 1.0.3 statements: an attempt was initialized, its items answered, it was completed and scored.
Pure.

Source: Experience API 1.0.3, part two, 2.4 (statements) and 4.1 (activities); ADL's verbs and activity types.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from core_api.exports.learning import Item, Names, Result, Said, duration, moment

VERBS: Final = "http://adlnet.gov/expapi/verbs/"
ACTIVITIES: Final = "http://adlnet.gov/expapi/activities/"
NO_LANGUAGE: Final = "und"  # BCP 47: a title is in whatever language it is in
SEPARATOR: Final = "[,]"  # between the choices of a response
INTERACTIONS: Final = {
    "single_choice": "choice",
    "multiple_choice": "choice",
    "numeric": "numeric",
    "short_text": "fill-in",
    "essay": "long-fill-in",
}


def statements(names: Names, result: Result) -> Iterator[Said]:
    """Yield the statements of a result, in the order of time."""
    exam = _activity(names.exam(result), "assessment", name={NO_LANGUAGE: result.exam_title})
    yield _statement(names, result, "initialized", exam, result.started_at)
    for item in result.items:
        kind = INTERACTIONS.get(item.kind, "other")
        question = _activity(names.question(item), "cmi.interaction", interactionType=kind)
        parent = {"contextActivities": {"parent": [exam]}}
        outcome = _answer(item, is_void=result.is_void)
        yield _statement(names, result, "answered", question, item.saved_at, outcome, **parent)
    completed = {"completion": True, **result.lasted}
    yield _statement(names, result, "completed", exam, result.finalised_at, completed)
    if result.score is not None and not result.is_void:
        outcome = {"success": bool(result.passed), "score": _score(result.score, result.max_score)}
        yield _statement(names, result, "scored", exam, result.scored_at, outcome)


def _statement(
    names: Names,
    result: Result,
    verb: str,
    activity: Said,
    at: datetime,
    outcome: Said | None = None,
    **context: Said,
) -> Said:
    account = {"homePage": names.home, "name": str(result.student_id)}
    said = {
        "actor": {"objectType": "Agent", "account": account},
        "verb": {"id": VERBS + verb, "display": {"en": verb}},
        "object": activity,
        **({"result": outcome} if outcome else {}),
        "context": {"registration": str(result.attempt_id), "platform": "Veritas", **context},
        "timestamp": moment(at),
        "version": "1.0.3",
    }
    return {"id": names.of(said), **said}


def _activity(iri: str, kind: str, **definition: object) -> Said:
    return {"objectType": "Activity", "id": iri, "definition": {"type": ACTIVITIES + kind, **definition}}


def _answer(item: Item, *, is_void: bool) -> Said:
    answer: Said = {"response": SEPARATOR.join(item.said)} if item.said else {}
    if item.seconds is not None:
        answer["duration"] = duration(item.seconds)
    if item.points is not None and not is_void:
        answer["success"] = item.points >= item.max_points
        answer["score"] = _score(item.points, item.max_points)
    return answer


def _score(points: float, points_max: float) -> Said:
    """Return a score; its bounds, and its share of them, where there is anything to earn."""
    if points_max <= 0:
        return {"raw": points}
    return {"raw": points, "min": 0, "max": points_max, "scaled": round(points / points_max, 6)}
