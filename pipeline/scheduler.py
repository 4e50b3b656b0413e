"""
The scheduler: gathers what was touched into what is due, and wakes workers while something is. One leader at
a time, by advisory lock.

It decides nothing that must survive it: claims, marks and watermarks stand in PostgreSQL, and who works on
what is settled there. A message says no more than that there is work.
"""

import threading
from collections.abc import Iterator
from time import monotonic, time
from typing import Any, Final

import dramatiq
import psycopg
import structlog
from dramatiq.errors import DramatiqError
from msgspec import Struct, field
from redis.exceptions import RedisError

from kernel.running.runtime import FOLD_LAG, PROJECTION_LAG
from kernel.settings import Settings
from pipeline.actors import Actors, waiting
from pipeline.jobs import behind, failing_jobs
from pipeline.projections.projection import Layer
from pipeline.projections.registry import PUBLISHED
from pipeline.projections.turns import KEYS_MAX, OWN
from sql import named
from sql.running import Connection, connect, one, run

log = structlog.get_logger(__name__, process="pipeline")

FOLDS: Final = named("folds")
TURNS: Final = named("turns")
WATERMARKS: Final = named("watermarks")
DETECTIONS: Final = named("detections")
DUE_MAX: Final = 20_000  # sessions that are counted
WAKES_MAX: Final = 64  # messages that wait for a worker
BACK_OFF_S: Final = 1.0


class Pulse(Struct):
    """
    What readiness looks at: when the loop last went round without an error, and what went wrong since;
    `behind` is what works and lags, in words.
    """

    turned_at: float = 0.0
    wrong: str | None = None
    behind: list[str] = field(default_factory=list)


def schedule(settings: Settings, actors: Actors, stop: threading.Event, pulse: Pulse) -> None:
    """Lead, or wait to, until `stop` is set. Errors of PostgreSQL and Redis are logged and waited out."""
    while not stop.is_set():
        try:
            # Never prepared: a plan that was made while a queue was empty is quadratic once it is not.
            with connect(settings.database_url, prepare_threshold=None) as conn:
                while not stop.is_set() and not one(conn, WATERMARKS["try_lead"]):
                    pulse.turned_at, pulse.wrong, pulse.behind = monotonic(), None, []  # the leader says it
                    stop.wait(BACK_OFF_S)
                log.info("scheduler_leads")
                _lead(conn, settings, actors, stop, pulse)
        except (psycopg.Error, RedisError, DramatiqError) as error:
            pulse.wrong = f"The scheduler cannot work: {type(error).__name__}."
            log.warning("scheduler_waits", error=error)
            stop.wait(BACK_OFF_S)


def gather(conn: Connection, settings: Settings) -> tuple[int, int]:
    """
    Gather what was touched and whose time has come.

    Returns:
        How many touches were gathered, up to `fold_gather_rows`, and how many sessions are due, up to
        DUE_MAX.
    """
    rows = one(conn, FOLDS["gather_touched"], settings.fold_gather_rows, settings.fold_heartbeats_s)
    run(conn, FOLDS["gather_woken"])
    sessions, since = run(conn, FOLDS["read_due"], DUE_MAX).fetchall()[0]
    FOLD_LAG.set(0.0 if since is None else max(0.0, time() - since.timestamp()))
    return int(rows), int(sessions)


def read_due(conn: Connection, settings: Settings) -> dict[str, int]:
    """Return how many keys of each layer have their turn, of layers that have any."""
    found = run(conn, TURNS["list_due_layers"], settings.cohort_every_s, settings.cohort_settled_s).fetchall()
    since = {layer: at for layer, _, at in found}
    for layer in Layer:
        PROJECTION_LAG.labels(layer.value).set(
            max(0.0, time() - since[layer].timestamp()) if layer in since else 0.0
        )
    return {layer: keys for layer, keys, _ in found}


def wakes(sessions: int, attempts_max: int) -> int:
    """Return how many workers so many due sessions are for: one for each turn, up to WAKES_MAX."""
    return min(-(-sessions // attempts_max), WAKES_MAX)


def _lead(
    conn: Connection,
    settings: Settings,
    actors: Actors,
    stop: threading.Event,
    pulse: Pulse,
) -> None:
    is_first = True
    publish_at = monotonic()
    while not stop.is_set():
        started = monotonic()
        rows, sessions = gather(conn, settings)
        if sessions:
            for _ in range(waiting(actors.fold), wakes(sessions, settings.fold_attempts_max)):
                actors.fold.send()
        due = read_due(conn, settings)
        for actor, layers in ((actors.project, OWN), (actors.cohorts, (Layer.exam,))):
            wanted = sum(wakes(due.get(layer, 0), KEYS_MAX[layer]) for layer in layers)
            for _ in range(waiting(actor), min(wanted, WAKES_MAX)):
                actor.send()
        if started >= publish_at:
            publish_at = started + settings.publish_debounce_s
            for actor in jobs_due(conn, actors, is_first=is_first):
                actor.send()
            is_first = False
            pulse.behind = behind(conn, settings)
        pulse.turned_at, pulse.wrong = monotonic(), None
        if rows < settings.fold_gather_rows:  # else there are more
            stop.wait(max(0.01, settings.fold_every_ms / 1000 - (monotonic() - started)))


def jobs_due(conn: Connection, actors: Actors, *, is_first: bool) -> "Iterator[dramatiq.Actor[..., Any]]":
    """
    Yield the jobs that there is work for. One that fails is left alone until it may be tried again, and is
    tried whether or not there is work: somebody else may have done it, and only a try says that it is well.
    """
    failing = {each.job: each.is_due for each in failing_jobs(conn)}
    for actor, is_wanted in (
        (actors.open, lambda: is_first),
        (actors.archive, lambda: one(conn, WATERMARKS["has_unarchived"])),
        (actors.publish, lambda: one(conn, WATERMARKS["is_marked"], list(PUBLISHED))),
        (actors.detect, lambda: one(conn, DETECTIONS["has_due"])),
    ):
        if actor is None:
            continue
        if failing[actor.actor_name] if actor.actor_name in failing else is_wanted():
            yield actor
