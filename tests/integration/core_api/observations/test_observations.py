"""Observations are finalised as hand-ins are: all or nothing, once, and provable (spec.md S-1, S-3, L-1)."""

import asyncio
import hashlib
from collections import Counter
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from tests.kits.authoring import OPTIONS, Made, make_evaluation, outcome
from tests.kits.core import Answer, Api, Core

FINDING = {
    "kind": "finding",
    "content": {"stem": "Works safely?", "options": OPTIONS},
    "key": {"shares": {"a": 0, "b": 0.25, "c": 0.5, "d": 1}},
}
ESSAY = {"kind": "essay", "content": {"stem": "Describe."}, "key": {"rubric": "Only graders read this."}}
EVERYTHING = {
    "submissions": 1, "items": 2, "scores": 1, "subjects": 1, "ledger": 1, "facts": 1, "completed": 0,
    "ended": 0,
}  # fmt: skip


async def make_form(api: Api, *, publish: bool = True) -> Made:
    """Make a published exam with a finding and an essay, and grant it to the observer."""
    questions = {}
    for item in (FINDING, ESSAY):
        made = await api.post("/api/teacher/questions", "teacher", json={"item": item, "points": 4})
        assert made.status == 201, made.body
        questions[item["kind"]] = made.body["question_id"]
    version = await make_evaluation(api, list(questions.values()))
    fields = {
        "title": "Workshop",
        "duration_minutes": 30,
        "evaluation_version_id": version["evaluation_version_id"],
    }
    exam_id = (await api.post("/api/teacher/exams", "teacher", json=fields)).body["id"]
    if publish:
        await api.post(f"/api/teacher/exams/{exam_id}/publish", "teacher")
    grant = {"user_id": str(api.people["observer"].id)}
    granted = await api.post(f"/api/admin/exams/{exam_id}/permissions", "admin", json=grant)
    assert granted.status == 200, granted.body
    return Made(
        exam_id=exam_id,
        evaluation_id=version["evaluation_id"],
        evaluation_version_id=version["evaluation_version_id"],
        questions={str(kind): question for kind, question in questions.items()},
    )


def found(form: Made, **responses: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"question_id": form.questions[kind], "response": each} for kind, each in responses.items()]


async def observe(
    api: Api,
    form: Made,
    *,
    key: str | None = "one",
    by: str = "observer",
    subjects: tuple[str, ...] = ("student",),
    items: list[dict[str, Any]] | None = None,
    **body: Any,
) -> Answer:
    """Finalise an observation; by default the finding is at its second best level, the essay is left out."""
    return await api.post(
        f"/api/observer/exams/{form.exam_id}/observations",
        by,
        json={
            "subject_ids": [str(api.people[name].id) for name in subjects],
            "items": found(form, finding={"choice": "c"}) if items is None else items,
        }
        | body,
        headers={} if key is None else {"Idempotency-Key": key},
    )


async def test_an_observation_becomes_a_submission_with_its_subjects_items_score_and_record_s1(
    core: Core,
) -> None:
    async with core.school() as api:
        form = await make_form(api)
        made = await observe(api, form)

        assert made.status == 201, made.body
        assert await outcome(api) == EVERYTHING
        row = await api.owner.fetchrow("SELECT * FROM submissions")
        assert (row["kind"], row["submitted_by"], row["attempt_id"]) == ("observation", "observer", None)
        assert (row["author_id"], str(row["exam_id"])) == (api.people["observer"].id, form.exam_id)
        snapshot = orjson.loads(row["version_snapshot"])
        assert snapshot["evaluation_version_id"] == form.evaluation_version_id
        assert snapshot["scoring_version"] == "points-2"
        items = await api.owner.fetch("SELECT kind, response, points FROM submission_items ORDER BY position")
        assert [(each["kind"], each["points"]) for each in items] == [("finding", 2), ("essay", 0)]
        score = await api.owner.fetchrow("SELECT * FROM submission_scores")
        assert (score["revision"], score["points"], score["score"], score["reason"]) == (
            1, 2, 25, "finalised",
        )  # fmt: skip
        subject = await api.owner.fetchrow("SELECT * FROM submission_subjects")
        assert (subject["subject_id"], subject["kind"]) == (api.people["student"].id, "user")
        fact = await api.owner.fetchrow("SELECT * FROM outbox WHERE kind = 'observation.finalised'")
        assert str(fact["event_id"]) == made.body["event_id"]
        event = await api.owner.fetchrow("SELECT * FROM ledger_events WHERE kind = 'observation.finalised'")
        assert (event["actor_role"], event["subject_id"]) == ("observer", api.people["student"].id)


