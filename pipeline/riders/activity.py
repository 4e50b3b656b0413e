"""
Activity on the fold: an attempt's row of reporting.attempt_activity, from the states of its sessions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson

from pipeline.features.activity import METRIC_VERSION
from pipeline.features.activity_fold import State, advance, finish, start
from pipeline.features.session import Session
from pipeline.riders.rider import Folded, Keeps, Rider
from sql import named
from sql.running import Connection, run
from warehouse.datasets.attempt_activity import ATTEMPT_ACTIVITY

PROJECTIONS: Final = named("projections")
WATERMARKS: Final = named("watermarks")


def _read(_: Connection, __: Sequence[Session]) -> Mapping[int, None]:
    """Return nothing: events, start and end say it all."""
    return {}


def _store(conn: Connection, folded: Sequence[Folded], _: datetime) -> Mapping[int, datetime]:
    """Put the rows in where they changed, and mark their exams for publication."""
    attempts: dict[str, list[Folded]] = {}
    for each in folded:
        attempts.setdefault(each.session.attempt_id, []).append(each)
    rows = [
        finish([each.session for each in own], {each.session.session_id: each.state for each in own})
        for own in attempts.values()
    ]
    text = orjson.dumps([row for row in rows if row is not None]).decode()
    changed = {exam for (exam,) in run(conn, PROJECTIONS["upsert_activity"], text).fetchall()}
    if changed:
        run(conn, WATERMARKS["insert_marks"], ATTEMPT_ACTIVITY.name, sorted(changed))
    return {}


def _forget(conn: Connection) -> None:
    run(conn, PROJECTIONS["delete_all_activity"])


ACTIVITY: Final = Rider(
    name="activity",
    keeps=Keeps(version=METRIC_VERSION, state=State, start=start, advance=advance),
    read=_read,
    store=_store,
    forget=_forget,
)
