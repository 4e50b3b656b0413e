"""Run the writer: `python -m ingest.writer`. One thread a shard, one owner a shard, plus the sweeps."""

import asyncio
import threading
from collections.abc import Callable

import structlog

from ingest.writer.owner import Owner, sweep
from kernel.http.health import add_health
from kernel.http.serving import serve
from kernel.http.web import new_app
from kernel.running.logs import configure_logging
from kernel.running.runtime import run, share_one_heap
from kernel.running.tasks import WATCH
from kernel.settings import load

log = structlog.get_logger(__name__)


async def main(stop: asyncio.Event) -> None:
    """Start the threads, serve health, and wait for the end; a batch under way is finished."""
    settings = load()
    configure_logging("writer", settings.log_level)
    share_one_heap()
    ending = threading.Event()
    turns = threading.Semaphore(settings.writer_parallel)
    owners = [Owner(shard, settings, ending, turns) for shard in range(settings.shards)]
    bodies: list[tuple[str, Callable[[], None]]] = [(f"shard-{owner.shard}", owner.run) for owner in owners]
    bodies.append(("sweeps", lambda: sweep(owners, settings, ending)))
    app = new_app(settings)
    threads = [app[WATCH].thread(name, body, ending) for name, body in bodies]

    async def shards_fine() -> str | None:
        wrong = [f"shard {owner.shard}: {owner.wrong}" for owner in owners if owner.wrong is not None]
        return "; ".join(wrong) or None

    add_health(
        app, [shards_fine], lambda: {"owned": [owner.shard for owner in owners if owner.epoch is not None]}
    )
    runner = await serve(app, settings, port=settings.metrics_port) if settings.metrics_port else None
    log.info("writer_started", shards=settings.shards)
    await stop.wait()
    ending.set()
    for thread in threads:
        await asyncio.to_thread(thread.join, settings.shutdown_s)
    if runner is not None:
        await runner.cleanup()
    log.info("writer_stopped")


if __name__ == "__main__":
    run(main)
