"""
The pipeline's jobs, as dramatiq actors on Redis. Three lines each: log, open, call; the work is in the other
modules.

Arguments are lists of ids. Every actor may run twice, late or not at all: what is to be done stands in
PostgreSQL, and the scheduler sends again what was not done.
"""

from collections.abc import Callable
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq.brokers.redis import RedisBroker
from msgspec import Struct

from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.extract import DATABASE_AWAY
from pipeline.jobs import run_job
from pipeline.projections import DirtyRowsTakenError, project_attempts
from pipeline.publications import publish_activity, show_builds
from warehouse.layout import ATTEMPT_ACTIVITY, EVENTS

log = structlog.get_logger(__name__, process="pipeline")  # threads do not inherit what start-up has bound

NAMESPACE: Final = "veritas:pipeline"
PROJECTIONS: Final = "projections"  # queue of what somebody waits for
WAREHOUSE: Final = "warehouse"  # queue of what may take a minute
MESSAGE_AGE_MS: Final = (
    30_000  # older ones have been sent again, and would only follow on the heels of a long job
)


class Actors(Struct, frozen=True):
    """What the scheduler sends to. A broker each, so that a long archive job never keeps projections
    waiting.
    """

    project: "dramatiq.Actor[..., Any]"
    open: "dramatiq.Actor[..., Any]"
    archive: "dramatiq.Actor[..., Any]"
    publish: "dramatiq.Actor[..., Any]"


def open_broker(settings: Settings) -> RedisBroker:
    """Return the broker on the system's Redis, under keys of its own."""
    # CLIENT SETINFO is no command of a tier's.
    client = redis.Redis.from_url(settings.redis_url, driver_info=None)
    return RedisBroker(client=client, namespace=NAMESPACE)  # type: ignore[no-untyped-call]  # dramatiq's own


def declare(projections: dramatiq.Broker, warehouse: dramatiq.Broker, settings: Settings) -> Actors:
    """Register the actors, those that somebody waits for and those that may take a minute, on a broker
    each.
    """
    return Actors(_declare_project(projections, settings), *_declare_warehouse(warehouse, settings))


def _declare_project(broker: dramatiq.Broker, settings: Settings) -> "dramatiq.Actor[..., Any]":
    @dramatiq.actor(
        broker=broker,
        queue_name=PROJECTIONS,
        max_retries=5,
        min_backoff=500,
        max_backoff=15_000,
        time_limit=120_000,
        throws=(DirtyRowsTakenError,),
    )
    def project(attempt_ids: list[str]) -> None:
        """Recompute the attempts' rows."""
        log.debug("projection_started", attempts=len(attempt_ids))
        done = project_attempts(settings, attempt_ids)
        log.info("attempts_projected", attempts=done)

    return project


def _declare_warehouse(broker: dramatiq.Broker, settings: Settings) -> "tuple[dramatiq.Actor[..., Any], ...]":
    def declared(time_limit_s: int) -> "Callable[[Callable[[], None]], dramatiq.Actor[..., Any]]":
        return dramatiq.actor(
            broker=broker,
            queue_name=WAREHOUSE,
            max_retries=0,
            max_age=MESSAGE_AGE_MS,
            time_limit=time_limit_s * 1000,
            throws=DATABASE_AWAY,
        )

    @declared(600)
    def open() -> None:  # noqa: A001  the job's name
        """Publish what was never published, empty, and the catalogue."""
        run_job(settings, "open", lambda: show_builds(settings))

    @declared(3_600)
    def archive() -> None:
        """Append what is new to the events archive."""
        run_job(settings, "archive", lambda: _archive(settings))

    @declared(600)
    def publish() -> None:
        """Publish the exams whose attempts were projected."""
        run_job(settings, "publish", lambda: _publish(settings))

    return open, archive, publish


def _archive(settings: Settings) -> None:
    rows = archive_events(settings)
    if rows is not None:
        show_builds(settings, [EVENTS.name])
        log.info("events_archived", rows=rows)


def _publish(settings: Settings) -> None:
    partitions = publish_activity(settings)
    if partitions:
        show_builds(settings, [ATTEMPT_ACTIVITY.name])
        log.info("activity_published", partitions=partitions)
