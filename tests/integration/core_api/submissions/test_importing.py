"""Results from elsewhere come in through the boundary of a hand-in, once (spec.md W-7)."""

from typing import Any

import pytest

from tests.kits.core import Answer, Api, Core

FILE = "ab" * 32
OPTIONS = [{"id": each, "text": each} for each in "abcd"]
E = {"id": "e", "text": "e"}
CHOICE = {
    "kind": "single_choice",
    "content": {"stem": "q1\nWhich one?", "options": OPTIONS},
    "key": {"choice": "b"},
}
UNKEYED = {"kind": "essay", "content": {"stem": "q2"}, "key": {}}
ESSAY = {"kind": "essay", "content": {"stem": "text"}, "key": {}}
FORM = {
    "title": "Finals 2015",
    "items": [
        {"item": CHOICE, "points": 2, "topics": ["Logic", "Sets"]},
        {"item": UNKEYED, "points": 3, "topics": ["Logic"]},
        {"item": ESSAY, "points": 5},
    ],
}
ROWS = """
SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM exams), (SELECT count(*) FROM questions),
       (SELECT count(*) FROM exam_attempts), (SELECT count(*) FROM submissions),
       (SELECT count(*) FROM submission_items), (SELECT count(*) FROM submission_drafts),
       (SELECT count(*) FROM submission_scores), (SELECT count(*) FROM submission_subjects),
       (SELECT count(*) FROM ledger_events WHERE kind NOT LIKE '%.viewed'), (SELECT count(*) FROM outbox)
"""


def result(candidate: str, line: int, *answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "line": line,
        "candidate": candidate,
        "started_at": "2015-01-20T09:00:00Z",
        "finalised_at": "2015-01-20T10:00:00Z",
        "answers": list(answers),
        **more,
    }


def amina(candidate: str = "amina", line: int = 2, **more: Any) -> dict[str, Any]:
    return result(
        candidate,
        line,
        {"item": "q1", "response": {"choice": "b"}, "seconds": 12.5},
        {"item": "q2", "points": 1.5},
        {
            "item": "text",
            "response": {"text": "Second."},
            "at": "2015-01-20T09:50:00Z",
            "drafts": [{"text": "First.", "at": "2015-01-20T09:30:00Z"}],
        },
        **more,
    )


def ben(line: int = 3, **more: Any) -> dict[str, Any]:
    first = {"item": "q1", "response": {"choice": "a"}}
    return result("ben", line, first, {"item": "q2", "points": 3}, **more)


async def send(api: Api, *results: dict[str, Any], by: str = "admin", **more: Any) -> Answer:
    body = {"file_sha256": FILE, "exam": FORM, "results": results, **more}
    return await api.post("/api/admin/results/import", by, json=body)


async def rows(api: Api) -> list[int]:
    return list(await api.owner.fetchrow(ROWS))


async def test_results_are_stored_once_and_new_ones_are_added_w7(core: Core) -> None:
    async with core.school() as api:
        first = await send(api, amina(), ben())
        before = await rows(api)
        again = await send(api, ben(line=2), amina(line=3), file_sha256="cd" * 32)
        after = await rows(api)
        more = await send(api, amina(), result("cleo", 4), ben(attempt=2))

        assert first.status == 200, first.body
        assert first.body | {"exam_id": ""} == {
            "dry_run": False, "exam_id": "", "exam_created": True, "candidates_created": 2, "created": 2,
            "unchanged": 0, "faulty": 0, "faults": [],
        }  # fmt: skip
        assert (again.body["created"], again.body["unchanged"], again.body["candidates_created"]) == (0, 2, 0)
        assert after == before, "neither another order nor another file makes another result"
        assert (more.body["created"], more.body["unchanged"], more.body["candidates_created"]) == (2, 1, 1)
        found = await api.owner.fetch(
            "SELECT i.position, i.response ->> 'choice' AS choice, i.seconds, i.points::float8 AS points,"
            " s.submitted_by, a.duration_seconds, c.reason FROM submissions s"
            " JOIN submission_items i ON i.submission_id = s.id JOIN exam_attempts a ON a.id = s.attempt_id"
            " JOIN submission_scores c ON c.submission_id = s.id"
            " WHERE s.version_snapshot -> 'import' ->> 'line' = '2' ORDER BY i.position"
        )
        assert [tuple(each) for each in found] == [
            (1, "b", 12.5, 2.0, "import", 3600, "imported"),
            (2, None, None, 1.5, "import", 3600, "imported"),
            (3, None, None, None, "import", 3600, "imported"),
        ]
        texts = await api.owner.fetch("SELECT version, text FROM submission_drafts")
        assert [tuple(each) for each in texts] == [(1, "First.")], "the last one is the response"
        said = await api.owner.fetch(
            "SELECT kind, convert_from(body, 'UTF8')::jsonb -> 'detail' ->> 'file_sha256' AS file"
            " FROM ledger_events WHERE kind IN ('attempt.imported', 'submission.finalised')"
        )
        assert [each["file"] for each in said] == [FILE] * 8


