"""Numbers follow a remediation, and computed from nothing they are the same (spec.md M-1, W-2)."""

import asyncio
from pathlib import Path
from typing import Any

from kernel.settings import Settings
from pipeline.projections.registry import PUBLISHED
from pipeline.rebuild import no_progress
from pipeline.recomputing import recompute
from tests.kits.authoring import answer, make_exam, save, start, submit
from tests.kits.core import Api, DatabaseAs, core_api
from tests.kits.pipeline_child import project_now
from tests.kits.recomputed import contents, forget
from tests.kits.remediations import apply, drafted, undone

ITEMS = "SELECT points, max_points, key FROM reporting.submission_items ORDER BY submission_id, position"
RESULTS = "SELECT points, max_points, score, revision FROM reporting.submissions ORDER BY submission_id"


async def told(api: Api, pipeline: Settings) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Project what is due, and return what stands of submissions and of their items."""
    await asyncio.to_thread(project_now, pipeline)
    rows = [await api.owner.fetch(statement) for statement in (RESULTS, ITEMS)]
    return [tuple(row) for row in rows[0]], [tuple(row) for row in rows[1]]


async def test_what_is_projected_follows_and_rebuilt_it_is_the_same_m1_w2(
    database: str, database_as: DatabaseAs, tmp_path: Path
) -> None:
    pipeline = Settings(
        database_url=database_as("veritas_pipeline"), warehouse=str(tmp_path / "warehouse"), cohort_every_s=0,
        cohort_settled_s=0, build_grace_s=0,
    )  # fmt: skip
    async with core_api(database, database_as) as api:
        made = await make_exam(api, "single_choice", "short_text", "numeric")
        for by, choice in (("student", "b"), ("other_student", "c")):
            attempt_id = await start(api, made, by)
            given = [
                answer(made.questions["single_choice"], 1, choice=choice),
                answer(made.questions["short_text"], 1, text="Photosynthesis"),
            ]
            await save(api, attempt_id, *given, by=by)
            await submit(api, attempt_id, by)
        before = await told(api, pipeline)
        changes = (
            {"kind": "accept_answer", "position": 1, "response": {"choice": "c"}},
            {"kind": "reweight", "position": 2, "points": 3},
            {"kind": "drop_question", "position": 3},
        )
        remediation_id = await drafted(api, made, *changes)
        await apply(api, remediation_id)
        after = await told(api, pipeline)
        carried = contents(database)
        forget(database)
        await asyncio.to_thread(recompute, pipeline, no_progress, datasets=PUBLISHED)
        rebuilt = contents(database)
        await apply(api, await undone(api, remediation_id))
        back = await told(api, pipeline)

        right = "photosynthesis"
        assert after == (
            [(5, 5, 100, 2)] * 2,
            [(2, 2, None), (3, 3, right), (0, 0, None)] * 2,
        )
        assert rebuilt == carried
        assert back[1] == before[1]
        assert [row[:3] for row in back[0]] == [row[:3] for row in before[0]]
