"""What staff do in a proctor session while its attempt is under way (spec.md P-4, D-2)."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core_api.interventions import pauses
from kernel.postgres import open_pool
from kernel.settings import load
from tests.kits.authoring import Made, answer, make_exam, save, save_all_right, start, submit
from tests.kits.core import Answer, Api, Core

REASON = {"reason": "The fire alarm went off."}
ROW = "SELECT * FROM exam_attempts WHERE id = $1::text::uuid"


async def seated(api: Api) -> tuple[Made, str, int]:
    made = await make_exam(api)
    attempt_id = await start(api, made)
    return made, attempt_id, await api.start_session(attempt_id=attempt_id)


async def act(api: Api, session_id: int, what: str, by: str = "teacher", **body: Any) -> Answer:
    return await api.post(f"/api/proctor/session/{session_id}/{what}", by, json=body)


async def commands(api: Api, session_id: int, **headers: str) -> list[dict[str, Any]]:
    path = f"/api/proctor/session/{session_id}/commands"
    answered = await api.get(path, "student", headers={k.replace("_", "-"): v for k, v in headers.items()})
    found: list[dict[str, Any]] = answered.body["data"]
    return found


async def attempt(api: Api, attempt_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body
    return shown


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_warning_is_an_action_a_notice_for_the_stream_a_ledger_event_and_a_command_p4(
    core: Core,
) -> None:
    async with core.school() as api:
        _, attempt_id, session_id = await seated(api)
        said = {"textEn": "Please sit down.", "textAr": "تفضل بالجلوس.", "reason": "Walks about."}
        warned = await act(api, session_id, "warn", **said)
        english, arabic = (
            await commands(api, session_id),
            await commands(api, session_id, Accept_Language="ar"),
        )
        notice = await api.owner.fetchrow("SELECT * FROM session_notices WHERE session_id = $1", session_id)
        listed = (await api.get(f"/api/proctor/session/{session_id}/actions", "teacher")).body["data"]
        (event,) = await api.owner.fetch("SELECT * FROM ledger_events WHERE kind = 'session.warned'")

    done = warned.body["data"]
    assert (warned.status, done["action"], done["changed"]) == (200, "warn", True)
    assert (done["attemptId"], done["attemptStatus"]) == (attempt_id, "in_progress")
    assert [each["text"] for each in (*english, *arabic)] == [said["textEn"], said["textAr"]]
    assert english[0].keys() == {"id", "action", "text", "createdAt", "expiresAt", "pausedUntil"}
    assert (notice["event_type"], notice["severity"], notice["appended_at"]) == (59, 2, None)
    assert json.loads(notice["payload"]) == {"actionId": done["actionId"], **said}
    assert event["subject_id"] == api.people["student"].id
    assert [(each["id"], each["actedByName"] is not None, each["confirmedAt"]) for each in listed] == [
        (done["commandId"], True, None)
    ]


async def test_a_command_stays_until_its_client_confirms_it_and_the_first_time_counts_p4(core: Core) -> None:
    async with core.school() as api:
        _, _, session_id = await seated(api)
        warned = await act(api, session_id, "warn")
        command_id = warned.body["data"]["commandId"]
        path = f"/api/proctor/session/{session_id}/commands/{command_id}/confirm"
        waiting = await commands(api, session_id)
        foreign = [await api.post(path, by) for by in ("other_student", "stranger")]
        unknown = await api.post(path.replace(f"/{command_id}/", "/999999999/"), "student")
        first, again = await api.post(path, "student"), await api.post(path, "student")
        left = await commands(api, session_id)
        unconfirmed = await api.get(f"/api/proctor/session/{session_id}/actions?unconfirmed=true", "admin")

    assert [each["id"] for each in waiting] == [command_id]
    assert waiting[0]["text"] == "The proctor asks you to keep to the rules of the exam."
    assert [each.status for each in (*foreign, unknown)] == [404, 404, 404]
    assert (first.status, again.body) == (200, first.body)
    assert (left, unconfirmed.body["data"]) == ([], [])


async def test_a_flag_is_nothing_that_a_candidate_is_told_of_and_stays_until_it_is_taken_back_p4(
    core: Core,
) -> None:
    async with core.school() as api:
        _, _, session_id = await seated(api)
        early = await act(api, session_id, "unflag")
        flagged, again = [await act(api, session_id, "flag", **REASON) for _ in range(2)]
        told = await commands(api, session_id)
        unflagged = await act(api, session_id, "unflag")
        notices = await api.owner.fetch(
            "SELECT event_type FROM session_notices WHERE session_id = $1 ORDER BY minute", session_id
        )

    assert early.status == 409
    assert (flagged.body["data"]["changed"], again.body["data"]["changed"]) == (True, False)
    assert flagged.body["data"]["actionId"] == again.body["data"]["actionId"]
    assert (flagged.body["data"]["commandId"], told) == (None, [])
    assert (unflagged.status, [row["event_type"] for row in notices]) == (200, [60, 61])


async def test_a_paused_attempts_clock_stands_still_and_its_end_moves_by_the_pause_d2(core: Core) -> None:
    async with core.school() as api:
        made, attempt_id, session_id = await seated(api)
        before = await attempt(api, attempt_id)
        paused = await act(api, session_id, "pause", **REASON)
        twice = await act(api, session_id, "pause")
        shown = [await attempt(api, attempt_id) for _ in range(2)]
        typed = answer(made.questions["essay"], 1, text="It was on its way.")
        saved = await save(api, attempt_id, typed)
        await api.owner.execute(  # half an hour passes
            "UPDATE exam_attempts SET paused_at = paused_at - interval '30 minutes',"
            " paused_until = paused_until - interval '30 minutes',"
            " expires_at = expires_at - interval '30 minutes',"
            " started_at = started_at - interval '30 minutes'"
            " WHERE id = $1::text::uuid", attempt_id,
        )  # fmt: skip
        await api.owner.execute("ALTER TABLE public.attempt_pauses DISABLE TRIGGER kept")
        await api.owner.execute(
            "UPDATE attempt_pauses SET paused_at = paused_at - interval '30 minutes',"
            " expires_before = expires_before - interval '30 minutes' WHERE attempt_id = $1::text::uuid",
            attempt_id,
        )
        await api.owner.execute("ALTER TABLE public.attempt_pauses ENABLE TRIGGER kept")
        refused = [
            await save(api, attempt_id, answer(made.questions["essay"], 2, text="Too late.")),
            await submit(api, attempt_id),
            await api.get(f"/api/student/attempts/{attempt_id}/paper", "student"),
        ]
        again = await api.post(f"/api/student/exams/{made.exam_id}/start", "student")
        resumed = await act(api, session_id, "resume", by="admin")
        idle = await act(api, session_id, "resume")
        after = await attempt(api, attempt_id)
        handed_in = await submit(api, attempt_id)
        row = await api.owner.fetchrow(ROW, attempt_id)
        ended = [
            await act(api, session_id, what, **REASON) for what in ("pause", "resume", "warn", "terminate")
        ]

    assert (paused.status, twice.status, idle.status) == (200, 409, 409)
    assert paused.body["data"]["pausedUntil"] is not None
    assert shown[0]["remaining_seconds"] == shown[1]["remaining_seconds"] <= before["remaining_seconds"]
    assert shown[0]["paused_until"] == paused.body["data"]["pausedUntil"]
    assert saved.status == 200, "what was typed before the pause is not lost"
    assert [(each.status, each.body["code"]) for each in refused] == [(409, "attempt_paused")] * 3
    assert (again.status, again.body["paused_until"] is not None) == (200, True)
    assert (resumed.status, after["paused_until"]) == (200, None)
    assert 0 <= shown[0]["remaining_seconds"] - after["remaining_seconds"] < 60
    assert handed_in.status == 201
    assert row["paused_seconds"] >= 1800
    assert 0 <= row["duration_seconds"] < 60, "the pause is not time that the candidate took"
    assert [(each.status, each.body["code"]) for each in ended] == [(409, "session_not_active")] * 4


async def test_a_pause_that_lasted_as_long_as_it_may_is_over_and_says_so_d2(core: Core) -> None:
    async with core.school() as api:
        made, attempt_id, session_id = await seated(api)
        before = await attempt(api, attempt_id)
        await act(api, session_id, "pause", **REASON)
        settings = load({}, database_url=core.database_as("veritas_core"))
        over = datetime.now(UTC) + timedelta(minutes=settings.pause_minutes_max, seconds=1)
        async with await open_pool(settings) as pool:
            early = await pauses.end_lapsed(pool, settings, now=datetime.now(UTC))
            ended = sum(
                await asyncio.gather(*(pauses.end_lapsed(pool, settings, now=over) for _ in range(3)))
            )
        after = await attempt(api, attempt_id)
        told = [each["action"] for each in await commands(api, session_id)]
        once_more = await act(api, session_id, "pause")
        listed = (await api.get(f"/api/proctor/session/{session_id}/actions", "teacher")).body["data"]

    moved = moment(after["expires_at"]) - moment(before["expires_at"])
    assert (early, ended) == (0, 1)
    assert moved == timedelta(minutes=settings.pause_minutes_max)
    assert (after["paused_until"], told) == (None, ["pause", "resume"])
    assert listed[0]["actedBy"] is None
    assert (once_more.status, once_more.body["code"]) == (409, "conflict"), (
        "it was paused as long as it may be"
    )
    assert made.exam_id


async def test_a_terminated_attempt_is_handed_in_with_what_was_saved_by_the_proctor_p4(core: Core) -> None:
    async with core.school() as api:
        made, attempt_id, session_id = await seated(api)
        await save_all_right(api, made, attempt_id)
        ended = await act(api, session_id, "terminate", textEn="You were seen with a phone.", **REASON)
        receipt = await api.get(f"/api/student/attempts/{attempt_id}/submission", "student")
        shown, told = await attempt(api, attempt_id), await commands(api, session_id)
        late = await submit(api, attempt_id)
        empty = await start(api, await make_exam(api, title="Chemistry"))
        nothing = await act(api, await api.start_session(attempt_id=empty), "terminate", **REASON)
        kinds = [row["kind"] for row in await api.owner.fetch("SELECT kind FROM ledger_events ORDER BY id")]
        notice = await api.owner.fetchrow(
            "SELECT * FROM session_notices WHERE session_id = $1 AND event_type = 62", session_id
        )

    assert (ended.status, ended.body["data"]["attemptStatus"]) == (200, "completed")
    assert receipt.body["receipt"]["submitted_by"] == shown["submitted_by"] == "proctor"
    assert shown["percentage"] is None or shown["percentage"] > 0
    assert [(each["action"], each["text"]) for each in told] == [("terminate", "You were seen with a phone.")]
    assert (late.status, late.body["submitted_by"]) == (200, "proctor")
    assert nothing.body["data"]["attemptStatus"] == "abandoned"
    wanted = {"submission.finalised": 1, "session.ended": 2, "session.terminated": 2, "attempt.abandoned": 1}
    assert {kind: Counter(kinds)[kind] for kind in wanted} == wanted
    assert (notice["severity"], json.loads(notice["payload"])["reason"]) == (5, REASON["reason"])


async def test_extra_time_reaches_a_running_attempt_at_once_from_an_act_and_from_an_override_e3(
    core: Core,
) -> None:
    async with core.school() as api:
        made, attempt_id, session_id = await seated(api)
        before = await attempt(api, attempt_id)
        given = await act(api, session_id, "extra-time", minutes=7, **REASON)
        path = f"/api/teacher/exams/{made.exam_id}/assignments"
        student = str(api.people["student"].id)
        assigned = await api.post(path, "teacher", json={"user_ids": [student], "extra_minutes": 10})
        override = f"{path}/{assigned.body['assignments'][0]['id']}/overrides/{student}"
        replies = [
            (await api.call("PUT", override, "teacher", json={"extra_minutes": minutes, **REASON})).body
            for minutes in (15, 15, 5, 20)
        ]
        after, told = await attempt(api, attempt_id), await commands(api, session_id)
        grants = await api.owner.fetch(
            "SELECT seconds, assignment_id IS NULL AS by_act FROM time_grants ORDER BY id"
        )

    assert given.status == 200
    assert [each["extended"] and each["extended"]["seconds"] for each in replies] == [900, None, None, 300]
    assert replies[3]["extended"] == {
        "attempt_id": attempt_id, "seconds": 300, "expires_at": after["expires_at"],
    }  # fmt: skip
    assert moment(after["expires_at"]) - moment(before["expires_at"]) == timedelta(minutes=27)
    assert [(row["seconds"], row["by_act"]) for row in grants] == [(420, True), (900, False), (300, False)]
    assert [each["action"] for each in told] == ["extra_time"] * 3
    assert told[2]["expiresAt"] == after["expires_at"]


@pytest.mark.parametrize(
    ("what", "body", "path"),
    [
        ("terminate", {}, "reason"),
        ("terminate", {"reason": ""}, "reason"),
        ("extra-time", {"minutes": 0, "reason": "x"}, "minutes"),
        ("warn", {"textEn": "a\x00b"}, "textEn"),
        ("flag", {"textEn": "Told to nobody."}, "textEn"),
        ("pause", {"reason": "x" * 1001}, "reason"),
    ],
)
async def test_what_an_act_says_is_bounded_and_a_fault_is_named(
    core: Core, what: str, body: dict[str, Any], path: str
) -> None:
    async with core.school() as api:
        _, _, session_id = await seated(api)
        refused = await act(api, session_id, what, **body)

    assert refused.status == 422
    assert path in str(refused.body["errors"])
