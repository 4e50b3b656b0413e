"""
What the two standards of learning records demand, as a table: where it stands, and what must hold. Written
from the standards' texts, and of nothing that writes the records.

xAPI: Experience API 1.0.3, part two (xAPI-Data). Caliper: 1EdTech Caliper Analytics 1.2.
"""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

Rule = tuple[str, Callable[[Any], bool]]  # where it stands, and whether a record keeps it

CONTEXT: Final = "http://purl.imsglobal.org/ctx/caliper/v1p2"
# RFC 5646: a language, and what may follow it.
LANGUAGE: Final = re.compile(r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
DURATION: Final = re.compile(r"^P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d{1,2})?S)?)?$")
INSTANT: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

# Which members an object may have, by the member that it is the value of.
XAPI_MEMBERS: Final = {
    "": "id actor verb object result context timestamp stored authority version attachments",
    "actor": "objectType name mbox mbox_sha1sum openid account",
    "account": "homePage name",
    "verb": "id display",
    "object": "objectType id definition",
    "parent": "objectType id definition",
    "definition": "name description type moreInfo extensions interactionType correctResponsesPattern choices"
    " scale source target steps",
    "result": "score success completion response duration extensions",
    "score": "scaled raw min max",
    "context": "registration instructor team contextActivities revision platform language statement"
    " extensions",
    "contextActivities": "parent grouping category other",
}
INTERACTIONS: Final = frozenset(
    [
        "true-false",
        "choice",
        "fill-in",
        "long-fill-in",
        "matching",
        "performance",
        "sequencing",
        "likert",
        "numeric",
        "other",
    ]
)

ENTITY: Final = "id type name description dateCreated dateModified otherIdentifiers extensions"
RESOURCE: Final = "mediaType creators learningObjectives keywords isPartOf datePublished version storageName"
ASSIGNABLE: Final = (
    f"{RESOURCE} dateToActivate dateToShow dateToStartOn dateToSubmit maxAttempts maxSubmits maxScore"
)
ANSWER: Final = "attempt startedAtTime endedAtTime duration"
# Which members an entity may have, by its type.
CALIPER_MEMBERS: Final = {
    "Person": "",
    "SoftwareApplication": "host ipAddress userAgent version",
    "Assessment": f"{ASSIGNABLE} items",
    "AssessmentItem": f"{ASSIGNABLE} isTimeDependent",
    "Attempt": "assignee assignable isPartOf count startedAtTime endedAtTime duration",
    "Score": "attempt maxScore scoreGiven scoredBy comment",
    "Response": ANSWER,
    "MultipleChoiceResponse": f"{ANSWER} value",
    "MultipleResponseResponse": f"{ANSWER} values",
    "FillinBlankResponse": f"{ANSWER} values",
}
# Profile, event, action; who acts, on what, and what comes of it (2.3.3 and 2.3.6, "Supported Entities").
CALIPER_EVENTS: Final = {
    ("AssessmentProfile", "AssessmentEvent", "Started"): ("Person", "Assessment", "Attempt"),
    ("AssessmentProfile", "AssessmentEvent", "Submitted"): ("Person", "Assessment", "Attempt"),
    ("AssessmentProfile", "AssessmentItemEvent", "Completed"): ("Person", "AssessmentItem", "Response"),
    ("GradingProfile", "GradeEvent", "Graded"): ("SoftwareApplication", "Attempt", "Score"),
}


def broken(rules: tuple[Rule, ...], record: Any) -> list[str]:
    """Return where the rules stand that a record does not keep, or has nothing to look at for."""
    return [where for where, holds in rules if not _is_kept(holds, record)]


def _is_kept(holds: Callable[[Any], bool], record: Any) -> bool:
    try:
        return holds(record)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _walk(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a value and all that are in it, each with the name of the member that it is of."""
    yield name, value
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _walk(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each, name)


def _of(record: Any, *names: str) -> Iterator[Any]:
    """Yield what stands under these names, wherever, but for the lists themselves."""
    return (value for name, value in _walk(record) if name in names and not isinstance(value, list))


def _is_iri(value: Any) -> bool:
    if not isinstance(value, str) or re.search(r'[\s<>"{}|\\^`]', value):
        return False
    parts = urlsplit(value)
    return bool(parts.scheme and (parts.netloc or (parts.scheme == "urn" and parts.path)))


def _is_uuid(value: Any) -> bool:
    return (
        isinstance(value, str)
        and str(UUID(value)) == value
        and UUID(value).variant == "specified in RFC 4122"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_score(score: dict[str, Any]) -> bool:
    low, high = score.get("min", -math.inf), score.get("max", math.inf)
    return (
        all(_is_number(each) for each in score.values())
        and low < high
        and low <= score.get("raw", low) <= high
        and -1 <= score.get("scaled", 0) <= 1
    )


def _is_language_map(value: Any) -> bool:
    return bool(value) and all(LANGUAGE.match(tag) and isinstance(text, str) for tag, text in value.items())


def _knows_members(statement: Any) -> bool:
    return all(
        value.keys() <= set(XAPI_MEMBERS[name].split())
        for name, value in _walk(statement)
        if isinstance(value, dict) and name in XAPI_MEMBERS
    )


XAPI: Final[tuple[Rule, ...]] = (
    ("2.2: no null, nor an empty object", lambda it: all(each not in (None, {}) for _, each in _walk(it))),
    ("2.2: no empty text where a text is the value", lambda it: all(each != "" for _, each in _walk(it))),
    ("2.2: no member that the standard does not know", _knows_members),
    ("2.4: actor, verb and object", lambda it: {"actor", "verb", "object"} <= it.keys()),
    ("2.4.1: its id is a UUID", lambda it: _is_uuid(it["id"])),
    (
        "2.4.2.1: an agent is told by one identifier",
        lambda it: sum(each in it["actor"] for each in ("mbox", "mbox_sha1sum", "openid", "account")) == 1,
    ),
    (
        "2.4.2.4: an account has a home page and a name",
        lambda it: all(
            _is_iri(each["homePage"]) and isinstance(each["name"], str) for each in _of(it, "account")
        ),
    ),
    ("2.4.3: the verb's id is an IRI", lambda it: _is_iri(it["verb"]["id"])),
    (
        "4.2: languages",
        lambda it: (
            _is_language_map(it["verb"]["display"])
            and all(_is_language_map(each["name"]) for each in _of(it, "definition") if "name" in each)
        ),
    ),
    (
        "2.4.4.1: an activity's id and type are IRIs",
        lambda it: all(
            _is_iri(each["id"]) and _is_iri(each["definition"]["type"])
            for each in _of(it, "object", "parent")
        ),
    ),
    (
        "2.4.4.1: the kinds of interaction",
        lambda it: all(each in INTERACTIONS for each in _of(it, "interactionType")),
    ),
    (
        "2.4.5.1: a score lies in its bounds, and they differ",
        lambda it: all(map(_is_score, _of(it, "score"))),
    ),
    (
        "2.4.5: success and completion are true or false",
        lambda it: all(isinstance(each, bool) for each in _of(it, "success", "completion")),
    ),
    ("4.6: a duration, to 0.01 s", lambda it: all(DURATION.match(each) for each in _of(it, "duration"))),
    ("2.4.6: the registration is a UUID", lambda it: _is_uuid(it["context"]["registration"])),
    (
        "2.4.6: a platform is of activities alone",
        lambda it: "platform" not in it["context"] or it["object"].get("objectType") == "Activity",
    ),
    ("4.5: a moment, with its zone", lambda it: datetime.fromisoformat(it["timestamp"]).tzinfo is not None),
    ("2.4.10: the version", lambda it: re.fullmatch(r"1\.0\.\d+", it["version"]) is not None),
)


def _entities(envelope: Any) -> Iterator[dict[str, Any]]:
    return (
        value
        for event in envelope["data"]
        for name in ("actor", "object", "generated", "edApp")
        for _, value in _walk(event[name])
        if isinstance(value, dict)
    )


def _is_supported(event: Any) -> bool:
    actor, about, generated = CALIPER_EVENTS[event["profile"], event["type"], event["action"]]
    made = event["generated"]["type"]
    return (
        event["actor"]["type"] == actor
        and event["object"]["type"] == about
        and (made == generated or (generated == "Response" and made.endswith("Response")))
    )


def _is_answer(entity: Any) -> bool:
    match entity["type"]:
        case "MultipleChoiceResponse":
            return isinstance(entity.get("value", ""), str)
        case "MultipleResponseResponse" | "FillinBlankResponse":
            values = entity.get("values", [])
            return isinstance(values, list) and all(isinstance(each, str) for each in values)
    return True


CALIPER: Final[tuple[Rule, ...]] = (
    (
        "4.2 (envelope): sensor, sendTime, dataVersion, data",
        lambda it: (
            it.keys() == {"sensor", "sendTime", "dataVersion", "data"}
            and _is_iri(it["sensor"])
            and it["dataVersion"] == CONTEXT
            and bool(it["data"])
        ),
    ),
    (
        "2.2 (event): what each must have",
        lambda it: all(
            {"@context", "id", "type", "profile", "actor", "action", "object", "eventTime"} <= each.keys()
            for each in it["data"]
        ),
    ),
    ("2.2 (event): the context", lambda it: all(each["@context"] == CONTEXT for each in it["data"])),
    (
        "2.2 (event): its id is a UUID as a URN",
        lambda it: all(
            each["id"].startswith("urn:uuid:") and _is_uuid(each["id"].removeprefix("urn:uuid:"))
            for each in it["data"]
        ),
    ),
    ("2.3.3, 2.3.6: who does what to what", lambda it: all(map(_is_supported, it["data"]))),
    (
        "2.3.3: an attempt is counted from 1",
        lambda it: all(
            isinstance(each["count"], int) and each["count"] >= 1
            for each in _entities(it)
            if each["type"] == "Attempt"
        ),
    ),
    (
        "2.1 (entity): an id and a type",
        lambda it: all({"id", "type"} <= each.keys() for each in _entities(it)),
    ),
    ("2.1 (entity): its id is an IRI", lambda it: all(_is_iri(each["id"]) for each in _entities(it))),
    (
        "appendix C: no member that its type does not know",
        lambda it: all(
            each.keys() <= set(f"{ENTITY} {CALIPER_MEMBERS[each['type']]}".split()) for each in _entities(it)
        ),
    ),
    (
        "2.1: an entity stands as an object or by its IRI",
        lambda it: all(
            isinstance(each, dict) or _is_iri(each)
            for each in _of(
                it, "assignee", "assignable", "attempt", "scoredBy", "isPartOf", "actor", "object"
            )
        ),
    ),
    (
        "2.4: a moment is in UTC, to the millisecond",
        lambda it: all(
            INSTANT.match(each)
            for each in _of(it, "sendTime", "eventTime", "dateCreated", "startedAtTime", "endedAtTime")
        ),
    ),
    ("appendix C: a duration", lambda it: all(DURATION.match(each) for each in _of(it, "duration"))),
    (
        "appendix C: scores are numbers",
        lambda it: all(map(_is_number, _of(it, "scoreGiven", "maxScore"))),
    ),
    ("appendix C: what a response says", lambda it: all(map(_is_answer, _entities(it)))),
    (
        "2.4: no member that is null or blank",
        lambda it: all(each not in (None, "", [], {}) for _, each in _walk(it)),
    ),
)
