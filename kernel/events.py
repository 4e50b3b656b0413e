"""
The vocabulary of proctoring: event types, severities, modes, states, what counts as a violation, and an event
as the proctor API shows it.

Wire numbers live here once and are never renumbered (spec.md, "Event types"). Pure.
"""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct


class EventType(IntEnum):
    """Wire numbers of event types; names are the wire names too."""

    Other = 0
    Heartbeat = 1
    TabSwitched = 2
    WindowBlurred = 3
    FullscreenExited = 4
    CopyAttempt = 5
    PasteAttempt = 6
    RightClickBlocked = 7
    DevToolsOpened = 8
    NetworkDisconnected = 9
    NetworkReconnected = 10
    KeyboardShortcutBlocked = 11
    PrintScreenAttempt = 12
    CameraDenied = 50
    MicrophoneDenied = 51
    FaceNotDetected = 52
    MultipleFacesDetected = 53
    CameraBlocked = 54
    FaceOutOfFrame = 55
    SuspiciousAudio = 56
    ScreenShareStarted = 57
    ScreenShareEnded = 58
    ProctorWarning = 59
    ProctorFlagged = 60
    ProctorUnflagged = 61
    ProctorTerminated = 62
    ScreenShareRequested = 70
    ScreenShareDenied = 71
    ScreenShareLost = 72
    ScreenShareResumed = 73
    ScreenSharePermissionRevoked = 74
    ScreenShareTrackEnded = 75
    EyeMovement = 100
    WindowFocus = 101
    Keystroke = 102
    MouseActivity = 103
    QuestionViewed = 104
    AnswerSaved = 105
    AnswerFlagged = 106
    FaceAnalysis = 107
    ScreenAnalysis = 108


class SystemEvent(StrEnum):
    """Names of events that are `Other` and ours: no client may send one."""

    attempt_paused = "attempt_paused"
    attempt_resumed = "attempt_resumed"
    extra_time_granted = "extra_time_granted"
    proctor_announcement = "proctor_announcement"  # staff said something to a room
    session_end_requested = "session_end_requested"  # a candidate wanted proctoring to end before the attempt


class Severity(IntEnum):
    """Severity on the wire; the member's name is its label."""

    Info = 0
    Low = 1
    Medium = 2
    High = 3
    Critical = 4
    Terminal = 5


class Mode(IntEnum):
    """How a session is proctored."""

    Soft = 1
    Advanced = 2


class SessionStatus(IntEnum):
    """A proctor session's state; Active is the only one that changes."""

    Active = 1
    Completed = 2
    Cancelled = 3


class DecisionStatus(IntEnum):
    """What was decided about a proctor session; a final decision is one of the middle three."""

    Pending = 1
    Cleared = 2
    Suspicious = 3
    Invalidated = 4
    Escalated = 5


class EvidenceType(IntEnum):
    """What a piece of evidence is."""

    Video = 1
    Audio = 2
    Image = 3
    ScreenCapture = 4
    ScreenRecording = 5
    Document = 6


class EvidenceStatus(IntEnum):
    """
    How far a piece of evidence has come: on its way; whole, as its sender says; what was there when nobody
    confirmed it in time; nothing ever arrived.
    """

    Pending = 1
    Confirmed = 2
    Incomplete = 3
    Abandoned = 4


class Role(StrEnum):
    """Who somebody is (spec.md, decision 2)."""

    student = "student"
    teacher = "teacher"
    reviewer = "reviewer"
    observer = "observer"
    admin = "admin"
    service = "service"


class AttemptStatus(StrEnum):
    """State of one candidate's attempt at one exam."""

    in_progress = "in_progress"
    completed = "completed"
    abandoned = "abandoned"


