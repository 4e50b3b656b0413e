"""The trips of ARCHITECTURE.md pass the modules that it names for them, in its order, and no others."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tests
from deploy.local.postgres import Postgres
from deploy.local.redis import Redis
from kernel.events import Role
from kernel.ledger.checkpoints import new_key_pem
from kernel.settings import load
from pipeline.__main__ import main
from tests.conftest import emptied, logins_on, new_database
from tests.kits.authoring import RIGHT, answer, make_evaluation, make_question
from tests.kits.core import Api, running_core
from tests.kits.ingest.api import api_of
from tests.kits.ingest.station import station
from tests.kits.ingest.waiting import until

ROOT = Path(tests.__file__).parents[1]
WITHIN_S = 60.0  # every call is looked at
ROOMS = ("kernel", "sql", "warehouse", "ingest", "core_api", "pipeline")
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
EVERYWHERE = PAGE[PAGE.index("\n## Three trips") : PAGE.index("\n### An event")]


def named_in(text: str) -> list[str]:
    """Return the modules that a text names, each once, in order."""
    return list(dict.fromkeys(re.findall(r"`([a-z_]+/[\w/]+\.py)`", text)))


def trip(title: str) -> list[str]:
    text = PAGE[PAGE.index(f"\n### {title}") :].partition("\n1. ")[2]
    return [each for each in named_in(re.split(r"\n##", text)[0]) if each.startswith(ROOMS)]


# What is computed of a hand-in: as much as the registry of projections has.
PROJECTED = ("pipeline/projections/", "pipeline/features/")


class Passed:
    """The modules of which something was called, in the order of their first calls, by our own threads."""

    def __init__(self) -> None:
        self.modules: dict[str, None] = {}

    def look(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(f"{ROOT}/"):
            module = name[len(str(ROOT)) + 1 :]
            if module.startswith(ROOMS):
                self.modules.setdefault(module)


@pytest.fixture
def passed() -> Iterator[Passed]:
    """What the threads that start meanwhile pass; the test's own does not count."""
    noted = Passed()
    threading.setprofile(noted.look)
    yield noted
    threading.setprofile(None)


async def compare(title: str, passed: Passed, *in_order: str) -> None:
    """Hold a trip to what is passed, once all of it is; what begins with `in_order` to the order, too."""
    wanted, by_the_way = trip(title), set(named_in(EVERYWHERE))
    with suppress(AssertionError):  # the comparison says more
        await until(lambda: set(wanted) <= set(passed.modules), title, WITHIN_S)
    found = [each for each in passed.modules if each in wanted or not each.startswith(PROJECTED)]

    assert [each for each in wanted if each not in found] == [], "named, and not passed"
    assert [each for each in found if each not in {*wanted, *by_the_way}] == [], "passed, and not named"
    assert [each for each in wanted if each.startswith(in_order) and each not in by_the_way] == [
        each for each in found if each.startswith(in_order) and each not in by_the_way
    ]


@asynccontextmanager
async def running_pipeline(
    database_url: str, redis_url: str, folder: Path, **more: Any
) -> AsyncIterator[None]:
    """Run the pipeline's process in threads of this one, and wait until the warehouse is open."""
    settings = load(
        {}, database_url=database_url, redis_url=redis_url, warehouse=str(folder), metrics_port=0,
        **{"fold_every_ms": 100, "publish_debounce_s": 0.5, **more},
    )  # fmt: skip
    stop = asyncio.Event()
    task = asyncio.create_task(main(stop, settings))
    try:
        await until((folder / "catalogue.duckdb").exists, "the warehouse", WITHIN_S)
        yield
    finally:
        stop.set()
        await task


