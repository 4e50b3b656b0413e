"""People, exams, attempts and events for the pipeline's tests, stored as the writer stores them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from core_api import seeding
from kernel.events import HEARTBEAT_MISSED_AFTER_S, EventType, is_violation
from sql import named
from sql.running import run

START = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
COLUMNS = (
    "session_id", "seq", "occurred_at", "effective_at", "client_at", "client", "client_seq", "event_type",
    "severity", "is_violation", "is_late", "event_name", "payload",
)  # fmt: skip


class Sitting(Struct):
    """One proctor session with what was stored of it so far."""

    session_id: int
    attempt_id: str
    exam_id: str
    student_id: str
    started_at: datetime
    through_seq: int = 0


def make_sittings(
    url: str, *, exams: int = 1, attempts: int = 2, started_at: datetime = START
) -> list[Sitting]:
    """Create exams with so many attempts each, one proctor session an attempt."""
    with seeding.connect(url) as conn:
        school = seeding.create_school(
            conn, f"School {uuid4()}", now=started_at, exams=exams, duration_minutes=120
        )
        return [
            Sitting(seated.session_id, str(seated.attempt_id), str(exam), str(seated.user_id), started_at)
            for exam in school.exam_ids
            for seated in seeding.seat_candidates(
                conn, school.organisation_id, exam, attempts, now=started_at
            )
        ]


def event(
    at: datetime,
    kind: EventType = EventType.Heartbeat,
    *,
    severity: int = 0,
    late: bool = False,
    skew_ms: int | None = None,
) -> dict[str, Any]:
    """Describe one event; `store` gives it its session and sequence."""
    return {
        "occurred_at": at,
        "effective_at": None,
        "client_at": None if skew_ms is None else at + timedelta(milliseconds=skew_ms),
        "client": None,
        "client_seq": None,
        "event_type": int(kind),
        "severity": severity,
        "is_violation": is_violation(kind, severity),
        "is_late": late,
        "event_name": "noise" if kind == EventType.Other else None,
        "payload": Jsonb({"n": 1}),
    }


def some_events(sitting: Sitting, count: int, *, seconds: float = 10.0) -> list[dict[str, Any]]:
    """Describe the next so many events of a sitting, evenly spread, of a few kinds."""
    kinds = [
        EventType.Heartbeat,
        EventType.TabSwitched,
        EventType.Heartbeat,
        EventType.Other,
        EventType.CopyAttempt,
    ]
    return [
        event(
            sitting.started_at + timedelta(seconds=seconds * n),
            kinds[n % len(kinds)],
            severity=n % 4,
            skew_ms=n % 7,
        )
        for n in range(sitting.through_seq + 1, sitting.through_seq + count + 1)
    ]


def store(conn: "psycopg.Connection[Any]", sitting: Sitting, events: Sequence[dict[str, Any]]) -> None:
    """Store events as the writer does: rows, progress and a dirty row; the caller commits."""
    with conn.cursor().copy(f"COPY events ({', '.join(COLUMNS)}) FROM STDIN") as copy:
        for row in events:
            sitting.through_seq += 1
            given = {**row, "session_id": sitting.session_id, "seq": sitting.through_seq}
            copy.write_row([given[name] for name in COLUMNS])
    times = [
        int((row["occurred_at"] - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1))
        for row in events
    ]
    others = [place for place, row in enumerate(events) if row["event_type"] != EventType.Heartbeat]
    other = max(others, default=None)
    run(
        conn,
        *named("writer").bind(
            "advance_sessions",
            sessions=[sitting.session_id],
            through=[sitting.through_seq],
            events=[len(events)],
            violations=[sum(row["is_violation"] for row in events)],
            first_us=[min(times)],
            last_us=[max(times)],
            heartbeat_us=[None],
            offset_us=[None],
            first_heartbeat_us=[None],
            last_other_seqs=[None if other is None else sitting.through_seq - len(events) + 1 + other],
            last_other_types=[None if other is None else events[other]["event_type"]],
            last_other_names=[None],
            last_other_us=[None if other is None else times[other]],
            gap_s=HEARTBEAT_MISSED_AFTER_S,
            grace_s=10.0,
        ),
    )


def store_now(url: str, sitting: Sitting, events: Sequence[dict[str, Any]]) -> None:
    """Store events and commit."""
    with psycopg.connect(url) as conn:
        store(conn, sitting, events)


def end(url: str, sitting: Sitting, at: datetime) -> None:
    """End a session as the API and then the stream's end entry do."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "UPDATE proctor_sessions SET status = 2, ended_at = %s, final_seq = %s WHERE id = %s",
            (at, sitting.through_seq, sitting.session_id),
        )


def rows_of(url: str, statement: str, *given: object) -> list[tuple[Any, ...]]:
    """Return what a statement of the test gives; `given` are its parameters."""
    with psycopg.connect(url) as conn:
        return conn.execute(statement.encode(), given or None).fetchall()
