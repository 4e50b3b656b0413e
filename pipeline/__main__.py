"""
Run the pipeline: `python -m pipeline`. Actors, scheduler, the reader of the outbox, the sweeps over stored
files, and health, in one process.
"""

import asyncio
import threading
from time import monotonic

import structlog
from aiohttp import web
from dramatiq import Worker

from kernel.http.health import ReadyCheck, add_health
from kernel.http.serving import serve
from kernel.http.web import new_app
from kernel.running.logs import configure_logging
from kernel.running.runtime import run
from kernel.running.tasks import WATCH, Watch
from kernel.settings import Settings, load
from kernel.storage.opening import open_tiers
from pipeline.actors import declare, open_brokers
from pipeline.detector import MISSING, is_installed
from pipeline.ledger.sealer import new_sealer, seal_forever
from pipeline.outbox import read_forever
from pipeline.privacy.sweeping import erase_forever
from pipeline.scheduler import Pulse, schedule
from pipeline.sweeps.sweeping import sweep_forever

log = structlog.get_logger(__name__)
POLL_MS = 200  # how long an idle queue is left alone; each look is one write to Redis
PULSE_S = 10.0  # without a turn of the scheduler the process is not ready


async def serve_health(settings: Settings, pulses: dict[str, Pulse], watch: Watch) -> web.AppRunner:
    """
    Serve /livez, /readyz and /metrics on `metrics_port`, with a check of each loop; return the runner.

    What lags while the rest works is said beside that, as `degraded`: it keeps nobody from starting.
    """
    silence_s = PULSE_S + settings.ledger_seal_ms / 1000

    def check_of(name: str, pulse: Pulse) -> ReadyCheck:
        async def turns() -> str | None:
            if pulse.wrong is None and monotonic() - pulse.turned_at > silence_s:
                return f"The {name} has not turned for {silence_s:g} s."
            return pulse.wrong

        return turns

    app = new_app(settings)
    app[WATCH] = watch
    checks = [check_of(name, pulse) for name, pulse in pulses.items()]
    add_health(
        app,
        checks,
        lambda: {
            "warehouse": settings.warehouse,
            "sealsLedger": "sealer" in pulses,
            "degraded": pulses["scheduler"].behind,
        },
    )
    return await serve(app, settings, port=settings.metrics_port)


async def main(stop: asyncio.Event, settings: Settings) -> None:
    """Work until `stop` is set, then let the running jobs finish; queued ones wait in Redis."""
    halt, watch = threading.Event(), Watch()
    stores = open_tiers(settings)
    sealer = new_sealer(settings) if settings.ledger_key_files else None
    names = ["scheduler"] if sealer is None else ["scheduler", "sealer"]
    pulses = {name: Pulse(turned_at=monotonic()) for name in names}
    health = await serve_health(settings, pulses, watch) if settings.metrics_port else None
    brokers = open_brokers(settings, detects=is_installed())
    if brokers.detector is None:
        log.info("detector_not_started", reason=MISSING)
    actors = declare(brokers, settings)
    threads = brokers.with_threads(settings)
    workers = [Worker(broker, worker_threads=count, worker_timeout=POLL_MS) for broker, count in threads]
    for worker in workers:
        worker.start()
    loops = [
        watch.thread("scheduler", lambda: schedule(settings, actors, halt, pulses["scheduler"]), halt),
        watch.thread("outbox", lambda: read_forever(settings, halt), halt),
        watch.thread("sweeps", lambda: sweep_forever(settings, stores, halt), halt),
        watch.thread("erasures", lambda: erase_forever(settings, stores, halt), halt),
    ]
    if sealer is None:
        log.warning("ledger_not_sealed_here", reason="VERITAS_LEDGER_KEY_FILES is not set")
    else:
        loops.append(
            watch.thread("sealer", lambda: seal_forever(settings, sealer, halt, pulses["sealer"]), halt)
        )
    log.info("pipeline_started", threads=settings.pipeline_threads, warehouse=settings.warehouse)
    await stop.wait()
    log.info("pipeline_stopping")
    halt.set()
    for loop in loops:
        await asyncio.to_thread(loop.join)
    for worker in workers:
        await asyncio.to_thread(worker.stop, settings.shutdown_s * 1000)
    for broker, _ in threads:
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
