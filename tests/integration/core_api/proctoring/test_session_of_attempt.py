"""A proctor session is opened, taken up and ended with its attempt (spec.md decision 8, P-1, P-2, E-3)."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.integration.core_api.proctoring.test_session_policy import assign
from tests.integration.core_api.proctoring.test_sessions import CLIENT
from tests.kits.authoring import make_exam, start
from tests.kits.core import Answer, Api, Core

SESSIONS = "SELECT * FROM proctor_sessions WHERE attempt_id = $1::text::uuid ORDER BY id"


async def sessions(api: Api, attempt_id: str) -> list[Any]:
    found: list[Any] = await api.owner.fetch(SESSIONS, attempt_id)
    return found


async def take_up(api: Api, attempt_id: str, **client: Any) -> Answer:
    return await api.post("/api/proctor/session", "student", json={"attemptId": attempt_id, **client})


async def kinds(api: Api, session_id: int) -> list[tuple[str, Any]]:
    """Return the ledger's events about a session, with their detail."""
    listed = (await api.get("/api/ledger/events?limit=100", "admin")).body["events"]
    own = [each for each in listed if each["aggregate_id"] == str(session_id)]
    return [(each["kind"], each["detail"].get("filled")) for each in sorted(own, key=lambda e: e["event_id"])]


@pytest.mark.parametrize("mode", [0, 1, 2])
async def test_the_session_that_the_policy_demands_is_opened_with_the_attempt(core: Core, mode: int) -> None:
    """Without any client: an attempt cannot be sat unseen. It waits, from the attempt's own start on."""
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        await assign(api, made, monitoring_mode=mode)
        attempt_id = await start(api, made)
        opened = await sessions(api, attempt_id)
        attempt = await api.owner.fetchrow(
            "SELECT * FROM exam_attempts WHERE id = $1::text::uuid", attempt_id
        )

    assert [(row["mode"], row["status"], row["taken_up_at"]) for row in opened] == [(mode, 1, None)][
        : mode > 0
    ]
    assert [row["started_at"] for row in opened] == [attempt["started_at"]][: mode > 0]


async def test_fifty_starts_at_once_open_one_attempt_with_one_session(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/student/exams/{api.exam_id}/start"
        answers = await asyncio.gather(*(api.post(path, "student") for _ in range(50)))
        (attempt_id,) = {answer.body["attempt_id"] for answer in answers}

        assert len(await sessions(api, attempt_id)) == 1


async def test_taking_it_up_is_201_once_and_fills_in_what_is_unknown(core: Core) -> None:
    """What is known stays, each fill is on the ledger by name, and a repetition leaves nothing."""
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        (opened,) = await sessions(api, attempt_id)
        bare = await take_up(api, attempt_id)
        named = await take_up(api, attempt_id, **CLIENT)
        again = await take_up(api, attempt_id, **CLIENT | {"browserName": "Another"})
        (row,) = await sessions(api, attempt_id)
        recorded = await kinds(api, opened["id"])

    assert [(each.status, each.body["data"]["proctorSessionId"]) for each in (bare, named, again)] == [
        (201, opened["id"]), (200, opened["id"]), (200, opened["id"])
    ]  # fmt: skip
    assert (row["browser_name"], row["user_agent"]) == (CLIENT["browserName"], CLIENT["userAgent"])
    assert row["device_fingerprint"] == CLIENT["deviceFingerprint"]
    assert row["taken_up_at"] > opened["started_at"] == row["started_at"]
    filled = ["device_fingerprint", "user_agent", "browser_name", "browser_version"]
    assert recorded == [
        ("session.started", ["ip_address"]),
        ("session.updated", [*filled, "operating_system", "screen_resolution"]),
    ]


async def test_a_client_that_asks_for_more_makes_the_waiting_session_stricter(core: Core) -> None:
    """No second session waits for a client that never comes."""
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        stricter = await take_up(api, attempt_id, mode=2)
        same = await take_up(api, attempt_id, mode=2)

        assert [(each.status, each.body["data"]["mode"]) for each in (stricter, same)] == [(201, 2), (200, 2)]
        assert [row["mode"] for row in await sessions(api, attempt_id)] == [2]


async def test_an_attempt_older_than_the_rule_gets_its_session_when_its_client_comes(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        await api.owner.execute("DELETE FROM proctor_sessions WHERE attempt_id = $1::text::uuid", attempt_id)
        answers = await asyncio.gather(*(take_up(api, attempt_id, **CLIENT) for _ in range(10)))

        assert Counter(each.status for each in answers) == {201: 1, 200: 9}
        (row,) = await sessions(api, attempt_id)
        assert (row["browser_name"], row["taken_up_at"]) == ("Chrome", row["started_at"])


async def test_a_candidate_cannot_end_proctoring_while_the_attempt_runs(core: Core) -> None:
    """Answered as the document shows; the session stays active; what was asked is noted, once a minute."""
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        path = f"/api/proctor/session/{session_id}/end"
        answers = [await api.post(path, "student") for _ in range(5)]
        notices = await api.owner.fetch("SELECT * FROM session_notices WHERE session_id = $1", session_id)
        (row,) = await sessions(api, attempt_id)
        recorded = await kinds(api, session_id)
        again = await take_up(api, attempt_id)

    assert [(each.status, each.body["success"]) for each in answers] == [(200, True)] * 5
    assert answers[0].body["data"]["statusName"] == "Active"
    assert answers[0].body["message"] == "Noted; the session ends with the attempt"
    assert (row["status"], row["ended_at"], again.status) == (1, None, 200)
    assert 1 <= len(notices) <= 2, "one a minute"
    assert {(each["event_name"], each["severity"]) for each in notices} == {("session_end_requested", 3)}
    assert [kind for kind, _ in recorded] == ["session.started"], "nothing that can be repeated for ever"


async def test_end_session_on_attempt_submit_whether_a_client_came_or_not_p2(core: Core) -> None:
    """proctor-module.txt, testing checklist: "End session on attempt submit"."""
    async with core.school() as api:
        for comes in (True, False):
            made = await make_exam(api, "numeric")
            attempt_id = await start(api, made)
            if comes:
                await take_up(api, attempt_id)
            await api.post(f"/api/student/attempts/{attempt_id}/submit", "student", json={})
            (row,) = await sessions(api, attempt_id)
            after = await api.post(f"/api/proctor/session/{row['id']}/end", "student")

            assert row["status"] == 2
            assert (after.status, after.body["data"]["statusName"]) == (200, "Completed")
            assert after.body["message"] == "Proctor session ended"


async def test_what_staff_end_stays_ended_while_the_attempt_goes_on(core: Core) -> None:
    """Their decision, on the ledger: no client can open it again, nor start another one in its place."""
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        session_id = await api.start_session(attempt_id=attempt_id)
        ended = await api.post(f"/api/proctor/session/{session_id}/end", "admin")
        refused = [await take_up(api, attempt_id, **more) for more in ({}, {"mode": 2})]
        await api.start_attempt()  # asked again: the same attempt, and no new session

        assert (ended.status, ended.body["data"]["statusName"]) == (200, "Completed")
        assert [each.status for each in refused] == [409, 409]
        assert [row["status"] for row in await sessions(api, attempt_id)] == [2]
        assert ("session.ended", None) in await kinds(api, session_id)
