"""People, groups, permissions, registration and profiles (spec.md A-1, A-4, A-5)."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

from tests.kits.core import PASSWORD, Answer, Api, Core, login, put
from tests.kits.reporting import put_row


async def delete(api: Api, path: str, by: str = "admin") -> Answer:
    return await api.call("DELETE", path, by)


def user(api: Api, name: str, rest: str = "") -> str:
    return f"/api/admin/users/{api.people[name].id}{rest}"


def emails(answer: Answer) -> list[str]:
    return [each["email"].partition("@")[0] for each in answer.body["users"]]


async def test_an_admin_lists_the_people_of_their_organisation_in_pages_a5(core: Core) -> None:
    async with core.school() as api:
        whole = await api.get("/api/admin/users", "admin")
        pages, cursor = [], ""
        while True:
            page = await api.get(f"/api/admin/users?limit=3{cursor}", "admin")
            pages.append(page.body["users"])
            if page.body["next_cursor"] is None:
                break
            cursor = f"&cursor={page.body['next_cursor']}"

        assert {each["email"] for each in whole.body["users"]} == {
            person.email for person in api.people.values() if "@here" in person.email
        }
        assert [each for page in pages for each in page] == whole.body["users"]
        assert {len(page) for page in pages[:-1]} == {3}
        assert all("password" not in name for name in whole.body["users"][0])


async def test_the_list_is_filtered_by_role_state_group_and_text_a5(core: Core) -> None:
    async with core.school() as api:
        await api.post(user(api, "observer", "/lock"), "admin")
        group = (await api.post("/api/admin/groups", "admin", json={"name": "4b"})).body["id"]
        student = str(api.people["student"].id)
        await api.post(f"/api/admin/groups/{group}/members", "admin", json={"user_ids": [student]})

        async def listed(query: str) -> set[str]:
            return set(emails(await api.get(f"/api/admin/users?{query}", "admin")))

        assert await listed("role=student") == {"student", "other_student"}
        assert await listed("is_active=false") == {"observer"}
        assert await listed(f"group={group}") == {"student"}
        assert await listed(f"group={uuid4()}") == set()
        assert await listed("q=COLLEAGUE") == {"colleague"}
        assert await listed("q=%25") == set()  # no pattern
        assert (await api.get("/api/admin/users?role=root", "admin")).status == 422
        assert (await api.get("/api/admin/users?sort=email", "admin")).status == 422


async def test_a_locked_person_is_out_at_once_and_back_after_signing_in_anew_a5(core: Core) -> None:
    async with core.school() as api:
        token = api.token("teacher")
        locked = await api.post(user(api, "teacher", "/lock"), "admin")
        again = await api.post(user(api, "teacher", "/lock"), "admin")
        headers = {"Authorization": f"Bearer {token}"}

        assert (locked.status, locked.body["is_active"], again.body) == (200, False, locked.body)
        assert (await api.get("/api/me", headers=headers)).status == 401
        assert await login(api, api.people["teacher"].email) == 401
        unlocked = await api.post(user(api, "teacher", "/unlock"), "admin")
        assert unlocked.body["is_active"] is True
        assert (await api.get("/api/me", headers=headers)).status == 401
        assert await login(api, api.people["teacher"].email) == 200


async def test_a_new_role_holds_from_the_next_sign_in_and_the_old_one_no_longer_a5(core: Core) -> None:
    async with core.school() as api:
        changed = await put(api, user(api, "teacher", "/role"), "admin", role="reviewer")

        assert (changed.status, changed.body["role"]) == (200, "reviewer")
        assert (await api.post("/api/teacher/exams", "teacher", json={})).status == 401
        body = {"email": api.people["teacher"].email, "password": PASSWORD}
        assert (await api.post("/api/auth/login", json=body)).body["user"]["role"] == "reviewer"
        assert (await put(api, user(api, "student", "/role"), "admin", role="root")).status == 422
        assert (await put(api, user(api, "student", "/role"), "admin", role="service")).status == 422
        assert (await put(api, user(api, "service", "/role"), "admin", role="admin")).status == 422


async def test_the_last_active_admin_stays_a5(core: Core) -> None:
    async with core.school() as api:
        assert (await api.post(user(api, "admin", "/lock"), "admin")).status == 409
        assert (await put(api, user(api, "admin", "/role"), "admin", role="teacher")).status == 409
        await put(api, user(api, "colleague", "/role"), "admin", role="admin")
        assert (await api.post(user(api, "admin", "/lock"), "admin")).status == 200


async def test_two_admins_who_lock_one_another_at_once_leave_one_a5(core: Core) -> None:
    async with core.school() as api:
        people = dict(api.people)
        for _ in range(5):
            await api.owner.execute(
                "UPDATE users SET role = 'admin', is_active = true, token_generation = token_generation + 1"
                " WHERE id = ANY ($1)",
                [people["admin"].id, people["colleague"].id],
            )
            tokens = [
                (await api.post("/api/auth/login", json={"email": people[name].email, "password": PASSWORD}))
                .body["access_token"]
                for name in ("admin", "colleague")
            ]  # fmt: skip
            targets = [user(api, "colleague", "/lock"), user(api, "admin", "/lock")]
            answers = await asyncio.gather(
                *(
                    api.post(target, headers={"Authorization": f"Bearer {token}"})
                    for target, token in zip(targets, tokens, strict=True)
                )
            )
            left = await api.owner.fetchval(
                "SELECT count(*) FROM users WHERE role = 'admin' AND is_active AND organisation_id = $1",
                people["admin"].organisation_id,
            )

            assert left == 1
            assert Counter(answer.status for answer in answers)[200] == 1


async def test_an_admin_reaches_nobody_of_another_organisation_a4(core: Core) -> None:
    async with core.school() as api:
        group = (await api.post("/api/admin/groups", "boss", json={"name": "Theirs"})).body["id"]
        before = await api.owner.fetch("SELECT * FROM users ORDER BY id")
        answers = [
            await api.get(user(api, "stranger"), "admin"),
            await api.post(user(api, "stranger", "/lock"), "admin"),
            await api.post(user(api, "stranger", "/unlock"), "admin"),
            await put(api, user(api, "stranger", "/role"), "admin", role="teacher"),
            await api.get(user(api, "stranger", "/student-profile"), "admin"),
            await put(api, user(api, "stranger", "/student-profile"), "admin", cohort="mine"),
            await api.get(f"/api/admin/groups/{group}", "admin"),
            await api.get(f"/api/admin/groups/{group}/members", "admin"),
            await put(api, f"/api/admin/groups/{group}", "admin", name="mine"),
            await delete(api, f"/api/admin/groups/{group}"),
            await api.get(f"/api/admin/exams/{api.exam_id}/permissions", "boss"),
            await api.post(
                f"/api/admin/exams/{api.exam_id}/permissions",
                "boss",
                json={"user_id": str(api.people["rival"].id)},
            ),
        ]

        assert [answer.status for answer in answers] == [404] * len(answers)
        assert await api.owner.fetch("SELECT * FROM users ORDER BY id") == before
        assert (await api.get("/api/admin/groups", "admin")).body["groups"] == []


async def test_an_admin_creates_people_who_can_sign_in_a5(core: Core) -> None:
    async with core.school() as api:
        body = {"email": "New@Here.example", "role": "teacher", "password": PASSWORD, "full_name": "N"}
        made = await api.post("/api/admin/users", "admin", json=body)
        taken = await api.post("/api/admin/users", "admin", json=body | {"email": "new@here.EXAMPLE"})
        elsewhere = await api.post(
            "/api/admin/users", "admin", json=body | {"email": api.people["stranger"].email}
        )
        bare = await api.post(
            "/api/admin/users", "admin", json={"email": "b@here.example", "role": "service"}
        )

        assert made.status == 201
        assert UUID(made.body["organisation_id"]) == api.people["admin"].organisation_id
        assert await login(api, "new@here.example") == 200
        assert (taken.status, elsewhere.status, bare.status) == (409, 409, 201)
        for wrong in ({"email": "no address"}, {"password": "short"}, {"role": "root"}):
            assert (await api.post("/api/admin/users", "admin", json=body | wrong)).status == 422


async def test_a_granted_exam_is_open_until_the_grant_is_taken_back_a4(core: Core) -> None:
    async with core.school() as api:
        analytics = f"/api/teacher/exams/{api.exam_id}/analytics"
        permissions = f"/api/admin/exams/{api.exam_id}/permissions"
        colleague = str(api.people["colleague"].id)
        statuses = [(await api.get(analytics, "colleague")).status]
        for more in ({}, {"can_view_analytics": True}):
            granted = await api.post(permissions, "admin", json={"user_id": colleague} | more)
            assert granted.status == 200
            statuses.append((await api.get(analytics, "colleague")).status)
        listed = await api.get(permissions, "admin")
        revoked = await delete(api, f"{permissions}/{colleague}")
        statuses.append((await api.get(analytics, "colleague")).status)

        assert statuses == [404, 403, 200, 404]
        assert {each["user_id"] for each in listed.body["permissions"]} == {
            colleague, str(api.people["reviewer"].id),
        }  # fmt: skip
        assert revoked.status == 204
        assert (await delete(api, f"{permissions}/{colleague}")).status == 404


async def test_only_teachers_reviewers_and_observers_of_the_organisation_are_granted_an_exam_a4(
    core: Core,
) -> None:
    async with core.school() as api:
        permissions = f"/api/admin/exams/{api.exam_id}/permissions"
        for name in ("student", "service", "admin", "rival"):
            answer = await api.post(permissions, "admin", json={"user_id": str(api.people[name].id)})
            assert (answer.status, name) == (422, name)
            assert answer.body["errors"][0]["path"] == "user_id"
        blind = {"user_id": str(api.people["teacher"].id), "can_view": False, "can_edit": True}
        assert (await api.post(permissions, "admin", json=blind)).status == 422


async def test_a_group_is_made_filled_renamed_and_deleted_a5(core: Core) -> None:
    async with core.school() as api:
        made = await api.post("/api/admin/groups", "admin", json={"name": "4b", "description": "Maths"})
        path = f"/api/admin/groups/{made.body['id']}"
        ids = [str(api.people[name].id) for name in ("student", "other_student")]
        added = await api.post(f"{path}/members", "admin", json={"user_ids": ids})
        again = await api.post(f"{path}/members", "admin", json={"user_ids": ids + ids})
        first = await api.get(f"{path}/members?limit=1", "admin")
        second = await api.get(f"{path}/members?limit=1&cursor={first.body['next_cursor']}", "admin")
        renamed = await put(api, path, "admin", name="5b")

        assert (made.status, made.body["members"]) == (201, 0)
        assert (added.body, again.body) == ({"added": 2}, {"added": 0})
        assert {each["id"] for page in (first, second) for each in page.body["members"]} == set(ids)
        assert second.body["next_cursor"] is None
        assert (renamed.body["name"], renamed.body["description"], renamed.body["members"]) == (
            "5b", "Maths", 2,
        )  # fmt: skip
        assert (await delete(api, f"{path}/members/{ids[0]}")).status == 204
        assert (await delete(api, f"{path}/members/{ids[0]}")).status == 404
        assert (await delete(api, path)).status == 204
        assert (await api.get(path, "admin")).status == 404
        assert (await api.get(user(api, "student"), "admin")).status == 200


async def test_a_groups_name_is_unique_in_its_organisation_and_strangers_are_named_a5(core: Core) -> None:
    async with core.school() as api:
        made = [
            (await api.post("/api/admin/groups", by, json={"name": name}))
            for by, name in (("admin", "4b"), ("admin", "4B"), ("boss", "4b"), ("admin", "4c"))
        ]
        assert [answer.status for answer in made] == [201, 409, 201, 201]
        path = f"/api/admin/groups/{made[0].body['id']}"
        assert (await put(api, path, "admin", name="4C")).status == 409
        members = [str(api.people["student"].id), str(api.people["stranger"].id), str(uuid4())]
        refused = await api.post(f"{path}/members", "admin", json={"user_ids": members})

        assert refused.status == 422
        assert [fault["path"] for fault in refused.body["errors"]] == ["user_ids[1]", "user_ids[2]"]
        assert (await api.get(path, "admin")).body["members"] == 0


async def test_people_change_their_own_profile_and_what_is_left_out_stays_a5(core: Core) -> None:
    async with core.school() as api:
        metadata = {"profile_image": "/me.png", "preferences": {"theme": "dark"}}
        first = await put(api, "/api/me", "teacher", full_name="T", metadata=metadata, title="Dr")
        second = await put(api, "/api/me", "teacher", department="Maths")

        assert first.body["teacher"] == {"title": "Dr", "department": ""}
        assert second.body["teacher"] == {"title": "Dr", "department": "Maths"}
        assert (second.body["full_name"], second.body["metadata"]) == ("T", metadata)
        assert (await api.get("/api/me", "teacher")).body == second.body
        assert (await put(api, "/api/me", "colleague", username="Boole")).status == 200
        assert (await put(api, "/api/me", "teacher", username="BOOLE")).status == 409
        assert (await put(api, "/api/me", "teacher", role="admin")).status == 422
        assert (await put(api, "/api/me", "student", title="Dr")).status == 422
        assert (await put(api, "/api/me", "student", metadata={"x": "y" * 20_000})).status == 422
        assert (await put(api, "/api/me", "student", full_name="a\x00b")).status == 422
        assert (await put(api, "/api/me", "student", metadata={"x": "a\x00b"})).status == 422


async def test_a_student_sees_enrolment_and_cohort_and_no_score_of_their_profile_a5(core: Core) -> None:
    async with core.school() as api:
        path = user(api, "student", "/student-profile")
        before = await api.get(path, "admin")
        changed = await put(api, path, "admin", enrollment_id="E-17", cohort="2026")
        own_id, school = str(api.people["student"].id), str(api.people["student"].organisation_id)
        owned = {"student_id": own_id, "organisation_id": school}
        await put_row(api, "student_risk_summary", **owned, current_dropout_risk="copy", flagged_count=1)
        await put_row(api, "performance_metrics", **owned, total_passed=1)
        after = (await api.get(path, "admin")).body
        own = await api.get("/api/me", "student")

        assert (before.body["enrollment_id"], before.body["total_exams_attempted"]) == ("", 0)
        assert changed.body["enrollment_id"] == "E-17"
        assert (after["current_dropout_risk"], after["flagged_for_review"], after["total_exams_passed"]) == (
            "copy",
            True,
            1,
        )
        assert own.body["student"] == {"enrollment_id": "E-17", "cohort": "2026"}
        assert "copy" not in str(own.body)
        assert (await api.get(user(api, "teacher", "/student-profile"), "admin")).status == 404
