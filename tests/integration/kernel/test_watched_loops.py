"""No loop of a process ends unseen: after an error at any await it turns again (spec.md X-1)."""

import asyncio
import threading
from typing import Any, cast

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from core_api.app import build
from ingest.app import Part
from ingest.routes import ROUTES
from kernel.http.health import add_health
from kernel.http.serving import serve
from kernel.http.web import mount, new_app
from kernel.running.tasks import WATCH, WRONG_AFTER, Watch
from tests.kits.core import DatabaseAs, settings_of
from tests.kits.ingest.api import Api, answered
from tests.kits.ingest.waiting import until


def ends(name: str) -> float:
    return REGISTRY.get_sample_value("veritas_loop_ends_total", {"loop": name}) or 0.0


def loops_of(app: web.Application) -> dict[str, Any]:
    return {loop.name: loop for loop in app[WATCH]._loops if loop.task is not None}


async def break_off_each(app: web.Application) -> list[str]:
    """Let what each loop awaits at the moment fail with an error that nobody expects; return the loops."""
    for name, loop in loops_of(app).items():
        before = ends(name)
        waiter, before_that = loop.task._fut_waiter, None
        while waiter is None or waiter.done() or waiter is not before_that:  # it rests, in no driver's hands
            before_that = waiter
            await asyncio.sleep(0.05)
            waiter = loop.task._fut_waiter
        cast("asyncio.Future[Any]", waiter).set_exception(RuntimeError("nobody expects it"))
        await until(lambda name=name, before=before: ends(name) > before, f"the end of {name}")  # type: ignore[misc]
    assert all(not loop.task.done() for loop in loops_of(app).values())
    return list(loops_of(app))


async def test_every_loop_of_ingest_turns_again_after_an_error_and_events_are_taken(api: Api) -> None:
    """A second tier, in this test's own loop, beside the module's."""
    app, part = new_app(api.at.settings), Part()
    mount(app, ROUTES)
    part.attach(app)
    add_health(app, [part.ready], part.level)
    runner = await serve(app, api.at.settings, port=0)
    host, port = runner.addresses[0][:2]
    api.at.url, direct = f"http://{host}:{port}", api.at.url
    try:
        broken = await break_off_each(app)
        seat = api.world.seat()
        taken = await answered(lambda: api.event(seat), 202)
        said = (await answered(lambda: api.get("/readyz"), 200)).body
    finally:
        api.at.url = direct
        await runner.cleanup()

    assert taken.ack["sequenceFrom"] == 1
    assert {"epochs", "pressure", "functions", "revocations", "stream-0", "stream-silence"} <= set(broken)
    assert all(any(f"loop {name} " in sentence for sentence in said["degraded"]) for name in broken), said


async def test_every_loop_of_the_core_api_turns_again_after_an_error(
    database: str, database_as: DatabaseAs
) -> None:
    assert database
    settings = settings_of(database_as)
    app = await build(settings)
    runner = await serve(app, settings, port=0)
    try:
        broken = await break_off_each(app)
    finally:
        await runner.cleanup()

    assert {"expiry", "views", "telling-revocations", "revocations"} <= set(broken)


async def test_a_loop_that_ends_again_and_again_is_wrong_and_one_that_is_cancelled_ends() -> None:
    watch, turns = Watch(), 0

    async def body() -> None:
        nonlocal turns
        turns += 1
        if turns <= WRONG_AFTER:
            raise asyncio.CancelledError if turns == 1 else ValueError
        await asyncio.Event().wait()

    async with watch.kept(("unlucky", body)):
        await until(lambda: turns > WRONG_AFTER, "the loop to turn again")
        wrong, degraded = watch.wrong(), watch.degraded()
        task = watch._loops[0].task

    assert degraded == []
    assert [sentence.split()[2] for sentence in wrong] == ["unlucky"]
    assert task is not None
    assert task.cancelled()


@pytest.mark.parametrize("raises", [True, False])
async def test_a_thread_that_ends_is_begun_again(*, raises: bool) -> None:
    watch, stop, turned = Watch(), threading.Event(), threading.Semaphore(0)

    def body() -> None:
        turned.release()
        if raises:
            raise LookupError

    thread = watch.thread("shard-9", body, stop)
    for _ in range(3):
        assert await asyncio.to_thread(turned.acquire, timeout=10)
    stop.set()
    await asyncio.to_thread(thread.join, 10)

    assert not thread.is_alive()
    assert ends("shard-9") >= 2
