"""A session that waits for its review, and what reviewers ask."""

from typing import Any

import msgspec

from tests.kits.authoring import Made, make_exam, save_all_right, start, submit
from tests.kits.core import Answer, Api

MACHINE_SCORED = ("single_choice", "numeric")
REASON = "Two people are in the picture for ten minutes."


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that was handed in, with its proctor session."""

    exam_id: str
    attempt_id: str
    session_id: int
    submission_id: str


async def make_reviewed_exam(api: Api, *kinds: str, **fields: Any) -> Made:
    """Make an exam that the reviewer was granted, of questions that the machine scores by default."""
    made = await make_exam(api, *(kinds or MACHINE_SCORED), **fields)
    granted = {"user_id": str(api.people["reviewer"].id)}
    assert (
        await api.post(f"/api/admin/exams/{made.exam_id}/permissions", "admin", json=granted)
    ).status < 300
    return made


async def end_attempt(api: Api, made: Made, by: str = "student") -> Ended:
    """Let somebody take the exam and hand in what is right."""
    attempt_id = await start(api, made, by)
    session_id = await api.start_session(by, attempt_id=attempt_id)
    await save_all_right(api, made, attempt_id, by)
    handed_in = await submit(api, attempt_id, by)
    assert handed_in.status == 201, handed_in.body
    return Ended(
        exam_id=made.exam_id,
        attempt_id=attempt_id,
        session_id=session_id,
        submission_id=handed_in.body["submission_id"],
    )


async def reviewable(api: Api, **fields: Any) -> Ended:
    """Make an exam that the reviewer was granted, and a session of the student that waits for its review."""
    return await end_attempt(api, await make_reviewed_exam(api, **fields))


async def decide(
    api: Api, session_id: int, status: int, by: str = "reviewer", *, finalize: bool = False, **more: Any
) -> Answer:
    """Decide, with a reason where none is given."""
    reason = {"decisionReasonEn": REASON} if status in {3, 4} else {}
    body = {"proctorSessionId": session_id, "status": status, "finalize": finalize, **reason, **more}
    return await api.post("/api/proctor/decision", by, json=body)


async def override(api: Api, decision_id: int, status: int, by: str = "admin", **more: Any) -> Answer:
    body = {"decisionId": decision_id, "newStatus": status, "overrideReason": "The recording shows it."}
    return await api.post("/api/proctor/decision/override", by, json=body | more)


async def review(api: Api, session_id: int, status: int, by: str = "reviewer", **more: Any) -> Answer:
    """Review a session blind, with a reason where none is given."""
    reason = {"decisionReasonEn": REASON} if status in {3, 4} else {}
    return await api.post(
        f"/api/proctor/session/{session_id}/review", by, json={"status": status, **reason, **more}
    )
