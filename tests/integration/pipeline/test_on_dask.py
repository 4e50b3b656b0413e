"""A rebuild on the workers of Dask is the one that turns have made, to the byte (spec.md W-2)."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.server import free_port
from kernel.settings import Settings
from pipeline.on_dask import DaskError, runner_on
from pipeline.projections.registry import PUBLISHED
from pipeline.publications import publish_marked
from pipeline.rebuild import no_progress
from pipeline.recomputing import recompute
from tests.kits.forks import Forked
from tests.kits.handed_in import hand_in, make_class
from tests.kits.pipeline_child import project_now
from tests.kits.recomputed import contents, forget, published

WORKERS = 2


def schedule(port: int) -> None:
    from distributed import Scheduler  # noqa: PLC0415  in a process of its own

    async def until_closed() -> None:
        async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as scheduler:
            await scheduler.finished()

    asyncio.run(until_closed())


def work(address: str, url: str, folder: str) -> None:
    from distributed import Worker  # noqa: PLC0415  in a process of its own

    async def until_closed() -> None:
        async with Worker(address, nthreads=1, dashboard=False, local_directory=folder) as worker:
            await worker.finished()

    os.environ["VERITAS_DATABASE_URL"] = url
    asyncio.run(until_closed())


@pytest.fixture
def cluster(database_as: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """A scheduler and its workers, each a process; its address."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    running = [Forked(schedule, port)]
    url = database_as("veritas_pipeline")
    running += [Forked(work, address, url, str(tmp_path / f"worker-{n}")) for n in range(WORKERS)]
    yield address
    for process in running:
        process.kill()
        process.wait()


def test_a_rebuild_on_two_workers_is_what_turns_have_made(
    cluster: str, database: str, database_as: Callable[[str], str], tmp_path: Path
) -> None:
    settings = Settings(
        database_url=database_as("veritas_pipeline"),
        warehouse=str(tmp_path / "warehouse"),
        cohort_every_s=0,
        cohort_settled_s=0,
    )
    own = make_class(database, exams=2, students=3)
    for number, responses in enumerate(("bbba", "b a ", "bbbb", "aaaa")):
        hand_in(database, own, number, responses, minutes=30 + number)
    project_now(settings)
    publish_marked(settings)
    by_turns, files = contents(database), published(settings)
    assert len(by_turns["submissions"]) == len(by_turns["behavior_analysis"]) == 4

    forget(database)
    elsewhere = Settings(warehouse=settings.warehouse)  # no address of the database: the workers have theirs
    with runner_on(cluster) as run:
        keys = recompute(
            settings, no_progress, datasets=PUBLISHED, parts=4, runner=lambda _, parts: run(elsewhere, parts)
        )
    publish_marked(settings, whole=True)

    assert keys >= 4 + 2 + 3, "each once, and again whom the norms of the exams concern"
    assert contents(database) == by_turns
    assert published(settings) == files


def test_nobody_answers_where_there_is_no_scheduler() -> None:
    with (
        pytest.raises(DaskError, match="no Dask scheduler answers at"),
        runner_on("tcp://127.0.0.1:1", within_s=0.1),
    ):
        pass
