"""A key is put right after the exam: previewed, applied, undone, told to whom it concerns (M-1, S-3)."""

import asyncio
from typing import Any

import asyncpg
import pytest

from core_api.remediations.states import MOVES, Status
from tests.kits.authoring import Made, answer, make_exam, save, save_all_right, start, submit
from tests.kits.claims import opened
from tests.kits.core import Api, Core
from tests.kits.remediations import PATH, WORDS, apply, begin, draft, drafted, scores, standing, sweep, undone

NEW_KEY = {"kind": "change_key", "position": 1, "key": {"choice": "c"}}
DROP = {"kind": "drop_question", "position": 1}


async def hand_in(api: Api, made: Made, by: str = "student", **wrong: dict[str, Any]) -> tuple[str, str]:
    """Hand an attempt in whose answers are right, but for these by kind; return (attempt, submission)."""
    attempt_id = await start(api, made, by)
    await save_all_right(api, made, attempt_id, by)
    others = [answer(made.questions[kind], 2, **response) for kind, response in wrong.items()]
    if others:
        assert (await save(api, attempt_id, *others, by=by)).status == 200
    return attempt_id, (await submit(api, attempt_id, by)).body["submission_id"]


async def test_a_new_key_rescores_every_submission_and_tells_its_candidate_why_m1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "single_choice", "numeric", passing_score=60)
        right, its_submission = await hand_in(api, made)
        wrong, other = await hand_in(api, made, "other_student", single_choice={"choice": "c"})
        await opened(api, right)
        remediation_id = await drafted(api, made, NEW_KEY)
        before = await scores(api.owner)
        preview = (await api.get(f"{PATH}/{remediation_id}/preview", "teacher")).body
        listed = (await api.get(f"{PATH}/{remediation_id}/changes?limit=1", "teacher")).body
        rest = (
            await api.get(f"{PATH}/{remediation_id}/changes?cursor={listed['next_cursor']}", "teacher")
        ).body
        untouched = await scores(api.owner)
        applied = await apply(api, remediation_id)
        shown = {
            by: (await api.get(f"/api/student/attempts/{attempt}", by)).body
            for attempt, by in ((right, "student"), (wrong, "other_student"))
        }
        told = (await api.get(f"{PATH}/{remediation_id}/changes", "teacher")).body
        ledger = await api.owner.fetch(
            "SELECT kind, count(*) FROM ledger_events WHERE kind ~ 'remediat|submission.scored'"
            " AND kind !~ 'viewed' GROUP BY kind ORDER BY kind"
        )

        assert untouched == before, "a preview touches nothing"
        exams = preview.pop("exams")
        assert preview == {
            "submissions": 2, "changed": 2, "raised": 1, "lowered": 1, "now_passed": 1, "now_failed": 1,
            "void": 0, "open_claims": 1,
        }  # fmt: skip
        assert exams == [
            {
                "exam_id": made.exam_id,
                "title": "Biology",
                "before": {"n": 2, "mean": 75.0, "sd": pytest.approx(35.355, abs=0.001), "pass_rate": 0.5},
                "after": {"n": 2, "mean": 75.0, "sd": pytest.approx(35.355, abs=0.001), "pass_rate": 0.5},
            }
        ]
        changes = [*listed["results"], *rest["results"]]
        assert [(each["submission_id"], each["score_before"], each["score"]) for each in changes] == [
            (its_submission, 100.0, 50.0), (other, 50.0, 100.0),
        ]  # fmt: skip
        assert rest["next_cursor"] is None
        assert told["results"] == changes, "what was previewed is what was done"
        assert applied["progress"] == {
            "submissions": 2, "rescored": 2, "changed": 2, "now_passed": 1, "now_failed": 1,
        }  # fmt: skip
        assert (shown["student"]["score"], shown["other_student"]["score"]) == (50.0, 100.0)
        [correction] = shown["student"]["corrections"]
        assert correction.pop("corrected_at")
        assert correction == {
            "note_en": WORDS["note_en"], "note_ar": WORDS["note_ar"], "score_before": 100.0, "score": 50.0,
            "percentage_before": 100.0, "percentage": 50.0, "passed_before": True, "passed": False,
        }  # fmt: skip
        newest = await standing(api, its_submission)
        assert (newest["revision"], newest["reason"]) == (2, WORDS["reason"])
        assert [tuple(row) for row in ledger] == [
            ("remediation.completed", 1), ("remediation.drafted", 1), ("results.remediated", 1),
            ("submission.scored", 2),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "points", "most"),
    [
        (NEW_KEY, 6, 10),
        ({"kind": "change_key", "position": 3, "key": {"number": 7, "tolerance": 1}}, 6, 10),
        ({"kind": "accept_answer", "position": 4, "response": {"text": "chlorosis"}}, 10, 10),
        ({"kind": "drop_question", "position": 4}, 8, 8),
        ({"kind": "full_points", "position": 4}, 10, 10),
        ({"kind": "reweight", "position": 4, "points": 12}, 8, 20),
        ({"kind": "reweight", "position": 5, "points": 1}, 7, 9),
        ({"kind": "drop_question", "position": 5}, 6, 8),
    ],
)
async def test_each_change_moves_what_it_names_and_undoing_it_gives_the_scores_back_m1(
    core: Core, change: dict[str, Any], points: float, most: float
) -> None:
    async with core.school() as api:
        made = await make_exam(api)  # of ten points, eight of which are had
        _, submission_id = await hand_in(api, made, short_text={"text": "Chlorosis"})
        await grade(api, submission_id, 2)
        before = await scores(api.owner)
        remediation_id = await drafted(api, made, change)
        await apply(api, remediation_id)
        after = await standing(api, submission_id)
        await apply(api, await undone(api, remediation_id))

        assert (after["points"], after["max_points"], after["ungraded"]) == (points, most, 0)
        assert await scores(api.owner) == before
        assert (await standing(api, submission_id))["revision"] == 4


