"""Proctor sessions begin and end (spec.md P-1, P-2, decision 8; proctor-module.txt, 1)."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

from tests.kits.core import Api, Core

CLIENT = {
    "deviceFingerprint": "abc123xyz",
    "userAgent": "Mozilla/5.0...",
    "browserName": "Chrome",
    "browserVersion": "120.0",
    "operatingSystem": "Windows 11",
    "screenResolution": "1920x1080",
}


async def create(
    api: Api, attempt_id: object, by: str = "student", mode: object = 1, **client: object
) -> Any:
    body = {"attemptId": str(attempt_id), "mode": mode, **client}
    return await api.post("/api/proctor/session", by, json=body)


async def test_create_soft_proctor_session_p1(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Create soft proctor session"."""
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        answer = await create(api, attempt_id, **CLIENT)

        assert answer.status == 201
        assert answer.body["success"] is True
        assert answer.body["data"] == {
            "proctorSessionId": 1,
            "attemptId": attempt_id,
            "mode": 1,
            "startedAt": answer.body["data"]["startedAt"],
            "heartbeatIntervalSeconds": 15,
            "message": "Proctor session started successfully",
        }
        row = await api.owner.fetchrow("SELECT * FROM proctor_sessions")
        assert (row["browser_name"], row["ip_address"].compressed) == ("Chrome", api.address)


async def test_fifty_creations_at_once_make_one_session_per_mode_p1(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        answers = await asyncio.gather(*(create(api, attempt_id, mode=1 + n % 2) for n in range(50)))

        assert Counter(answer.status for answer in answers) == {201: 2, 200: 48}
        assert len({answer.body["data"]["proctorSessionId"] for answer in answers}) == 2


async def test_reject_duplicate_session_same_attempt_mode_once_it_has_ended_decision_8(core: Core) -> None:
    """proctor-module.txt, testing checklist: "Reject duplicate session (same attempt+mode)"."""
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        cancelled_id = await api.start_session(attempt_id=attempt_id, mode=2)
        await api.post(f"/api/proctor/session/{session_id}/end", "admin")
        await api.post(f"/api/proctor/session/{cancelled_id}/cancel", "admin")

        assert (await create(api, attempt_id)).status == 409
        assert (await create(api, attempt_id, mode=2)).status == 409


async def test_a_session_needs_the_candidates_own_running_attempt_p1(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()

        assert (await create(api, attempt_id, by="other_student")).status == 404
        assert (await create(api, uuid4())).status == 404
        await api.owner.execute("UPDATE exam_attempts SET status = 'completed'")
        assert (await create(api, attempt_id)).status == 409


async def test_a_malformed_session_is_refused_and_its_fault_is_named(core: Core) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"attemptId": 100}, "attemptId"),
        ({"attemptId": "x"}, "attemptId"),
        ({"mode": 3}, "mode"),
        ({"mode": None}, "mode"),
        ({"browserName": "x" * 201}, "browserName"),
        ({"userAgent": "\x00"}, "userAgent"),
    ]
    async with core.school() as api:
        for change, path in cases:
            body = {"attemptId": str(uuid4()), "mode": 1} | change
            answer = await api.post("/api/proctor/session", "student", json=body)

            assert answer.status == 422
            assert [fault["path"] for fault in answer.body["errors"]] == [path]


async def test_ending_a_session_is_idempotent_and_tells_the_closer_p2(core: Core) -> None:
    async with core.school() as api:
        session_id = await api.start_session()
        heard: asyncio.Queue[str] = asyncio.Queue()
        await api.owner.add_listener("session_ended", lambda *notice: heard.put_nowait(notice[-1]))
        answers = await asyncio.gather(
            *(api.post(f"/api/proctor/session/{session_id}/end", "admin") for _ in range(10))
        )
        async with asyncio.timeout(5):
            told = await heard.get()

        assert {answer.status for answer in answers} == {200}
        assert len({answer.body["data"]["endedAt"] for answer in answers}) == 1
        assert answers[0].body["data"]["statusName"] == "Completed"
        assert told == str(session_id)
        assert heard.empty()
        assert (await api.post(f"/api/proctor/session/{session_id}/cancel", "admin")).status == 409


async def test_cancel_session_admin_p1(
    core: Core,
) -> None:
    """proctor-module.txt, testing checklist: "Cancel session (admin)"."""
    async with core.school() as api:
        path = f"/api/proctor/session/{await api.start_session()}"

        assert (await api.post(f"{path}/end", "other_student")).status == 404
        assert (await api.post(f"{path}/cancel", "student")).status == 403
        assert (await api.post(f"{path}/cancel", "boss")).status == 404
        first, second = [await api.post(f"{path}/cancel", "admin") for _ in range(2)]
        assert (first.status, second.status) == (200, 200)
        assert first.body["data"]["statusName"] == "Cancelled"
        assert (await api.post(f"{path}/end", "student")).status == 409
