"""
Serve the core API alone: `python -m core_api`, on `VERITAS_HTTP_PORT`.
"""

from functools import partial

from aiohttp import web

from core_api import app
from kernel.http.health import ReadyCheck
from kernel.http.serving import serve_until
from kernel.running.runtime import run
from kernel.settings import Settings


async def build(settings: Settings, stopping: ReadyCheck) -> web.Application:
    """Return the core API, ready until it stops."""
    return await app.build(settings, checks=[stopping])


if __name__ == "__main__":
    run(partial(serve_until, name="core_api", build=build))
