"""
Who looked at what: `….viewed` events, written beside the request and not in it (spec.md A-6).

Which route shows whose data says its `Route.shows`; `noted` notes the view, which takes microseconds, in
front of the reply. Whoever looks at the same thing again within a while is counted, and told with one event.
One task writes what has gathered, many with one statement.
What a killed process had not written is lost: at most `FLUSH_S` of views. While PostgreSQL does not take them
they wait, and at the bound the view itself is refused: what cannot be recorded is not shown.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from math import inf
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
import structlog
from aiohttp import web

from core_api.actors import Actor, actor_of
from core_api.database import POOL, Pool, system_connection
from core_api.ledger.entries import Entry, Personal, appended, by, record
from core_api.wire import SUBJECT
from kernel.access import Scope
from kernel.errors import OverloadedError, UnavailableError
from kernel.http.web import NOBODY, OWN, SETTINGS, Route, Shows
from kernel.ledger.kinds import VIEWED
from kernel.running.runtime import LEDGER_VIEWS_WAITING
from kernel.running.tasks import WATCH

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.1
EVENTS_PER_STATEMENT: Final = 500
RETRY_S: Final = 1.0
QUERY_CHARS_MAX: Final = 400


class Merged(msgspec.Struct):
    """The views of one person of one thing in a stretch of time: the newest, and how many are not written."""

    entry: Entry
    until: float  # monotonic
    times: int = 0


class Views:
    """The views of one process that wait to be written; at most `waiting_max`, each once in `window_s`."""

    def __init__(self, pool: Pool, *, waiting_max: int, window_s: float = 60.0) -> None:
        self._pool = pool
        self._waiting_max = waiting_max
        self._window_s = window_s
        self._waiting: deque[Entry] = deque()
        self._merged: dict[tuple[object, ...], Merged] = {}
        self._some = asyncio.Event()
        self._stopped = False

    def note(
        self,
        actor: Actor,
        noun: str,
        aggregate_id: object,
        *,
        now: datetime,
        subject_id: UUID | None = None,
        query: str = "",
        **facts: int,
    ) -> None:
        """
        Record that the actor has seen `noun` number `aggregate_id`, as `noun.viewed` with these facts.

        Whoever sees the same again within `window_s` is counted, and one event in the end says how often.

        Raises:
            OverloadedError: as many views wait as may; the caller shows nothing.
        """
        key = (actor.user_id, noun, aggregate_id, subject_id, query, actor.origin, *facts.items())
        known = self._merged.get(key)
        if known is not None and monotonic() < known.until:
            known.times += 1
            return
        if len(self._waiting) >= self._waiting_max:
            raise OverloadedError("Looks cannot be recorded now, so nothing is shown.", retry_after_s=2)
        if len(self._merged) >= self._waiting_max:
            self._settle(next(iter(self._merged.values())).until)
        personal = {"query": Personal(query, actor.user_id)} if query else {}
        entry = by(
            actor, noun + VIEWED, aggregate_id,
            now=now, subject_id=subject_id, detail=facts, personal=personal,
        )  # fmt: skip
        if known is not None:
            self._write_again(self._merged.pop(key))
        self._merged[key] = Merged(entry=entry, until=monotonic() + self._window_s)
        self._waiting.append(entry)
        if not self._some.is_set():
            self._some.set()

    def _write_again(self, merged: Merged) -> None:
        """Let one more event say how often something was seen again."""
        if merged.times:
            detail = {**merged.entry.detail, "times": merged.times}
            self._waiting.append(msgspec.structs.replace(merged.entry, detail=detail))
            self._some.set()

    def _settle(self, now: float) -> None:
        """Write what was seen again in stretches that are over."""
        for key, merged in list(self._merged.items()):
            if merged.until > now:
                break  # in the order of their ends
            del self._merged[key]
            self._write_again(merged)

    async def work(self) -> None:
        """Write what gathers, until `stop`."""
        while not self._stopped:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), self._window_s)
            await asyncio.sleep(FLUSH_S)
            self._settle(monotonic())
            try:
                await self.flush()
            except (UnavailableError, asyncpg.PostgresError) as error:
                log.warning("views_wait", waiting=len(self._waiting), error=error)
                await asyncio.sleep(RETRY_S)

    def stop(self) -> None:
        """Let `work` end after what it is writing."""
        self._stopped = True
        self._settle(inf)
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
                await record(conn, *chunk)
            for _ in chunk:
                self._waiting.popleft()
        self._some.clear()
        LEDGER_VIEWS_WAITING.set(0)


VIEWS: Final = web.AppKey("views", Views)
_IS_NOTED: Final = web.RequestKey("view_is_noted", bool)


def noted(route: Route) -> Route:
    """
    Return the route with a view noted, where it shows somebody's data, before its reply leaves.

    An act is its own record of who saw what it answers; one that changed nothing has left none, and neither
    has a first reply that comes again.
    """
    shows, handler = route.shows, route.handler
    if shows is None or shows in {OWN, NOBODY} or route.action is None:
        return route

    @wraps(handler)
    async def seen(request: web.Request) -> web.StreamResponse:
        with appended() as acts:
            response = await handler(request)
        if not acts and not request.get(_IS_NOTED, False):
            # what a route does not read is no part of what was seen
            note_view(request, shows, "" if route.query is None else request.query_string[:QUERY_CHARS_MAX])
        return response

    return msgspec.structs.replace(route, handler=seen, refuses={OverloadedError: "", **route.refuses})


def note_view(request: web.Request, shows: Shows, query: str = "") -> None:
    """
    Note a view by whoever asks: for `noted`, and for a handler whose reply goes on once it has begun.

    Raises:
        OverloadedError: as many views wait as may; the caller shows nothing.
    """
    request[_IS_NOTED] = True
    actor = actor_of(request)
    if actor.scope is Scope.own and not shows.of_oneself:
        return
    subject = request.match_info.get(shows.subject)
    request.app[VIEWS].note(
        actor,
        shows.noun,
        _canonical(request.match_info.get(shows.by, str(actor.organisation_id))),
        now=datetime.now(UTC),
        subject_id=request.get(SUBJECT) if subject is None else UUID(subject),
        query=query,
    )


def _canonical(text: str) -> str:
    """Return an id of the path, which the handler has read, as events about the same thing have it."""
    return str(int(text)) if text.isdigit() else str(UUID(text))


async def keep_views(app: web.Application) -> AsyncIterator[None]:
    """Record views while the application runs, and write the last ones when it stops; after the pool."""
    settings = app[SETTINGS]
    views = Views(app[POOL], waiting_max=settings.ledger_views_max, window_s=settings.ledger_view_window_s)
    app[VIEWS] = views
    async with app[WATCH].kept(("views", views.work), stop=views.stop):
        yield
    try:
        await views.flush()
    except (UnavailableError, asyncpg.PostgresError):
        log.exception("views_lost")
