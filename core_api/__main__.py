"""
Serve the core API alone: `python -m core_api`, on `VERITAS_HTTP_PORT`.
"""

import asyncio

import structlog

from core_api.app import build
from kernel.http.serving import serve
from kernel.running.logs import configure_logging
from kernel.running.runtime import run
from kernel.settings import load


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop, then let what runs finish."""
    settings = load()
    configure_logging("core_api", settings.log_level)
    log = structlog.get_logger("core_api")

    async def stopping() -> str | None:
        return "the process is stopping" if stop.is_set() else None

    runner = await serve(await build(settings, checks=[stopping]), settings)
    log.info("serving", host=settings.http_host, port=settings.http_port)
    await stop.wait()
    await runner.cleanup()
    log.info("stopped")


if __name__ == "__main__":
    run(main)
