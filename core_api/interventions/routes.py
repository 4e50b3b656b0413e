"""What staff do while an exam runs, in one session or in a room."""

from typing import Final

from core_api.cases import case
from core_api.interventions import acting, rooms
from kernel.access import Action
from kernel.commands import SessionAction
from kernel.http.web import Shows

_SESSION: Final = Shows("session", "id")

ROUTES: Final = (
    case(
        "POST /proctor/session/{id}/warn", acting.intervene, Action.session_act, name="warn_session",
        given={"action": SessionAction.warn}, shows=_SESSION, envelope=True, bodiless=True,
        says="Warn a candidate: their client shows it, and confirms that it did.",
    ),
    case(
        "POST /proctor/session/{id}/flag", acting.flag, Action.session_act, name="flag_session",
        given={"action": SessionAction.flag}, shows=_SESSION, envelope=True, bodiless=True,
        says="Flag a session for its reviewers; the candidate is told nothing. One that is flagged stays so.",
    ),
    case(
        "POST /proctor/session/{id}/unflag", acting.flag, Action.session_act, name="unflag_session",
        given={"action": SessionAction.unflag}, shows=_SESSION, envelope=True, bodiless=True,
        says="Take a session's flag back; that it was flagged stays among its events.",
    ),
    case(
        "POST /proctor/session/{id}/pause", acting.intervene, Action.session_act, name="pause_session",
        given={"action": SessionAction.pause}, shows=_SESSION, envelope=True, bodiless=True,
        says="""
        Pause a candidate's attempt: its time stands still, and its end moves by as long as the pause lasts.

        Until then the paper is closed, and neither answers nor the hand-in are taken; what was typed before
        is saved for some seconds more. `pausedUntil` is when the clock runs again by itself, `expiresAt` the
        end of an attempt that stays paused so long. Heartbeats go on, and silence is judged as ever.
        """,
    ),
    case(
        "POST /proctor/session/{id}/resume", acting.intervene, Action.session_act, name="resume_session",
        given={"action": SessionAction.resume}, shows=_SESSION, envelope=True, bodiless=True,
        says="Let a paused attempt go on; the time that it stood still is added to its end.",
    ),
    case(
        "POST /proctor/session/{id}/terminate", acting.terminate, Action.session_act,
        name="terminate_session", shows=_SESSION, envelope=True,
        says="""
        End a candidate's attempt at once: what was saved is handed in, and its proctor sessions end.

        An attempt without a saved answer is abandoned. It cannot be taken back.
        """,
    ),
    case(
        "POST /proctor/session/{id}/extra-time", acting.grant_time, Action.session_act,
        name="grant_extra_time", shows=_SESSION, envelope=True,
        says="Give a running attempt so many minutes more. Each request adds: retry with an Idempotency-Key.",
    ),
    case(
        "POST /proctor/exam/{examId}/announce", rooms.announce, Action.session_act, name="announce_to_room",
        shows=Shows("exam_sessions", "examId"), envelope=True,
        says="Tell all candidates of a room something: of a whole exam, of groups, or of chosen sessions.",
    ),
    case(
        "POST /proctor/exam/{examId}/act", rooms.act, Action.session_act, name="act_in_room",
        shows=Shows("exam_sessions", "examId"), envelope=True,
        says="""
        Do the same in every active session of a room, with a result for each.

        `count` is how many sessions are meant: where the room has more or fewer by now, nothing is done.
        """,
    ),
)  # fmt: skip
