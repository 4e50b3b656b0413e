"""
Run one ingest process: `python -m ingest`. Several share the port.
"""

import asyncio

import structlog

from ingest.app import Part
from ingest.routes import ROUTES
from kernel.http.serving import serve
from kernel.http.web import add_health, mount, new_app
from kernel.running.logs import configure_logging
from kernel.running.runtime import run
from kernel.running.turns import take_precedence
from kernel.settings import load

log = structlog.get_logger(__name__)


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop; then take no new connection, finish what is under way, and leave."""
    settings = load()
    configure_logging("ingest", settings.log_level)
    app, part = new_app(settings), Part()
    mount(app, ROUTES)
    part.attach(app)

    async def stopping() -> str | None:
        return "the process is stopping" if stop.is_set() else None

    add_health(app, [stopping, part.ready], part.level)
    runner = await serve(app, settings)
    log.info("ingest_listening", host=settings.http_host, port=settings.http_port)
    await stop.wait()
    await runner.cleanup()
    log.info("ingest_stopped")


if __name__ == "__main__":
    take_precedence()
    run(main)
