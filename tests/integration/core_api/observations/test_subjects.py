"""What is observed and is no person: kept by administrators, found by observers (spec.md M-4)."""

from typing import Any

from tests.integration.core_api.observations.test_observations import make_form, observe
from tests.kits.core import Answer, Api, Core


async def keep(api: Api, name: str, category: str = "room", by: str = "admin", **more: Any) -> Answer:
    return await api.post("/api/admin/subjects", by, json={"name": name, "category": category, **more})


async def test_a_subject_is_kept_listed_changed_and_unique_in_its_category_m4(core: Core) -> None:
    async with core.school() as api:
        room = await keep(api, "Room 4", description="By the stairs")
        taken, bench = await keep(api, "room 4", "ROOM"), await keep(api, "Room 4", "bench")
        path = f"/api/admin/subjects/{room.body['id']}"
        renamed = await api.call("PUT", path, "admin", json={"name": "Room 5", "is_active": False})
        clash = await api.call("PUT", path, "admin", json={"category": "bench", "name": "ROOM 4"})
        foreign = await api.call("PUT", path, "boss", json={"name": "Mine"})
        rooms = (await api.get("/api/admin/subjects?category=Room&active=false", "admin")).body["subjects"]

        assert [each.status for each in (room, taken, bench, renamed, clash, foreign)] == [
            201, 409, 201, 200, 409, 404,
        ]  # fmt: skip
        assert rooms == [renamed.body]
        assert (renamed.body["name"], renamed.body["description"]) == ("Room 5", "By the stairs")


async def test_observers_find_what_is_active_by_name_and_observe_it_beside_people_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        names = ["Werkbank Süd", "Werkbank Nord", "Saal"]
        ids = {name: (await keep(api, name, "Ort")).body["id"] for name in names}
        await api.call("PUT", f"/api/admin/subjects/{ids['Saal']}", "admin", json={"is_active": False})
        path = f"/api/observer/exams/{form.exam_id}/subjects?kind=entity"
        first = (await api.get(f"{path}&limit=1", "observer")).body
        second = (await api.get(f"{path}&limit=1&cursor={first['next_cursor']}", "observer")).body
        south = (await api.get(f"{path}&q=sud", "observer")).body["subjects"]
        about = [str(api.people["student"].id), ids["Werkbank Süd"]]
        made = await observe(api, form, subject_ids=about)
        listed = (await api.get("/api/observer/observations", "observer")).body["observations"][0]

        assert [each["full_name"] for each in first["subjects"] + second["subjects"]] == [
            "Werkbank Nord", "Werkbank Süd",
        ]  # fmt: skip
        assert second["next_cursor"] is None
        assert [(each["full_name"], each["category"], each["email"]) for each in south] == [
            ("Werkbank Süd", "Ort", None)
        ]
        assert made.status == 201, made.body
        assert {each["full_name"] for each in listed["subjects"]} == {"The student", "Werkbank Süd"}
        kinds = await api.owner.fetch("SELECT kind FROM submission_subjects ORDER BY kind")
        assert [row["kind"] for row in kinds] == ["entity", "user"]
        refused = await observe(
            api, form, key="foreign", subject_ids=[(await keep(api, "X", by="boss")).body["id"]]
        )
        assert (refused.status, refused.body["errors"][0]["path"]) == (422, "subject_ids[0]")