HEARTBEAT_INTERVAL_S: Final = 15
HEARTBEAT_MISSED_AFTER_S: Final = 45
WARNING_AFTER_VIOLATIONS: Final = 5
STERN_WARNING_AFTER_VIOLATIONS: Final = 10
# A high severity makes any event but a heartbeat a violation (proctor-module.txt, "Violation detection").
VIOLATION_SEVERITY_MIN: Final = 3
ALERT_SEVERITY_MIN: Final = 4  # whoever watches the exam is told of it apart
VIOLATION_TYPES: Final = frozenset(
    {
        EventType.TabSwitched,
        EventType.FullscreenExited,
        EventType.DevToolsOpened,
        EventType.MultipleFacesDetected,
    }
)

SESSION_ID_MAX: Final = 2**31 - 1
SEQUENCE_BITS: Final = 22
SEQUENCE_MAX: Final = 2**SEQUENCE_BITS - 1


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


# Names accepted on the wire: the enum's own (`TabSwitched`) and the snake_case of VERITAS (`tab_switched`).
TYPE_BY_NAME: Final[dict[str, EventType]] = {
    spelling: member for member in EventType for spelling in (member.name, _snake(member.name))
}
SEVERITY_BY_NAME: Final[dict[str, Severity]] = {
    "normal": Severity.Info,
    "warning": Severity.Medium,
    "critical": Severity.Critical,
}


OTHER_NAME_FORM: Final = "[a-z][a-z0-9_]{0,63}"  # of an event that is `Other`

# How the public document has types and severities; the enumerations of names stand in `kernel.http.schemas`.
SCHEMAS: Final = "#/components/schemas/"


def _like(*names: str) -> Meta:
    """Say that a value is of one of these schemas of the document."""
    references = [{"$ref": SCHEMAS + name} for name in names]
    return Meta(extra_json_schema=references[0] if len(references) == 1 else {"anyOf": references})


TypeNumber = Annotated[int, _like("EventType")]
TypeName = Annotated[str, _like("EventTypeName", "OtherEventName")]
GivenType = TypeNumber | TypeName
SeverityNumber = Annotated[int, _like("Severity")]
Label = Annotated[str, _like("SeverityLabel")]
GivenSeverity = SeverityNumber | Annotated[str, _like("SeverityName")]


class EventOut(Struct, frozen=True, rename="camel"):
    """A stored event; `id` is its global integer, below 2**53."""

    id: int
    proctor_session_id: int
    event_type: TypeNumber
    event_type_name: TypeName
    severity: SeverityNumber
    severity_label: Label
    is_violation: bool
    metadata_json: str | None
    occurred_at: datetime
    sequence_number: int


def event_id(session_id: int, sequence: int) -> int:
    """
    Return the event's global integer id, below 2**53: the session in the high bits, the sequence in the low
    22.
    """
    assert 0 < session_id <= SESSION_ID_MAX, "bounded by its identity column"
    assert 0 < sequence <= SEQUENCE_MAX, "both are bounded where they are allotted"
    return session_id << SEQUENCE_BITS | sequence


def is_violation(event_type: int, severity: int) -> bool:
    """Tell whether an event counts as a violation. Source: proctor-module.txt, "Violation detection"."""
    if event_type == EventType.Heartbeat:
        return False
    return severity >= VIOLATION_SEVERITY_MIN or event_type in VIOLATION_TYPES


def type_name(event_type: int, event_name: str | None = None) -> str:
    """Return the wire name of a type; for `Other`, the name that the client gave."""
    return event_name if event_type == EventType.Other and event_name else EventType(event_type).name


LANGUAGES: Final = ("en", "ar")  # that candidates are spoken to in; the first where they ask for none of them


def warning_text(violations: int, language: str) -> str | None:
    """
    Return the text a candidate sees for so many violations, or None when none is due.

    Args:
        violations: total of the session so far.
        language: of LANGUAGES.

    Source: spec.md P-3 (a warning above 5, a sterner one above 10).
    """
    if violations <= WARNING_AFTER_VIOLATIONS:
        return None
    stern = violations > STERN_WARNING_AFTER_VIOLATIONS
    if language == "ar":
        return "تم رصد مخالفات متكررة. قد تتم مراجعة امتحانك." if stern else "يرجى التركيز على امتحانك."
    return (
        "Repeated violations were recorded. Your exam may be reviewed."
        if stern
        else "Please stay focused on your exam."
    )
