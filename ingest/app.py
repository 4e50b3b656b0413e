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
from ingest.meter import Meter
from ingest.pressure import Pressure
from ingest.routes import TIER, Tier
from ingest.sessions import Sessions
from kernel.errors import UnavailableError
from kernel.revocation import REVOCATIONS, attach_revocations
from kernel.runtime import open_pool
from kernel.tokens import Keyring
from kernel.web import SETTINGS

DURABILITY = "synced to the stream's disk before the reply; replication of the stream is asynchronous"


class Part:
    """
    Ingest as a part of an application: readiness and health before it starts, its own things while it runs.
    """

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._link: RedisLink | None = None
        self._epochs: Epochs | None = None
        self._pressure: Pressure | None = None

    def attach(self, app: web.Application) -> None:
        """Let the application carry ingest; whoever composes it mounts `ingest.routes.ROUTES`."""
        attach_revocations(app)
        app.cleanup_ctx.append(self._lifetime)
        app.on_response_prepare.append(self._say_load)

    async def ready(self) -> str | None:
        """Return what keeps admission closed, or None."""
        if self._link is None or self._epochs is None or self._pressure is None:
            return "ingest is starting"
        if self._pressure.wrong:
            return "; ".join(self._pressure.wrong)
        closed = self._epochs.closed(self._link.incarnation)
        if not closed:
            return None
        self._epochs.doubt()
        return f"shards {closed} are not open: the writer has not reconciled them"

    def level(self) -> dict[str, Any]:
        """Return what health says of durability and load."""
        return {"durability": DURABILITY, "load": self._pressure.load if self._pressure else 0}

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        settings = app[SETTINGS]
        pool = await open_pool(settings, settings.ingest_database_url or settings.database_url)
        self._link = link = RedisLink(
            settings.redis_url, settings.redis_connections, settings.append_deadline_s
        )
        self._epochs = epochs = Epochs(pool, settings.shards)
        self._pressure = pressure = Pressure(link, settings)
        sessions = Sessions(pool, link, epochs, settings.shards)
        app[TIER] = Tier(
            appender=Appender(link, epochs, sessions, settings),
            sessions=sessions,
            pressure=pressure,
            meter=Meter(settings.sender_bytes_per_s, settings.sender_burst_bytes),
            keyring=Keyring.parse(settings.jwt_keys),
            verified={},
            revocations=app[REVOCATIONS],
        )
        link.open()
        tasks = [asyncio.create_task(task) for task in (epochs.watch(), pressure.watch(), _keep_loaded(link))]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await link.close()
        await pool.close()

    async def _say_load(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Ingest-Load"] = str(self._pressure.load if self._pressure else 0)


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
