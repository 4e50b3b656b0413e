"""
Who looked at what: `….viewed` events, written beside the request and not in it (spec.md A-6).

A handler notes a view, which takes microseconds; one task writes what has gathered, many with one statement.
What a killed process had not written is lost: at most `FLUSH_S` of views. While PostgreSQL does not take them
they wait, and at the bound the view itself is refused: what cannot be recorded is not shown.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from aiohttp import web

from core_api.actors import Actor
from core_api.database import POOL, Pool, system_connection
from core_api.ledger import Entry, append_all, by
from kernel.errors import OverloadedError, UnavailableError
from kernel.runtime import LEDGER_VIEWS_WAITING
from kernel.tasks import WATCH
from kernel.web import SETTINGS

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.1
EVENTS_PER_STATEMENT: Final = 500
RETRY_S: Final = 1.0


class Views:
    """The views of one process that wait to be written; at most `waiting_max`."""

    def __init__(self, pool: Pool, *, waiting_max: int) -> None:
        self._pool = pool
        self._waiting_max = waiting_max
        self._waiting: deque[Entry] = deque()
        self._some = asyncio.Event()
        self._stopped = False

    def note(
        self, actor: Actor, noun: str, aggregate_id: object, *, now: datetime, subject_id: UUID | None = None
    ) -> None:
        """
        Record that the actor has seen `noun` number `aggregate_id`, as `noun.viewed`.

        Raises:
            OverloadedError: as many views wait as may; the caller shows nothing.
        """
        if len(self._waiting) >= self._waiting_max:
            raise OverloadedError("Views cannot be recorded at the moment.", retry_after_s=2)
        self._waiting.append(by(actor, f"{noun}.viewed", noun, aggregate_id, now=now, subject_id=subject_id))
        if not self._some.is_set():
            self._some.set()

    async def work(self) -> None:
        """Write what gathers, until `stop`."""
        while not self._stopped:
            await self._some.wait()
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except (UnavailableError, asyncpg.PostgresError) as error:
                log.warning("views_wait", waiting=len(self._waiting), error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    def stop(self) -> None:
        """Let `work` end after what it is writing."""
        self._stopped = True
        self._some.set()

    async def flush(self) -> None:
        """
        Write everything that waits; what was not written still waits after an error.

        A connection lost in the middle of a commit may leave a view twice: it was seen, and is never missing.
        """
        while self._waiting:
            LEDGER_VIEWS_WAITING.set(len(self._waiting))
            chunk = [self._waiting[n] for n in range(min(EVENTS_PER_STATEMENT, len(self._waiting)))]
            async with system_connection(self._pool) as conn:
                await append_all(conn, chunk)
            for _ in chunk:
                self._waiting.popleft()
        self._some.clear()
        LEDGER_VIEWS_WAITING.set(0)


VIEWS: Final = web.AppKey("views", Views)


async def keep_views(app: web.Application) -> AsyncIterator[None]:
    """Record views while the application runs, and write the last ones when it stops; after the pool."""
    views = Views(app[POOL], waiting_max=app[SETTINGS].ledger_views_max)
    app[VIEWS] = views
    async with app[WATCH].kept(("views", views.work), stop=views.stop):
        yield
    try:
        await views.flush()
    except (UnavailableError, asyncpg.PostgresError):
        log.exception("views_lost")
