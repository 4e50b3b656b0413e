"""An exam in numbers, as they were projected: how it went, its items, whose answers are alike (W-5)."""

from typing import Any
from uuid import UUID, uuid4

from tests.integration.core_api.analytics.test_reporting import analytics, project
from tests.kits.authoring import ITEMS, make_evaluation, make_question
from tests.kits.core import Api, Core
from tests.kits.reporting import put_row

WHY = {
    "code": "MISKEY",
    "value": 0.4,
    "threshold": 0.1,
    "n": 40,
    "text": "B goes with knowing more: check the key.",
}


def about(api: Api, **further: Any) -> dict[str, Any]:
    return {
        "exam_id": str(api.exam_id),
        "organisation_id": str(api.people["teacher"].organisation_id),
        "reasons": [],
    } | further


async def asked(api: Api, path: str, by: str = "teacher") -> Any:
    answer = await api.get(f"/api/teacher/exams/{api.exam_id}/analytics/{path}", by)
    assert answer.status == 200, answer.body
    return answer.body


async def test_an_exam_is_measured_by_what_was_projected_of_it_w5(core: Core) -> None:
    async with core.school() as api:
        before = (await analytics(api)).body["analytics"]
        levels = {"Low": 30, "Medium": 8, "High": 2, "Critical": 0}
        await put_row(
            api, "exam_performance_summary",
            **about(api, risk_levels=levels, integrity_bands=None, avg_score=61.5, reasons=[WHY]),
        )  # fmt: skip
        form = str(uuid4())
        await put_row(
            api, "test_statistics", **about(api, form_id=form, n=40, alpha=0.8, distribution=[2] * 20)
        )
        pair = {"attempt_a": str(uuid4()), "attempt_b": str(uuid4()), "form_id": form}
        await put_row(api, "answer_similarity", **about(api, pairs=780, similar_pairs=1, **pair))
        found = (await analytics(api)).body["analytics"]

        assert (before["performance"], before["tests"], before["collusion"]) == (None, [], None)
        assert found["performance"]["risk_levels"] == levels
        assert found["performance"]["integrity_bands"] is None
        assert found["performance"]["avg_score"] == found["attempts"]["average_percentage"] == 61.5
        assert found["performance"]["reasons"] == [WHY]
        [test] = found["tests"]
        assert (test["form_id"], test["n"], test["alpha"], sum(test["distribution"])) == (form, 40, 0.8, 40)
        assert (found["collusion"]["pairs"], found["collusion"]["similar_pairs"]) == (780, 1)


async def test_what_monitoring_saw_of_an_exam_follows_each_change_of_an_attempt(core: Core) -> None:
    """Sums of an exam are those of its attempts, whoever adds to them, and whatever is taken back."""
    async with core.school() as api:
        first, second = await api.start_attempt(), await api.start_attempt("other_student")
        await project(api, first, "student", 1)
        await project(api, second, "other_student", 2, events=5, by_type={"CopyAttempt": 5})
        await api.owner.execute(
            "UPDATE reporting.attempt_activity SET events = 12, by_type = '{\"Heartbeat\": 12}',"
            " longest_silence_s = 3, heartbeat_coverage = 0.75 WHERE attempt_id = $1",
            first,
        )
        both = (await analytics(api)).body["analytics"]["monitoring"]
        await api.owner.execute("DELETE FROM reporting.attempt_activity WHERE attempt_id = $1", second)
        one = (await analytics(api)).body["analytics"]["monitoring"]
        await api.owner.execute("DELETE FROM reporting.attempt_activity WHERE attempt_id = $1", first)
        none = (await analytics(api)).body["analytics"]["monitoring"]

        assert (both["events"], both["by_type"]) == (17, {"Heartbeat": 12, "CopyAttempt": 5})
        assert (both["longest_silence_s"], both["heartbeat_coverage"]) == (16.0, 0.625)
        assert (one["events"], one["by_type"], one["longest_silence_s"]) == (12, {"Heartbeat": 12}, 3.0)
        assert one["heartbeat_coverage"] == 0.75
        assert (none["events"], none["by_type"], none["first_event_at"]) == (0, {}, None)


async def test_items_are_sorted_filtered_and_paged_with_what_they_ask_w5(core: Core) -> None:
    async with core.school() as api:
        question = (await make_question(api, "single_choice")).body["question_id"]
        form = (await make_evaluation(api, [question]))["evaluation_version_id"]
        points_at = {"evaluation_version_id": form}
        await api.call("PATCH", f"/api/teacher/exams/{api.exam_id}", "teacher", json=points_at)
        content = ITEMS["single_choice"]["content"]
        option = content["options"][0]
        chosen = {"option": option["id"], "is_key": True, "chosen": 30, "share": 0.75, "r": None}
        for position, difficulty in ((1, 0.9), (2, None), (3, 0.2)):
            told = {"difficulty": difficulty, "question_version_id": str(UUID(int=position)), "form_id": form}
            first = {"question_id": question, "distractors": [chosen], "flags": ["MISKEY"], "reasons": [WHY]}
            await put_row(
                api, "item_analysis",
                **about(api, position=position, **told) | (first if position == 1 else {"distractors": None}),
            )  # fmt: skip

        page = await asked(api, "items?sort=difficulty&limit=2")
        rest = await asked(api, f"items?sort=difficulty&limit=2&cursor={page['next_cursor']}")
        flagged = await asked(api, "items?flag=MISKEY")

        assert [item["position"] for item in page["items"] + rest["items"]] == [3, 1, 2]
        assert rest["next_cursor"] is None
        [item] = flagged["items"]
        assert (item["stem"], item["distractors"][0]["text"]) == (content["stem"], option["text"])
        assert item["reasons"] == [WHY]
        assert (
            await api.get(f"/api/teacher/exams/{api.exam_id}/analytics/items?sort=x", "teacher")
        ).status == 422


async def test_similar_pairs_come_with_names_and_reasons_the_least_likely_first_w5(core: Core) -> None:
    async with core.school() as api:
        people = [str(api.people[name].id) for name in ("student", "other_student")]
        attempts = sorted(str(uuid4()) for _ in range(3))
        for a, b, q in ((0, 1, 1e-9), (0, 2, 0.004), (1, 2, 0.2)):
            pair = {
                "attempt_a": attempts[a], "attempt_b": attempts[b], "student_a": people[0],
                "student_b": people[1], "q": q, "is_similar": q <= 0.01, "second_factor": b == 1,
            }  # fmt: skip
            await put_row(api, "answer_similarity", **about(api, **pair) | {"reasons": [WHY]})
        await put_row(
            api,
            "collusion_clusters",
            **about(api, cluster_id=attempts[0], attempt_ids=attempts[:2], student_ids=people),
        )
        first = await asked(api, "similarity?limit=1")
        second = await asked(api, f"similarity?limit=1&cursor={first['next_cursor']}")
        alone = await asked(api, "similarity?second_factor=false")

        assert [pair["q"] for pair in first["pairs"] + second["pairs"]] == [1e-9, 0.004]
        assert (second["next_cursor"], second["clusters"]) == (None, None)
        assert first["pairs"][0]["first"]["student_name"] == "The student"
        assert first["pairs"][0]["reasons"] == [WHY]
        assert [member["student_id"] for member in first["clusters"][0]["members"]] == people
        assert [pair["q"] for pair in alone["pairs"]] == [0.004]
        odd = f"/api/teacher/exams/{api.exam_id}/analytics/similarity?cursor=1.1.1_{'0' * 36}_{'0' * 36}"
        assert (await api.get(odd, "teacher")).status == 422