async def test_whatever_is_scored_later_is_scored_by_the_key_that_counts_s3(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        late = await start(api, made, "other_student")
        await save_all_right(api, made, late, "other_student")
        _, submission_id = await hand_in(api, made, single_choice={"choice": "d"})
        reweight = {"kind": "reweight", "position": 5, "points": 4}
        remediation_id = await drafted(api, made, NEW_KEY, reweight)
        begun = await begin(api, remediation_id)
        handed_in = (await submit(api, late, "other_student")).body["submission_id"]
        first = await grade(api, submission_id, 3, status=201)
        too_much = await grade(api, handed_in, 5, status=422)
        await sweep(api)
        later = await grade(api, handed_in, 1, status=201)
        progress = (await api.get(f"{PATH}/{remediation_id}", "teacher")).body["progress"]
        rows = await api.owner.fetch(
            "SELECT position, points, max_points FROM submission_items WHERE submission_id = $1 ORDER BY 1",
            handed_in,
        )

        assert begun.body["status"] == "applying"
        assert progress["rescored"] == progress["submissions"] == 1, "what came later needs no step"
        assert too_much["errors"][0]["message"] == "at most 4"
        assert (first["scores"][0]["points"], first["scores"][0]["max_points"]) == (9, 12)
        stands = await standing(api, submission_id)
        assert (stands["points"], stands["max_points"], stands["revision"]) == (9, 12, 3)
        assert (later["scores"][0]["points"], later["scores"][0]["max_points"]) == (7, 12)
        assert [(each["max_points"]) for each in later["items"]] == [2, 2, 2, 2, 4]
        assert [(row["points"], row["max_points"]) for row in rows] == [(2, 2)] * 4 + [(None, 2)], (
            "as handed in"
        )


async def test_hand_ins_and_grades_that_race_with_a_remediation_end_at_the_same_scores_m1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "single_choice", "essay")
        remediation_id = await drafted(api, made, NEW_KEY, {"kind": "reweight", "position": 2, "points": 6})
        _, submission_id = await hand_in(api, made, single_choice={"choice": "c"})
        late = await start(api, made, "other_student")
        await save_all_right(api, made, late, "other_student")
        handing_in, _, *_ = await asyncio.gather(
            submit(api, late, "other_student"),
            begin(api, remediation_id),
            *(grade(api, submission_id, 1) for _ in range(4)),
            sweep(api),
        )
        await asyncio.gather(sweep(api), grade(api, submission_id, 3))
        await grade(api, handing_in.body["submission_id"], 3)
        ends = [await standing(api, each) for each in (submission_id, handing_in.body["submission_id"])]

        assert [(each["points"], each["max_points"]) for each in ends] == [(5, 8), (3, 8)]
        once = "SELECT count(*) FROM remediated_submissions WHERE submission_id = $1"
        assert await api.owner.fetchval(once, submission_id) == 1


