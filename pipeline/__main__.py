"""Run the pipeline: `python -m pipeline`. The actors' threads, the scheduler, and health, in one process."""

import asyncio
import threading
from time import monotonic

import structlog
from aiohttp import web
from dramatiq import Worker

from kernel.runtime import configure_logging, run
from kernel.settings import Settings, load
from kernel.web import add_health, new_app, serve
from pipeline.actors import declare, open_broker
from pipeline.publications import open_warehouse
from pipeline.scheduler import Pulse, schedule

log = structlog.get_logger(__name__)
POLL_MS = 200  # how long an idle queue is left alone; each look is one write to Redis
PULSE_S = 10.0  # without a turn of the scheduler the process is not ready


async def serve_health(settings: Settings, pulse: Pulse) -> web.AppRunner:
    """Serve /livez, /readyz and /metrics on `metrics_port`; return the runner."""

    async def scheduler_turns() -> str | None:
        if pulse.wrong is None and monotonic() - pulse.turned_at > PULSE_S:
            return f"The scheduler has not turned for {PULSE_S:g} s."
        return pulse.wrong

    app = new_app(settings)
    add_health(app, [scheduler_turns], lambda: {"warehouse": settings.warehouse})
    return await serve(app, settings, port=settings.metrics_port)


async def main(stop: asyncio.Event, settings: Settings) -> None:
    """Work until `stop` is set, then let the running jobs finish; queued ones wait in Redis."""
    pulse, halt = Pulse(turned_at=monotonic()), threading.Event()
    health = await serve_health(settings, pulse) if settings.metrics_port else None
    await asyncio.to_thread(open_warehouse, settings)
    projections, warehouse = open_broker(settings), open_broker(settings)
    actors = declare(projections, warehouse, settings)
    workers = [
        Worker(projections, worker_threads=settings.pipeline_threads, worker_timeout=POLL_MS),
        Worker(warehouse, worker_threads=1, worker_timeout=POLL_MS),
    ]
    for worker in workers:
        worker.start()
    scheduler = threading.Thread(target=schedule, args=(settings, actors, halt, pulse), name="scheduler")
    scheduler.start()
    log.info("pipeline_started", threads=settings.pipeline_threads, warehouse=settings.warehouse)
    await stop.wait()
    log.info("pipeline_stopping")
    halt.set()
    await asyncio.to_thread(scheduler.join)
    for worker in workers:
        await asyncio.to_thread(worker.stop, settings.shutdown_s * 1000)
    for broker in (projections, warehouse):
        broker.close()
    if health is not None:
        await health.cleanup()
    log.info("pipeline_stopped")


def start() -> None:
    """Run until SIGTERM."""
    settings = load()
    configure_logging("pipeline", settings.log_level)
    run(lambda stop: main(stop, settings))


if __name__ == "__main__":
    start()
