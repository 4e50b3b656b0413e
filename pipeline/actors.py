"""
The pipeline's jobs, as dramatiq actors on Redis. Three lines each: log, open, call; the work is in the other
modules.

They have no arguments. Every actor may run twice, late or not at all: what is to be done stands in
PostgreSQL, and the scheduler wakes somebody again while something is.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq.brokers.redis import RedisBroker
from msgspec import Struct

from kernel.settings import Settings
from pipeline.archive import archive_events
from pipeline.detector.turns import detect as look_at_due
from pipeline.extract import DATABASE_AWAY
from pipeline.fold import connect_to_fold
from pipeline.fold import fold as fold_due
from pipeline.jobs import DETECT, run_job
from pipeline.projections.projection import Layer
from pipeline.projections.turns import OWN
from pipeline.projections.turns import project as project_due
from pipeline.publications import publish_marked, show_builds
from sql.running import Connection
from warehouse.datasets.events import EVENTS

log = structlog.get_logger(__name__, process="pipeline")  # threads do not inherit what start-up has bound

NAMESPACE: Final = "veritas:pipeline"
FOLDS: Final = "folds"  # queue of what somebody waits for
PROJECTIONS: Final = "projections"  # queue of attempts' and students' own numbers
COHORTS: Final = "cohorts"  # queue of exams' numbers
WAREHOUSE: Final = "warehouse"  # queue of what may take a minute
DETECTOR: Final = "detector"  # queue of what looks at pictures
DETECT_S: Final = 60.0  # that a worker looks before it looks for another message
FOLD_S: Final = 10.0  # that a worker folds, or projects, before it looks for another message
MESSAGE_AGE_MS: Final = (
    30_000  # older ones have been sent again, and would only follow on the heels of a long job
)


class Actors(Struct, frozen=True):
    """What the scheduler sends to. A broker for each queue: a long job never keeps the fold waiting."""

    fold: "dramatiq.Actor[..., Any]"
    project: "dramatiq.Actor[..., Any]"
    cohorts: "dramatiq.Actor[..., Any]"
    open: "dramatiq.Actor[..., Any]"
    archive: "dramatiq.Actor[..., Any]"
    publish: "dramatiq.Actor[..., Any]"
    detect: "dramatiq.Actor[..., Any] | None" = None  # where the face detector is installed


class Connections(dramatiq.Middleware):
    """A connection of each worker thread's own, kept from one message to the next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = threading.local()

    @contextmanager
    def held(self) -> Iterator[Connection]:
        """Yield the thread's; after an error the next one is a new one."""
        conn: Connection | None = getattr(self._own, "conn", None)
        if conn is None or conn.closed:
            self._own.conn = conn = connect_to_fold(self._settings)
        try:
            yield conn
        except BaseException:
            conn.close()
            raise

    def before_worker_thread_shutdown(self, broker: dramatiq.Broker, thread: object) -> None:
        """Close the thread's."""
        del broker, thread
        if (conn := getattr(self._own, "conn", None)) is not None:
            conn.close()


def open_broker(settings: Settings) -> RedisBroker:
    """Return the broker on the system's Redis, under keys of its own."""
    # CLIENT SETINFO is no command of a tier's.
    client = redis.Redis.from_url(settings.redis_url, driver_info=None)
    return RedisBroker(client=client, namespace=NAMESPACE)  # type: ignore[no-untyped-call]  # dramatiq's own


class Brokers(Struct, frozen=True):
    """A broker for each queue; of the face detector where that is installed."""

    folds: RedisBroker
    projections: RedisBroker
    cohorts: RedisBroker
    warehouse: RedisBroker
    detector: RedisBroker | None

    def with_threads(self, settings: Settings) -> list[tuple[RedisBroker, int]]:
        """Return those that there are, each with how many threads work for it."""
        of_folds, others = (
            settings.pipeline_threads,
            (self.projections, self.cohorts, self.warehouse, self.detector),
        )
        return [(self.folds, of_folds), *((each, 1) for each in others if each is not None)]