async def test_points_that_people_gave_keep_their_share_through_any_weight_m1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "essay", "numeric")
        _, submission_id = await hand_in(api, made)
        await grade(api, submission_id, 1.67, position=1)
        light = await drafted(api, made, {"kind": "reweight", "position": 1, "points": 0.03})
        await apply(api, light)
        lightly = await standing(api, submission_id)
        await apply(api, await undone(api, light))

        assert (lightly["item_points"]["1"], lightly["max_points"]) == (0.03, 2.03)
        assert (await standing(api, submission_id))["item_points"]["1"] == 1.67


async def test_a_void_result_stays_void_and_shows_no_numbers_c1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "single_choice")
        attempt_id, submission_id = await hand_in(api, made)
        void = (
            "INSERT INTO public.submission_results"
            " SELECT id, attempt_id, exam_id, author_id, organisation_id, true, now()"
            " FROM public.submissions WHERE id = $1"
        )
        await api.owner.execute(void, submission_id)
        remediation_id = await drafted(api, made, NEW_KEY)
        preview = (await api.get(f"{PATH}/{remediation_id}/preview", "teacher")).body
        await apply(api, remediation_id)
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert (preview["void"], preview["exams"][0]["after"]["n"]) == (1, 0)
        assert (shown["is_void"], shown["score"]) == (True, None)
        [correction] = shown["corrections"]
        assert {correction[name] for name in correction if "note" not in name and name != "corrected_at"} == {
            None
        }
        assert (await standing(api, submission_id))["score"] == 0.0


async def test_whose_result_stays_the_same_is_told_nothing_m1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api, "single_choice", "numeric")
        attempt_id, _ = await hand_in(api, made, single_choice={"choice": "d"})
        await apply(api, await drafted(api, made, NEW_KEY))
        shown = (await api.get(f"/api/student/attempts/{attempt_id}", "student")).body

        assert shown["corrections"] == []


async def test_what_does_not_fit_its_question_is_named_m1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        faulty = [
            {"kind": "change_key", "position": 1, "key": {"choice": "z"}},
            {"kind": "change_key", "position": 1, "key": {"number": 1}},
            {"kind": "accept_answer", "position": 5, "response": {"text": "That."}},
            {"kind": "accept_answer", "position": 2, "response": {"choice": "a"}},
            {"kind": "accept_answer", "position": 2, "response": {}},
            {"kind": "drop_question", "position": 9},
        ]
        refused = await draft(api, made, *faulty)
        same = await draft(api, made, {"kind": "reweight", "position": 1, "points": 2})
        nothing = await draft(api, made, *({"kind": "drop_question", "position": n} for n in range(1, 6)))

        assert [each["path"] for each in refused.body["errors"]] == [
            "changes[0].key.choice", "changes[1].key", "changes[2].position", "changes[3].response",
            "changes[4].response", "changes[5].position",
        ]  # fmt: skip
        assert [each.status for each in (refused, same, nothing)] == [422, 422, 422]


async def test_one_is_applied_once_and_after_the_other_and_a_draft_can_be_put_away_m1(core: Core) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        await hand_in(api, made)
        first, second, third = [await drafted(api, made, each) for each in (NEW_KEY, DROP, NEW_KEY)]
        begun = await asyncio.gather(*(begin(api, first, key="once") for _ in range(4)))
        waits = await begin(api, second)
        await sweep(api)
        repeated = await begin(api, first)
        put_away = [(await api.post(f"{PATH}/{third}/cancel", "teacher")).status for _ in range(2)]
        refused = [
            (await api.post(f"{PATH}/{first}/cancel", "teacher")).status,
            (await begin(api, third)).status,
            (await api.get(f"{PATH}/{first}/preview", "teacher")).status,
            (await api.post(f"{PATH}/{third}/undo", "teacher", json=WORDS)).status,
        ]
        undoing, again = await undone(api, first), await undone(api, first)
        await apply(api, undoing)
        twice = await begin(api, again)
        listed = (await api.get(f"{PATH}?exam_id={made.exam_id}&limit=2", "teacher")).body

        assert {each.status for each in begun} <= {202, 409}
        assert waits.status == 409
        assert (repeated.status, repeated.body["status"]) == (202, "applied")
        assert put_away == [200, 200]
        assert refused == [409, 409, 409, 409]
        assert twice.status == 409
        assert [each["status"] for each in listed["remediations"]] == ["draft", "applied"]
        assert listed["next_cursor"] == undoing
        count = "SELECT count(*) FROM ledger_events WHERE kind = 'results.remediated'"
        assert await api.owner.fetchval(count) == 2


