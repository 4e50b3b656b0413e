"""Who may take an exam, when, and on what terms (spec.md E-3, D-1)."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson

from core_api import seeding
from tests.kits.authoring import Made, make_exam, save_all_right, start, submit
from tests.kits.core import Answer, Api, Core

HOUR = timedelta(hours=1)
AT_ONCE = {"policy", "reach", "extended"}  # what a reply to an override says beside it


def moment(offset: timedelta) -> str:
    return (datetime.now(UTC) + offset).isoformat()


async def assign(api: Api, made: Made, *names: str, by: str = "teacher", **terms: Any) -> Answer:
    users = [str(api.people[name].id) for name in names]
    return await api.post(
        f"/api/teacher/exams/{made.exam_id}/assignments", by, json={"user_ids": users, **terms}
    )


def make_group(api: Api, *names: str) -> str:
    organisation_id, members = api.people["teacher"].organisation_id, [api.people[name].id for name in names]
    with seeding.connect(api.database) as conn:
        return str(
            seeding.create_group(conn, organisation_id, f"Group {uuid4()}", members, now=datetime.now(UTC))
        )


async def override(api: Api, made: Made, assignment_id: str, name: str, **terms: Any) -> Answer:
    path = f"/api/teacher/exams/{made.exam_id}/assignments/{assignment_id}/overrides/{api.people[name].id}"
    return await api.call("PUT", path, "teacher", json={"reason": "Agreed.", **terms})


async def try_start(api: Api, made: Made, by: str = "student") -> Answer:
    return await api.post(f"/api/student/exams/{made.exam_id}/start", by)


async def titles(api: Api, by: str) -> list[str]:
    return [exam["title"] for exam in (await api.get("/api/student/exams/available", by)).body["exams"]]


async def test_an_exam_is_open_to_all_until_it_is_assigned_to_somebody_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        assert await titles(api, "other_student") == ["Biology", "Algebra"]
        assigned = await assign(api, made, "student")

        assert (assigned.status, assigned.body["count"]) == (201, 1)
        assert await titles(api, "student") == ["Biology", "Algebra"]
        assert await titles(api, "other_student") == ["Algebra"]
        assert (await try_start(api, made)).status == 201
        assert (await try_start(api, made, "other_student")).status == 404


async def test_thousands_are_assigned_at_once_and_each_is_on_the_ledger_l1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        ids = [str(each) for each in api.enrol([f"{uuid4()}@example.org" for _ in range(2_500)])]
        path = f"/api/teacher/exams/{made.exam_id}/assignments"
        assigned = await api.post(path, "teacher", json={"user_ids": ids})
        payloads = await api.owner.fetch("SELECT payload FROM outbox WHERE kind = 'assignment.created'")
        recorded = [each for row in payloads for each in orjson.loads(row["payload"])["assignment_ids"]]

        assert (assigned.status, assigned.body["count"]) == (201, 2_500)
        assert len(payloads) == 3
        assert len(set(recorded)) == len(recorded) == 2_500


async def test_a_group_reaches_its_members_and_a_revoked_assignment_nobody_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        group = make_group(api, "other_student")
        assigned = await assign(api, made, group_ids=[group], duration_minutes=45)
        begun = await try_start(api, made, "other_student")
        assert begun.status == 201
        assert 2690 < begun.body["remaining_seconds"] <= 2700
        path = f"/api/teacher/exams/{made.exam_id}/assignments/{assigned.body['assignments'][0]['id']}/revoke"
        revoked = [await api.post(path, "teacher") for _ in range(2)]

        assert revoked[0].body == revoked[1].body
        assert (await try_start(api, made)).status == 404
        assert (await try_start(api, made, "other_student")).status == 200, "what runs goes on"
        assert await titles(api, "student") == ["Algebra"]


async def test_one_assignment_is_read_as_it_stands_and_only_below_its_exam_e3(core: Core) -> None:
    async with core.school() as api:
        made, other = await make_exam(api), await make_exam(api)
        assigned = (await assign(api, made, "student", extra_minutes=15)).body["assignments"][0]
        path = f"/api/teacher/exams/{made.exam_id}/assignments/{assigned['id']}"
        revoked = await api.post(f"{path}/revoke", "teacher")
        elsewhere = path.replace(str(made.exam_id), str(other.exam_id))

        assert (assigned["extra_minutes"], assigned["name"]) == (15, "The student")
        assert (await api.get(path, "teacher")).body == revoked.body
        assert (await api.get(elsewhere, "teacher")).status == 404


async def test_a_group_that_keeps_an_exam_closed_is_not_deleted_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        group = make_group(api, "other_student")
        await assign(api, made, group_ids=[group])

        assert (await api.call("DELETE", f"/api/admin/groups/{group}", "admin")).status == 409
        assert (await try_start(api, made)).status == 404
        assert (await try_start(api, made, "other_student")).status == 201


async def test_a_window_that_is_not_open_is_shown_and_not_started_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        await assign(api, made, "student", opens_at=moment(HOUR), closes_at=moment(2 * HOUR))
        await assign(api, made, "other_student", opens_at=moment(-2 * HOUR), closes_at=moment(-HOUR))
        listed = (await api.get("/api/student/exams/available", "student")).body["exams"][0]

        assert (listed["is_open"], listed["title"]) == (False, "Biology")
        assert await titles(api, "other_student") == ["Algebra"]
        for by in ("student", "other_student"):
            refused = await try_start(api, made, by)
            assert (refused.status, refused.body["code"]) == (409, "conflict")


async def test_an_override_is_one_candidates_alone_and_is_stored_with_the_attempt_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        group = make_group(api, "student", "other_student")
        closes_at = moment(HOUR / 4)
        assigned = await assign(api, made, group_ids=[group], closes_at=closes_at, rule_exemptions=[3])
        assignment_id = assigned.body["assignments"][0]["id"]
        made_override = await override(
            api, made, assignment_id, "student", extra_minutes=15, monitoring_mode=2, rule_exemptions=[9, 1]
        )
        assert made_override.status == 200
        own, other = await try_start(api, made), await try_start(api, made, "other_student")
        stored = orjson.loads(
            await api.owner.fetchval(
                "SELECT policy FROM exam_attempts WHERE id = $1", UUID(own.body["attempt_id"])
            )
        )

        # Thirty minutes, cut by the window after fifteen, and the extra time on top of that.
        assert 1750 < own.body["remaining_seconds"] <= 1800
        assert 850 < other.body["remaining_seconds"] <= 900
        assert (own.body["monitoring_mode"], other.body["monitoring_mode"]) == (2, 1)
        assert (stored["extra_minutes"], stored["rule_exemptions"]) == (15, [1, 3, 9])
        listed = await api.get(
            f"/api/teacher/exams/{made.exam_id}/assignments/{assignment_id}/overrides", "teacher"
        )
        reply = {name: made_override.body[name] for name in made_override.body.keys() - AT_ONCE}
        assert listed.body["overrides"] == [reply]
        assert assigned.body["assignments"][0]["name"].startswith("Group ")
        path = (
            f"/api/teacher/exams/{made.exam_id}/assignments/{assignment_id}"
            f"/overrides/{api.people['student'].id}"
        )
        assert (await api.call("DELETE", path, "teacher")).status == 204
        assert (await api.call("DELETE", path, "teacher")).status == 404


async def test_impossible_assignments_are_refused_and_their_fault_is_named_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        cases: list[tuple[Answer, str]] = [
            (await assign(api, made), "user_ids"),
            (await assign(api, made, "stranger"), "user_ids"),
            (await assign(api, made, "reviewer"), "user_ids"),
            (await assign(api, made, group_ids=[str(uuid4())]), "group_ids"),
            (await assign(api, made, "student", opens_at=moment(HOUR), closes_at=moment(-HOUR)), "closes_at"),
            (await assign(api, made, "student", opens_at="2026-01-01T00:00:00"), "opens_at"),
            (await assign(api, made, "student", attempts_allowed=0), "attempts_allowed"),
            (await assign(api, made, "student", monitoring_mode=3), "monitoring_mode"),
        ]
        for refused, path in cases:
            assert (refused.status, [each["path"] for each in refused.body["errors"]]) == (422, [path])
        assigned = await assign(api, made, "student", opens_at=moment(HOUR))
        assignment_id = assigned.body["assignments"][0]["id"]
        assert (await override(api, made, assignment_id, "other_student")).status == 422
        assert (await override(api, made, assignment_id, "student", closes_at=moment(-HOUR))).status == 422
        assert (await override(api, made, str(uuid4()), "student")).status == 404


async def test_only_who_may_edit_the_exam_assigns_it_a4(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        for by, status in {
            "colleague": 404,
            "rival": 404,
            "boss": 404,
            "reviewer": 403,
            "student": 403,
        }.items():
            assert ((await assign(api, made, "student", by=by)).status, by) == (status, by)
            listed = await api.get(f"/api/teacher/exams/{made.exam_id}/assignments", by)
            assert (listed.status, by) == (status, by)
        assert (await assign(api, made, "student", by="admin")).status == 201
        other = await make_exam(api, "numeric", title="Other")
        assignment = (await assign(api, made, "student")).body["assignments"][0]["id"]
        path = f"/api/teacher/exams/{other.exam_id}/assignments/{assignment}/revoke"
        assert (await api.post(path, "teacher")).status == 404, "of another exam"


async def test_assigning_again_replaces_the_terms_also_at_the_same_moment_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        names = ("student", "other_student")
        answers = await asyncio.gather(
            *(assign(api, made, *names[:: (-1) ** n], extra_minutes=n) for n in range(10))
        )
        await assign(api, made, "student", extra_minutes=33)
        page = await api.get(f"/api/teacher/exams/{made.exam_id}/assignments?limit=1", "teacher")
        rest = await api.get(
            f"/api/teacher/exams/{made.exam_id}/assignments?cursor={page.body['next_cursor']}", "teacher"
        )

        assert {answer.status for answer in answers} == {201}
        listed = page.body["assignments"] + rest.body["assignments"]
        assert len(listed) == 2
        extra = {each["user_id"]: each["extra_minutes"] for each in listed}
        assert extra[str(api.people["student"].id)] == 33
        facts = await api.owner.fetchval("SELECT count(*) FROM outbox WHERE kind = 'assignment.created'")
        assert facts == 11


async def test_as_many_attempts_as_allowed_one_at_a_time_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        await assign(api, made, "student", attempts_allowed=2)
        attempts = []
        for number in (1, 2):
            begun = await asyncio.gather(*(try_start(api, made) for _ in range(20)))
            assert Counter(each.status for each in begun) == {201: 1, 200: 19}
            assert {each.body["attempt_number"] for each in begun} == {number}
            attempts.append(begun[0].body["attempt_id"])
            await submit(api, attempts[-1])

        assert len(set(attempts)) == 2
        assert (await try_start(api, made)).status == 409


async def test_starts_and_hand_ins_at_once_never_make_more_attempts_than_allowed_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        await assign(api, made, "student", attempts_allowed=3)

        async def begin_and_hand_in() -> None:
            for _ in range(4):
                begun = await try_start(api, made)
                if begun.status != 409:
                    await submit(api, begun.body["attempt_id"])

        await asyncio.gather(*(begin_and_hand_in() for _ in range(10)))

        rows = await api.owner.fetch("SELECT attempt_number, status FROM exam_attempts ORDER BY 1")
        assert [tuple(row) for row in rows] == [(n, "completed") for n in (1, 2, 3)]
        assert await api.owner.fetchval("SELECT count(*) FROM submissions") == 3


async def test_a_room_pressing_start_while_the_exam_is_changed_sits_one_paper_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric", max_score=10)
        path = f"/api/teacher/exams/{made.exam_id}"
        answers = await asyncio.gather(
            try_start(api, made),
            api.call("PATCH", path, "teacher", json={"max_score": 20, "passing_score": 1}),
            try_start(api, made, "other_student"),
            api.call("PATCH", path, "teacher", json={"max_score": 30}),
        )
        exam = (await api.get(path, "teacher")).body
        scales = await api.owner.fetch("SELECT DISTINCT max_score FROM exam_attempts")

        assert [answers[0].status, answers[2].status] == [201, 201]
        assert [row["max_score"] for row in scales] == [exam["max_score"]]


async def test_an_unassigned_exam_without_a_paper_is_taken_as_before_e2(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        assert (await api.get(f"/api/student/attempts/{attempt_id}/paper", "student")).status == 404
        handed_in = await submit(api, attempt_id)

        assert handed_in.status == 201
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body
        assert (shown["status"], shown["score"]) == ("completed", None)


async def test_an_attempt_keeps_the_evaluation_it_began_with_e3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        attempt_id = await start(api, made)
        draft = {"title": "Next", "items": [{"question_id": made.questions["numeric"], "points": 50}]}
        path = f"/api/teacher/evaluations/{made.evaluation_id}"
        await api.call("PUT", f"{path}/draft", "teacher", json=draft)
        await api.post(f"{path}/publish", "teacher")
        await save_all_right(api, made, attempt_id)
        await submit(api, attempt_id)

        assert await api.owner.fetchval("SELECT max_points FROM submission_scores") == 2


async def test_an_override_says_what_holds_from_now_on_and_gives_who_is_at_work_their_time_e3(
    core: Core,
) -> None:
    """All else is as it was when they began; `test_acting.py` has more of the time."""
    async with core.school() as api:
        made = await make_exam(api)
        group = make_group(api, "student", "other_student")
        assigned = await assign(api, made, group_ids=[group], duration_minutes=45, attempts_allowed=2)
        assignment_id = assigned.body["assignments"][0]["id"]
        begun = (await try_start(api, made)).body
        at_work = await override(api, made, assignment_id, "student", extra_minutes=15)
        waiting = await override(api, made, assignment_id, "other_student", duration_minutes=20)
        await assign(api, made, "other_student", duration_minutes=90)
        again = await override(api, made, assignment_id, "other_student", duration_minutes=20)
        students = {name: str(api.people[name].id) for name in ("student", "other_student")}
        goes_on = (await try_start(api, made)).body
        pinned = await api.owner.fetchval(
            "SELECT policy ->> 'extra_minutes' FROM exam_attempts WHERE id = $1", UUID(begun["attempt_id"])
        )

        assert at_work.body["reach"] == {
            "students": 1,
            "under_way": 1,
            "first": [
                {
                    "user_id": students["student"],
                    "full_name": "The student",
                    "attempt_id": begun["attempt_id"],
                    "expires_at": goes_on["expires_at"],
                }
            ],
        }
        assert at_work.body["extended"] == {
            "attempt_id": begun["attempt_id"], "seconds": 900, "expires_at": goes_on["expires_at"],
        }  # fmt: skip
        assert at_work.body["policy"] == {
            "opens_at": None, "closes_at": None, "duration_minutes": 45, "extra_minutes": 15,
            "attempts_allowed": 2, "monitoring_mode": 1, "rule_exemptions": [],
        }  # fmt: skip
        gained = datetime.fromisoformat(goes_on["expires_at"]) - datetime.fromisoformat(begun["expires_at"])
        assert (gained, pinned) == (timedelta(minutes=15), "0")
        assert waiting.body["extended"] is None
        assert (waiting.body["reach"]["students"], waiting.body["reach"]["under_way"]) == (1, 0)
        assert [each.body["policy"]["duration_minutes"] for each in (waiting, again)] == [20, 90], (
            "another assignment of theirs gives more, and what is kinder holds"
        )
        await api.post(f"/api/admin/users/{students['other_student']}/lock", "admin")
        locked = await override(api, made, assignment_id, "other_student", duration_minutes=20)
        assert locked.body["reach"] == {"students": 0, "under_way": 0, "first": []}


async def test_an_assignment_says_whom_it_reaches_those_at_work_first_and_not_all_of_many_e3(
    core: Core,
) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        ids = api.enrol([f"{uuid4()}@example.org" for _ in range(30)])
        group = make_group(api, "student", "other_student", "reviewer")
        await try_start(api, made, "student")
        assigned = await assign(api, made, "student", group_ids=[group], extra_minutes=5)
        path = f"/api/teacher/exams/{made.exam_id}/assignments"
        body = {"user_ids": [str(each) for each in ids], "group_ids": [group]}
        many = await api.post(path, "teacher", json=body)

        reach = assigned.body["reach"]
        assert (reach["students"], reach["under_way"]) == (2, 1), "each once, and no reviewer"
        assert [each["full_name"] for each in reach["first"]] == ["The student", "The other_student"]
        assert (many.body["reach"]["students"], many.body["reach"]["under_way"]) == (32, 1)
        assert len(many.body["reach"]["first"]) == 20
        assert many.body["reach"]["first"][0]["full_name"] == "The student"
        await submit(api, (await try_start(api, made)).body["attempt_id"])
        done = await assign(api, made, "student", extra_minutes=7)
        assert (done.body["reach"]["students"], done.body["reach"]["under_way"]) == (1, 0)
