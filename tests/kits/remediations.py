"""Remediations as a teacher makes them through the API, and the steps that follow, taken at once."""

import asyncio
from typing import Any

import asyncpg

from core_api.remediations import applying
from kernel.postgres import open_pool
from kernel.settings import load
from tests.kits.authoring import Made, make_exam, save_all_right, start, submit
from tests.kits.core import Answer, Api

WORDS = {
    "reason": "The key was wrong.",
    "note_en": "Question 1 had a wrong key.",
    "note_ar": "كان مفتاح السؤال 1 خاطئًا.",
}
PATH = "/api/teacher/remediations"


async def draft(api: Api, made: Made, *changes: dict[str, Any], by: str = "teacher") -> Answer:
    body = {"evaluation_version_id": made.evaluation_version_id, "changes": list(changes), **WORDS}
    return await api.post(PATH, by, json=body)


async def drafted(api: Api, made: Made, *changes: dict[str, Any]) -> str:
    """Return the id of a draft."""
    answered = await draft(api, made, *changes)
    assert answered.status == 201, answered.body
    remediation_id: str = answered.body["remediation_id"]
    return remediation_id


async def undone(api: Api, remediation_id: str) -> str:
    """Return the id of the draft that takes one back."""
    answered = await api.post(f"{PATH}/{remediation_id}/undo", "teacher", json=WORDS)
    assert answered.status == 201, answered.body
    undoing: str = answered.body["remediation_id"]
    return undoing


async def begin(api: Api, remediation_id: str, by: str = "teacher", *, key: str | None = None) -> Answer:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.post(f"{PATH}/{remediation_id}/apply", by, headers=headers)


async def apply(api: Api, remediation_id: str) -> Any:
    """Apply one to its end, and return it."""
    begun = await begin(api, remediation_id)
    assert begun.status == 202, begun.body
    await sweep(api)
    applied = (await api.get(f"{PATH}/{remediation_id}", "teacher")).body
    assert applied["status"] == "applied", applied
    return applied


async def remediated(api: Api) -> str:
    """Hand in, apply a remediation to that, and return the submission."""
    made = await make_exam(api, "numeric", "essay", title="Put right")
    attempt_id = await start(api, made, "other_student")
    await save_all_right(api, made, attempt_id, "other_student")
    submission_id: str = (await submit(api, attempt_id, "other_student")).body["submission_id"]
    await apply(api, await drafted(api, made, {"kind": "reweight", "position": 1, "points": 3}))
    return submission_id


async def sweep(api: Api) -> None:
    """Rescore all that is to be in the school; the application may be at it, too."""
    left = "SELECT count(*) FROM remediation_progress WHERE NOT is_done"
    async with await open_pool(load({}, database_url=api.database)) as pool:
        while await api.owner.fetchval(left):
            await applying.sweep(pool)
            await asyncio.sleep(0.01)


async def standing(api: Api, submission_id: str) -> dict[str, Any]:
    """Return the newest score of a submission, as its teacher sees it."""
    shown: dict[str, Any] = (await api.get(f"/api/teacher/submissions/{submission_id}", "teacher")).body
    newest: dict[str, Any] = shown["scores"][0]
    return newest


async def scores(owner: "asyncpg.Connection[asyncpg.Record]") -> list[dict[str, Any]]:
    """Return what every submission comes to, with the outcome of its attempt, in order."""
    rows = await owner.fetch(
        "SELECT s.id, c.item_points, c.points, c.max_points, c.ungraded, c.score, c.percentage, c.passed,"
        " a.score AS outcome, a.percentage AS of_hundred, a.passed AS has_passed"
        " FROM submissions s LEFT JOIN exam_attempts a ON a.id = s.attempt_id"
        " CROSS JOIN LATERAL (SELECT * FROM submission_scores WHERE submission_id = s.id"
        " ORDER BY revision DESC LIMIT 1) c ORDER BY s.id"
    )
    return [dict(row) for row in rows]
