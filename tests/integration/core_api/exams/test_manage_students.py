"""Who says who takes an exam, without changing the exam itself: V's `manage_students` (spec.md A-4)."""

from typing import Any

import pytest

from kernel.access import Scope
from kernel.events import Role
from tests.integration.core_api.attempts.test_launches import launch
from tests.kits.authoring import Made, make_exam
from tests.kits.core import Answer, Api, Core, DatabaseAs
from tests.kits.row_security import wall

MANAGING = (
    "assign", "list", "read", "set override", "list overrides", "remove override", "links", "revoke",
)  # fmt: skip
EDITING = ("update", "publish", "unpublish", "archive")


async def permit(api: Api, exam_id: object, name: str = "colleague", **flags: Any) -> Answer:
    body = {"user_id": str(api.people[name].id), **flags}
    return await api.post(f"/api/admin/exams/{exam_id}/permissions", "admin", json=body)


async def try_all(api: Api, made: Made, by: str) -> dict[str, int]:
    """Do everything with an exam that its staff may do, in an order in which nothing is in the way."""
    exam, student = f"/api/teacher/exams/{made.exam_id}", str(api.people["student"].id)
    assigned = await api.post(f"{exam}/assignments", "teacher", json={"user_ids": [student]})
    assignment = f"{exam}/assignments/{assigned.body['assignments'][0]['id']}"
    override = f"{assignment}/overrides/{student}"
    steps: dict[str, tuple[str, str, Any]] = {
        "assign": ("POST", f"{exam}/assignments", {"user_ids": [student], "extra_minutes": 5}),
        "list": ("GET", f"{exam}/assignments", None),
        "read": ("GET", assignment, None),
        "set override": ("PUT", override, {"reason": "Agreed.", "extra_minutes": 10}),
        "list overrides": ("GET", f"{assignment}/overrides", None),
        "remove override": ("DELETE", override, None),
        "links": ("POST", f"{exam}/launch-links", {"student_ids": [student]}),
        "revoke": ("POST", f"{assignment}/revoke", None),
        "update": ("PATCH", exam, {"title": "Mine now"}),
        "unpublish": ("POST", f"{exam}/unpublish", None),
        "publish": ("POST", f"{exam}/publish", None),
        "archive": ("POST", f"{exam}/archive", None),
    }
    return {
        name: (await api.call(method, path, by, json=body)).status
        for name, (method, path, body) in steps.items()
    }


@pytest.mark.parametrize(
    ("flags", "managing", "editing"),
    [
        ({"can_manage_students": True}, {200, 201, 204}, {403}),
        ({"can_edit": True}, {200, 201, 204}, {200}),
        ({}, {403}, {403}),
        ({"can_view_analytics": True}, {403}, {403}),
    ],
    ids=["managing", "editing", "looking", "counting"],
)
async def test_whoever_manages_students_says_who_takes_the_exam_and_changes_nothing_of_it_a4(
    core: Core, flags: dict[str, Any], managing: set[int], editing: set[int]
) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        granted = await permit(api, made.exam_id, **flags)
        statuses = await try_all(api, made, "colleague")
        listed = await api.get(f"/api/admin/exams/{made.exam_id}/permissions", "admin")

        assert granted.body["can_manage_students"] is flags.get("can_manage_students", False)
        assert listed.body["permissions"] == [granted.body]
        assert ({statuses[name] for name in MANAGING} <= managing, statuses) == (True, statuses)
        assert ({statuses[name] for name in EDITING} <= editing, statuses) == (True, statuses)


