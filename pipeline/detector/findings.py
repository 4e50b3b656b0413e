"""
What is made of frames: which of them show no face, one, several, or one that is cut off, of which nobody can
tell, and which events say so. Pure.

A picture in which no face was found says nothing where it is too dark, too bright or blurred, or where
something was nearly one: then nobody could tell. In a video, what a frame shows counts where one of its
neighbours shows it too; frames in a row that show the same are one event. That no face was there is told as
such only where the detector has seen one in the session before: whom it never sees, it may not be able to
see.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from kernel.detections import BOXES_MAX, FACES_MAX, FaceBox, FaceDetectionResult, Sight
from kernel.events import EventType, Severity
from pipeline.detector.frames import MODEL, MODEL_VERSION, Face, Frame, Seen

RULES_VERSION: Final = "1"  # of what stands here
LUMINANCE_MIN, LUMINANCE_MAX = 40.0, 220.0  # between which a picture without a face is believed
SHARPNESS_MIN: Final = 8.0
NEARLY: Final = 0.35  # so likely a face that nobody can say there is none
ANOTHER_MIN: Final = 0.6  # so likely is whoever else is there
VISIBLE_MIN: Final = 0.8  # share of a face that lies within the picture
EVENTS_MAX: Final = 20  # of one piece of evidence


class Finding(StrEnum):
    """What a frame shows."""

    one = "one"
    several = "several"
    out_of_frame = "out_of_frame"
    none = "none"
    unclear = "unclear"


class Told(Struct, frozen=True):
    """An event that says what was found, so many seconds into the piece."""

    event_type: EventType
    severity: Severity
    at_s: float
    result: FaceDetectionResult


_TOLD_AS: Final = {
    Finding.one: (EventType.FaceAnalysis, Severity.Info),
    Finding.several: (EventType.MultipleFacesDetected, Severity.Medium),
    Finding.out_of_frame: (EventType.FaceOutOfFrame, Severity.Low),
    Finding.none: (EventType.FaceNotDetected, Severity.Low),
    Finding.unclear: (EventType.FaceAnalysis, Severity.Info),
}
# A candidate for whom a rule does not count is exempt from what it is about; a face that need not be shown
# may as well be out of the frame.
_EXEMPT_BY: Final = {
    Finding.several: (EventType.MultipleFacesDetected,),
    Finding.out_of_frame: (EventType.FaceOutOfFrame, EventType.FaceNotDetected),
    Finding.none: (EventType.FaceNotDetected,),
}
NEVER_SEEN: Final = (
    "The detector has seen no face in this session yet: it may not be able to see this candidate."
)
DIFFERENT: Final = "Frames beside one another show different things."


def finding_of(frame: Frame) -> tuple[Finding, str]:
    """Return what a frame shows; why, where that is unclear."""
    if frame.fault:
        return Finding.unclear, frame.fault
    if len(_others(frame)) > 0:
        return Finding.several, ""
    if frame.faces:
        is_whole = frame.faces[0].visible_share >= VISIBLE_MIN
        return (Finding.one if is_whole else Finding.out_of_frame), ""
    for is_so, why in (
        (frame.luminance < LUMINANCE_MIN, "It is too dark to tell."),
        (frame.luminance > LUMINANCE_MAX, "It is too bright to tell."),
        (frame.sharpness < SHARPNESS_MIN, "It is too blurred to tell."),
        (frame.best >= NEARLY, "There may be a face that is covered, turned away or far away."),
    ):
        if is_so:
            return Finding.unclear, why
    return Finding.none, ""


def tell(seen: Seen, *, exempt: frozenset[int], has_seen: bool, evidence_id: int) -> tuple[list[Told], bool]:
    """
    Return the events that say what a piece of evidence shows, in order, and whether a face was seen.

    Args:
        seen: its frames.
        exempt: types of events whose rules do not count for the candidate: nothing is said of them.
        has_seen: whether a face was seen in the session before.
        evidence_id: the piece.
    """
    told: list[Told] = []
    for finding, run in _runs(seen.frames):
        is_exempt = any(event_type in exempt for event_type in _EXEMPT_BY.get(finding, ()))
        if not is_exempt and len(told) < EVENTS_MAX:
            told.append(_told(finding, run, seen.note, has_seen=has_seen, evidence_id=evidence_id))
        has_seen = has_seen or finding in {Finding.one, Finding.several, Finding.out_of_frame}
    return told, has_seen


def is_looked_at(exempt: frozenset[int]) -> bool:
    """Tell whether anything may be said of a candidate's pictures at all."""
    return not exempt >= {EventType.FaceNotDetected, EventType.MultipleFacesDetected}


