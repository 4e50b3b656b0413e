"""The loop of erasures: one process at a time turns it, and what fails is said in words (`jobs.py`)."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog

from kernel.settings import Settings
from kernel.storage.stores import Store
from pipeline.extract import DATABASE_AWAY
from pipeline.jobs import ERASURES as JOB
from pipeline.jobs import run_job
from pipeline.privacy.erasing import ERASURES, erase_due
from sql.running import connect, one

log = structlog.get_logger(__name__, process="pipeline")

BACK_OFF_S: Final = 1.0


def erase_forever(settings: Settings, stores: Mapping[str, Store], stop: threading.Event) -> None:
    """Erase whoever is to be, or wait to, until `stop` is set. A database that is away is waited out."""
    while not stop.is_set():
        try:
            with connect(settings.database_url) as conn:
                while not stop.is_set() and not one(conn, ERASURES["try_erase"]):
                    stop.wait(BACK_OFF_S)

                def work() -> None:
                    steps = erase_due(conn, stores, settings, now=datetime.now(UTC))
                    if steps:
                        log.info("people_erased", steps=steps)

                while not stop.is_set():
                    run_job(settings, JOB, work)
                    stop.wait(settings.erasure_every_s)
        except (psycopg.Error, *DATABASE_AWAY) as error:
            log.warning("erasures_wait", error=error)
            stop.wait(BACK_OFF_S)