def open_brokers(settings: Settings, *, detects: bool) -> Brokers:
    """Return brokers on the system's Redis, with the face detector's or without."""
    return Brokers(
        folds=open_broker(settings),
        projections=open_broker(settings),
        cohorts=open_broker(settings),
        warehouse=open_broker(settings),
        detector=open_broker(settings) if detects else None,
    )


def declare(brokers: Brokers, settings: Settings) -> Actors:
    """Register the actors, each on the broker of its queue."""
    opens, archive, publish = _declare_warehouse(brokers.warehouse, settings)
    detector = brokers.detector
    return Actors(
        fold=_declare_fold(brokers.folds, settings),
        project=_declare_projecting(brokers.projections, PROJECTIONS, OWN, 120, settings),
        cohorts=_declare_projecting(brokers.cohorts, COHORTS, (Layer.exam,), 3_600, settings),
        open=opens,
        archive=archive,
        publish=publish,
        detect=None if detector is None else _declare_detector(detector, settings),
    )


def waiting(actor: "dramatiq.Actor[..., Any]") -> int:
    """Return how many messages wait in an actor's queue, without those that a worker has fetched."""
    broker = actor.broker
    assert isinstance(broker, RedisBroker), "open_broker makes no other"
    return int(broker.client.llen(f"{NAMESPACE}:{actor.queue_name}"))


def _declare_fold(broker: dramatiq.Broker, settings: Settings) -> "dramatiq.Actor[..., Any]":
    connections = Connections(settings)
    broker.add_middleware(connections)

    @dramatiq.actor(
        broker=broker,
        queue_name=FOLDS,
        max_retries=0,
        max_age=MESSAGE_AGE_MS,
        time_limit=120_000,
        throws=DATABASE_AWAY,
    )
    def fold() -> None:
        """Fold what is due."""
        with connections.held() as conn:
            sessions = fold_due(conn, settings, seconds_max=FOLD_S)
        log.info("sessions_folded", sessions=sessions)

    return fold


def _declare_projecting(
    broker: dramatiq.Broker, queue: str, layers: Sequence[Layer], time_limit_s: int, settings: Settings
) -> "dramatiq.Actor[..., Any]":
    @dramatiq.actor(
        broker=broker,
        actor_name=queue,
        queue_name=queue,
        max_retries=0,
        max_age=MESSAGE_AGE_MS,
        time_limit=time_limit_s * 1000,
        throws=DATABASE_AWAY,
    )
    def projecting() -> None:
        """Compute what is due in these layers."""
        keys = project_due(settings, layers, seconds_max=FOLD_S)
        log.info("keys_projected", queue=queue, keys=keys)

    return projecting


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
        """Publish the partitions whose rows have changed."""
        run_job(settings, "publish", lambda: _publish(settings))

    return open, archive, publish


def _declare_detector(broker: dramatiq.Broker, settings: Settings) -> "dramatiq.Actor[..., Any]":
    @dramatiq.actor(
        broker=broker,
        queue_name=DETECTOR,
        max_retries=0,
        max_age=MESSAGE_AGE_MS,
        time_limit=3_600_000,
        throws=DATABASE_AWAY,
    )
    def detect() -> None:
        """Look at photographs and videos."""
        run_job(settings, DETECT, lambda: _detect(settings))

    return detect


def _detect(settings: Settings) -> None:
    pieces = look_at_due(settings, seconds_max=DETECT_S)
    if pieces:
        log.info("evidence_looked_at", pieces=pieces)


def _archive(settings: Settings) -> None:
    rows = archive_events(settings)
    if rows is not None:
        _show(settings, [EVENTS.name])
        log.info("events_archived", rows=rows)


def _publish(settings: Settings) -> None:
    partitions = publish_marked(settings)
    if partitions:
        _show(settings, partitions)
        log.info("datasets_published", partitions=partitions)


def _show(settings: Settings, names: Iterable[str]) -> None:
    """
    Show what was published. Where that fails it is `open` that fails, and is tried again: the work itself is
    done, and nobody would be sent for it.
    """
    run_job(settings, "open", lambda: show_builds(settings, names))
