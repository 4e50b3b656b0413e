"""
What a detector says of faces or of a screen: its words, and what fits together (spec.md V-4). Pure.

It comes as the metadata of an event, judged where the event is taken in. A detector has seen something, or
has not, or could not tell; then it says why, and that is to nobody's harm. Which model said it, and in which
version, always stands beside it. Nothing else is taken, by no name: no feelings, no gaze, no age, nobody's
identity.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from kernel.events import EventType
from kernel.values import below

FACES_MAX: Final = 100
BOXES_MAX: Final = 20
_OVER: Final = 1e-6  # by which two rounded shares may be more than a whole


class Sight(StrEnum):
    """A detector's result: what it looks for is there, is not, or it could not tell."""

    seen = "seen"
    not_seen = "not_seen"
    could_not_tell = "could_not_tell"


Share = Annotated[float, Meta(ge=0, le=1)]
Model = Annotated[str, Meta(min_length=1, max_length=100, description="Which model said it.")]
Version = Annotated[str, Meta(min_length=1, max_length=100, description="Of the model.")]
Reasons = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=200)]],
    Meta(max_length=10, description="In words for staff; why, where the detector could not tell."),
]
EvidenceId = Annotated[
    int, Meta(ge=1, le=2**53, description="What was looked at, where it is evidence here.")
]
FrameAt = Annotated[datetime, Meta(tz=True, description="When what was looked at was taken.")]