async def test_the_receipts_hash_is_of_the_very_bytes_that_the_observer_can_read_s2(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        receipt = (await observe(api, form, subjects=("student", "other_student"))).body
        path = f"/api/observer/observations/{receipt['submission_id']}"
        read = (await api.get(path, "observer")).body
        content = orjson.loads(read["content"])

        assert read["receipt"] == receipt
        assert hashlib.sha256(read["content"].encode()).hexdigest() == receipt["content_sha256"]
        assert content["kind"] == "observation"
        assert content["subject_ids"] == [str(api.people[name].id) for name in ("student", "other_student")]
        assert [each["response"] for each in content["items"]] == [{"choice": "c"}, None]
        event = await api.owner.fetchrow("SELECT * FROM ledger_events WHERE kind = 'observation.finalised'")
        assert event["subject_id"] is None  # of two people's, neither may fetch what is about both
        assert (await api.get(f"/api/observer/observations/{uuid4()}", "observer")).status == 404


async def test_a_retry_gets_the_first_receipt_and_another_body_under_the_key_a_409_s1(core: Core) -> None:
    async with core.school() as api:
        form, other = await make_form(api), await make_form(api)
        first, again = await observe(api, form), await observe(api, form)
        body = await observe(api, form, items=[])
        exam = await observe(api, other, items=found(form, finding={"choice": "c"}))
        second = await observe(api, form, key="two")

        assert (first.status, again.status, second.status) == (201, 200, 201)
        assert again.body == first.body != second.body
        assert [(each.status, each.body["code"]) for each in (body, exam)] == [
            (409, "idempotency_key_reused")
        ] * 2
        assert (await outcome(api))["submissions"] == 2


async def test_fifty_at_once_with_one_key_make_one_submission_s1(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        answers = await asyncio.gather(*(observe(api, form) for _ in range(50)))

        assert Counter(each.status for each in answers) == {201: 1, 200: 49}
        assert len({each.body["submission_id"] for each in answers}) == 1
        assert await outcome(api) == EVERYTHING


async def test_what_does_not_fit_is_named_and_nothing_is_stored_s1(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        finding = found(form, finding={"choice": "c"})
        cases: list[tuple[Answer, str]] = [
            (await observe(api, form, key=None), "Idempotency-Key"),
            (await observe(api, form, key=""), "Idempotency-Key"),
            (await observe(api, form, subjects=()), "subject_ids"),
            (await observe(api, form, subjects=("student", "student")), "subject_ids"),
            (await observe(api, form, subjects=("student", "stranger")), "subject_ids[1]"),
            (await observe(api, form, subjects=("teacher",)), "subject_ids[0]"),
            (await observe(api, form, items=finding * 2), "items[1].question_id"),
            (
                await observe(api, form, items=[{"question_id": str(uuid4()), "response": {}}]),
                "items[0].question_id",
            ),
            (await observe(api, form, items=found(form, finding={"number": 1})), "items[0].response"),
        ]
        for refused, path in cases:
            assert (refused.status, [each["path"] for each in refused.body["errors"]]) == (422, [path])
        assert set((await outcome(api)).values()) == {0}


async def test_only_an_open_form_that_was_granted_can_be_observed_a4(core: Core) -> None:
    async with core.school() as api:
        closed = await make_form(api, publish=False)
        assert (await observe(api, closed)).status == 409
        await api.owner.execute("DELETE FROM teacher_exam_permissions")
        assert (await observe(api, closed)).status == 404
        assert (await observe(api, closed, by="teacher")).status == 403
        assert set((await outcome(api)).values()) == {0}


async def test_an_observation_is_in_no_list_of_hand_ins_and_never_changed_s1(core: Core) -> None:
    async with core.school() as api:
        form = await make_form(api)
        made = await observe(api, form)
        listed = await api.get(f"/api/teacher/exams/{form.exam_id}/submissions", "teacher")
        as_hand_in = await api.get(f"/api/teacher/submissions/{made.body['submission_id']}", "teacher")

        assert (listed.body["submissions"], as_hand_in.status) == ([], 404)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.owner.execute("UPDATE submissions SET finalised_at = now()")
