"""A language model words what was found, within bounds, and told facts alone (spec.md, decision 16)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import psycopg
import pytest
from aiohttp import web
from msgspec.structs import replace

from kernel.events import EventType
from kernel.settings import Settings
from pipeline.writer import write, write_due
from tests.integration.pipeline.test_behavior import sit
from tests.kits.pipeline_child import fold_now, project_now
from tests.kits.pipeline_world import make_sittings, rows_of

REASONS: list[dict[str, Any]] = [
    {"code": "RULES", "value": 70.0, "threshold": 0, "n": 1, "text": "Risk reached 70.", "share": 1.0}
]
SAID = {
    "summary": [{"text": "Much risk was met.", "codes": ["RULES"]}, {"text": "Cheats.", "codes": ["GUT"]}],
    "recommendations": [{"text": "Look at the timeline.", "codes": ["RULES"]}],
}
TEXTS = "SELECT llm_summary, llm_recommendations, llm_model_version FROM reporting.behavior_analysis"


def reply_of(content: object) -> web.Response:
    return web.json_response({"choices": [{"message": {"role": "assistant", "content": content}}]})


@asynccontextmanager
async def endpoint(
    answer: Callable[[web.Request], web.StreamResponse],
) -> AsyncIterator[tuple[Settings, list[tuple[dict[str, str], Any]]]]:
    """Serve the API as a provider does; give settings that name it, and what it was asked."""
    asked: list[tuple[dict[str, str], Any]] = []

    async def complete(request: web.Request) -> web.StreamResponse:
        asked.append((dict(request.headers), await request.json()))
        return answer(request)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield Settings(llm_url=f"http://{host}:{port}/v1", llm_model="model-7", llm_api_key="sesame"), asked
    finally:
        await runner.cleanup()


async def test_a_model_is_asked_with_facts_alone_and_its_grounded_sentences_stand(
    database: str, database_as: Callable[[str], str]
) -> None:
    [wild] = make_sittings(database, attempts=1)
    sit(database, wild, EventType.DevToolsOpened, EventType.FullscreenExited)
    at = Settings(database_url=database_as("veritas_pipeline"), cohort_every_s=0, cohort_settled_s=0)
    await asyncio.to_thread(fold_now, at)
    await asyncio.to_thread(project_now, at)
    before = rows_of(database, TEXTS)

    async with endpoint(lambda _: reply_of(orjson.dumps(SAID).decode())) as (model, asked):
        own = replace(model, database_url=at.database_url)
        assert await asyncio.to_thread(write_due, own, rows_max=10) == (1, 1)
        await asyncio.to_thread(project_now, at)
        assert await asyncio.to_thread(write_due, own, rows_max=10) == (0, 0)

    assert rows_of(database, TEXTS) == [("Much risk was met.", "Look at the timeline.", "model-7")]
    [(headers, body)] = asked
    assert headers["Authorization"] == "Bearer sesame"
    told = orjson.dumps(body).decode()
    people = rows_of(database, "SELECT id::text, full_name, email FROM users")
    assert [each for row in people for each in row if each and each in told] == []
    assert wild.attempt_id not in told
    assert wild.exam_id not in told

    # what it was written of is no more: the rules' text stands again
    with_flag = "UPDATE reporting.written_texts SET facts_sha256 = 'another'"
    rows_changed(database, with_flag, wild.attempt_id)
    await asyncio.to_thread(project_now, at)
    assert rows_of(database, TEXTS) == before
    assert before[0][2] == "rules-1"


def rows_changed(database: str, statement: str, attempt_id: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(statement.encode())
        conn.execute(
            b"INSERT INTO reporting.projection_marks (layer, key, attempt_id, lane)"
            b" SELECT 'attempt', id, id, exam_id FROM exam_attempts WHERE id = %s",
            (attempt_id,),
        )


def elsewhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:9/")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=500),
        lambda _: web.Response(text="not JSON"),
        lambda _: web.json_response({"choices": []}),
        lambda _: reply_of("prose"),
        lambda _: reply_of(orjson.dumps({"summary": [{"text": "A liar.", "codes": []}]}).decode()),
        lambda _: web.Response(body=b" " * 100_000),
        elsewhere,
    ],
    ids=["error", "no JSON", "no choice", "prose", "ungrounded", "too long", "elsewhere"],
)
async def test_whatever_goes_wrong_the_rules_text_stands(
    answer: Callable[[web.Request], web.StreamResponse],
) -> None:
    async with endpoint(answer) as (model, asked):
        assert await asyncio.to_thread(write, model, REASONS) is None

    assert len(asked) == 1


async def test_a_model_that_is_away_or_not_set_is_none() -> None:
    async with endpoint(lambda _: reply_of("")) as (model, asked):
        pass

    assert await asyncio.to_thread(write, model, REASONS) is None
    assert write(Settings(), REASONS) is None
    assert asked == []


async def test_a_model_that_takes_its_time_is_not_waited_for() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        with suppress(ConnectionError):
            while True:
                await reply.write(b" ")
                await asyncio.sleep(0.01)
        return reply

    app = web.Application()
    app.router.add_post("/chat/completions", slow)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    model = Settings(llm_url=f"http://{host}:{port}", llm_model="model-7", llm_timeout_s=0.2)

    assert await asyncio.to_thread(write, model, REASONS) is None
    await runner.cleanup()
