"""Answers and drafts: saved in batches, never overwritten by an older one (spec.md D-1, D-2)."""

import asyncio
import random
from typing import Any
from uuid import uuid4

import pytest

from core_api.attempts.answers import DRAFTS_MAX
from tests.kits.authoring import (
    RIGHT,
    answer,
    make_exam,
    save,
    save_all_right,
    start,
    stored,
    submit,
)
from tests.kits.core import Core, DatabaseAs, core_api


async def test_answers_come_back_as_they_were_saved_with_the_servers_time_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        sent = [answer(made.questions[kind], 1, **RIGHT[kind]) for kind in made.questions]
        saved = await save(api, attempt_id, *sent)

        assert saved.status == 200
        assert {each["accepted"] for each in saved.body["stored"]} == {True}
        assert len(saved.body["stored"]) == len(sent)
        assert 1790 < saved.body["remaining_seconds"] <= 1800
        assert await stored(api, attempt_id) == {made.questions[kind]: RIGHT[kind] for kind in RIGHT}


async def test_a_late_or_repeated_save_never_overwrites_a_newer_one_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay")
        question = made.questions["essay"]
        attempt_id = await start(api, made)
        await save(api, attempt_id, answer(question, 5, text="newer"))
        late = await save(api, attempt_id, answer(question, 4, text="older"))
        repeated = await save(api, attempt_id, answer(question, 5, text="another body"))

        for again in (late, repeated):
            assert again.status == 200
            assert [(each["client_seq"], each["accepted"]) for each in again.body["stored"]] == [(5, False)]
        assert await stored(api, attempt_id) == {question: {"text": "newer"}}


async def test_of_several_answers_to_one_question_in_a_batch_the_highest_sequence_counts_d1(
    core: Core,
) -> None:
    async with core.school() as api:
        made = await make_exam(api, "numeric")
        question = made.questions["numeric"]
        attempt_id = await start(api, made)
        saved = await save(api, attempt_id, *(answer(question, seq, number=seq) for seq in (2, 7, 3)))

        assert [each["client_seq"] for each in saved.body["stored"]] == [7]
        assert await stored(api, attempt_id) == {question: {"number": 7.0}}


async def test_saves_at_the_same_moment_in_any_order_leave_the_newest_of_each_question_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        questions = {kind: made.questions[kind] for kind in ("numeric", "essay", "short_text")}
        attempt_id = await start(api, made)
        batches = [
            [
                answer(questions["numeric"], seq, number=seq),
                answer(questions["essay"], seq, text=f"draft {seq}"),
                answer(questions["short_text"], seq, text=str(seq)),
            ]
            for seq in range(1, 31)
        ] * 2
        rng = random.Random(7)
        rng.shuffle(batches)
        answers = await asyncio.gather(*(save(api, attempt_id, *rng.sample(batch, k=3)) for batch in batches))

        assert {each.status for each in answers} == {200}
        assert await stored(api, attempt_id) == {
            questions["numeric"]: {"number": 30.0},
            questions["essay"]: {"text": "draft 30"},
            questions["short_text"]: {"text": "30"},
        }


@pytest.mark.parametrize(
    ("response", "path"),
    [
        ({"text": "two"}, "answers[0].response"),
        ({"number": 1, "text": "two"}, "answers[0].response"),
        ({"number": "1"}, "answers[0].response.number"),
        ({"colour": "red"}, "answers[0].response"),
    ],
)
async def test_an_answer_that_does_not_fit_its_question_is_named_and_nothing_is_saved_d1(
    core: Core, response: dict[str, Any], path: str
) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        fine = answer(made.questions["essay"], 1, text="fine")
        refused = await save(api, attempt_id, answer(made.questions["numeric"], 1, **response), fine)
        unknown = await save(api, attempt_id, fine, answer(str(uuid4()), 1, text="?"))

        assert (refused.status, unknown.status) == (422, 422)
        assert [fault["path"] for fault in refused.body["errors"]] == [path]
        assert [fault["path"] for fault in unknown.body["errors"]] == ["answers[1].question_id"]
        assert await stored(api, attempt_id) == {}


