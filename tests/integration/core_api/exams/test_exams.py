"""Exams and attempts (spec.md E-2, D-1, D-2, A-4)."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from tests.kits.core import Api, Core, grant
from tests.kits.reporting import alerting, put_row


async def start(api: Api, by: str = "student", exam_id: object = None) -> Any:
    return await api.post(f"/api/student/exams/{exam_id or api.exam_id}/start", by)


async def available_titles(api: Api, by: str, query: str = "") -> list[str]:
    answer = await api.get(f"/api/student/exams/available{query}", by)
    return [exam["title"] for exam in answer.body["exams"]]


async def test_an_exam_is_available_once_it_is_published_and_no_longer_when_withdrawn_e2(core: Core) -> None:
    async with core.school() as api:
        made = await api.post(
            "/api/teacher/exams",
            "teacher",
            json={"title": "Physics", "duration_minutes": 30, "max_score": 40, "metadata": {"rubric": [1]}},
        )
        assert made.status == 201
        assert (made.body["passing_score"], made.body["is_published"]) == (20.0, False)
        assert made.body["metadata"] == {"rubric": [1]}
        assert await available_titles(api, "student") == ["Algebra"]

        path = f"/api/teacher/exams/{made.body['id']}"
        published = [await api.post(f"{path}/publish", "teacher") for _ in range(2)]
        assert [answer.status for answer in published] == [200, 200]
        assert published[0].body["published_at"] == published[1].body["published_at"]
        assert await available_titles(api, "student") == ["Physics", "Algebra"]
        assert await available_titles(api, "stranger") == []

        assert (await api.post(f"{path}/unpublish", "teacher")).body["is_published"] is False
        assert await available_titles(api, "student") == ["Algebra"]


async def test_an_impossible_exam_is_refused_and_its_fault_is_named(core: Core) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"duration_minutes": "30"}, "duration_minutes"),
        ({"max_score": 10, "passing_score": 11}, "passing_score"),
        ({"max_score": 1e12}, "max_score"),
        ({"metadata": {"long": "x" * 70_000}}, "metadata"),
        ({"metadata": {"nul": "\x00"}}, "metadata.nul"),
    ]
    async with core.school() as api:
        for change, path in cases:
            exam = {"title": "Physics", "duration_minutes": 30} | change
            answer = await api.post("/api/teacher/exams", "teacher", json=exam)

            assert answer.status == 422
            assert [fault["path"] for fault in answer.body["errors"]] == [path]


async def test_only_who_may_edit_an_exam_publishes_it_a4(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/teacher/exams/{api.exam_id}/publish"
        assert (await api.post(path, "colleague")).status == 404
        assert (await api.post(path, "rival")).status == 404
        assert (await api.post(path, "boss")).status == 404

        await grant(api, api.exam_id, can_edit=False)
        assert (await api.post(path, "colleague")).status == 403
        await grant(api, api.exam_id, can_edit=True)
        assert (await api.post(path, "colleague")).status == 200
        assert (await api.post(path, "admin")).status == 200


async def test_available_exams_are_paged_without_overlap_and_stay_so_while_more_are_added_d1(
    core: Core,
) -> None:
    async with core.school() as api:

        async def add(title: str) -> None:
            made = await api.post(
                "/api/teacher/exams", "teacher", json={"title": title, "duration_minutes": 5}
            )
            await api.post(f"/api/teacher/exams/{made.body['id']}/publish", "teacher")

        for n in range(6):
            await add(f"Exam {n}")
        titles: list[str] = []
        cursor = None
        while True:
            query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
            page = await api.get(f"/api/student/exams/available{query}", "student")
            titles += [exam["title"] for exam in page.body["exams"]]
            cursor = page.body["next_cursor"]
            await add(f"Later {len(titles)}")
            if cursor is None:
                break

        assert titles == [*(f"Exam {n}" for n in reversed(range(6))), "Algebra"]


async def test_a_list_takes_no_unknown_or_unbounded_parameter(core: Core) -> None:
    async with core.school() as api:
        for query in ("limit=0", "limit=201", "limit=x", "cursor=x", "page=1", "limit=1&limit=2"):
            answer = await api.get(f"/api/student/exams/available?{query}", "student")

            assert (answer.status, query) == (422, query)


async def test_a_second_start_gives_the_first_attempt_back_d1(core: Core) -> None:
    async with core.school() as api:
        first = await start(api)
        second = await start(api)

        assert (first.status, second.status) == (201, 200)
        assert first.body["attempt_id"] == second.body["attempt_id"]
        assert first.body["status"] == "in_progress"
        assert 3590 < first.body["remaining_seconds"] <= 3600
        listed = (await api.get("/student/exams/available", "student")).body["exams"][0]
        assert (listed["attempt_id"], listed["attempt_status"]) == (first.body["attempt_id"], "in_progress")


async def test_fifty_starts_at_once_make_one_attempt_d1(core: Core) -> None:
    async with core.school() as api:
        answers = await asyncio.gather(*(start(api) for _ in range(50)))

        assert Counter(answer.status for answer in answers) == {201: 1, 200: 49}
        assert len({answer.body["attempt_id"] for answer in answers}) == 1
        assert await api.owner.fetchval("SELECT count(*) FROM exam_attempts") == 1


async def test_an_exam_that_is_not_open_to_the_candidate_is_not_there(core: Core) -> None:
    async with core.school() as api:
        draft = await api.post(
            "/api/teacher/exams", "teacher", json={"title": "Draft", "duration_minutes": 5}
        )

        assert (await start(api, "stranger")).status == 404
        assert (await start(api, exam_id=draft.body["id"])).status == 404
        assert (await start(api, exam_id=uuid4())).status == 404
        assert (await start(api, exam_id="not-a-uuid")).status == 404


@pytest.mark.parametrize("change", ["status = 'completed'", "expires_at = now() - interval '1 second'"])
async def test_an_attempt_that_is_over_is_not_started_again_d2(core: Core, change: str) -> None:
    async with core.school() as api:
        first = await start(api)
        await api.owner.execute(f"UPDATE exam_attempts SET {change}")
        again = await start(api)
        shown = await api.get(f"/api/student/attempts/{first.body['attempt_id']}", "student")

        assert again.status == 409
        assert again.body["code"] == "conflict"
        assert (shown.status, shown.body["remaining_seconds"]) == (200, 0.0)


async def test_an_attempt_is_seen_by_its_own_candidate_only_a4(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/student/attempts/{await api.start_attempt()}"

        assert (await api.get(path, "student")).status == 200
        assert (await api.get(path, "other_student")).status == 404
        assert (await api.get(path, "teacher")).status == 403
        assert (await api.get("/api/student/attempts/nonsense", "student")).status == 404


async def test_a_candidate_never_sees_what_was_made_of_their_behaviour_decision_6(core: Core) -> None:
    async with core.school() as api:
        attempt_id = await api.start_attempt()
        judged = alerting(attempt_id, str(api.exam_id), str(api.people["student"].id))
        await put_row(
            api, "behavior_analysis", **judged, dropout_label="copy", integrity_score=0.1, flagged=True
        )
        answer = await api.get(f"/api/student/attempts/{attempt_id}", "student")

        assert not {"dropout_label", "integrity_score", "flagged", "lmi"} & set(answer.body)


async def test_an_exam_compares_two_groups_of_its_organisation_or_none_w1(core: Core) -> None:
    async with core.school() as api:
        path = f"/api/teacher/exams/{api.exam_id}"
        one, other = [
            (await api.post("/api/admin/groups", "admin", json={"name": name})).body["id"]
            for name in ("Mornings", "Evenings")
        ]
        wanted = {"reference_group_id": one, "focal_group_id": other}
        for change, named in (
            ({"reference_group_id": one}, "focal_group_id"),
            ({"reference_group_id": one, "focal_group_id": one}, "focal_group_id"),
            ({"reference_group_id": one, "focal_group_id": str(uuid4())}, "focal_group_id"),
            ({"reference_group_id": str(uuid4()), "focal_group_id": other}, "reference_group_id"),
        ):
            refused = await api.call("PATCH", path, "teacher", json=change)
            assert (refused.status, refused.body["errors"][0]["path"]) == (422, named)

        assert (await api.call("PATCH", path, "teacher", json=wanted)).body.items() >= wanted.items()
        assert (await api.call("DELETE", f"/api/admin/groups/{one}", "admin")).status == 409
        assert "focal" not in str((await api.get("/api/student/exams/available", "student")).body)

        none = dict.fromkeys(wanted)
        assert (await api.call("PATCH", path, "teacher", json=none)).body.items() >= none.items()
        assert (await api.call("DELETE", f"/api/admin/groups/{one}", "admin")).status == 204
