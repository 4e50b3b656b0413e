"""What staff do in a whole room, with a result for each session (spec.md P-4)."""

from typing import Any

from tests.integration.core_api.interventions.test_acting import REASON, commands
from tests.kits.authoring import make_exam, start
from tests.kits.core import Answer, Api, Core

SAID = {"textEn": "Ten minutes are left."}


async def filled(api: Api, *students: str) -> tuple[str, dict[str, int]]:
    """Return an exam and the sessions of those at work on it."""
    made = await make_exam(api)
    sessions = {}
    for by in students:
        sessions[by] = await api.start_session(by, attempt_id=await start(api, made, by))
    return made.exam_id, sessions


async def in_room(api: Api, exam_id: str, what: str, by: str = "teacher", **body: Any) -> Answer:
    return await api.post(f"/api/proctor/exam/{exam_id}/{what}", by, json=body)


async def test_an_announcement_reaches_the_room_that_is_named_and_nobody_else_p4(core: Core) -> None:
    async with core.school() as api:
        exam_id, sessions = await filled(api, "student", "other_student")
        _, elsewhere = await filled(api, "student")
        group = (await api.post("/api/admin/groups", "admin", json={"name": "4b"})).body["id"]
        member = {"user_ids": [str(api.people["other_student"].id)]}
        await api.post(f"/api/admin/groups/{group}/members", "admin", json=member)
        own = [sessions["student"], elsewhere["student"]]
        rooms: list[dict[str, Any]] = [{"wholeExam": True}, {"groupIds": [group]}, {"sessionIds": own}]
        said = [await in_room(api, exam_id, "announce", room=room, **SAID) for room in rooms]
        told, untold = [await commands(api, each) for each in own]
        (event,) = {
            row["kind"] for row in await api.owner.fetch(
                "SELECT kind FROM ledger_events WHERE kind LIKE 'session.an%'"
            )
        }  # fmt: skip

    reached = [[each["proctorSessionId"] for each in reply.body["data"]["results"]] for reply in said]
    assert sorted(reached[0]) == sorted(sessions.values())
    assert reached[1:] == [[sessions["other_student"]], [sessions["student"]]]
    assert [each["text"] for each in told] == [SAID["textEn"]] * 2
    assert (untold, event) == ([], "session.announced")


async def test_an_act_in_a_room_counts_on_the_room_being_what_was_seen_and_answers_for_each_p4(
    core: Core,
) -> None:
    async with core.school() as api:
        exam_id, sessions = await filled(api, "student", "other_student")
        pause: dict[str, Any] = {"room": {"wholeExam": True}, "action": "pause", **REASON}
        others = [await in_room(api, exam_id, "act", **pause, count=count) for count in (1, 3)]
        nothing = await commands(api, sessions["student"])
        await api.post(f"/api/proctor/session/{sessions['student']}/pause", "teacher", json={})
        done = await in_room(api, exam_id, "act", **pause, count=2)
        over = await in_room(api, exam_id, "act", **(pause | {"action": "terminate"}), count=2)
        empty = await in_room(api, exam_id, "act", **pause, count=2)

    assert [each.status for each in (*others, empty)] == [409] * 3
    assert "not 3" in others[1].body["detail"]
    assert nothing == []
    results = {each["proctorSessionId"]: each for each in done.body["data"]["results"]}
    assert (done.body["data"]["count"], done.body["data"]["done"]) == (2, 1)
    assert results[sessions["other_student"]]["status"] == "done"
    refused = results[sessions["student"]]
    assert (refused["status"], refused["code"], refused["actionId"]) == ("refused", "conflict", None)
    assert [each["status"] for each in over.body["data"]["results"]] == ["done", "done"]


async def test_a_room_is_one_of_three_and_an_act_says_what_it_needs(core: Core) -> None:
    async with core.school() as api:
        exam_id, _ = await filled(api, "student")
        whole: dict[str, Any] = {"room": {"wholeExam": True}, "count": 1, **REASON}
        refused = [
            await in_room(api, exam_id, "announce", room={}, **SAID),
            await in_room(api, exam_id, "announce", room={"wholeExam": True, "sessionIds": [1]}, **SAID),
            await in_room(api, exam_id, "announce", room={"wholeExam": True}),
            await in_room(api, exam_id, "act", **whole, action="extra_time"),
            await in_room(api, exam_id, "act", **whole, action="warn", minutes=5),
            await in_room(api, exam_id, "act", **whole, action="announce"),
        ]
        foreign = await in_room(api, exam_id, "announce", by="colleague", room={"wholeExam": True}, **SAID)

    assert [each.status for each in refused] == [422] * 6
    paths = ["room", "room", "textEn", "minutes", "minutes", "action"]
    assert [each.body["errors"][0]["path"] for each in refused] == paths
    assert foreign.status == 404