async def test_a_faulty_result_is_named_by_its_line_and_nothing_is_written_w7(core: Core) -> None:
    wrong = [
        result("a", 5, {"item": "q9"}),
        result("b", 6, {"item": "q1", "response": {"choice": "x"}}),
        result("c", 7, {"item": "q2", "points": 3.5}),
        result("d", 8, {"item": "q2"}, {"item": "q2"}),
        ben(line=10),
        ben(line=11, attempt=2),
    ]
    async with core.school() as api:
        wrong.append(result(api.people["teacher"].email, 9))
        assert (await send(api, ben())).status == 200
        before = await rows(api)
        refused = await send(api, amina(), ben(line=12, finalised_at="2015-01-20T10:00:01Z"), *wrong)
        tried = await send(api, amina(), *wrong, dry_run=True)
        unchanged = await rows(api)
        taken = await send(api, amina(), *wrong, partial=True)

        assert refused.status == 422
        assert [each["path"] for each in refused.body["errors"]] == [
            "line 5, q9", "line 6, q1", "line 7, q2", "line 8, q2", "line 9", "line 10", "line 12",
        ]  # fmt: skip
        assert unchanged == before
        for answer in (tried, taken):
            assert answer.status == 200
            assert (answer.body["created"], answer.body["unchanged"], answer.body["faulty"]) == (2, 1, 5)


@pytest.mark.parametrize(
    "item",
    [
        {"item": UNKEYED, "points": 4},
        {"item": CHOICE | {"key": {"choice": "a"}}, "points": 2},
        {"item": CHOICE | {"kind": "essay", "content": {"stem": "q1"}, "key": {}}, "points": 2},
        {"item": CHOICE | {"content": {"stem": "q1", "options": [*OPTIONS, E]}}, "points": 2},
        {"item": UNKEYED | {"content": {"stem": "q3"}}},
    ],
)  # fmt: skip
async def test_what_results_were_scored_by_does_not_change_under_them_w7(
    core: Core, item: dict[str, Any]
) -> None:
    async with core.school() as api:
        assert (await send(api, ben())).status == 200
        fewer = {**FORM, "items": FORM["items"][:1]}
        other = await send(api, amina(), exam={**FORM, "items": [item]}, partial=True)

        assert other.status == 422
        assert [each["path"] for each in other.body["errors"]] == ["exam.items[0]"]
        assert (await send(api, ben(), exam=fewer)).body["unchanged"] == 1


async def test_a_candidate_is_found_by_their_account_and_else_gets_one_that_nobody_enters_w7(
    core: Core,
) -> None:
    async with core.school() as api:
        student = api.people["student"]
        done = await send(api, amina(student.email), ben(), amina(api.people["stranger"].email, 4))
        mine = (await api.get("/api/student/dashboard", "student")).body
        made = await api.owner.fetch(
            "SELECT full_name, is_active, password_hash FROM users WHERE email LIKE '%@imported.invalid'"
        )

        assert (done.body["created"], done.body["candidates_created"]) == (3, 2)
        assert [(each["is_active"], each["password_hash"]) for each in made] == [(False, None)] * 2
        assert not any("ben" in each["full_name"] or "@" in each["full_name"] for each in made)
        attempt = await api.owner.fetchval("SELECT id FROM exam_attempts WHERE student_id = $1", student.id)
        assert str(attempt) in str(mine)
        receipt = await api.get(f"/api/student/attempts/{attempt}/receipt", "student")
        assert (receipt.status, receipt.body["receipt"]["submitted_by"]) == (200, "import")
        assert (await api.get(f"/api/student/attempts/{attempt}/receipt", "other_student")).status == 404
        available = (await api.get("/api/student/exams/available", "student")).body["exams"]
        assert "Finals 2015" not in [each["title"] for each in available]


async def test_what_awaits_a_grader_is_graded_and_imported_points_stay_w7(core: Core) -> None:
    async with core.school() as api:
        exam_id = (await send(api, amina())).body["exam_id"]
        (waiting,) = (await api.get(f"/api/teacher/exams/{exam_id}/submissions?awaiting=true", "admin")).body[
            "submissions"
        ]
        path = f"/api/teacher/submissions/{waiting['submission_id']}/grades"
        graded = await api.post(path, "admin", json={"grades": [{"position": 3, "points": 4}]})

        assert graded.status == 201, graded.body
        newest = graded.body["scores"][0]
        assert newest["item_points"] == {"1": 2.0, "2": 1.5, "3": 4.0}
        assert (newest["score"], newest["percentage"]) == (7.5, 75.0)


async def test_candidates_join_groups_of_which_the_exam_compares_two_w7(core: Core) -> None:
    compared = FORM | {"reference_group": "Mornings", "focal_group": "Evenings"}
    async with core.school() as api:
        there = await api.post("/api/admin/groups", "admin", json={"name": "MORNINGS"})
        tried = await send(api, amina(group="Mornings"), exam=compared, dry_run=True)
        assert (tried.status, await grouped(api)) == (200, [])

        for _ in range(2):
            done = await send(api, amina(group="mornings"), ben(group="Evenings"), exam=compared)
        assert (done.body["created"], done.body["unchanged"]) == (0, 2), "a group is no part of a result"
        assert await grouped(api) == [("Evenings", 1), ("MORNINGS", 1)]
        exam = (await api.get(f"/api/teacher/exams/{done.body['exam_id']}", "admin")).body
        assert exam["reference_group_id"] == there.body["id"]
        assert exam["focal_group_id"] not in {None, there.body["id"]}
        told = await api.owner.fetch(
            "SELECT kind, count(*) FROM ledger_events WHERE kind LIKE 'group%' GROUP BY kind ORDER BY kind"
        )
        assert [tuple(each) for each in told] == [("group.created", 2), ("group.member_added", 2)]

        one = await send(api, ben(), exam=FORM | {"title": "Other", "reference_group": "Mornings"})
        assert (one.status, one.body["errors"][0]["path"]) == (422, "exam.focal_group")


async def grouped(api: Api) -> list[tuple[str, int]]:
    """The groups with members, and how many these are."""
    found = await api.owner.fetch(
        "SELECT name, count(*) FROM groups JOIN group_members ON group_id = id GROUP BY name ORDER BY name"
    )
    return [tuple(each) for each in found]