async def test_whoever_may_only_look_at_one_of_the_exams_that_it_reaches_changes_nothing_a4(
    core: Core,
) -> None:
    async with core.school() as api:
        made = await make_exam(api)
        grant = {"user_id": str(api.people["colleague"].id), "can_edit": True}
        remediation_id = await drafted(api, made, NEW_KEY)
        hidden = await draft(api, made, DROP, by="colleague")
        await api.post(f"/api/admin/exams/{made.exam_id}/permissions", "admin", json=grant)
        allowed = await draft(api, made, DROP, by="colleague")
        body = {"title": "Again", "duration_minutes": 30, "evaluation_version_id": made.evaluation_version_id}
        assert (await api.post("/api/teacher/exams", "teacher", json=body)).status == 201
        refused = await draft(api, made, DROP, by="colleague")
        begun = await begin(api, remediation_id, "colleague")
        seen = await api.get(f"{PATH}/{remediation_id}", "colleague")

        assert [each.status for each in (hidden, allowed, refused, begun, seen)] == [404, 201, 403, 403, 200]
        assert (await begin(api, remediation_id, "boss")).status == 404
        assert (await begin(api, remediation_id, "admin")).status == 202


async def test_the_database_knows_the_same_moves_and_lets_nothing_else_change_m1(core: Core) -> None:
    begun = "number = 1, key = '[]', applied_by = created_by, applied_at = now()"
    ways = {
        Status.draft: "",
        Status.applying: begun,
        Status.applied: f"{begun}, completed_at = now()",
        Status.cancelled: "cancelled_by = created_by, cancelled_at = now()",
    }
    before: dict[Status, tuple[Status, ...]] = {
        Status.draft: (),
        Status.applying: (Status.applying,),
        Status.applied: (Status.applying, Status.applied),
        Status.cancelled: (Status.cancelled,),
    }
    async with core.school() as api:
        made = await make_exam(api)
        remediation_id = await drafted(api, made, NEW_KEY)

        async def moves(was: Status, then: Status) -> bool:
            change = api.owner.transaction()
            await change.start()
            try:
                for status in (*before[was], then):
                    columns = ways[status] if status is not Status.applied else "completed_at = now()"
                    if was is Status.draft and status is Status.applied:
                        columns = ways[Status.applied]
                    sets = f"status = '{status}'" + (f", {columns}" if columns else "")
                    await api.owner.execute(
                        f"UPDATE public.remediations SET {sets} WHERE id = $1", remediation_id
                    )
            except asyncpg.PostgresError:
                return False
            else:
                return True
            finally:
                await change.rollback()

        allowed = {(was, then) for was in Status for then in Status if await moves(was, then)}

        assert allowed == MOVES
        for change in ("reason = 'Another'", "changes = '[]'", "note_ar = ''"):
            with pytest.raises(asyncpg.PostgresError):
                await api.owner.execute(
                    f"UPDATE public.remediations SET {change} WHERE id = $1", remediation_id
                )
        with pytest.raises(asyncpg.PostgresError):
            await api.owner.execute("DELETE FROM public.remediations WHERE id = $1", remediation_id)


async def grade(
    api: Api, submission_id: str, points: float, position: int | None = None, status: int = 201
) -> Any:
    """Give points to a submission's last item, or to another one."""
    items = (await api.get(f"/api/teacher/submissions/{submission_id}", "teacher")).body["items"]
    grades = {"grades": [{"position": position or len(items), "points": points}]}
    answered = await api.post(f"/api/teacher/submissions/{submission_id}/grades", "teacher", json=grades)
    assert answered.status in {status, 201}, answered.body
    return answered.body
