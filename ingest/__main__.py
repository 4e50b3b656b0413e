"""
Run one ingest process: `python -m ingest`. Several share the port.
"""

from functools import partial

from aiohttp import web

from ingest.app import Part
from ingest.routes import ROUTES
from kernel.http.health import ReadyCheck, add_health
from kernel.http.serving import serve_until
from kernel.http.web import mount, new_app
from kernel.running.runtime import run
from kernel.running.turns import take_precedence
from kernel.settings import Settings


async def build(settings: Settings, stopping: ReadyCheck) -> web.Application:
    """Return ingest's application, ready until it stops."""
    app, part = new_app(settings), Part()
    mount(app, ROUTES)
    part.attach(app)
    add_health(app, [stopping, part.ready], part.level)
    return app


if __name__ == "__main__":
    take_precedence()
    run(partial(serve_until, name="ingest", build=build))
