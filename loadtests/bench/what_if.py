"""
How many past sessions a second a draft of risk rules is tried on: an archive of its own, by the seven default
rules against stricter ones.
"""

import statistics
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from kernel.events import EventType
from kernel.risk import POINT, SECOND, Rule
from kernel.settings import Settings
from warehouse import publish
from warehouse.datasets.events import EVENTS
from warehouse.files import Root, open_root
from warehouse.layout import PART_ROWS_MAX
from warehouse.what_if import DRAFT, Basis, Past, compare

BEGIN: Final = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
SEVERITY: Final = 2
APART_S: Final = 15
KINDS: Final = (
    *(EventType.Heartbeat,) * 6, EventType.TabSwitched, EventType.WindowBlurred, EventType.CopyAttempt,
    EventType.FullscreenExited,
)  # fmt: skip
# type, threshold, window in seconds, points
RULES: Final = ((2, 3, 120, 10), (4, 1, 0, 30), (8, 1, 0, 40), (5, 2, 0, 15), (9, 1, 0, 20), (52, 3, 60, 25),
                (53, 1, 0, 35))  # fmt: skip


def what_if_sessions_per_s(
    folder: Path, *, sessions: int = 5_000, events: int = 200, rounds: int = 3
) -> float:
    """
    Return the median of the rounds; each reads the archive anew.

    Args:
        folder: an empty one, where the archive is made.
        sessions: that are over.
        events: of each, one in fifteen seconds, four in ten of kinds that rules are about.
        rounds: how often it is tried.
    """
    root = open_root(str(folder), Settings())
    past = [_past(number, events) for number in range(1, sessions + 1)]
    _archive(root, sessions, events)
    rules = [_rule(number, *terms) for number, terms in enumerate(RULES, start=1)]
    draft = [msgspec.structs.replace(rule, points=min(100 * POINT, rule.points * 2)) for rule in rules]
    basis = Basis({1: rules, DRAFT: draft}, [], [])
    seconds = []
    for _ in range(rounds):
        began = perf_counter()
        compared = sum(1 for _ in compare(root, past, basis))
        seconds.append(perf_counter() - began)
        assert compared == sessions, "the archive has all of them"
    return sessions / statistics.median(seconds)


def _past(session_id: int, events: int) -> Past:
    ended = BEGIN + timedelta(seconds=APART_S * events)
    return Past(
        session_id=session_id,
        rule_set_id=1,
        ended_us=round(ended.timestamp() * SECOND),
        events=events,
        first_at=BEGIN,
        last_at=ended,
    )


def _rule(number: int, event_type: int, threshold: int, window_s: int, points: int) -> Rule:
    return Rule(
        rule_id=number,
        version=1,
        event_type=event_type,
        threshold=threshold,
        window_us=window_s * SECOND,
        points=points * POINT,
    )


def _archive(root: Root, sessions: int, events: int) -> None:
    """Publish the sessions' events as the archive has them, in parts of its size."""
    each = max(1, PART_ROWS_MAX // events)
    with publish.begin(root, EVENTS) as draft:
        for first in range(1, sessions + 1, each):
            publish.add(
                draft, str(BEGIN.date()), _rows(range(first, min(first + each, sessions + 1)), events)
            )
        now = datetime.now(UTC)
        publish.commit(draft, replaced=(), watermark=1, as_of=now, now=now)


def _rows(numbers: range, events: int) -> pa.Table:
    rows = len(numbers) * events
    seq = np.tile(np.arange(1, events + 1, dtype=np.int32), len(numbers))
    session = np.repeat(np.array(numbers, dtype=np.int64), events)
    kinds = np.array(KINDS, dtype=np.int16)[(session * 7 + seq * 3) % len(KINDS)]
    at = pa.array(round(BEGIN.timestamp() * SECOND) + seq.astype(np.int64) * APART_S * SECOND)
    moment = EVENTS.schema.field("occurred_at").type
    given = {
        "session_id": session, "seq": seq, "event_type": kinds, "severity": np.full(rows, SEVERITY, np.int16),
        "is_violation": np.zeros(rows, np.bool_), "is_late": np.zeros(rows, np.bool_),
        "occurred_at": at.cast(moment), "client_at": at.cast(moment),
        **dict.fromkeys(("attempt_id", "exam_id", "event_type_name"), pa.repeat(pa.scalar(""), rows)),
    }  # fmt: skip
    columns = [given.get(field.name, pa.nulls(rows, field.type)) for field in EVENTS.schema]
    return pa.table(columns, schema=EVENTS.schema)
