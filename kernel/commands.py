"""
What staff do in a proctor session, and the commands that its client gets of it: their words, and how a
candidate is told. Pure.

A command says nothing of who gave it, nor why (spec.md, decision 6): a text that was written for the
candidate, or ours, and what becomes of their time.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from kernel.events import EventType, Severity, SystemEvent

COMMANDS_MAX: Final = 20  # of a session in one reply, the newest ones


class SessionAction(StrEnum):
    """What staff do in a proctor session while its attempt is under way."""

    warn = "warn"
    flag = "flag"
    unflag = "unflag"
    pause = "pause"
    resume = "resume"
    terminate = "terminate"
    extra_time = "extra_time"
    announce = "announce"


class Told(Struct, frozen=True, kw_only=True):
    """
    How an action is told: as which event of the session, and how severe it is; and to the candidate, in
    English and Arabic, where nobody has written a text for them. None: their client has nothing to do.
    """

    event_type: EventType
    severity: Severity
    event_name: str
    texts: tuple[str, str] | None = None


# Severity 3 and more counts as a violation of the candidate's: what staff do is none, but for the end.
TOLD: Final[Mapping[SessionAction, Told]] = {
    SessionAction.warn: Told(
        event_type=EventType.ProctorWarning,
        severity=Severity.Medium,
        event_name="proctor_warning",
        texts=(
            "The proctor asks you to keep to the rules of the exam.",
            "يطلب منك المراقب الالتزام بقواعد الامتحان.",
        ),
    ),
    SessionAction.flag: Told(
        event_type=EventType.ProctorFlagged, severity=Severity.Medium, event_name="proctor_flagged"
    ),
    SessionAction.unflag: Told(
        event_type=EventType.ProctorUnflagged, severity=Severity.Info, event_name="proctor_unflagged"
    ),
    SessionAction.pause: Told(
        event_type=EventType.Other,
        severity=Severity.Info,
        event_name=SystemEvent.attempt_paused,
        texts=(
            "Your exam is paused. Your time stands still, and what you wrote is kept.",
            "تم إيقاف امتحانك مؤقتًا. وقتك متوقف، وما كتبته محفوظ.",
        ),
    ),
    SessionAction.resume: Told(
        event_type=EventType.Other,
        severity=Severity.Info,
        event_name=SystemEvent.attempt_resumed,
        texts=("Your exam goes on. Your time runs again.", "يستأنف امتحانك الآن. وقتك يجري من جديد."),
    ),
    SessionAction.terminate: Told(
        event_type=EventType.ProctorTerminated,
        severity=Severity.Terminal,
        event_name="proctor_terminated",
        texts=(
            "The proctor has ended your exam. What you had saved was handed in.",
            "أنهى المراقب امتحانك. تم تسليم ما حفظته.",
        ),
    ),
    SessionAction.extra_time: Told(
        event_type=EventType.Other,
        severity=Severity.Info,
        event_name=SystemEvent.extra_time_granted,
        texts=("You have been given extra time.", "تم منحك وقتًا إضافيًا."),
    ),
    SessionAction.announce: Told(
        event_type=EventType.Other,
        severity=Severity.Info,
        event_name=SystemEvent.proctor_announcement,
        texts=("The proctor has an announcement.", "لدى المراقب إعلان."),
    ),
}


class Command(Struct, frozen=True, kw_only=True, rename="camel"):
    """
    Something that a client has to act on and then to confirm, by its id; it comes until then.

    `text` is for the candidate, in the language that they asked for. `expiresAt` is the end of the attempt as
    the command left it, `pausedUntil` the latest end of a pause; both null where it does not touch the time.
    """

    id: Annotated[int, Meta(ge=1)]
    action: SessionAction
    text: str
    created_at: datetime
    expires_at: datetime | None
    paused_until: datetime | None


class OpenCommand(Struct, frozen=True, kw_only=True):
    """A command as it is stored, by the names of its columns."""

    id: int
    kind: SessionAction
    text_en: str | None
    text_ar: str | None
    created_at: datetime
    expires_at: datetime | None
    paused_until: datetime | None

    def shown(self, language: str) -> Command:
        """Return it as its candidate gets it: a text in another language rather than ours instead of it."""
        ours = TOLD[self.kind].texts
        assert ours is not None, "what a client has nothing to do with is no command"
        given = (self.text_en, self.text_ar)
        here = int(language == "ar")
        return Command(
            id=self.id,
            action=self.kind,
            text=given[here] or given[1 - here] or ours[here],
            created_at=self.created_at,
            expires_at=self.expires_at,
            paused_until=self.paused_until,
        )


read_commands: Final = msgspec.json.Decoder(list[OpenCommand]).decode
