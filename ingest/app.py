"""
The ingest application: its parts, its routes, its health. Composed alone (port 8081) or into the one origin.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from ingest.append import Appender, load_functions
from ingest.epochs import Epochs
from ingest.link import RedisLink
from ingest.pressure import Pressure
from ingest.routes import ROUTES, TIER, Tier
from ingest.sessions import Sessions
from kernel.errors import UnavailableError
from kernel.runtime import open_pool
from kernel.settings import Settings
from kernel.tokens import Keyring
from kernel.web import SETTINGS, ReadyCheck, mount

DURABILITY = "synced to the stream's disk before the reply; replication of the stream is asynchronous"


def attach(app: web.Application) -> tuple[list[ReadyCheck], dict[str, Any]]:
    """
    Mount ingest into an application made by `kernel.web.new_app`.

    Returns:
        Readiness checks, and what health says of the durability level.
    """
    parts: dict[str, Any] = {}

    async def lifetime(running: web.Application) -> AsyncIterator[None]:
        settings = running[SETTINGS]
        pool = await open_pool(settings)
        link = RedisLink(settings.redis_url, settings.redis_connections)
        epochs = Epochs(pool, settings.shards)
        sessions = Sessions(pool, link, epochs, settings.shards)
        pressure = Pressure(link, settings)
        running[TIER] = Tier(
            appender=Appender(link, epochs, sessions, settings),
            sessions=sessions,
            pressure=pressure,
            keyring=Keyring.parse(settings.jwt_keys),
            verified={},
        )
        parts.update(link=link, epochs=epochs, pressure=pressure)
        link.open()
        tasks = [asyncio.create_task(task) for task in (epochs.watch(), pressure.watch(), _keep_loaded(link))]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await link.close()
        await pool.close()

    async def admission_open() -> str | None:
        if not parts:
            return "ingest is starting"
        pressure: Pressure = parts["pressure"]
        if pressure.wrong:
            return "; ".join(pressure.wrong)
        closed = parts["epochs"].closed(parts["link"].incarnation)
        return f"shards {closed} are not open: the writer has not reconciled them" if closed else None

    async def say_load(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Ingest-Load"] = str(parts["pressure"].load if parts else 0)

    mount(app, ROUTES)
    app.cleanup_ctx.append(lifetime)
    app.on_response_prepare.append(say_load)
    return [admission_open], {"durability": DURABILITY}


async def _keep_loaded(link: RedisLink) -> None:
    """Load the function library whenever a Redis answers anew."""
    seen = None
    while True:
        await link.connected.wait()
        if link.incarnation != seen:
            try:
                await load_functions(link)
                seen = link.incarnation
            except (UnavailableError, ConnectionError):
                pass
        await asyncio.sleep(1.0)
