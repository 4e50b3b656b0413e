"""
The one origin: the core API and ingest in one application, so that a browser needs a single address.

`python -m deploy.origin`. High-rate clients use the ingest processes' own port beside it; the routes are the
same.
"""

import asyncio

import structlog

from core_api.app import build
from ingest.app import Part
from ingest.routes import ROUTES
from kernel.http.serving import serve
from kernel.running.logs import configure_logging
from kernel.running.runtime import run
from kernel.settings import load

log = structlog.get_logger(__name__)


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop; then finish what is under way."""
    settings = load()
    configure_logging("origin", settings.log_level)
    part = Part()

    async def stopping() -> str | None:
        return "the process is stopping" if stop.is_set() else None

    app = await build(settings, beside=ROUTES, checks=[stopping, part.ready], level=part.level)
    part.attach(app)
    runner = await serve(app, settings)
    log.info("origin_listening", host=settings.http_host, port=settings.http_port)
    await stop.wait()
    await runner.cleanup()
    log.info("origin_stopped")


if __name__ == "__main__":
    run(main)
