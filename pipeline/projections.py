"""
Project dirty attempts into reporting.*: read them whole in one snapshot, compute, store, and only then forget
the dirt.

The rows, and the dirty rows that asked for them, are read in one snapshot. Storing the result and deleting
exactly those dirty rows is one transaction, and it commits only if all of them were still there: of two
projections of an attempt the one with the later snapshot has read the other's dirty rows too, so they cannot
both commit, and an older result never lands on a newer one. A session that is touched meanwhile has a newer
dirty row, which stays.
"""

from collections.abc import Sequence
from typing import Final

import orjson
import polars as pl

from kernel.running.runtime import PROJECTED_ATTEMPTS
from kernel.settings import Settings
from pipeline.extract import as_events, as_sessions, snapshot
from pipeline.features.activity import attempt_activity_frame
from sql import named
from sql.running import Connection, connect, run
from warehouse.layout import ATTEMPT_ACTIVITY
from warehouse.publish import Step, no_step

PROJECTIONS: Final = named("projections")
WATERMARKS: Final = named("watermarks")
JSON_COLUMNS: Final = ("by_type", "by_severity", "reasons")


class DirtyRowsTakenError(Exception):
    """Another projection has taken in some of the dirty rows that this one read; what it stored is at least
    as new.
    """


def project_attempts(settings: Settings, attempt_ids: Sequence[str], step: Step = no_step) -> int:
    """
    Recompute the attempts that have dirty rows; return how many attempts were projected.

    Args:
        settings: where the database is.
        attempt_ids: UUIDs as text; those without dirty rows cost one statement.
        step: called with a name after each step that a crash could follow.

    Raises:
        DirtyRowsTakenError: nothing was changed.
    """
    with connect(settings.database_url) as conn, conn.transaction():
        run(conn, PROJECTIONS["share_projections"])
        sessions, events = _read(settings.database_url, attempt_ids)
        dirty = sessions.filter(pl.col("dirty_ids").list.len() > 0)
        if dirty.is_empty():
            return 0
        step("read")
        wanted = dirty["attempt_id"].unique().to_list()
        own = sessions.filter(pl.col("attempt_id").is_in(wanted))
        frame = attempt_activity_frame(as_sessions(own.lazy()), as_events(events.lazy())).collect()
        step("computed")
        store(conn, frame, wanted)
        taken = dirty["dirty_ids"].explode().to_list()
        if run(conn, PROJECTIONS["delete_dirty"], taken).rowcount != len(taken):
            raise DirtyRowsTakenError
        step("stored")
    step("committed")
    PROJECTED_ATTEMPTS.inc(len(wanted))
    return len(wanted)


def _read(url: str, attempt_ids: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the attempts' sessions with their dirty ids, and the events of those sessions, as of one
    moment.
    """
    with snapshot(url) as reader:
        sessions = reader.frame(PROJECTIONS["list_sessions"], list(attempt_ids))
        bounds = sessions["first_event_at"].min(), sessions["last_event_at"].max()
        events = reader.frame(
            PROJECTIONS["list_activity_events"], sessions["session_id"].to_list() or [0], *bounds
        )
    return sessions, events


def store(conn: Connection, frame: pl.DataFrame, attempt_ids: Sequence[str]) -> None:
    """
    Put the rows in and mark their exams for publication; the caller's transaction commits both.

    Args:
        conn: inside a transaction.
        frame: rows of `attempt_activity`.
        attempt_ids: what was asked for; those without a row lose the one they had.
    """
    absent = sorted(set(attempt_ids) - set(frame["attempt_id"]))
    exams = set(frame["exam_id"])
    if absent:
        exams |= {exam for (exam,) in run(conn, PROJECTIONS["delete_activity"], absent).fetchall()}
    run(conn, PROJECTIONS["upsert_activity"], as_json(frame))
    run(conn, WATERMARKS["insert_marks"], ATTEMPT_ACTIVITY.name, sorted(exams))


def as_json(frame: pl.DataFrame) -> str:
    """Return the rows as one JSON array; columns that hold JSON text go in as JSON."""
    rows = frame.to_dicts()
    for row in rows:
        for name in JSON_COLUMNS:
            row[name] = orjson.Fragment(row[name])
    return orjson.dumps(rows).decode()