def _runs(frames: Sequence[Frame]) -> Iterator[tuple[Finding, list[tuple[Frame, str]]]]:
    """Yield what frames in a row show, and those of them that show it by themselves, each with why."""
    own = [finding_of(frame) for frame in frames]
    settled = settle([finding for finding, _ in own])
    together = zip(settled, frames, own, strict=True)
    for finding, members in groupby(together, key=lambda each: each[0]):
        run = [*members]
        shown = [(frame, why) for _, frame, (what, why) in run if what is finding]
        if shown:
            yield finding, shown
        else:
            yield Finding.unclear, [(run[0][1], DIFFERENT)]


def settle(findings: Sequence[Finding]) -> list[Finding]:
    """
    Return what each frame counts for: what two of three in a row show, itself in the middle, or at an end;
    unclear where all three differ. A frame alone counts for itself.
    """
    if len(findings) == 1:
        return [*findings]
    settled = []
    for place in range(len(findings)):
        first = max(0, min(place - 1, len(findings) - 3))
        finding, times = Counter(findings[first : first + 3]).most_common(1)[0]
        settled.append(finding if times > 1 else Finding.unclear)
    return settled


def _told(
    finding: Finding, run: Sequence[tuple[Frame, str]], note: str, *, has_seen: bool, evidence_id: int
) -> Told:
    frame, why = run[0]
    event_type, severity = _TOLD_AS[finding]
    reasons = [why or "It is unclear." if finding is Finding.unclear else "", note]
    if finding is Finding.none and not has_seen:
        event_type, severity = EventType.FaceAnalysis, Severity.Info
        reasons.append(NEVER_SEEN)
    result = replace(
        _result(finding, frame),
        reasons=[each for each in reasons if each],
        evidence_id=evidence_id,
        frames=len(run),
    )
    return Told(event_type, severity, frame.at_s, result)


def _result(finding: Finding, frame: Frame) -> FaceDetectionResult:
    """Return what a frame shows in the words of every detector."""
    faces = _shown(finding, frame)
    sight, sure = Sight.seen, frame.faces[0].score if frame.faces else 0.0
    if finding is Finding.none:
        sight, sure = Sight.not_seen, 1 - frame.best
    elif finding is Finding.unclear:
        sight, sure = Sight.could_not_tell, 0.0
    return FaceDetectionResult(
        face_count=len(faces),
        is_face_visible=sight is Sight.seen,
        confidence_score=round(min(1.0, max(0.0, sure)), 3),
        result=sight,
        model=MODEL,
        model_version=f"{MODEL_VERSION}, rules {RULES_VERSION}",
        boxes=[_box(face) for face in faces[:BOXES_MAX]],
        luminance=round(frame.luminance, 1),
        sharpness=round(frame.sharpness, 1),
    )


def _others(frame: Frame) -> list[Face]:
    return [face for face in frame.faces[1:] if face.score >= ANOTHER_MIN]


def _shown(finding: Finding, frame: Frame) -> list[Face]:
    """Return the faces that a finding is about."""
    if finding in {Finding.none, Finding.unclear}:
        return []
    others = _others(frame) if finding is Finding.several else []
    return [*frame.faces[:1], *others][:FACES_MAX]


def _box(face: Face) -> FaceBox:
    """Return where a face is, as far as it lies within the picture."""
    left, top = min(1.0, max(0.0, face.x)), min(1.0, max(0.0, face.y))
    right, bottom = (
        min(1.0, max(left, face.x + face.width)),
        min(1.0, max(top, face.y + face.height)),
    )
    return FaceBox(
        x=round(left, 4),
        y=round(top, 4),
        width=round(right - left, 4),
        height=round(bottom - top, 4),
        confidence=round(face.score, 3),
    )
