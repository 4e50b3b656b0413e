"""The loop of the sweeps: one process at a time turns it, and what fails is said in words (`jobs.py`)."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Final

import psycopg
import structlog

from kernel.settings import Settings
from kernel.storage.stores import Store
from pipeline.extract import DATABASE_AWAY
from pipeline.jobs import CONTENTS, EVIDENCE, EXPIRY, INACTIVE, ORPHANS, RETENTION, RUNTIME, run_job
from pipeline.retention.events import ArchiveDiffersError, sweep_events
from pipeline.retention.evidence import sweep_evidence
from pipeline.retention.people import sweep_people
from pipeline.retention.runtime import sweep_runtime
from pipeline.retention.submissions import sweep_contents
from pipeline.sweeps.orphans import Walk, sweep_orphans
from pipeline.sweeps.tiers import TIERS, StoppedError, move_due
from sql.running import Connection, connect, one

log = structlog.get_logger(__name__, process="pipeline")

BACK_OFF_S: Final = 1.0


def sweep_forever(settings: Settings, stores: Mapping[str, Store], stop: threading.Event) -> None:
    """Sweep, or wait to, until `stop` is set. A database that is away is waited out."""
    while not stop.is_set():
        try:
            with connect(settings.database_url) as conn:
                while not stop.is_set() and not one(conn, TIERS["try_sweep"]):
                    stop.wait(BACK_OFF_S)
                _sweep(conn, settings, stores, stop)
        except (psycopg.Error, *DATABASE_AWAY) as error:
            log.warning("sweeps_wait", error=error)
            stop.wait(BACK_OFF_S)


def _sweep(conn: Connection, settings: Settings, stores: Mapping[str, Store], stop: threading.Event) -> None:
    walk, unable = Walk(), set[int]()
    # One does not wait for the other's archive or store, nor for what cannot be taken.
    own = (conn, settings, stop)
    by_policy: dict[str, Callable[[], None]] = {
        INACTIVE: partial(_ask_inactive, *own),
        CONTENTS: partial(_take_contents, conn, stop),
        RUNTIME: partial(_take_runtime, conn, stop),
        RETENTION: partial(_retain, *own),
        EXPIRY: partial(_expire, conn, stores, stop),
    }
    due = dict.fromkeys(by_policy, monotonic())
    while not stop.is_set():
        run_job(settings, ORPHANS, partial(_clear, conn, settings, stores, walk))
        run_job(settings, EVIDENCE, partial(_move, conn, settings, stores, stop, unable))
        for name in [each for each, at in due.items() if monotonic() >= at]:
            is_done = run_job(settings, name, by_policy[name])
            due[name] = monotonic() + (settings.retention_sweep_s if is_done else settings.evidence_sweep_s)
        stop.wait(settings.evidence_sweep_s)


def _clear(conn: Connection, settings: Settings, stores: Mapping[str, Store], walk: Walk) -> None:
    if swept := sweep_orphans(conn, stores, settings, walk, now=datetime.now(UTC)):
        log.info("orphans_swept", orphans=swept)


def _move(
    conn: Connection,
    settings: Settings,
    stores: Mapping[str, Store],
    stop: threading.Event,
    unable: set[int],
) -> None:
    with suppress(StoppedError):
        found = move_due(conn, stores, settings, stop, now=datetime.now(UTC), unable=unable)
        if found.moved or found.damaged:
            log.info("evidence_swept", moved=found.moved, damaged=found.damaged)


def _ask_inactive(conn: Connection, settings: Settings, stop: threading.Event) -> None:
    if asked := sweep_people(conn, settings, now=datetime.now(UTC), stop=stop):
        log.info("inactive_asked", people=asked)


def _take_contents(conn: Connection, stop: threading.Event) -> None:
    if taken := sweep_contents(conn, now=datetime.now(UTC), stop=stop):
        log.info("contents_taken", submissions=taken)


def _take_runtime(conn: Connection, stop: threading.Event) -> None:
    if (removed := sweep_runtime(conn, now=datetime.now(UTC), stop=stop)).attempts:
        log.info("runtime_taken", attempts=removed.attempts)


def _retain(conn: Connection, settings: Settings, stop: threading.Event) -> None:
    """Take events; raises ArchiveDiffersError, having taken all others."""
    taken = sweep_events(conn, settings, now=datetime.now(UTC), stop=stop)
    if taken.steps or taken.days:
        log.info("events_taken", events=taken.events, sessions=taken.sessions, days=taken.days)
    if taken.differing:
        raise ArchiveDiffersError(len(taken.differing))


def _expire(conn: Connection, stores: Mapping[str, Store], stop: threading.Event) -> None:
    swept = sweep_evidence(conn, stores, now=datetime.now(UTC), stop=stop)
    if swept.steps or swept.deleted:
        log.info("evidence_expired", pieces=swept.pieces, bytes=swept.size_bytes, deleted=swept.deleted)
