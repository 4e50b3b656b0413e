"""A candidate's claim, and what both sides do about it."""

from typing import Any

from tests.kits.core import Answer, Api, put
from tests.kits.reviews import Ended, decide, reviewable

TEXT = "The third question has two right answers."
REASON = "Both answers are right, and both count now."


async def claimable(api: Api) -> Ended:
    """Make an exam that the reviewer was granted, and a result of the student at it that counts."""
    return await reviewable(api)


async def voided(api: Api) -> Ended:
    """The same, made void by the reviewer's final decision."""
    ended = await reviewable(api)
    assert (await decide(api, ended.session_id, 4, finalize=True)).status == 200
    return ended


async def open_claim(api: Api, attempt_id: str, by: str = "student", **more: Any) -> Answer:
    body = {"subject": "result", "text": TEXT, **more}
    return await api.post(f"/api/student/attempts/{attempt_id}/claims", by, json=body)


async def opened(api: Api, attempt_id: str, **more: Any) -> str:
    """Let the student claim, and return the claim's id."""
    made = await open_claim(api, attempt_id, **more)
    assert made.status == 201, made.body
    claim_id: str = made.body["claim_id"]
    return claim_id


async def own(api: Api, claim_id: str, act: str, by: str = "student", **body: Any) -> Answer:
    """Do something about an own claim; a statement has a text where none is given."""
    said = {"text": TEXT, **body} if act in {"statements", "dispute"} else None
    return await api.post(f"/api/student/claims/{claim_id}/{act}", by, json=said)


async def handle(api: Api, claim_id: str, act: str, by: str = "teacher", **body: Any) -> Answer:
    """Do something about somebody's claim, with what it needs where that is not given."""
    given: dict[str, dict[str, Any]] = {
        "statements": {"text": "Which question do you mean?"},
        "resolve": {"outcome": "rejected", "text_en": REASON},
    }
    said = given.get(act, {}) | body if act in given else None
    return await api.post(f"/api/teacher/claims/{claim_id}/{act}", by, json=said)


async def acknowledged(api: Api, attempt_id: str, by: str = "teacher", **more: Any) -> str:
    """Let the student claim and somebody acknowledge it; return the claim's id."""
    claim_id = await opened(api, attempt_id, **more)
    done = await handle(api, claim_id, "acknowledge", by)
    assert done.status == 200, done.body
    return claim_id


async def disputed(api: Api) -> str:
    """Let a claim be resolved by the admin, and disputed, at an exam with a policy; return its id."""
    ended = await claimable(api)
    await put(api, f"/api/teacher/exams/{ended.exam_id}/claim-policy", "teacher", window_days=30)
    claim_id = await acknowledged(api, ended.attempt_id)
    assert (await handle(api, claim_id, "resolve", "admin")).status == 200
    assert (await own(api, claim_id, "dispute")).status == 200
    return claim_id
