"""
The ingest application: its parts, its routes, its health. Composed alone (port 8081) or into the one origin.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Final

import asyncpg
from aiohttp import web

from ingest.appending.append import Appender, load_functions
from ingest.appending.epochs import Epochs
from ingest.appending.pressure import Pressure
from ingest.appending.sessions import Sessions
from ingest.receiving import LOAD, TIER, Tier
from ingest.stream.link import RedisLink
from kernel.errors import UnavailableError
from kernel.http.origins import attach_origins
from kernel.http.web import SETTINGS
from kernel.meter import Meter
from kernel.postgres import AWAY, open_pool
from kernel.revocation import REVOCATIONS, attach_revocations
from kernel.running.tasks import WATCH
from kernel.tokens import Keyring
from sql import named

SETTLE_S: Final = 5.0  # for which shards that have closed are waited for
DURABILITY: Final = "synced to the stream's disk before the reply; replication of the stream is asynchronous"


class Part:
    """
    Ingest as a part of an application: readiness and health before it starts, its own things while it runs.
    """

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._link: RedisLink | None = None
        self._epochs: Epochs | None = None
        self._pressure: Pressure | None = None
        self._shards = 0
        self._closed_since: float | None = None
        self._asked_at = 0.0

    def attach(self, app: web.Application) -> None:
        """Let the application carry ingest; whoever composes it mounts `ingest.routes.ROUTES`."""
        attach_revocations(app)
        app.cleanup_ctx.append(self._lifetime)
        attach_origins(app, self._changed_origins, AWAY)
        app.on_response_prepare.append(self._say_load)

    async def ready(self) -> str | None:
        """
        Return what keeps admission closed, or None.

        One shard's trouble takes no tier from its load balancer, for the neighbours' requests would go with
        it: shards that stopped or shed are told in `level`, and so is one that stays closed. For SETTLE_S
        after shards have closed (a start, another Redis) all of them are waited for.
        """
        if self._link is None or self._epochs is None or self._pressure is None:
            return "ingest is starting"
        if self._pressure.wrong:
            return "; ".join(self._pressure.wrong)
        closed = self._epochs.closed(self._link.incarnation)
        if not closed:
            self._closed_since = None
            return None
        self._epochs.doubt()
        now = monotonic()
        if self._closed_since is None or now - self._asked_at > SETTLE_S:  # nobody saw what was in between
            self._closed_since = now
        self._asked_at = now
        if len(closed) < self._shards and now - self._closed_since > SETTLE_S:
            return None
        return f"shards {closed} are not open: the writer has not reconciled them"

    def level(self) -> dict[str, Any]:
        """
        Return what health says of durability and load.

        `load` is the highest of the shards', `loads` are all of them; `degraded` tells of each shard that is
        closed, stopped or shedding.
        """
        if self._link is None or self._epochs is None or self._pressure is None:
            return {"durability": DURABILITY, "load": 0, "loads": [], "degraded": []}
        closed = self._epochs.closed(self._link.incarnation)
        stopped, shedding = self._epochs.stopped, self._pressure.shedding()
        degraded = [f"shard {shard} is closed: its writer has not reconciled it" for shard in closed]
        degraded += [
            f"shard {shard} is stopped, what it takes waits in the stream: {why}"
            for shard, why in sorted(stopped.items())
        ]
        degraded += [
            f"shard {shard} sheds all but heartbeats and severities of 3 and more: {why}"
            for shard, why in shedding.items()
        ]
        return {
            "durability": DURABILITY,
            "load": max(self._pressure.loads),
            "loads": self._pressure.loads,
            "degraded": degraded,
        }

    async def _changed_origins(self, since: datetime) -> Sequence[Any]:
        assert self._pool is not None, "asked only while it runs"
        return await self._pool.fetch(named("origins")["list_changed"], since)

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        settings = app[SETTINGS]
        self._shards = settings.shards
        self._pool = pool = await open_pool(settings, settings.ingest_database_url or settings.database_url)
        self._link = link = RedisLink(
            settings.ingest_redis_url or settings.redis_url,
            settings.redis_connections,
            settings.append_deadline_s,
        )
        self._epochs = epochs = Epochs(pool, settings.shards)
        self._pressure = pressure = Pressure(link, epochs, settings)
        unknown = Meter(
            settings.unknown_attempts_per_s,
            settings.unknown_attempts_burst,
            refusal="The account asks for too many attempts that do not exist; nothing was stored.",
        )
        sessions = Sessions(pool, link, epochs, settings.shards, unknown)
        app[TIER] = Tier(
            appender=Appender(link, epochs, sessions, settings),
            sessions=sessions,
            pressure=pressure,
            meter=Meter(
                settings.sender_bytes_per_s,
                settings.sender_burst_bytes,
                refusal="The candidate sends more bytes than it may; nothing was stored.",
            ),
            strangers=Meter(
                settings.unknown_beacons_per_s,
                settings.unknown_beacons_burst,
                refusal="Too many batches of nobody known come from this address; nothing was stored.",
            ),
            keyring=Keyring.parse(settings.jwt_keys),
            verified={},
            beacons={},
            revocations=app[REVOCATIONS],
        )
        loops = [
            *link.loops(),
            ("epochs", epochs.watch),
            ("pressure", pressure.watch),
            ("functions", lambda: _keep_loaded(link)),
        ]
        async with pool, app[WATCH].kept(*loops):
            yield

    async def _say_load(self, request: web.Request, response: web.StreamResponse) -> None:
        load = request.get(LOAD)
        if load is None:
            load = self._pressure.least if self._pressure else 0
        response.headers["X-Ingest-Load"] = str(load)


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
