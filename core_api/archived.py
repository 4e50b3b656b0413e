"""
Events that retention has left to the archive alone, for whoever asks about a session (spec.md W-2).

The archive is read, and Polars loaded, in a thread of lower priority; so many questions at a time, the others
are told to retry.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import structlog

from core_api.database import Connection
from kernel.errors import OverloadedError, UnavailableError
from kernel.running.threads import give_way
from kernel.settings import Settings
from sql import named

if TYPE_CHECKING:
    from warehouse.archived import Extent

T = TypeVar("T")

log = structlog.get_logger(__name__)

QUERIES: Final = named("gone_events")
RETRY_AFTER_S: Final = 2
ALTERED_RETRY_S: Final = 3600
WAITING_MAX: Final = 16  # questions of a process
_WAITING: Final = threading.BoundedSemaphore(WAITING_MAX)
_WORKER: Final = ThreadPoolExecutor(2, "archived", initializer=give_way)  # begins its threads when it is used


class Gone(msgspec.Struct, frozen=True):
    """The sessions of a question whose events up to a sequence are in the archive alone, by number."""

    through: dict[int, int]
    rows: Sequence[Any]

    def extents(self) -> "list[Extent]":
        """Return where their events are."""
        from warehouse.archived import Extent  # noqa: PLC0415  as below

        return [Extent(**row) for row in self.rows]


async def gone_of(conn: Connection, session_ids: Sequence[int]) -> Gone:
    """Return those of the sessions whose events are in the archive alone; mostly none."""
    rows = await conn.fetch(QUERIES["list_gone"], list(session_ids))
    return Gone({row["session_id"]: row["through_seq"] for row in rows}, rows)


async def page(
    settings: Settings,
    gone: Gone,
    session_id: int,
    limit: int,
    *,
    newest: bool = False,
    **which: Any,  # noqa: ANN401
) -> list[dict[str, Any]]:
    """Return the first or the newest so many archived events of a session, by `warehouse.archived.Filter`."""

    def work(root: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        from warehouse.archived import Filter, page  # noqa: PLC0415

        [extent] = [each for each in gone.extents() if each.session_id == session_id]
        return page(root, extent, Filter(**which), limit, newest=newest)

    return await ask(settings, work)


async def timeline(
    settings: Settings, gone: Gone, since: datetime, before: datetime, width: timedelta
) -> list[dict[str, Any]]:
    """Return counts of archived events by bucket, type and severity."""

    def work(root: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        from warehouse.archived import timeline  # noqa: PLC0415

        return timeline(root, gone.extents(), since, before, width)

    return await ask(settings, work)


async def told(
    settings: Settings, gone: Gone, types: Sequence[int], ended_at: datetime | None
) -> list[dict[str, Any]]:
    """Return the archived events of the only session that rules may be about."""

    def work(root: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        from warehouse.archived import told  # noqa: PLC0415

        return told(root, gone.extents()[0], types, ended_at)

    return await ask(settings, work)


async def by_type(settings: Settings, gone: Gone) -> dict[int, int]:
    """Return how many archived events of each type the only session has."""

    def work(root: Any) -> dict[int, int]:  # noqa: ANN401
        from warehouse.archived import by_type  # noqa: PLC0415

        return by_type(root, gone.extents()[0])

    return await ask(settings, work)


async def ask(settings: Settings, work: Callable[[Any], T]) -> T:
    """
    Do what reads the archive, given its root, in a thread.

    Raises:
        OverloadedError: too many wait.
        UnavailableError: it cannot be read.
    """
    if not _WAITING.acquire(blocking=False):
        raise OverloadedError("The archive is being read by many; try again.", retry_after_s=RETRY_AFTER_S)
    doing = _WORKER.submit(_done, settings, work)
    doing.add_done_callback(lambda _: _WAITING.release())
    return await asyncio.wrap_future(doing)


def _done(settings: Settings, work: Callable[[Any], T]) -> T:
    from polars.exceptions import PolarsError  # noqa: PLC0415  who asks nothing of it loads no Polars

    from warehouse.builds import CorruptBuildError  # noqa: PLC0415
    from warehouse.files import ROOT_FAILS, open_root  # noqa: PLC0415
    from warehouse.layout import LayoutError  # noqa: PLC0415

    try:
        return work(open_root(settings.warehouse, settings))
    except CorruptBuildError as error:
        log.exception("archive_altered")
        raise UnavailableError(
            "The archive of these events is not what was written; nothing of it is shown until it is mended.",
            retry_after_s=ALTERED_RETRY_S,
        ) from error
    except (*ROOT_FAILS, LayoutError, PolarsError) as error:
        log.exception("archive_unreadable")
        raise UnavailableError("The archive cannot be read.", retry_after_s=RETRY_AFTER_S) from error
