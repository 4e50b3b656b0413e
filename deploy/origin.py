"""
The one origin: the core API and ingest in one application, so that a browser needs a single address.

`python -m deploy.origin`. High-rate clients use the ingest processes' own port beside it; the routes are the
same.
"""

from functools import partial

from aiohttp import web

from core_api import app
from ingest.app import Part
from ingest.routes import ROUTES
from kernel.http.health import ReadyCheck
from kernel.http.serving import serve_until
from kernel.running.runtime import run
from kernel.settings import Settings


async def build(settings: Settings, stopping: ReadyCheck) -> web.Application:
    """Return the core API with ingest beside it, ready until it stops."""
    part = Part()
    both = await app.build(settings, beside=ROUTES, checks=[stopping, part.ready], level=part.level)
    part.attach(both)
    return both


if __name__ == "__main__":
    run(partial(serve_until, name="origin", build=build))
