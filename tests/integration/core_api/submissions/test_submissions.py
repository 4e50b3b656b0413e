"""Finalisation: everything or nothing, once, and provable (spec.md S-1, S-2, S-3, D-2, P-2)."""

import asyncio
import hashlib
from collections import Counter

import asyncpg
import orjson
import pytest

from tests.kits.authoring import (
    RIGHT,
    answer,
    count,
    make_exam,
    outcome,
    save,
    save_all_right,
    start,
    stored,
    submit,
)
from tests.kits.core import Api, Core
from tests.kits.killing import killing
from tests.kits.reporting import alerting, put_row

AUTOMATIC = ("single_choice", "multiple_choice", "numeric", "short_text")
# Every table that finalisation writes, in the order in which it does.
STEPS = [
    "UPDATE ON proctor_sessions",
    "INSERT ON ledger_events",
    "INSERT ON outbox",
    "INSERT ON submissions",
    "INSERT ON submission_items",
    "INSERT ON submission_subjects",
    "INSERT ON submission_scores",
    "UPDATE ON exam_attempts",
]


async def test_a_hand_in_scores_what_a_machine_can_and_ends_attempt_and_session_s1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, *AUTOMATIC, max_score=40)
        attempt_id = await start(api, made)
        session_id = await api.start_session(attempt_id=attempt_id)
        await save_all_right(api, made, attempt_id)
        await save(api, attempt_id, answer(made.questions["multiple_choice"], 2, choices=["a"]))
        handed_in = await submit(api, attempt_id)
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert handed_in.status == 201
        assert handed_in.body["submitted_by"] == "candidate"
        assert (shown["status"], shown["submitted_by"]) == ("completed", "candidate")
        assert (shown["score"], shown["max_score"], shown["percentage"], shown["passed"]) == (
            35.0, 40.0, 87.5, True,
        )  # fmt: skip
        status = await api.owner.fetchval("SELECT status FROM proctor_sessions WHERE id = $1", session_id)
        assert status == 2
        assert await outcome(api) == {
            "submissions": 1, "items": 4, "scores": 1, "subjects": 1, "ledger": 1,
            "facts": 1, "completed": 1, "ended": 1,
        }  # fmt: skip
        after = await save(api, attempt_id, answer(made.questions["numeric"], 9, number=1))
        assert after.status == 409


async def test_an_essay_waits_for_its_grader_and_the_score_waits_with_it_s3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        await submit(api, attempt_id)
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body
        score = await api.owner.fetchrow("SELECT * FROM submission_scores")

        assert (shown["score"], shown["percentage"], shown["passed"]) == (None, None, None)
        assert (score["revision"], score["points"], score["max_points"], score["ungraded"]) == (1, 8, 10, 1)
        assert score["scoring_version"] == "points-2"


async def test_grades_append_revisions_and_complete_the_score_s3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        path = f"/api/teacher/submissions/{(await submit(api, attempt_id)).body['submission_id']}"
        seen = await api.get(path, "teacher")
        awaiting = [each["position"] for each in seen.body["items"] if each["awaits"]]

        async def give(points: float, position: int = 5, by: str = "teacher") -> int:
            grades = {"grades": [{"position": position, "points": points}]}
            return (await api.post(f"{path}/grades", by, json=grades)).status

        listing = f"/api/teacher/exams/{made.exam_id}/submissions?awaiting=true"
        assert [each["ungraded"] for each in (await api.get(listing, "teacher")).body["submissions"]] == [1]
        assert (await api.get(listing, "colleague")).status == 404
        assert awaiting == [5]
        assert [await give(2.01), await give(1, 1), await give(1, 9)] == [422, 422, 422]
        assert [await give(1, by=by) for by in ("colleague", "boss", "reviewer")] == [404, 404, 403]
        assert [(await api.get(path, by)).status for by in ("colleague", "student", "admin")] == [
            404,
            403,
            200,
        ]
        assert {await give(points) for points in (0.5, 2)} == {201}
        await asyncio.gather(*(give(1) for _ in range(8)))
        scores = (await api.get(path, "teacher")).body["scores"]
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert [each["revision"] for each in scores] == list(range(11, 0, -1))
        assert [each["score"] for each in scores] == [90.0] * 8 + [100.0, 85.0, None]
        assert (shown["score"], shown["percentage"], shown["passed"]) == (90.0, 90.0, True)
        assert (await api.get(listing, "teacher")).body["submissions"] == []
        assert await count(api, "outbox WHERE kind = 'submission.scored'") == 10


