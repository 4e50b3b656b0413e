"""
An exam made through the API, as a teacher makes it: questions of every kind, one evaluation, one exam.
"""

from typing import Any

import msgspec

from tests.kits.core import Answer, Api

OPTIONS = [{"id": each, "text": f"Option {each}"} for each in "abcd"]
ITEMS: dict[str, dict[str, Any]] = {
    "single_choice": {
        "content": {"stem": "Which one?", "options": OPTIONS},
        "key": {"choice": "b"},
    },
    "multiple_choice": {
        "content": {"stem": "Which ones?", "options": OPTIONS},
        "key": {"choices": ["a", "c"], "partial": True},
    },
    "numeric": {"content": {"stem": "How many?"}, "key": {"number": 0.3, "tolerance": 0.01}},
    "short_text": {"content": {"stem": "What is it?"}, "key": {"accepted": ["Photosynthesis"]}},
    "essay": {"content": {"stem": "Discuss."}, "key": {"rubric": "Only graders read this."}},
}
RIGHT: dict[str, dict[str, Any]] = {
    "single_choice": {"choice": "b"},
    "multiple_choice": {"choices": ["c", "a"]},
    "numeric": {"number": 0.31},
    "short_text": {"text": "  photosynthesis "},
    "essay": {"text": "It depends."},
}


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What `make_exam` made: `questions` by kind."""

    exam_id: str
    evaluation_id: str
    evaluation_version_id: str
    questions: dict[str, str]


async def make_question(api: Api, kind: str, by: str = "teacher", **more: Any) -> Answer:
    return await api.post(
        "/api/teacher/questions", by, json={"item": {"kind": kind, **ITEMS[kind]}, "points": 2, **more}
    )


async def make_evaluation(api: Api, question_ids: list[str], by: str = "teacher") -> Any:
    """Return a published version of an evaluation with these questions, in order."""
    items = [{"question_id": each} for each in question_ids]
    draft = await api.post("/api/teacher/evaluations", by, json={"title": "Biology", "items": items})
    assert draft.status == 201, draft.body
    published = await api.post(f"/api/teacher/evaluations/{draft.body['evaluation_id']}/publish", by)
    assert published.status == 200, published.body
    return published.body


async def make_exam(
    api: Api, *kinds: str, publish: bool = True, title: str = "Biology", **fields: Any
) -> Made:
    """Make a question of each kind (all of them by default), and a published exam of 100 points with them."""
    questions = {}
    for kind in kinds or tuple(ITEMS):
        answer = await make_question(api, kind)
        assert answer.status == 201, answer.body
        questions[kind] = answer.body["question_id"]
    version = await make_evaluation(api, list(questions.values()))
    exam = await api.post(
        "/api/teacher/exams",
        "teacher",
        json={
            "title": title,
            "duration_minutes": 30,
            "evaluation_version_id": version["evaluation_version_id"],
            **fields,
        },
    )
    assert exam.status == 201, exam.body
    if publish:
        await api.post(f"/api/teacher/exams/{exam.body['id']}/publish", "teacher")
    return Made(
        exam_id=exam.body["id"],
        evaluation_id=version["evaluation_id"],
        evaluation_version_id=version["evaluation_version_id"],
        questions=questions,
    )


async def start(api: Api, made: Made, by: str = "student") -> str:
    """Start the attempt and return its id."""
    answer = await api.post(f"/api/student/exams/{made.exam_id}/start", by)
    assert answer.status in {200, 201}, answer.body
    attempt_id: str = answer.body["attempt_id"]
    return attempt_id


def answer(question_id: str, client_seq: int, **response: Any) -> dict[str, Any]:
    return {"question_id": question_id, "client_seq": client_seq, "response": response}


async def save(api: Api, attempt_id: str, *answers: dict[str, Any], by: str = "student") -> Answer:
    return await api.call(
        "PUT", f"/api/student/attempts/{attempt_id}/answers", by, json={"answers": list(answers)}
    )


async def save_all_right(api: Api, made: Made, attempt_id: str, by: str = "student") -> None:
    answers = [answer(made.questions[kind], 1, **RIGHT[kind]) for kind in made.questions]
    assert (await save(api, attempt_id, *answers, by=by)).status == 200


async def submit(
    api: Api, attempt_id: str, by: str = "student", *, key: str | None = None, **body: Any
) -> Answer:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.post(f"/api/student/attempts/{attempt_id}/submit", by, json=body, headers=headers)


async def stored(api: Api, attempt_id: str, by: str = "student") -> dict[str, Any]:
    """Return the stored responses by question."""
    listed = await api.get(f"/api/student/attempts/{attempt_id}/answers", by)
    return {each["question_id"]: each["response"] for each in listed.body["answers"]}


# What a finalisation leaves, and where it is counted.
OUTCOME = {
    "submissions": "submissions",
    "items": "submission_items",
    "scores": "submission_scores",
    "subjects": "submission_subjects",
    "ledger": "ledger_events WHERE kind IN ('submission.finalised', 'observation.finalised')",
    "facts": "outbox WHERE kind IN ('submission.finalised', 'observation.finalised')",
    "completed": "exam_attempts WHERE status = 'completed'",
    "ended": "proctor_sessions WHERE status = 2",
}


async def count(api: Api, rows: str) -> int:
    number: int = await api.owner.fetchval(f"SELECT count(*) FROM {rows}")
    return number


async def outcome(api: Api) -> dict[str, int]:
    """Return how many rows there are of everything that a finalisation leaves."""
    return {name: await count(api, rows) for name, rows in OUTCOME.items()}
