"""Who reads which observations, their form and their subjects (spec.md M-4, A-4, A-6)."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import orjson

from tests.integration.core_api.observations.test_observations import (
    ESSAY,
    FINDING,
    found,
    make_form,
    observe,
)
from tests.kits.authoring import Made, make_evaluation
from tests.kits.core import Api, Core, grant
from tests.kits.evidence import PNG, sent


async def permit(api: Api, form: Made, name: str, **more: Any) -> None:
    body = {"user_id": str(api.people[name].id), **more}
    granted = await api.post(f"/api/admin/exams/{form.exam_id}/permissions", "admin", json=body)
    assert granted.status == 200, granted.body


async def another_observer(api: Api, form: Made) -> None:
    """Make a second observer who was granted the exam, too: `watcher`."""
    email = api.people["observer"].email.replace("observer", "watcher")
    body = {"email": email, "role": "observer", "full_name": "The watcher"}
    made = await api.post("/api/admin/users", "admin", json=body)
    api.people["watcher"] = msgspec.structs.replace(
        api.people["observer"], id=UUID(made.body["id"]), email=email
    )
    await permit(api, form, "watcher")


async def test_an_observation_is_read_whole_with_what_is_needed_to_understand_it_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        await permit(api, form, "reviewer")
        picture = {"examId": form.exam_id, "type": 3, "contentType": "image/png", "fileName": "bench.png"}
        evidence_id = await sent(api, None, PNG, "observer", **picture)
        attached = [{"evidence_id": evidence_id, "question_id": form.questions["finding"]}]
        made = (await observe(api, form, subjects=("student",), evidence=attached)).body
        path = f"/api/teacher/observations/{made['submission_id']}"
        shown = {by: await api.get(path, by) for by in ("teacher", "reviewer", "observer", "admin")}
        own = await api.get(f"/api/observer/observations/{made['submission_id']}", "observer")
        whole = shown["teacher"].body

        assert {each.status for each in shown.values()} == {200}
        assert [each.body for each in shown.values()] == [whole] * 4
        assert (own.body["observation"], own.body["receipt"]) == (whole, made)
        assert (whole["exam_title"], whole["observer_name"]) == ("Workshop", "The observer")
        assert [(each["response"], each["points"]) for each in whole["findings"]] == [
            ({"choice": "c"}, 2.0), (None, 0.0),
        ]  # fmt: skip
        assert whole["subjects"] == [
            {"id": str(api.people["student"].id), "kind": "user", "full_name": "The student"}
        ]
        assert whole["evidence"] == [
            {"evidence_id": evidence_id, "position": 1, "submission_id": made["submission_id"]}
        ]
        assert (whole["score"], whole["passed"], whole["revision"]) == (25.0, False, 1)
        stems = [each["content"]["stem"] for each in whole["form"]["items"]]
        assert stems == [FINDING["content"]["stem"], ESSAY["content"]["stem"]]  # type: ignore[index]
        for told in (shown["teacher"], own):
            assert b"shares" not in orjson.dumps(told.body), "the key is nobody's to read here"


async def test_the_form_is_read_before_it_is_filled_in_and_without_its_key_m4(core: Core) -> None:
    async with core.school() as api:
        form, closed = await make_form(api), await make_form(api, publish=False)
        listed = (await api.get("/api/observer/exams", "observer")).body
        shown = await api.get(f"/api/observer/exams/{form.exam_id}/form", "observer")
        staff = await api.get(f"/api/teacher/exams/{form.exam_id}/form", "teacher")

        assert [each["id"] for each in listed["exams"]] == [form.exam_id], "open ones that were granted"
        assert shown.body == staff.body
        assert (shown.body["is_published"], shown.body["evaluation_version_id"]) == (
            True, form.evaluation_version_id,
        )  # fmt: skip
        assert [each["question_id"] for each in shown.body["paper"]["items"]] == list(form.questions.values())
        assert b"shares" not in orjson.dumps(shown.body)
        for whose in ("observer", "teacher"):
            path = f"/api/{whose}/exams/{closed.exam_id}/form"
            early, prepared = await api.get(path, "observer"), await api.get(path, "teacher")
            assert early.status == 404, "questions are no observer's before the exam opens"
            assert (prepared.status, prepared.body["is_published"]) == (200, False)
        nothing = await api.get(f"/api/teacher/exams/{api.exam_id}/form", "teacher")
        assert nothing.status == 404, "an exam without questions has no form"


async def test_an_observer_finds_whom_an_observation_can_name_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        path = f"/api/observer/exams/{form.exam_id}/subjects"
        everybody = (await api.get(path, "observer")).body["subjects"]
        one = (await api.get(f"{path}?q=other", "observer")).body["subjects"]
        observed = await observe(api, form, subjects=("other_student",))

        assert [each["full_name"] for each in everybody] == ["The other_student", "The student"]
        assert one == [
            {
                "id": str(api.people["other_student"].id),
                "kind": "user",
                "full_name": "The other_student",
                "email": api.people["other_student"].email,
                "category": None,
            }
        ]
        assert observed.status == 201
        for by, status in {"teacher": 403, "student": 403, "reviewer": 403}.items():
            assert ((await api.get(path, by)).status, by) == (status, by)
        await api.owner.execute("DELETE FROM teacher_exam_permissions")
        assert (await api.get(path, "observer")).status == 404


async def test_observations_are_listed_by_exam_and_by_observer_with_filters_and_pages_m4(core: Core) -> None:
    async with core.school() as api:
        form, other = await make_form(api), await make_form(api)
        await another_observer(api, form)
        subjects = ("student", "other_student")
        made = [
            (await observe(api, form, key="1", subjects=subjects)).body["submission_id"],
            (await observe(api, form, key="2")).body["submission_id"],
            (await observe(api, form, key="3", by="watcher")).body["submission_id"],
            (await observe(api, other, key="4", items=found(other, finding={"choice": "d"}))).body[
                "submission_id"
            ],
        ]
        of_exam, own = f"/api/teacher/exams/{form.exam_id}/observations", "/api/observer/observations"
        observer, both = api.people["observer"].id, api.people["other_student"].id

        async def ids(path: str, by: str) -> list[int]:
            rows = (await api.get(path, by)).body["observations"]
            return [made.index(each["submission_id"]) + 1 for each in rows]

        assert await ids(of_exam, "teacher") == [3, 2, 1]
        assert await ids(of_exam, "observer") == [2, 1], "their own alone"
        assert await ids(of_exam, "watcher") == [3]
        assert await ids(f"{of_exam}?observer={observer}", "admin") == [2, 1]
        assert await ids(f"{of_exam}?observer={observer}", "watcher") == []
        assert await ids(f"{of_exam}?subject={both}", "teacher") == [1]
        assert await ids(own, "observer") == [4, 2, 1]
        assert await ids(f"{own}?exam={other.exam_id}", "observer") == [4]
        assert await ids(f"{own}?subject={both}", "observer") == [1]
        assert await ids(own, "teacher") == [], "whoever made none has none"
        page = (await api.get(f"{of_exam}?limit=2", "teacher")).body
        assert await ids(f"{of_exam}?cursor={page['next_cursor']}", "teacher") == [1]
        (first,) = (await api.get(f"{of_exam}?subject={both}", "teacher")).body["observations"]
        assert (first["subject_count"], first["observer_name"]) == (2, "The observer")
        assert {each["full_name"] for each in first["subjects"]} == {"The student", "The other_student"}
        assert (await api.get(f"{of_exam}?subject=x", "teacher")).status == 422


async def test_nobody_reads_an_observation_of_an_exam_that_is_not_theirs_a4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        made = (await observe(api, form)).body["submission_id"]
        await another_observer(api, form)
        whole, of_exam = (
            f"/api/teacher/observations/{made}",
            f"/api/teacher/exams/{form.exam_id}/observations",
        )
        for by, status in {"rival": 404, "boss": 404, "reviewer": 404, "student": 403}.items():
            for path in (whole, of_exam, f"/api/teacher/exams/{form.exam_id}/form"):
                assert ((await api.get(path, by)).status, by, path) == (status, by, path)
        for path in (whole, f"/api/observer/observations/{made}"):
            assert (await api.get(path, "watcher")).status == 404, "another observer's of the same exam"
        assert (await api.get(f"/api/observer/observations/{made}", "teacher")).status == 404
        assert (await api.get(f"/api/teacher/observations/{uuid4()}", "teacher")).status == 404


async def test_ones_own_observation_stays_readable_when_the_exam_is_taken_away_m4(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        made = (await observe(api, form)).body["submission_id"]
        await api.owner.execute("DELETE FROM teacher_exam_permissions")
        own = (await api.get(f"/api/observer/observations/{made}", "observer")).body["observation"]

        assert (own["exam_title"], own["form"]) == (None, None)
        assert own["findings"][0]["response"] == {"choice": "c"}


async def test_what_was_observed_keeps_its_form_e2(core: Core) -> None:
    """As an exam that somebody has begun: what scores rest on does not change under them."""
    async with core.school() as api:
        form = await make_form(api)
        next_version = await make_evaluation(api, list(form.questions.values()))
        change = {"evaluation_version_id": next_version["evaluation_version_id"]}
        path = f"/api/teacher/exams/{form.exam_id}"
        await grant(api, form.exam_id, can_edit=True)
        assert (await api.call("PATCH", path, "teacher", json=change)).status == 200
        back = {"evaluation_version_id": form.evaluation_version_id}
        assert (await api.call("PATCH", path, "teacher", json=back)).status == 200
        await observe(api, form)
        refused = await api.call("PATCH", path, "teacher", json=change)

        assert (refused.status, refused.body["code"]) == (409, "conflict")
        assert "evaluation_version_id" in refused.body["detail"]