async def test_an_event(
    postgres: Postgres, template: dict[str, str], redis_server: Redis, tmp_path: Path, passed: Passed
) -> None:
    with station(postgres, template, redis_server.url) as at:
        login = logins_on(at.settings.database_url, template, redis_server.url)
        with running_core(at.world.address, login) as core:
            async with (
                running_pipeline(login("veritas_pipeline"), redis_server.url, tmp_path),
                api_of(at) as api,
            ):
                seat, world = at.world.seat(), at.world
                admin = world.token(Role.admin, user=world.user(world.org, Role.admin))
                passed.modules.clear()

                assert (await api.tab(seat, [1, 2])).status == 202
                assert (await api.tab(seat, [2, 3])).ack["duplicates"] == 1
                await api.stored(seat, 3)
                built = tmp_path / "attempt_activity" / "groups"
                await until(
                    lambda: any(built.glob("*.00000002-*/*.parquet")), "the exam's next build", WITHIN_S
                )
                path = f"{core.url}/api/teacher/attempts/{seat.attempt_id}/monitoring"
                async with api.http.get(path, headers={"Authorization": f"Bearer {admin}"}) as looked:
                    assert looked.status == 200

                await compare(
                    "An event",
                    passed,
                    "ingest/routes",
                    "ingest/receiving",
                    "ingest/admission",
                    "ingest/replies",
                )


@asynccontextmanager
async def school(
    postgres: Postgres, template: dict[str, str], redis_server: Redis, folder: Path, **more: Any
) -> AsyncIterator[Api]:
    """The core API and the pipeline, each in threads of its own, and a school."""
    redis_url = emptied(redis_server)
    with new_database(postgres) as url, running_core(url, logins_on(url, template, redis_url)) as core:
        login = logins_on(url, template, redis_url)("veritas_pipeline")
        async with running_pipeline(login, redis_url, folder, **more), core.school() as api:
            yield api


async def set_exam(api: Api) -> tuple[str, str]:
    """Author, freeze, open and assign an exam of one question; return it and the question."""
    question = (await make_question(api, "single_choice")).body["question_id"]
    version = await make_evaluation(api, [question])
    fields = {
        "title": "Biology", "duration_minutes": 30, "evaluation_version_id": version["evaluation_version_id"]
    }  # fmt: skip
    exam_id = (await api.post("/api/teacher/exams", "teacher", json=fields)).body["id"]
    assert (await api.post(f"/api/teacher/exams/{exam_id}/publish", "teacher")).status == 200
    whom = {"user_ids": [str(api.people["student"].id)]}
    assigned = await api.post(f"/api/teacher/exams/{exam_id}/assignments", "teacher", json=whom)
    assert assigned.status == 201, assigned.body
    return exam_id, question


async def begin(api: Api, exam_id: str) -> str:
    answer = await api.post(f"/api/student/exams/{exam_id}/start", "student")
    assert answer.status == 201, answer.body
    attempt_id: str = answer.body["attempt_id"]
    return attempt_id


async def test_a_teachers_question(
    postgres: Postgres, template: dict[str, str], redis_server: Redis, tmp_path: Path, passed: Passed
) -> None:
    async with school(postgres, template, redis_server, tmp_path) as api:
        passed.modules.clear()

        exam_id, question = await set_exam(api)
        paper = await api.get(f"/api/student/attempts/{await begin(api, exam_id)}/paper", "student")

        assert paper.body["paper"]["items"][0]["question_id"] == question
        await compare("A teacher's question", passed, "core_api/")


async def test_a_hand_in(
    postgres: Postgres, template: dict[str, str], redis_server: Redis, tmp_path: Path, passed: Passed
) -> None:
    key = tmp_path / "ledger.pem"
    key.write_bytes(new_key_pem())
    sealing = {"ledger_key_files": str(key), "ledger_witness_file": str(tmp_path / "witness")}
    unpublished = {"publish_debounce_s": 600}  # that is the event's trip
    folder = tmp_path / "warehouse"
    async with school(postgres, template, redis_server, folder, **sealing, **unpublished) as api:
        exam_id, question = await set_exam(api)
        path = f"/api/student/attempts/{await begin(api, exam_id)}"
        await asyncio.sleep(1)  # until what came before is sealed
        passed.modules.clear()

        last = {"answers": [answer(question, 1, **RIGHT["single_choice"])]}
        assert (await api.post(f"{path}/submit", "student", json=last)).status == 201

        for _ in range(100):
            receipt = await api.get(f"{path}/receipt", "student")
            if receipt.body["ledger"]["status"] == "sealed":
                break
            await asyncio.sleep(0.1)
        await compare("A hand-in", passed, "core_api/")