async def test_nobody_else_reads_or_writes_an_attempts_answers_a4(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        for by, status in {"other_student": 404, "stranger": 404, "teacher": 403, "admin": 403}.items():
            path = f"/api/student/attempts/{attempt_id}/answers"
            assert ((await api.get(path, by)).status, by) == (status, by)
            written = await save(api, attempt_id, answer(made.questions["essay"], 9, text="x"), by=by)
            assert (written.status, by) == (status, by)
            assert ((await submit(api, attempt_id, by)).status, by) == (status, by)


async def test_answers_are_taken_until_the_end_and_not_after_it_d2(
    database: str, database_as: DatabaseAs
) -> None:
    async with core_api(database, database_as, expiry_sweep_s=3600) as api:
        made = await make_exam(api, "essay")
        attempt_id = await start(api, made)
        await save(api, attempt_id, answer(made.questions["essay"], 1, text="in time"))
        await api.owner.execute("UPDATE exam_attempts SET expires_at = now() - interval '1 second'")
        late = await save(api, attempt_id, answer(made.questions["essay"], 2, text="too late"))
        paper = await api.get(f"/api/student/attempts/{attempt_id}/paper", "student")

        assert (late.status, paper.status) == (409, 409)
        assert await stored(api, attempt_id) == {made.questions["essay"]: {"text": "in time"}}


async def test_the_history_of_an_essay_is_bounded_and_keeps_its_first_draft_d1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay")
        question = made.questions["essay"]
        attempt_id = await start(api, made)
        for seq in (1, 2, 3):
            await save(api, attempt_id, answer(question, seq, text=f"draft {seq}"))
        kept = await api.owner.fetch("SELECT client_seq FROM attempt_drafts ORDER BY client_seq")
        assert [row["client_seq"] for row in kept] == [1]
        await api.owner.execute(
            "INSERT INTO attempt_drafts SELECT attempt_id, question_id, n, response, saved_at"
            " FROM attempt_drafts, generate_series(4, 300) n"
        )
        await api.owner.execute("UPDATE attempt_drafts SET saved_at = now() - interval '1 hour'")
        await save(api, attempt_id, answer(question, 301, text="the last"))
        kept = await api.owner.fetch("SELECT client_seq FROM attempt_drafts ORDER BY client_seq")

        assert len(kept) == DRAFTS_MAX
        assert [kept[0]["client_seq"], kept[1]["client_seq"], kept[-1]["client_seq"]] == [
            1, 301 - DRAFTS_MAX + 2, 301,
        ]  # fmt: skip


async def test_answers_are_listed_in_pages(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        attempt_id = await start(api, made)
        await save_all_right(api, made, attempt_id)
        path = f"/api/student/attempts/{attempt_id}/answers?limit=2"
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await api.get(path + cursor, "student")).body
            seen += [each["question_id"] for each in page["answers"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"

        assert seen == sorted(made.questions.values())


def drafts_of(attempt_id: str, question: str, seq: object = "") -> str:
    return f"/api/student/attempts/{attempt_id}/answers/{question}/drafts{seq and f'/{seq}'}"


async def test_a_candidate_reads_how_their_essay_grew_also_after_the_hand_in_e1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay")
        attempt_id, question = await start(api, made), made.questions["essay"]
        for seq, response in ((1, {"text": "An essay"}), (2, {}), (3, {"text": "Ein ärgerlicher"})):
            await save(api, attempt_id, answer(question, seq, **response))
            await api.owner.execute("UPDATE attempt_drafts SET saved_at = saved_at - interval '1 minute'")
        await save(api, attempt_id, answer(question, 4, text="within thirty seconds"))
        await save(api, attempt_id, answer(question, 5, text="of that: not kept"))
        listed = await api.get(drafts_of(attempt_id, question), "student")
        whole = await api.get(drafts_of(attempt_id, question, 3), "student")
        await submit(api, attempt_id)

        assert [(each["client_seq"], each["characters"]) for each in listed.body["drafts"]] == [
            (4, 21), (3, 15), (2, None), (1, 8),
        ]  # fmt: skip
        times = [each["saved_at"] for each in listed.body["drafts"]]
        assert times == sorted(times, reverse=True)
        assert whole.body == {
            "client_seq": 3, "saved_at": times[1], "response": {"text": "Ein ärgerlicher"},
        }  # fmt: skip
        assert (await api.get(drafts_of(attempt_id, question), "student")).body == listed.body
        assert (await api.get(drafts_of(attempt_id, question, 2), "student")).body["response"] == {}


async def test_drafts_are_ones_own_and_of_essays_alone_e1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", "numeric")
        attempt_id, essay = await start(api, made), made.questions["essay"]
        empty = await start(api, made, "other_student")
        await save(api, attempt_id, answer(essay, 1, text="Mine"))
        untouched = await api.get(drafts_of(empty, essay), "other_student")
        unknown = [
            await api.get(path, by)
            for path, by in (
                (drafts_of(attempt_id, made.questions["numeric"]), "student"),
                (drafts_of(attempt_id, str(uuid4())), "student"),
                (drafts_of(attempt_id, essay), "other_student"),
                (drafts_of(attempt_id, essay, 1), "other_student"),
                (drafts_of(str(uuid4()), essay), "student"),
                (drafts_of(attempt_id, essay, 2), "student"),
                (drafts_of(attempt_id, essay, "x"), "student"),
                (drafts_of(attempt_id, essay, 2**63), "student"),
                (drafts_of(attempt_id, essay, "\u0661"), "student"),
            )
        ]

        assert (untouched.status, untouched.body) == (200, {"drafts": []})
        assert {each.status for each in unknown} == {404}
        assert (await api.get(drafts_of(attempt_id, essay), "teacher")).status == 403
