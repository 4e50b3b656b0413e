"""Questions, passages, terms, evaluations, exams (spec.md E-1, E-2, L-1)."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.kits.authoring import ITEMS, OPTIONS, make_evaluation, make_exam, make_question, start
from tests.kits.core import Core, grant


async def test_a_question_of_each_kind_comes_back_as_it_was_written_e1(core: Core) -> None:
    async with core.school() as api:
        for kind, item in ITEMS.items():
            made = await make_question(api, kind)
            read = await api.get(f"/api/teacher/questions/{made.body['question_id']}", "teacher")

            assert made.status == 201
            assert read.body == made.body
            assert read.body["item"]["kind"] == kind
            assert read.body["item"]["content"] == item["content"]
            assert item["key"].items() <= read.body["item"]["key"].items()


async def test_a_finding_has_a_share_for_each_level_e1(core: Core) -> None:
    levels = [{"id": "met", "text": "Met"}, {"id": "unmet", "text": "Not met"}]
    finding = {"kind": "finding", "content": {"stem": "Wears gloves", "options": levels}}
    async with core.school() as api:
        whole = finding | {"key": {"shares": {"met": 1, "unmet": 0}}}
        part = finding | {"key": {"shares": {"met": 1}}}

        assert (await api.post("/api/teacher/questions", "teacher", json={"item": whole})).status == 201
        assert (await api.post("/api/teacher/questions", "teacher", json={"item": part})).status == 422


async def test_saving_a_question_again_makes_a_new_version_and_keeps_the_old_e1(core: Core) -> None:
    async with core.school() as api:
        made = await make_question(api, "numeric")
        path = f"/api/teacher/questions/{made.body['question_id']}"
        item = {"kind": "numeric", **ITEMS["numeric"]}
        answers = await asyncio.gather(
            *(api.call("PUT", path, "teacher", json={"item": item, "points": n}) for n in range(3, 11))
        )

        assert {answer.status for answer in answers} == {200}
        assert (await api.get(path, "teacher")).body["version"] == 9
        assert (await api.get(f"{path}?version=1", "teacher")).body == made.body
        assert (await api.get(f"{path}?version=10", "teacher")).status == 404
        versions = await api.owner.fetch("SELECT version FROM question_versions ORDER BY version")
        assert [row["version"] for row in versions] == list(range(1, 10))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"key": {"choice": "z"}}, "item.key.choice"),
        ({"content": {"stem": "Which?", "options": OPTIONS * 2}}, "item.content.options"),
        ({"content": {"stem": "Which?", "options": []}}, "item.content.options"),
        ({"content": {"stem": ""}}, "item.content.stem"),
        ({"key": {}}, "item.key"),
        ({"kind": "riddle"}, "item.kind"),
    ],
)  # fmt: skip
async def test_a_question_that_contradicts_itself_is_refused_and_its_fault_is_named_e1(
    core: Core, change: dict[str, Any], path: str
) -> None:
    async with core.school() as api:
        item = {"kind": "single_choice", **ITEMS["single_choice"]} | change
        answer = await api.post("/api/teacher/questions", "teacher", json={"item": item})

        assert answer.status == 422
        assert [fault["path"] for fault in answer.body["errors"]] == [path]


async def test_content_is_its_authors_and_the_admins_a4(core: Core) -> None:
    async with core.school() as api:
        made = await make_question(api, "essay")
        body = {"item": {"kind": "essay", **ITEMS["essay"]}}
        path = f"/api/teacher/questions/{made.body['question_id']}"
        for by, status in {"teacher": 200, "admin": 200, "colleague": 404, "rival": 404, "boss": 404}.items():
            assert ((await api.get(path, by)).status, by) == (status, by)
            assert ((await api.call("PUT", path, by, json=body)).status, by) == (status, by)
            listed = (await api.get("/api/teacher/questions", by)).body["questions"]
            assert (len(listed), by) == (1 if status == 200 else 0, by)
        items = {"title": "Mine", "items": [{"question_id": made.body["question_id"]}]}
        assert (await api.post("/api/teacher/evaluations", "colleague", json=items)).status == 422


async def test_lists_are_paged_and_filtered_without_overlap(core: Core) -> None:
    async with core.school() as api:
        term = await api.post("/api/teacher/terms", "teacher", json={"kind": "skill", "name": "Reading"})
        again = await api.post("/api/teacher/terms", "teacher", json={"kind": "skill", "name": "reading"})
        made = [await make_question(api, "essay", term_ids=[term.body["id"]]) for _ in range(3)]
        await make_question(api, "numeric")
        first = await api.get("/api/teacher/questions?kind=essay&limit=2", "teacher")
        rest = await api.get(
            f"/api/teacher/questions?kind=essay&limit=2&cursor={first.body['next_cursor']}", "teacher"
        )
        about = await api.get(f"/api/teacher/questions?term_id={term.body['id']}", "teacher")

        assert (term.status, again.status, again.body) == (201, 200, term.body)
        ids = [each["question_id"] for page in (first, rest) for each in page.body["questions"]]
        assert ids == [each.body["question_id"] for each in reversed(made)]
        assert rest.body["next_cursor"] is None
        assert len(about.body["questions"]) == 3
        assert (await api.get("/api/teacher/terms?kind=term", "teacher")).body["terms"] == []


async def test_a_published_evaluation_keeps_its_questions_whatever_happens_to_them_e1(core: Core) -> None:
    async with core.school() as api:
        passage = await api.post("/api/teacher/passages", "teacher", json={"title": "Leaf", "body": "Old"})
        passage_id = passage.body["passage_id"]
        made = await make_question(api, "numeric", passage_id=passage_id)
        question_id = made.body["question_id"]
        published = await make_evaluation(api, [question_id])
        item = {"kind": "numeric", **ITEMS["numeric"]} | {"key": {"number": 7}}
        await api.call("PUT", f"/api/teacher/questions/{question_id}", "teacher", json={"item": item})
        await api.call(
            "PUT", f"/api/teacher/passages/{passage_id}", "teacher", json={"title": "Leaf", "body": "New"}
        )
        await api.post(f"/api/teacher/questions/{question_id}/archive", "teacher")
        path = f"/api/teacher/evaluations/{published['evaluation_id']}"

        assert (await api.get(path, "teacher")).body == published
        assert published["key"][0]["item"]["key"]["number"] == 0.3
        assert published["paper"]["passages"][0]["body"] == "Old"
        assert (await api.post(f"{path}/publish", "teacher")).body == published
        draft = {"title": "Biology", "items": [{"question_id": question_id}]}
        assert (await api.call("PUT", f"{path}/draft", "teacher", json=draft)).status == 422


async def test_the_database_refuses_to_change_what_is_published_the_owner_too_e1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        for statement in (
            "UPDATE evaluation_versions SET title = 'x'",
            "DELETE FROM evaluation_versions",
            "UPDATE evaluation_items SET points = 9",
            "DELETE FROM evaluation_items",
            (
                "INSERT INTO evaluation_items (evaluation_version_id, position, question_id)"
                f" SELECT '{made.evaluation_version_id}', 99, id FROM questions LIMIT 1"
            ),
            "UPDATE question_versions SET points = 9",
            "DELETE FROM question_versions",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.owner.execute(statement)


async def test_the_paper_of_a_draft_goes_on_as_the_next_version_e1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        path = f"/api/teacher/evaluations/{made.evaluation_id}"
        draft = {"title": "Second", "items": [{"question_id": made.questions["numeric"], "points": 5}]}
        saved = await api.call("PUT", f"{path}/draft", "teacher", json=draft)
        published = await asyncio.gather(*(api.post(f"{path}/publish", "teacher") for _ in range(8)))

        assert (saved.body["version"], saved.body["status"], saved.body["paper"]) == (2, "draft", None)
        assert {answer.status for answer in published} == {200}
        assert {(answer.body["version"], answer.body["max_points"]) for answer in published} == {(2, 5.0)}
        assert (await api.get(f"{path}?version=1", "teacher")).body["max_points"] == 2.0
        facts = await api.owner.fetchval("SELECT count(*) FROM outbox WHERE kind = 'evaluation.published'")
        assert facts == 2
        empty = await api.post("/api/teacher/evaluations", "teacher", json={"title": "Empty"})
        assert (
            await api.post(f"/api/teacher/evaluations/{empty.body['evaluation_id']}/publish", "teacher")
        ).status == 409


async def test_no_paper_holds_a_key_e1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        answer = await api.get(f"/api/student/attempts/{attempt_id}/paper", "student")

        assert answer.status == 200
        items = answer.body["paper"]["items"]
        assert [each["question_id"] for each in items] == list(made.questions.values())
        assert {name for each in items for name in each["content"]} == {"stem", "options"}
        text = json.dumps(answer.body)
        assert [secret for secret in ("key", "rubric", "Photosynthesis", "tolerance") if secret in text] == []
        assert (await api.get(f"/api/student/attempts/{attempt_id}/paper", "other_student")).status == 404


async def test_an_exam_points_at_a_published_evaluation_of_its_author_e2(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, publish=False)
        draft = await api.post("/api/teacher/evaluations", "teacher", json={"title": "Draft"})
        path = f"/api/teacher/exams/{made.exam_id}"
        for version in (draft.body["evaluation_version_id"], str(uuid4())):
            change = {"evaluation_version_id": version}
            assert (await api.call("PATCH", path, "teacher", json=change)).status == 422
        theirs = {
            "title": "X", "duration_minutes": 5, "evaluation_version_id": made.evaluation_version_id
        }  # fmt: skip
        assert (await api.post("/api/teacher/exams", "colleague", json=theirs)).status == 422
        with pytest.raises(asyncpg.CheckViolationError):
            await api.owner.execute(
                "UPDATE exams SET evaluation_version_id = $1", draft.body["evaluation_version_id"]
            )


async def test_who_may_edit_an_exam_sees_the_evaluation_it_points_at_a4(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        path = f"/api/teacher/evaluations/{made.evaluation_id}"
        assert (await api.get(path, "colleague")).status == 404
        await grant(api, made.exam_id, can_edit=False)
        assert (await api.get(path, "colleague")).status == 404
        await grant(api, made.exam_id, can_edit=True)

        assert (await api.get(path, "colleague")).status == 200
        assert (await api.post(f"{path}/publish", "colleague")).status == 404


async def test_fields_of_an_exam_change_and_what_scores_rest_on_is_fixed_by_the_first_attempt_e2(
    core: Core,
) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        path = f"/api/teacher/exams/{made.exam_id}"
        changed = await api.call("PATCH", path, "teacher", json={"title": "Botany", "max_score": 60})
        assert (changed.body["title"], changed.body["max_score"], changed.body["duration_minutes"]) == (
            "Botany",
            60.0,
            30,
        )
        await start(api, made)
        for change in ({"max_score": 80}, {"passing_score": 1}, {"evaluation_version_id": None}):
            assert (await api.call("PATCH", path, "teacher", json=change)).status == 409
        assert (await api.call("PATCH", path, "teacher", json={"title": "Zoology"})).status == 200
        assert (await api.call("PATCH", path, "teacher", json={"passing_score": 61})).status == 422
        assert (await api.call("PATCH", path, "teacher", json={"nonsense": 1})).status == 422
        assert (await api.call("PATCH", path, "reviewer", json={"title": "x"})).status == 403
        assert (await api.call("PATCH", path, "colleague", json={"title": "x"})).status == 404


async def test_an_archived_exam_takes_no_new_attempt_and_is_not_published_again_e2(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        running = await start(api, made)
        path = f"/api/teacher/exams/{made.exam_id}"
        archived = [await api.post(f"{path}/archive", "teacher") for _ in range(2)]

        assert archived[0].body == archived[1].body
        assert (archived[0].body["is_published"], archived[0].status) == (False, 200)
        assert (await api.post(f"{path}/publish", "teacher")).status == 409
        assert (await api.call("PATCH", path, "teacher", json={"title": "x"})).status == 409
        assert (await api.post(f"/api/student/exams/{made.exam_id}/start", "other_student")).status == 404
        assert await start(api, made) == running
        titles = [each["title"] for each in (await api.get("/api/teacher/exams", "teacher")).body["exams"]]
        assert titles == ["Algebra"]
        both = (await api.get("/api/teacher/exams?archived=true", "teacher")).body["exams"]
        assert [each["title"] for each in both] == ["Biology", "Algebra"]
        assert (await api.get("/api/teacher/exams?archived=true", "colleague")).body["exams"] == []