class FaceBox(Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """Where a face is: shares of the picture's width and height, from its upper left corner."""

    x: Share
    y: Share
    width: Share
    height: Share
    confidence: Share | None = None


class FaceDetectionResult(Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """
    What a detector says of the faces in a picture: the metadata of `FaceAnalysis`.

    A face that is visible is `seen`; one that is not is `not_seen`, and `faceCount` is 0; a detector that
    `could_not_tell` gives its reasons, and its event has severity 0.
    """

    face_count: Annotated[int, Meta(ge=0, le=FACES_MAX)]
    is_face_visible: bool
    confidence_score: Annotated[Share, Meta(description="How sure the model is, from 0 to 1.")]
    result: Sight
    model: Model
    model_version: Version
    face_match_result: (
        Annotated[str, Meta(max_length=64, description="As the sender has it; nothing is made of it here.")]
        | None
    ) = None
    boxes: Annotated[list[FaceBox], Meta(max_length=BOXES_MAX)] = []
    luminance: Annotated[float, Meta(ge=0, le=255, description="Mean of the picture, 0 is black.")] | None = (
        None
    )
    sharpness: (
        Annotated[float, Meta(ge=0, le=1e9, description="Of the picture, in the model's own measure.")] | None
    ) = None
    reasons: Reasons = []
    evidence_id: EvidenceId | None = None
    frame_at: FrameAt | None = None
    frames: Annotated[int, Meta(ge=1, description="Frames in a row of which it is said.")] | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together: a member's name, and what was expected there."""
        if self.is_face_visible != (self.result is Sight.seen):
            yield "isFaceVisible", "Expected true where the result is seen, false where it is not"
        if (self.face_count > 0) != (self.result is Sight.seen):
            yield "faceCount", "Expected at least 1 where the result is seen, 0 where it is not"
        if len(self.boxes) > self.face_count:
            yield "boxes", "Expected at most one for each face"
        if self.result is Sight.could_not_tell and not self.reasons:
            yield "reasons", "Expected a reason where the detector could not tell"
        for place, box in enumerate(self.boxes):
            if box.x + box.width > 1 + _OVER or box.y + box.height > 1 + _OVER:
                yield f"boxes[{place}]", "Expected to lie within the picture"


class ScreenAnalysisResult(Struct, frozen=True, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """
    What a detector says of a screen: the metadata of `ScreenAnalysis`.

    Suspicious content is `seen`, or `not_seen`; a detector that `could_not_tell` gives its reasons, and its
    event has severity 0. `riskContribution` is the sender's opinion: scores follow the rules alone.
    """

    has_suspicious_content: bool
    detected_applications: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=50)
    ]
    risk_contribution: Annotated[float, Meta(ge=0, le=100, description="In points, from 0 to 100.")]
    result: Sight
    model: Model
    model_version: Version
    confidence_score: Annotated[Share, Meta(description="How sure the model is, from 0 to 1.")] | None = None
    reasons: Reasons = []
    evidence_id: EvidenceId | None = None
    frame_at: FrameAt | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together: a member's name, and what was expected there."""
        if self.has_suspicious_content != (self.result is Sight.seen):
            yield "hasSuspiciousContent", "Expected true where the result is seen, false where it is not"
        if self.risk_contribution and self.result is not Sight.seen:
            yield "riskContribution", "Expected 0 where nothing was seen"
        if self.result is Sight.could_not_tell and not self.reasons:
            yield "reasons", "Expected a reason where the detector could not tell"


Result = FaceDetectionResult | ScreenAnalysisResult

# Types whose metadata is a detector's result, whoever sends them.
RESULT_OF: Final[Mapping[int, type[Result]]] = {
    EventType.FaceAnalysis: FaceDetectionResult,
    EventType.ScreenAnalysis: ScreenAnalysisResult,
}
# What a detector may find, and what it says then. Others send these types too, with what they like beside
# them: what names the version of a model is a result.
FINDINGS: Final[Mapping[int, tuple[Sight, int, int]]] = {  # the result, and the faces from … to
    EventType.FaceNotDetected: (Sight.not_seen, 0, 0),
    EventType.MultipleFacesDetected: (Sight.seen, 2, FACES_MAX),
    EventType.FaceOutOfFrame: (Sight.seen, 1, FACES_MAX),
}
JUDGED: Final = frozenset({*RESULT_OF, *FINDINGS})
NAMED_MAX: Final = 20  # unknown members of a result that are named
_VERSION: Final = '"modelVersion"'

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode: Final = {kind: msgspec.json.Decoder(kind).decode for kind in RESULT_OF.values()}
_fields: Final = {
    kind: [
        (field.encode_name, msgspec.json.Decoder(field.type).decode, field.required)
        for field in msgspec.structs.fields(kind)
    ]
    for kind in RESULT_OF.values()
}


def judge(event_type: int, severity: int, text: str | None) -> list[tuple[str, str]]:
    """
    Judge the metadata of an event of a type that is JUDGED.

    Args:
        event_type: of the event.
        severity: of the event.
        text: its metadata, JSON that may be stored (`kernel.values.wrong_document`); None without any.

    Returns:
        What is wrong: where in the metadata, empty for all of it, and a sentence. Nothing where it fits.
    """
    kind = RESULT_OF.get(event_type)
    if kind is None:
        if text is None or _VERSION not in text or "modelVersion" not in _names(text):
            return []
        kind = FaceDetectionResult
    if text is None:
        return [("", f"Expected a {kind.__name__}")]
    try:
        result = _decode[kind](text)
    except msgspec.ValidationError:
        return _faults(kind, text)
    found = [*result.contradictions(), *_misfits(event_type, result)]
    if severity and result.result is Sight.could_not_tell:
        found.append(("result", "Expected severity 0 where the detector could not tell"))
    return found


def _names(text: str) -> frozenset[str]:
    try:
        return frozenset(_members(text))
    except msgspec.ValidationError:
        return frozenset()


def _misfits(event_type: int, result: Result) -> Iterator[tuple[str, str]]:
    if event_type in FINDINGS and isinstance(result, FaceDetectionResult):
        sight, least, most = FINDINGS[event_type]
        name = EventType(event_type).name
        if result.result is not sight:
            yield "result", f"Expected {sight} with {name}"
        elif not least <= result.face_count <= most:
            yield "faceCount", f"Expected at least {least} with {name}"


def _faults(kind: type[Result], text: str) -> list[tuple[str, str]]:
    """Return what is wrong with a result that cannot be read, member by member."""
    try:
        given = _members(text)
    except msgspec.ValidationError as error:
        return [_fault("", error)]
    found = []
    for name, decode, is_required in _fields[kind]:
        if name in given:
            try:
                decode(given.pop(name))
            except msgspec.ValidationError as error:
                found.append(_fault(name, error))
        elif is_required:
            found.append(("", f"Object missing required field `{name}`"))
    named = [(below("", name), "A result holds no such member") for name in [*given][:NAMED_MAX]]
    return found + named


def _fault(name: str, error: msgspec.ValidationError) -> tuple[str, str]:
    """Return where in a result an error is, and what it says."""
    message, _, path = str(error).partition(" - at `$")
    return (name + path.removesuffix("`")).lstrip("."), message