async def test_managing_students_is_a_teachers_and_takes_a_look_a4(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        blind = await permit(api, made.exam_id, can_view=False, can_manage_students=True)
        for name in ("reviewer", "observer"):
            assert (await permit(api, made.exam_id, name, can_manage_students=True)).status == 200
            statuses = await try_all(api, made, name)
            assert ({statuses[each] for each in MANAGING + EDITING}, name) == ({403}, name)

        assert (blind.status, blind.body["errors"][0]["path"]) == (422, "can_view")
        await permit(api, made.exam_id, can_manage_students=True)
        await permit(api, made.exam_id)
        statuses = await try_all(api, made, "colleague")
        assert {statuses[each] for each in MANAGING} == {403}, "a second grant replaces the first"


async def test_a_link_dies_with_the_permission_that_it_was_made_under_a7(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        await permit(api, made.exam_id, can_manage_students=True)
        body = {"student_ids": [str(api.people[name].id) for name in ("student", "other_student")]}
        links = await api.post(f"/api/teacher/exams/{made.exam_id}/launch-links", "colleague", json=body)
        first, second = [each["token"] for each in links.body["links"]]
        opened = await launch(api, first)
        await permit(api, made.exam_id)
        refused = await launch(api, second)

        assert (opened.status, refused.status) == (200, 401)


async def test_what_a_permissions_record_says_is_as_before_until_somebody_manages_students_l1(
    core: Core,
) -> None:
    """Events from before the flag go on to say what the rows say; the flag itself is in the record."""
    async with core.school() as api:
        rows = "SELECT state FROM record_rows('permission', $1, $2)"
        said = []
        grants: list[dict[str, Any]] = [
            {"can_view_analytics": True},
            {"can_edit": True, "can_manage_students": True},
        ]
        for flags in grants:
            await permit(api, api.exam_id, **flags)
            said.append(await api.owner.fetchval(rows, str(api.exam_id), api.people["colleague"].id))

        assert said == ["[true, false, true]", "[true, true, false] manages students"]


async def test_row_security_lets_a_manager_write_assignments_and_not_the_exam_a4(
    database: str, database_as: DatabaseAs
) -> None:
    async with wall(database, database_as) as at:
        changes = {
            "assignments": "UPDATE assignments SET extra_minutes = 1 RETURNING id",
            "overrides": "UPDATE assignment_overrides SET extra_minutes = 1 RETURNING user_id",
            "exams": "UPDATE exams SET title = 'Mine' RETURNING id",
            "attempts": "UPDATE exam_attempts SET score = 1 RETURNING id",
            "removed": "DELETE FROM assignment_overrides RETURNING user_id",
        }
        manages = "UPDATE teacher_exam_permissions SET can_manage_students = true"

        async def reached() -> set[str]:
            async with at.asking("assistant", Scope.granted) as conn:
                change = conn.transaction()
                await change.start()
                found = {name for name, text in changes.items() if await conn.fetch(text)}
                await change.rollback()
            return found

        assert at.world.api.people["assistant"].role is Role.teacher
        looking = await reached()
        await at.world.api.owner.execute(manages)
        managing = await reached()

        assert (looking, managing) == (set(), {"assignments", "overrides", "removed"})


async def test_an_exam_says_what_one_may_do_with_it_and_editors_where_its_questions_are_a4(
    core: Core,
) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        may = {"can_edit": False, "can_manage_students": False, "can_view_analytics": False}
        whole = dict.fromkeys(may, True) | {"evaluation_id": made.evaluation_id}
        cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({}, may | {"evaluation_id": None}),
            ({"can_manage_students": True}, may | {"can_manage_students": True, "evaluation_id": None}),
            ({"can_view_analytics": True}, may | {"can_view_analytics": True, "evaluation_id": None}),
            ({"can_edit": True}, whole | {"can_view_analytics": False}),
        ]
        path = f"/api/teacher/exams/{made.exam_id}"

        for by in ("teacher", "admin"):
            shown = (await api.get(path, by)).body
            assert {name: shown[name] for name in whole} == whole, by
        for flags, expected in cases:
            await permit(api, made.exam_id, **flags)
            shown = (await api.get(path, "colleague")).body
            assert {name: shown[name] for name in whole} == expected, flags
        evaluation = f"/api/teacher/evaluations/{shown['evaluation_id']}?version=1"
        assert (await api.get(evaluation, "colleague")).status == 200, "and they lead there"
        bare = (await api.get(f"/api/teacher/exams/{api.exam_id}", "teacher")).body
        assert (bare["evaluation_version_id"], bare["evaluation_id"]) == (None, None)
