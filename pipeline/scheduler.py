"""
The scheduler: looks at what the writer left dirty and sends it to the actors. One leader at a time, by
advisory lock.

It decides nothing that must survive it: dirty rows, marks and watermarks stand in PostgreSQL, and what it has
sent and not seen done is sent again.
"""

import threading
from collections.abc import Iterator, Sequence
from time import monotonic, time
from typing import Any, Final

import dramatiq
import psycopg
import structlog
from dramatiq.errors import DramatiqError
from msgspec import Struct, field
from redis.exceptions import RedisError

from kernel.running.runtime import PROJECTION_LAG
from kernel.settings import Settings
from pipeline.actors import Actors
from pipeline.jobs import behind, failing_jobs
from sql import named
from sql.running import Connection, connect, one, run
from warehouse.layout import ATTEMPT_ACTIVITY

log = structlog.get_logger(__name__, process="pipeline")

PROJECTIONS: Final = named("projections")
WATERMARKS: Final = named("watermarks")
DIRTY_ROWS_MAX: Final = 20_000  # looked at in one turn
ATTEMPTS_MAX: Final = 100  # in one message
RESEND_S: Final = 60.0  # a row still dirty so long after it was sent is sent again
BACK_OFF_S: Final = 1.0


class Pulse(Struct):
    """
    What readiness looks at: when the loop last went round without an error, and what went wrong since;
    `behind` is what works and lags, in words.
    """

    turned_at: float = 0.0
    wrong: str | None = None
    behind: list[str] = field(default_factory=list)


def group(
    dirty: Sequence[tuple[int, str]], sent: dict[int, float], now: float
) -> tuple[list[list[str]], dict[int, float]]:
    """
    Choose what to send.

    Args:
        dirty: (dirty id, attempt id), oldest first.
        sent: when each dirty id was sent.
        now: on the same clock.

    Returns:
        Attempts in messages of at most ATTEMPTS_MAX, each attempt once, in the order of their oldest row; and
        what is sent now, without the ids that are dirty no more.
    """
    due = [
        (number, attempt) for number, attempt in dirty if now - sent.get(number, float("-inf")) >= RESEND_S
    ]
    attempts = list(dict.fromkeys(attempt for _, attempt in due))
    due_ids = {number for number, _ in due}
    after = {number: now if number in due_ids else sent[number] for number, _ in dirty}
    return [attempts[start : start + ATTEMPTS_MAX] for start in range(0, len(attempts), ATTEMPTS_MAX)], after


def schedule(settings: Settings, actors: Actors, stop: threading.Event, pulse: Pulse) -> None:
    """Lead, or wait to, until `stop` is set. Errors of PostgreSQL and Redis are logged and waited out."""
    while not stop.is_set():
        try:
            with connect(settings.database_url) as conn:
                while not stop.is_set() and not one(conn, WATERMARKS["try_lead"]):
                    pulse.turned_at, pulse.wrong, pulse.behind = monotonic(), None, []  # the leader says it
                    stop.wait(BACK_OFF_S)
                log.info("scheduler_leads")
                _lead(conn, settings, actors, stop, pulse)
        except (psycopg.Error, RedisError, DramatiqError) as error:
            pulse.wrong = f"The scheduler cannot work: {type(error).__name__}."
            log.warning("scheduler_waits", error=error)
            stop.wait(BACK_OFF_S)


def _lead(
    conn: Connection,
    settings: Settings,
    actors: Actors,
    stop: threading.Event,
    pulse: Pulse,
) -> None:
    sent: dict[int, float] = {}
    is_first = True
    publish_at = monotonic()
    while not stop.is_set():
        started = monotonic()
        dirty = run(conn, PROJECTIONS["list_dirty"], DIRTY_ROWS_MAX).fetchall()
        PROJECTION_LAG.set(max(0.0, time() - dirty[0][2].timestamp()) if dirty else 0.0)
        messages, after = group([(row[0], row[1]) for row in dirty], sent, started)
        for attempts in messages:
            actors.project.send(attempts)
        sent = after
        if started >= publish_at:
            publish_at = started + settings.publish_debounce_s
            for actor in _due(conn, actors, is_first=is_first):
                actor.send()
            is_first = False
            pulse.behind = behind(conn, settings)
        pulse.turned_at, pulse.wrong = monotonic(), None
        stop.wait(max(0.01, settings.projection_debounce_ms / 1000 - (monotonic() - started)))


def _due(conn: Connection, actors: Actors, *, is_first: bool) -> "Iterator[dramatiq.Actor[..., Any]]":
    """
    Yield the warehouse's jobs that there is work for. One that fails is left alone until it may be tried
    again.
    """
    failing = {each.job: each.is_due for each in failing_jobs(conn)}
    for actor, is_wanted in (
        (actors.open, lambda: is_first or "open" in failing),
        (actors.archive, lambda: one(conn, WATERMARKS["has_unarchived"])),
        (actors.publish, lambda: one(conn, WATERMARKS["is_marked"], ATTEMPT_ACTIVITY.name)),
    ):
        if failing.get(actor.actor_name, True) and is_wanted():
            yield actor