async def test_the_receipts_hash_is_of_the_very_bytes_that_the_candidate_can_read_s2(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        receipt = (await submit(api, attempt_id)).body
        path = f"/api/student/attempts/{attempt_id}/submission"
        read = (await api.get(path, "student")).body
        content = orjson.loads(read["content"])

        assert read["receipt"] | {"ledger": {"status": "pending"}} == receipt
        assert hashlib.sha256(read["content"].encode()).hexdigest() == receipt["content_sha256"]
        assert content["submission_id"] == receipt["submission_id"]
        assert content["version_snapshot"]["evaluation_version_id"] == made.evaluation_version_id
        assert [each["answer"]["response"] for each in content["items"]] == [RIGHT[kind] for kind in RIGHT]
        fact = await api.owner.fetchrow("SELECT * FROM outbox WHERE kind = 'submission.finalised'")
        assert str(fact["event_id"]) == receipt["event_id"]
        assert orjson.loads(fact["payload"])["content_sha256"] == receipt["content_sha256"]
        assert (await api.get(path, "other_student")).status == 404


async def test_every_later_hand_in_gets_the_first_receipt_s1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        first = await submit(api, attempt_id, key="one")
        same = await submit(api, attempt_id, key="one")
        without = await submit(api, attempt_id)
        other = await submit(
            api, attempt_id, key="two", answers=[answer(made.questions["essay"], 9, text="late")]
        )
        by_v = await api.post(f"/student/exams/{attempt_id}/submit", "student")

        assert [each.status for each in (first, same, without, other, by_v)] == [201, 200, 200, 200, 200]
        assert same.body == without.body == other.body == by_v.body == first.body
        assert (await stored(api, attempt_id))[made.questions["essay"]] == RIGHT["essay"]
        assert (await outcome(api))["submissions"] == 1


async def test_another_body_or_attempt_under_the_same_key_is_a_409_s1(core: Core) -> None:
    async with core.school() as api:
        made, second = await make_exam(api), await make_exam(api, title="Chemistry")
        attempt_id, other_id = await start(api, made), await start(api, second)
        await submit(api, attempt_id, key="one")
        body = await submit(
            api, attempt_id, key="one", answers=[answer(made.questions["essay"], 9, text="x")]
        )
        attempt = await submit(api, other_id, key="one")
        at_once = await asyncio.gather(submit(api, other_id, key=""), submit(api, other_id, key="k" * 201))

        assert [(each.status, each.body["code"]) for each in (body, attempt)] == [
            (409, "idempotency_key_reused"),
        ] * 2
        assert [each.status for each in at_once] == [422, 422]
        assert (await outcome(api))["submissions"] == 1


async def test_one_key_for_two_attempts_at_the_same_moment_finalises_one_s1(core: Core) -> None:
    async with core.school() as api:
        made, second = await make_exam(api), await make_exam(api, title="Chemistry")
        attempts = [await start(api, made), await start(api, second)]
        answers = await asyncio.gather(*(submit(api, each, key="one") for each in attempts * 5))

        assert {each.status for each in answers} == {200, 201, 409}
        assert (await outcome(api))["submissions"] == 1
        assert await count(api, "exam_attempts WHERE status = 'in_progress'") == 1


async def begin(api: Api) -> tuple[str, str]:
    """Return an attempt that was begun, and its one question, which asks for a number."""
    made = await make_exam(api, "numeric")
    return await start(api, made), made.questions["numeric"]


async def test_the_last_answers_can_come_with_the_hand_in_s1(core: Core) -> None:
    async with core.school() as api:
        attempt_id, question = await begin(api)
        await save(api, attempt_id, answer(question, 3, number=9))
        wrong = await submit(api, attempt_id, answers=[answer(question, 4, text="?")])
        handed_in = await submit(api, attempt_id, answers=[answer(question, 4, number=0.3)])
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert (wrong.status, handed_in.status) == (422, 201)
        assert shown["percentage"] == 100.0


async def test_fifty_hand_ins_at_once_with_saves_between_make_one_submission_s1(core: Core) -> None:
    async with core.school() as api:
        attempt_id, question = await begin(api)
        await save(api, attempt_id, answer(question, 1, number=0))
        calls = [
            call
            for n in range(2, 27)
            for call in (
                submit(api, attempt_id),
                save(api, attempt_id, answer(question, n, number=n)),
                submit(api, attempt_id),
            )
        ]
        answers = await asyncio.gather(*calls)
        hand_ins = [each for n, each in enumerate(answers) if n % 3 != 1]
        saves = [each for n, each in enumerate(answers) if n % 3 == 1]

        assert Counter(each.status for each in hand_ins) == {201: 1, 200: 49}
        assert len({each.body["submission_id"] for each in hand_ins}) == 1
        # Whatever was acknowledged is in the submission, and nothing that was refused.
        acknowledged = max(
            [each.body["stored"][0]["client_seq"] for each in saves if each.status == 200], default=1
        )
        assert {each.status for each in saves} <= {200, 409}
        assert await api.owner.fetchval("SELECT client_seq FROM submission_items") == acknowledged
        assert (await outcome(api))["submissions"] == 1


@pytest.mark.parametrize("at_commit", [False, True])
async def test_a_kill_between_any_two_steps_leaves_nothing_and_the_retry_everything_s1(
    core: Core, *, at_commit: bool
) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await api.start_session(attempt_id=attempt_id)
        await save_all_right(api, made, attempt_id)
        for step in STEPS:
            async with killing(api, step, at_commit=at_commit):
                killed = await submit(api, attempt_id, key="one")

            assert (killed.status, step) == (503, step)
            assert (set((await outcome(api)).values()), step) == ({0}, step)
        retried = await submit(api, attempt_id, key="one")
        again = await submit(api, attempt_id, key="one")

        assert (retried.status, again.status) == (201, 200)
        assert await outcome(api) == {
            "submissions": 1, "items": 5, "scores": 1, "subjects": 1, "ledger": 1,
            "facts": 1, "completed": 1, "ended": 1,
        }  # fmt: skip


async def test_a_submission_is_never_changed_not_even_by_the_owner_s1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await submit(api, attempt_id)
        for statement in (
            "UPDATE submissions SET finalised_at = now()",
            "UPDATE submission_items SET points = 2",
            "UPDATE submission_scores SET passed = true",
            "UPDATE submission_subjects SET kind = 'entity'",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.owner.execute(statement)
        role = await asyncpg.connect(core.database_as("veritas_core"))
        for statement in ("DELETE FROM submissions", "DELETE FROM submission_scores", "SELECT FROM outbox"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await role.execute(statement)
        await role.close()


async def test_the_dashboard_shows_a_candidates_own_history_in_pages_d1(core: Core) -> None:
    async with core.school() as api:
        for n in range(3):
            made = await make_exam(api, *AUTOMATIC, title=f"Exam {n}")
            attempt_id = await start(api, made)
            if n:
                await save_all_right(api, made, attempt_id)
                await submit(api, attempt_id)
            judged = (attempt_id, made.exam_id, str(api.people["student"].id))
            await put_row(api, "behavior_analysis", **alerting(*judged), dropout_label="copy")
        first = (await api.get("/api/student/dashboard?limit=2", "student")).body
        rest = (await api.get(f"/api/student/dashboard?cursor={first['next_cursor']}", "student")).body
        other = (await api.get("/api/student/dashboard", "other_student")).body

        assert first["profile"]["email"] == api.people["student"].email
        assert first["totals"] == {
            "attempts": 3, "running": 1, "completed": 2, "passed": 2, "average_percentage": 100.0,
        }  # fmt: skip
        titles = [each["exam_title"] for page in (first, rest) for each in page["exam_history"]]
        assert titles == ["Exam 2", "Exam 1", "Exam 0"]
        assert (other["exam_history"], other["totals"]["attempts"]) == ([], 0)
        assert "copy" not in str(first)
